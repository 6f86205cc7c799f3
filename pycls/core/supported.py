"""What of pycls's options this version can train with: the rest is refused, not ignored."""

from yacs.config import CfgNode

from pycls.core.config_rules import get_value
from pycls.errors import ConfigError

# The only value, as yet, of keys that would change what is trained.
_ONLY = {
    "OPTIM.OPTIMIZER": "sgd",
    "OPTIM.EMA_ALPHA": 1e-5,
    "OPTIM.EMA_UPDATE_PERIOD": 32,
    "TRAIN.MIXED_PRECISION": False,
    "TRAIN.MIXUP_ALPHA": 0.0,
    "TRAIN.CUTMIX_ALPHA": 0.0,
    "TRAIN.AUGMENT": "",
    "FSDP.ENABLED": False,
}


def check_trainable(cfg: CfgNode) -> None:
    """Check that this version can train what a configuration asks for.

    Raises:
        ConfigError: a key asks for what is not available.
    """
    for key, only in _ONLY.items():
        if get_value(cfg, key) != only:
            raise ConfigError(
                f"{key} is {get_value(cfg, key)!r}; this version trains with {only!r} only. Set it "
                "so, or train with pycls"
            )
    if cfg.NUM_GPUS > 1:
        raise ConfigError(
            f"NUM_GPUS is {cfg.NUM_GPUS}; this version trains on one GPU or the CPU. Set NUM_GPUS 1"
        )
    for side in ("TRAIN", "TEST"):
        if not cfg[side].DATASET:
            raise ConfigError(
                f"{side}.DATASET is empty; name a prepared data set (tools/prepare_data.py list "
                "shows them) or the path of one"
            )
