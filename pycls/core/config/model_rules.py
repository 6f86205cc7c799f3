"""What the architecture keys of a configuration may say together, for each MODEL.TYPE."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from yacs.config import CfgNode

from pycls.errors import ConfigError
from pycls.models.scaler import scaling_factors
from pycls.models.vocabulary import RESNET_DEPTHS, is_cifar_resnet
from pycls.models.widths import regnet_layout


def check_model(cfg: CfgNode, where: str) -> None:
    """Check that the keys of MODEL.TYPE's own section describe a network.

    Args:
        cfg: a node with all keys, of the right types and within their ranges.
        where: where it comes from, for the message.

    Raises:
        ConfigError: an impossible combination.
    """
    with _naming(where):
        scaling_factors(cfg.MODEL.SCALING_TYPE, cfg.MODEL.SCALING_FACTOR)
    check = {
        "anynet": _check_anynet,
        "effnet": _check_effnet,
        "regnet": _check_regnet,
        "resnet": _check_resnet,
        "vit": _check_vit,
    }.get(cfg.MODEL.TYPE)
    if check is not None:
        check(cfg, where)


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Put where a configuration comes from before the message of what is refused in it."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _require_one_a_stage(
    cfg: CfgNode, section: str, keys: tuple[str, ...], where: str, *, may_be_empty: bool = False
) -> None:
    """Check that lists of a section are as long as its DEPTHS."""
    net = cfg[section]
    for key in keys:
        values = net[key]
        if len(values) != len(net.DEPTHS) and (values or not may_be_empty):
            raise ConfigError(
                f"{where}: {section}.{key} is {values} with {len(values)} values; expected one a "
                f"stage, as in {section}.DEPTHS {net.DEPTHS} ({len(net.DEPTHS)} stages)"
            )


def _check_anynet(cfg: CfgNode, where: str) -> None:
    net = cfg.ANYNET
    if not net.DEPTHS:
        raise ConfigError(
            f"{where}: ANYNET.DEPTHS is []; MODEL.TYPE 'anynet' needs one depth a stage, for "
            "example [1, 2, 7, 12]"
        )
    _require_one_a_stage(cfg, "ANYNET", ("WIDTHS", "STRIDES"), where)
    _require_one_a_stage(cfg, "ANYNET", ("BOT_MULS", "GROUP_WS"), where, may_be_empty=True)
    if "bottleneck" not in net.BLOCK_TYPE:
        return
    for i, width in enumerate(net.WIDTHS):
        bot_mul = net.BOT_MULS[i] if net.BOT_MULS else 1.0
        group_w = net.GROUP_WS[i] if net.GROUP_WS else 1
        bottleneck_w = round(width * bot_mul)
        # As pycls: width // group width groups, which need not have exactly that width.
        if bottleneck_w < group_w or bottleneck_w % (bottleneck_w // group_w):
            raise ConfigError(
                f"{where}: stage {i + 1} has ANYNET.WIDTHS {width} and BOT_MULS {bot_mul}, a "
                f"bottleneck of {bottleneck_w} channels, which cannot be split into groups of "
                f"ANYNET.GROUP_WS {group_w}; change one of the three"
            )


def _check_regnet(cfg: CfgNode, where: str) -> None:
    net = cfg.REGNET
    with _naming(where):
        regnet_layout(net.WA, net.W0, net.WM, net.DEPTH, net.BOT_MUL, net.GROUP_W)


def _check_resnet(cfg: CfgNode, where: str) -> None:
    depth, net = cfg.MODEL.DEPTH, cfg.RESNET
    if is_cifar_resnet(cfg.TRAIN.DATASET):
        form = f"the ResNet for CIFAR (TRAIN.DATASET is {cfg.TRAIN.DATASET!r})"
        if depth < 8 or (depth - 2) % 6:
            raise ConfigError(
                f"{where}: MODEL.DEPTH is {depth}; {form} has 6n + 2 layers: 20, 32, 44, 56, 110"
            )
        _require(where, form, "RESNET.TRANS_FUN", net.TRANS_FUN, "basic_transform")
        _require(where, form, "RESNET.NUM_GROUPS", net.NUM_GROUPS, 1)
        return
    form = "the ResNet for ImageNet"
    if depth not in RESNET_DEPTHS:
        raise ConfigError(
            f"{where}: MODEL.DEPTH is {depth}; {form} has {', '.join(map(str, RESNET_DEPTHS))} "
            "layers. (The form for CIFAR is built where the name of TRAIN.DATASET holds 'cifar'; "
            "MODEL.TYPE 'anynet' builds it for any data set, see configs/archive/cifar/anynet)"
        )
    _require(where, form, "RESNET.TRANS_FUN", net.TRANS_FUN, "bottleneck_transform")


def _require(where: str, form: str, key: str, value: object, only: object) -> None:
    if value != only:
        raise ConfigError(f"{where}: {key} is {value!r}; {form} has {only!r}")


def _check_effnet(cfg: CfgNode, where: str) -> None:
    net = cfg.EN
    if not net.DEPTHS:
        raise ConfigError(
            f"{where}: EN.DEPTHS is []; MODEL.TYPE 'effnet' needs one depth a stage, for example "
            "[1, 2, 2, 3, 3, 4, 1]"
        )
    _require_one_a_stage(cfg, "EN", ("WIDTHS", "EXP_RATIOS", "STRIDES", "KERNELS"), where)
    if any(kernel % 2 == 0 for kernel in net.KERNELS):
        raise ConfigError(f"{where}: EN.KERNELS is {net.KERNELS}; kernel sizes must be odd")
    inputs = [net.STEM_W, *net.WIDTHS]
    for i, exp_ratio in enumerate(net.EXP_RATIOS):
        widths = inputs[i : i + 2] if net.DEPTHS[i] > 1 else inputs[i : i + 1]
        for key, ratio in (("EXP_RATIOS", exp_ratio), ("SE_R", net.SE_R)):
            if int(min(widths) * ratio) < 1:
                raise ConfigError(
                    f"{where}: stage {i + 1} has a block of {min(widths)} input channels, of which "
                    f"EN.{key} {ratio} leaves none; expected a larger one"
                )


def _check_vit(cfg: CfgNode, where: str) -> None:
    net = cfg.VIT
    if cfg.TRAIN.IM_SIZE % net.PATCH_SIZE:
        raise ConfigError(
            f"{where}: TRAIN.IM_SIZE is {cfg.TRAIN.IM_SIZE}; expected a multiple of VIT.PATCH_SIZE "
            f"({net.PATCH_SIZE})"
        )
    if net.HIDDEN_DIM % net.NUM_HEADS:
        raise ConfigError(
            f"{where}: VIT.HIDDEN_DIM is {net.HIDDEN_DIM}; expected a multiple of VIT.NUM_HEADS "
            f"({net.NUM_HEADS})"
        )
    if net.STEM_TYPE == "conv":
        _check_vit_stem(net, where)


def _check_vit_stem(net: CfgNode, where: str) -> None:
    stem = {key: list(net[key]) for key in ("C_STEM_KERNELS", "C_STEM_STRIDES", "C_STEM_DIMS")}
    told = ", ".join(f"VIT.{key} {value}" for key, value in stem.items())
    if not net.C_STEM_DIMS or len({len(value) for value in stem.values()}) != 1:
        raise ConfigError(f"{where}: {told}; expected one value of each for every convolution")
    if math.prod(net.C_STEM_STRIDES) != net.PATCH_SIZE:
        raise ConfigError(
            f"{where}: VIT.C_STEM_STRIDES is {net.C_STEM_STRIDES}; their product must be "
            f"VIT.PATCH_SIZE ({net.PATCH_SIZE})"
        )
    if net.C_STEM_DIMS[-1] != net.HIDDEN_DIM:
        raise ConfigError(
            f"{where}: VIT.C_STEM_DIMS is {net.C_STEM_DIMS}; the last must be VIT.HIDDEN_DIM "
            f"({net.HIDDEN_DIM})"
        )
    if net.C_STEM_KERNELS[-1] % 2 == 0:
        raise ConfigError(
            f"{where}: VIT.C_STEM_KERNELS is {net.C_STEM_KERNELS}; the last must be odd"
        )
    if any(kernel != 3 for kernel in net.C_STEM_KERNELS[:-1]):
        warnings.warn(
            f"{where}: VIT.C_STEM_KERNELS is {net.C_STEM_KERNELS}, but all convolutions of the "
            "stem but the last have a kernel of 3, as in pycls",
            stacklevel=2,
        )
