"""Checks what a configuration says: choices, ranges and combinations of values."""

import re
from collections.abc import Callable
from typing import Any

from yacs.config import CfgNode

from pycls.core.config.defaults import WORDS
from pycls.core.schedules import SCHEDULES
from pycls.errors import ConfigError
from pycls.models.network_types import NETWORKS, check_network
from pycls.models.vocabulary import ACTIVATIONS, BLOCK_TYPES, STEM_TYPES, block_types
from pycls.registry import Registry

OPTIMIZERS = Registry(
    "optimizer",
    {
        # OPTIM.OPTIMIZER -> a function as those in pycls.core.optimizer.
        "sgd": "pycls.core.optimizer:sgd",
        "adam": "pycls.core.optimizer:adam",
        "adamw": "pycls.core.optimizer:adamw",
    },
)

CHOICES: dict[str, tuple[str, ...]] = {
    "MODEL.TYPE": ("", *NETWORKS),
    "MODEL.LOSS_FUN": ("cross_entropy",),
    "MODEL.ACTIVATION_FUN": tuple(ACTIVATIONS),
    "ANYNET.STEM_TYPE": STEM_TYPES,
    "ANYNET.BLOCK_TYPE": BLOCK_TYPES,
    "REGNET.STEM_TYPE": STEM_TYPES,
    "REGNET.BLOCK_TYPE": BLOCK_TYPES,
    "RESNET.TRANS_FUN": ("basic_transform", "bottleneck_transform"),
    "OPTIM.OPTIMIZER": tuple(OPTIMIZERS),
    "OPTIM.LR_POLICY": tuple(SCHEDULES),
    "TRAIN.SPLIT": ("train", "val", "test", "validation"),
    "TEST.SPLIT": ("train", "val", "test", "validation"),
    "LOG_DEST": ("stdout", "file"),
    "LAUNCH.MODE": ("local", "submitit_local", "submitit_debug", "slurm"),
    "VIT.STEM_TYPE": ("patchify", "conv"),
    "VIT.CLASSIFIER_TYPE": ("token", "pooled"),
    "CHECKPOINT.KEEP": ("all", "last", "none"),
    "TRAIN.MIXED_DTYPE": ("auto", "float16", "bfloat16"),
    "LAYER_FORMS": ("auto", "library", "own"),
    "MEMORY_FORMAT": ("channels_last", "contiguous"),
    "DATA.CROP": ("auto", "padded", "resized"),
}

# More than any machine has; PyTorch counts them in 32 bits.
_MOST_THREADS = 2**16
# Of one network: to build more takes hours.
_MOST_BLOCKS = 10_000

_RANGES: tuple[tuple[Callable[[Any], bool], str, tuple[str, ...]], ...] = (
    (
        lambda value: value > 0,
        "a number above 0",
        (
            "MODEL.NUM_CLASSES", "MODEL.SCALING_FACTOR", "ANYNET.STEM_W", "ANYNET.SE_R",
            "REGNET.STEM_W", "REGNET.SE_R", "REGNET.DEPTH", "REGNET.W0", "REGNET.GROUP_W",
            "REGNET.BOT_MUL", "REGNET.STRIDE", "EN.STEM_W", "EN.SE_R", "EN.HEAD_W",
            "BN.EPS", "BN.NUM_SAMPLES_PRECISE", "LN.EPS", "OPTIM.BASE_LR", "OPTIM.LR_MULT",
            "OPTIM.MAX_EPOCH", "TRAIN.ACCUMULATE", "TRAIN.BATCH_SIZE", "TRAIN.IM_SIZE",
            "TEST.BATCH_SIZE", "TEST.IM_SIZE", "LOG_PERIOD", "MAX_GPUS_PER_NODE",
            "VIT.PATCH_SIZE", "VIT.NUM_LAYERS", "VIT.NUM_HEADS", "VIT.HIDDEN_DIM", "VIT.MLP_DIM",
            "ANYNET.DEPTHS", "ANYNET.WIDTHS", "ANYNET.STRIDES", "ANYNET.BOT_MULS",
            "ANYNET.GROUP_WS", "EN.DEPTHS", "EN.WIDTHS", "EN.EXP_RATIOS", "EN.STRIDES",
            "EN.KERNELS", "RESNET.NUM_GROUPS", "RESNET.WIDTH_PER_GROUP",
            "VIT.C_STEM_KERNELS", "VIT.C_STEM_STRIDES", "VIT.C_STEM_DIMS", "TRAIN.CLASS_WEIGHTS",
        ),
    ),
    (
        lambda value: value >= 0,
        "a number of 0 or more",
        (
            "MODEL.DEPTH", "ANYNET.HEAD_W", "REGNET.HEAD_W", "REGNET.WA", "OPTIM.WEIGHT_DECAY",
            "BN.CUSTOM_WEIGHT_DECAY", "LN.CUSTOM_WEIGHT_DECAY", "OPTIM.BIAS_CUSTOM_WEIGHT_DECAY",
            "OPTIM.WARMUP_EPOCHS", "OPTIM.WARMUP_FACTOR", "OPTIM.EMA_ALPHA", "OPTIM.STEPS",
            "TRAIN.MIXUP_ALPHA", "TRAIN.CUTMIX_ALPHA", "TRAIN.PCA_STD", "RNG_SEED", "NUM_GPUS",
            "OPTIM.EMA_UPDATE_PERIOD", "OPTIM.CLIP_GRAD_NORM",
            "PREC_TIME.WARMUP_ITER", "PREC_TIME.NUM_ITER", "LAUNCH.MAX_RETRY", "DATA.PAD",
            "DATA.PER_CLASS", "DATA.VIEW_SEED", "PORT_RANGE", "OPTIM.STOP_EPOCH",
            "CHECKPOINT.PERIOD",
        ),
    ),
    (
        lambda value: value <= _MOST_BLOCKS,
        f"at most {_MOST_BLOCKS:,}",
        ("MODEL.DEPTH", "ANYNET.DEPTHS", "REGNET.DEPTH", "EN.DEPTHS", "VIT.NUM_LAYERS"),
    ),
    (
        lambda value: 0 <= value <= _MOST_THREADS,
        f"a whole number from 0 to {_MOST_THREADS}",
        ("NUM_THREADS", "DATA_LOADER.NUM_WORKERS"),
    ),
    (
        lambda value: 0 <= value <= 1,
        "a number from 0 to 1",
        ("BN.MOM", "OPTIM.MIN_LR", "OPTIM.DAMPENING", "DATA.GPU_SHARE"),
    ),
    (
        lambda value: 0 <= value < 1,
        "a number of 0 or more and below 1",
        (
            "OPTIM.MOMENTUM", "OPTIM.BETA1", "OPTIM.BETA2", "TRAIN.LABEL_SMOOTHING",
            "EN.DC_RATIO", "EN.DROPOUT_RATIO", "DATA.VALIDATION_SHARE",
        ),
    ),
)  # fmt: skip

_FRACTION = r"(0?\.\d+|0|1|1\.0+)"
_AUGMENT = re.compile(rf"AutoAugment|RandAugment(_N[1-9]\d*)?(_M{_FRACTION})?(_P{_FRACTION})?")
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def get_value(cfg: CfgNode, key: str) -> Any:
    """Return the value of a dotted key."""
    node: Any = cfg
    for part in key.split("."):
        node = node[part]
    return node


def _check_choices(cfg: CfgNode, where: str) -> None:
    for key, choices in CHOICES.items():
        value = get_value(cfg, key)
        if choices is BLOCK_TYPES:
            choices = block_types(value)
        if value not in choices:
            allowed = ", ".join(repr(choice) for choice in choices)
            raise ConfigError(f"{where}: {key} is {value!r}; allowed: {allowed}")
    if cfg.TRAIN.AUGMENT and not _AUGMENT.fullmatch(cfg.TRAIN.AUGMENT):
        raise ConfigError(
            f"{where}: TRAIN.AUGMENT is {cfg.TRAIN.AUGMENT!r}; allowed: '', 'AutoAugment', "
            "'RandAugment' with optional parts such as 'RandAugment_N2_M0.5_P1' (operations, "
            "magnitude and probability from 0 to 1)"
        )
    if not _DEVICE.fullmatch(cfg.DEVICE):
        raise ConfigError(
            f"{where}: DEVICE is {cfg.DEVICE!r}; allowed: 'auto', 'cpu', 'cuda', 'cuda:0', ..."
        )


def _check_ranges(cfg: CfgNode, where: str) -> None:
    for accepts, text, keys in _RANGES:
        for key in keys:
            value = get_value(cfg, key)
            items = value if isinstance(value, list) else [value] * (value != WORDS.get(key))
            for item in items:
                if not accepts(item):
                    raise ConfigError(f"{where}: {key} is {value!r}; expected {text}")


def _check_schedule(cfg: CfgNode, where: str) -> None:
    optim = cfg.OPTIM
    if optim.LR_POLICY == "steps":
        if not optim.STEPS or optim.STEPS[0] != 0:
            raise ConfigError(
                f"{where}: OPTIM.STEPS is {optim.STEPS}; with OPTIM.LR_POLICY 'steps' it must "
                "begin with epoch 0, for example [0, 30, 60, 90]"
            )
        if sorted(set(optim.STEPS)) != list(optim.STEPS):
            raise ConfigError(f"{where}: OPTIM.STEPS is {optim.STEPS}; the epochs must increase")
    if optim.NESTEROV and optim.OPTIMIZER == "sgd" and (optim.MOMENTUM == 0 or optim.DAMPENING):
        raise ConfigError(
            f"{where}: OPTIM.NESTEROV needs OPTIM.MOMENTUM above 0 and OPTIM.DAMPENING 0 (they "
            f"are {optim.MOMENTUM} and {optim.DAMPENING}); set OPTIM.NESTEROV False or change them"
        )


def _check_sizes(cfg: CfgNode, where: str) -> None:
    for key in ("TRAIN.BATCH_SIZE", "TEST.BATCH_SIZE"):
        if cfg.NUM_GPUS > 1 and get_value(cfg, key) % cfg.NUM_GPUS:
            raise ConfigError(
                f"{where}: {key} is {get_value(cfg, key)}; it is the total over all GPUs and must "
                f"be a multiple of NUM_GPUS ({cfg.NUM_GPUS})"
            )
    shares = max(1, cfg.NUM_GPUS) * cfg.TRAIN.ACCUMULATE
    if cfg.TRAIN.BATCH_SIZE % shares:
        raise ConfigError(
            f"{where}: TRAIN.BATCH_SIZE is {cfg.TRAIN.BATCH_SIZE}; it is the total of a step and "
            f"must be a multiple of NUM_GPUS x TRAIN.ACCUMULATE ({shares})"
        )
    if len(cfg.PORT_RANGE) != 2 or cfg.PORT_RANGE[0] > cfg.PORT_RANGE[1]:
        raise ConfigError(f"{where}: PORT_RANGE is {cfg.PORT_RANGE}; expected [lowest, highest]")
    weights = cfg.TRAIN.CLASS_WEIGHTS
    if isinstance(weights, list) and len(weights) not in (0, cfg.MODEL.NUM_CLASSES):
        raise ConfigError(
            f"{where}: TRAIN.CLASS_WEIGHTS has {len(weights)} numbers; expected MODEL.NUM_CLASSES "
            f"({cfg.MODEL.NUM_CLASSES}) of them, in the order of the labels, or balanced"
        )
    if len(set(cfg.DATA.CLASSES)) != len(cfg.DATA.CLASSES):
        raise ConfigError(f"{where}: DATA.CLASSES names a class twice: {cfg.DATA.CLASSES}")
    if len(cfg.DATA.CLASSES) == 1:
        raise ConfigError(
            f"{where}: DATA.CLASSES is {cfg.DATA.CLASSES}; expected at least two classes, or [] "
            "for all of them"
        )


def _check_crops(cfg: CfgNode, where: str) -> None:
    for key, most in (("DATA.AREA", 1.0), ("DATA.ASPECT", float("inf"))):
        value = get_value(cfg, key)
        if len(value) != 2 or not 0 < value[0] <= value[1] <= most:
            shares = ", at most 1" if most == 1 else ""
            raise ConfigError(
                f"{where}: {key} is {value}; expected [lowest, highest], above 0{shares}"
            )


def check_cfg(cfg: CfgNode, where: str) -> None:
    """Check the values of a complete configuration, from `where`, and how they go together.

    Raises:
        ConfigError: a value out of its choices or range, or an impossible combination.
    """
    _check_choices(cfg, where)
    _check_ranges(cfg, where)
    _check_schedule(cfg, where)
    _check_sizes(cfg, where)
    _check_crops(cfg, where)
    check_network(cfg, where)
