"""From a configuration to a network."""

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.errors import ConfigError
from pycls.models.anynet import AnyNet, AnyNetSpec
from pycls.models.initialize import init_weights
from pycls.models.layers import LayerOptions


def build_model(cfg: CfgNode) -> nn.Module:
    """Return the network that a configuration describes, on the CPU, freshly initialised.

    The weights depend on the configuration and its ``RNG_SEED`` alone: the global random
    state is neither read nor changed.

    Raises:
        ConfigError: MODEL.TYPE names no network that is available.
    """
    # Built without memory first: PyTorch's own initialisation would be thrown away.
    model = build_meta_model(cfg).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(cfg.RNG_SEED)
    init_weights(model, generator, zero_init_final_gamma=cfg.BN.ZERO_INIT_FINAL_GAMMA)
    return model


def build_meta_model(cfg: CfgNode) -> nn.Module:
    """Return the network without weights (on the meta device), for counting and names."""
    with torch.device("meta"):
        if cfg.MODEL.TYPE == "anynet":
            return AnyNet(anynet_spec(cfg))
    raise ConfigError(f"MODEL.TYPE is {cfg.MODEL.TYPE!r}; the networks available are: 'anynet'")


def anynet_spec(cfg: CfgNode) -> AnyNetSpec:
    """Return the architecture that the ANYNET section describes."""
    net = cfg.ANYNET
    return AnyNetSpec(
        depths=tuple(net.DEPTHS),
        widths=tuple(net.WIDTHS),
        strides=tuple(net.STRIDES),
        bot_muls=tuple(net.BOT_MULS),
        group_ws=tuple(net.GROUP_WS),
        num_classes=cfg.MODEL.NUM_CLASSES,
        stem_type=net.STEM_TYPE,
        stem_w=net.STEM_W,
        block_type=net.BLOCK_TYPE,
        se_r=net.SE_R if net.SE_ON else None,
        head_w=net.HEAD_W,
        options=LayerOptions(
            norm_eps=cfg.BN.EPS,
            norm_momentum=cfg.BN.MOM,
            activation_fun=cfg.MODEL.ACTIVATION_FUN,
            activation_inplace=cfg.MODEL.ACTIVATION_INPLACE,
        ),
    )
