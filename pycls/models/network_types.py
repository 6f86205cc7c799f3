"""Lists the kinds of network: their section, their module, what their keys may say.

:data:`NETWORKS` at the end holds them. No PyTorch here: configurations are checked without it.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from yacs.config import CfgNode

from pycls.errors import ConfigError
from pycls.models.scaler import scaling_factors
from pycls.models.vocabulary import RESNET_DEPTHS, has_groups, is_cifar_resnet
from pycls.models.widths import stage_lists
from pycls.strict_yaml import parse_yaml


@dataclass(frozen=True)
class NetworkType:
    """A kind of network.

    Attributes:
        section: the section of the configuration that describes it.
        spec: "module:function" that makes an architecture of a configuration, see
            :class:`pycls.models.builders.NetworkSpec`.
        check: refuses what its keys cannot say together, called with a configuration (all keys
            there, of the right types and within their ranges) and where it comes from; None:
            nothing to check.
        family: the name of a configuration's network in tables; None: MODEL.TYPE.
    """

    section: str
    spec: str
    check: Callable[[CfgNode, str], None] | None = None
    family: Callable[[CfgNode], str] | None = None


def check_network(cfg: CfgNode, where: str) -> None:
    """Check that the keys of MODEL.TYPE's own section describe a network.

    Args:
        cfg: a node with all keys, of the right types and within their ranges.
        where: where it comes from, for the message.

    Raises:
        ConfigError: an impossible combination.
    """
    with _naming(where):
        scaling_factors(cfg.MODEL.SCALING_TYPE, cfg.MODEL.SCALING_FACTOR)
    if cfg.MODEL.TYPE and (check := NETWORKS[cfg.MODEL.TYPE].check) is not None:
        check(cfg, where)


def network_family(cfg: CfgNode) -> str:
    """Return the family's name as the constructors of :mod:`pycls.models` have it."""
    family = NETWORKS[cfg.MODEL.TYPE].family
    return cfg.MODEL.TYPE if family is None else family(cfg)


def is_foreign(cfg: CfgNode) -> bool:
    """Say whether a configuration's network is another library's."""
    return cfg.MODEL.TYPE in ("timm", "torchvision")


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Put where a configuration comes from before the message of what is refused in it."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _require_one_a_stage(
    cfg: CfgNode,
    section: str,
    keys: tuple[str, ...],
    where: str,
    *,
    example: str,
    optional_keys: tuple[str, ...] = (),
) -> None:
    """Check that a section has depths, and lists as long as them; optional ones may be empty."""
    net = cfg[section]
    if not net.DEPTHS:
        raise ConfigError(
            f"{where}: {section}.DEPTHS is []; MODEL.TYPE {cfg.MODEL.TYPE!r} needs one depth a "
            f"stage, for example {example}"
        )
    for key in (*keys, *optional_keys):
        values = net[key]
        if len(values) != len(net.DEPTHS) and (values or key in keys):
            raise ConfigError(
                f"{where}: {section}.{key} is {values} with {len(values)} values; expected one a "
                f"stage, as in {section}.DEPTHS {net.DEPTHS} ({len(net.DEPTHS)} stages)"
            )


def _check_anynet(cfg: CfgNode, where: str) -> None:
    net = cfg.ANYNET
    _require_one_a_stage(
        cfg, "ANYNET", ("WIDTHS", "STRIDES"), where,
        example="[1, 2, 7, 12]", optional_keys=("BOT_MULS", "GROUP_WS"),
    )  # fmt: skip
    if not has_groups(net.BLOCK_TYPE):
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
    with _naming(where):
        stage_lists("regnet", cfg.REGNET)


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
    lists = ("WIDTHS", "EXP_RATIOS", "STRIDES", "KERNELS")
    _require_one_a_stage(cfg, "EN", lists, where, example="[1, 2, 2, 3, 3, 4, 1]")
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
    shown = ", ".join(f"VIT.{key} {value}" for key, value in stem.items())
    if not net.C_STEM_DIMS or len({len(value) for value in stem.values()}) != 1:
        raise ConfigError(f"{where}: {shown}; expected one value of each for every convolution")
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


_RESERVED = ("num_classes", "pretrained", "weights", "checkpoint_path")


def foreign_arguments(texts: Sequence[str], section: str) -> dict[str, Any]:
    """Return the arguments of a network of another library, from texts as "name=value".

    Args:
        texts: values are YAML: 0.1, true, gelu, [1, 2].
        section: TIMM or TORCHVISION, for messages.

    Raises:
        ConfigError: a text is no argument, gives one twice, or one that other keys give.
    """
    arguments: dict[str, Any] = {}
    for text in texts:
        where = f"{section}.ARGS has {text!r}"
        name, equals, value = str(text).partition("=")
        if not (equals and name.isidentifier()):
            raise ConfigError(f"{where}; expected name=value, such as 'drop_path_rate=0.1'")
        if name in arguments:
            raise ConfigError(f"{where}: {name} is given twice; give it once")
        if name in _RESERVED:
            raise ConfigError(
                f"{where}: {name} is given by other keys, classes by MODEL.NUM_CLASSES and the "
                "file of first weights by TRAIN.WEIGHTS; leave it out"
            )
        arguments[name] = parse_yaml(value, where)
    return arguments


def _check_foreign(cfg: CfgNode, where: str) -> None:
    section = NETWORKS[cfg.MODEL.TYPE].section
    net = cfg[section]
    if not net.NAME:
        raise ConfigError(
            f"{where}: {section}.NAME is ''; MODEL.TYPE {cfg.MODEL.TYPE!r} needs a network's name "
            "there, for example 'resnet18'"
        )
    with _naming(where):
        foreign_arguments(net.ARGS, section)


NETWORKS = {
    "anynet": NetworkType("ANYNET", "pycls.models.networks.anynet:anynet_spec", _check_anynet),
    "effnet": NetworkType("EN", "pycls.models.networks.effnet:effnet_spec", _check_effnet),
    "regnet": NetworkType(
        "REGNET",
        "pycls.models.networks.regnet:regnet_spec",
        _check_regnet,
        family=lambda cfg: "regnety" if cfg.REGNET.SE_ON else "regnetx",
    ),
    "resnet": NetworkType(
        "RESNET",
        "pycls.models.networks.resnet:resnet_spec",
        _check_resnet,
        family=lambda cfg: "resnext" if cfg.RESNET.NUM_GROUPS > 1 else "resnet",
    ),
    "vit": NetworkType("VIT", "pycls.models.networks.vit:vit_spec", _check_vit),
    "timm": NetworkType("TIMM", "pycls.models.networks.foreign:timm_spec", _check_foreign),
    "torchvision": NetworkType(
        "TORCHVISION", "pycls.models.networks.foreign:torchvision_spec", _check_foreign
    ),
}
