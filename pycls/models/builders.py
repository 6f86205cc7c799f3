"""From a configuration to a network."""

from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.errors import ConfigError
from pycls.models.initialize import init_weights
from pycls.models.layers import LayerOptions
from pycls.models.networks.anynet import AnyNet, AnyNetSpec
from pycls.models.networks.effnet import EffNet, EffNetSpec
from pycls.models.networks.regnet import RegNetSpec
from pycls.models.networks.resnet import cifar_resnet, imagenet_resnet
from pycls.models.networks.vit import ViT, ViTSpec
from pycls.models.vocabulary import is_cifar_resnet

# The kernel of all but the last convolution of a ViT's stem: pycls builds no other,
# whatever VIT.C_STEM_KERNELS says.
_VIT_STEM_KERNEL = 3


def build_model(cfg: CfgNode) -> nn.Module:
    """Return the network that a configuration describes, on the CPU, freshly initialised.

    The weights depend on the configuration and its ``RNG_SEED`` alone: the global random
    state is neither read nor changed.

    Raises:
        ConfigError: MODEL.TYPE names no network.
    """
    # Built without memory first: PyTorch's own initialisation would be thrown away.
    model = build_meta_model(cfg).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(cfg.RNG_SEED)
    init_weights(model, generator, zero_init_final_gamma=cfg.BN.ZERO_INIT_FINAL_GAMMA)
    return model


def build_meta_model(cfg: CfgNode) -> nn.Module:
    """Return the network without weights (on the meta device), for counting and names."""
    with torch.device("meta"):
        if cfg.MODEL.TYPE == "effnet":
            return EffNet(effnet_spec(cfg))
        if cfg.MODEL.TYPE == "vit":
            return ViT(vit_spec(cfg))
        return AnyNet(anynet_spec(cfg))


def anynet_spec(cfg: CfgNode) -> AnyNetSpec:
    """Return the architecture of an anynet, regnet or resnet, stage by stage."""
    if cfg.MODEL.TYPE == "regnet":
        return regnet_spec(cfg).to_anynet()
    if cfg.MODEL.TYPE == "resnet":
        return resnet_spec(cfg)
    if cfg.MODEL.TYPE != "anynet":
        raise ConfigError(
            f"MODEL.TYPE is {cfg.MODEL.TYPE!r}; expected 'anynet', 'effnet', 'regnet', 'resnet' "
            "or 'vit'"
        )
    net = cfg.ANYNET
    return AnyNetSpec(
        depths=tuple(net.DEPTHS),
        widths=tuple(net.WIDTHS),
        strides=tuple(net.STRIDES),
        bot_muls=tuple(net.BOT_MULS),
        group_ws=tuple(net.GROUP_WS),
        num_classes=cfg.MODEL.NUM_CLASSES,
        **_around_the_stages(net, cfg),
    )


def regnet_spec(cfg: CfgNode) -> RegNetSpec:
    """Return the architecture that the REGNET section describes."""
    net = cfg.REGNET
    return RegNetSpec(
        depth=net.DEPTH,
        w_0=net.W0,
        w_a=net.WA,
        w_m=net.WM,
        group_w=net.GROUP_W,
        num_classes=cfg.MODEL.NUM_CLASSES,
        bot_mul=net.BOT_MUL,
        stride=net.STRIDE,
        **_around_the_stages(net, cfg),
    )


def resnet_spec(cfg: CfgNode) -> AnyNetSpec:
    """Return the architecture that MODEL.DEPTH and the RESNET section describe.

    As in pycls, the name of TRAIN.DATASET decides between the forms for CIFAR and ImageNet.
    """
    if is_cifar_resnet(cfg.TRAIN.DATASET):
        return cifar_resnet(cfg.MODEL.DEPTH, cfg.MODEL.NUM_CLASSES, _layer_options(cfg))
    return imagenet_resnet(
        cfg.MODEL.DEPTH,
        cfg.MODEL.NUM_CLASSES,
        num_groups=cfg.RESNET.NUM_GROUPS,
        width_per_group=cfg.RESNET.WIDTH_PER_GROUP,
        stride_1x1=cfg.RESNET.STRIDE_1X1,
        options=_layer_options(cfg),
    )


def effnet_spec(cfg: CfgNode) -> EffNetSpec:
    """Return the architecture that the EN section describes."""
    net = cfg.EN
    return EffNetSpec(
        depths=tuple(net.DEPTHS),
        widths=tuple(net.WIDTHS),
        exp_ratios=tuple(net.EXP_RATIOS),
        strides=tuple(net.STRIDES),
        kernels=tuple(net.KERNELS),
        num_classes=cfg.MODEL.NUM_CLASSES,
        stem_w=net.STEM_W,
        head_w=net.HEAD_W,
        se_r=net.SE_R,
        drop_connect=net.DC_RATIO,
        dropout=net.DROPOUT_RATIO,
        options=_layer_options(cfg),
    )


def vit_spec(cfg: CfgNode) -> ViTSpec:
    """Return the architecture that the VIT section and TRAIN.IM_SIZE describe."""
    net = cfg.VIT
    stem: list[tuple[int, int, int]] = []
    if net.STEM_TYPE == "conv":
        kernels = [_VIT_STEM_KERNEL] * (len(net.C_STEM_DIMS) - 1) + [net.C_STEM_KERNELS[-1]]
        stem = list(zip(kernels, net.C_STEM_DIMS, net.C_STEM_STRIDES, strict=True))
    return ViTSpec(
        im_size=cfg.TRAIN.IM_SIZE,
        patch_size=net.PATCH_SIZE,
        num_layers=net.NUM_LAYERS,
        num_heads=net.NUM_HEADS,
        hidden_dim=net.HIDDEN_DIM,
        mlp_dim=net.MLP_DIM,
        num_classes=cfg.MODEL.NUM_CLASSES,
        stem=tuple(stem),
        pooled=net.CLASSIFIER_TYPE == "pooled",
        options=_layer_options(cfg),
    )


def _around_the_stages(net: CfgNode, cfg: CfgNode) -> dict[str, Any]:
    """Return what the ANYNET and the REGNET section say alike: blocks, stem and head."""
    return {
        "stem_type": net.STEM_TYPE,
        "stem_w": net.STEM_W,
        "block_type": net.BLOCK_TYPE,
        "se_r": net.SE_R if net.SE_ON else None,
        "head_w": net.HEAD_W,
        "options": _layer_options(cfg),
    }


def _layer_options(cfg: CfgNode) -> LayerOptions:
    return LayerOptions(
        norm_eps=cfg.BN.EPS,
        norm_momentum=cfg.BN.MOM,
        layer_norm_eps=cfg.LN.EPS,
        activation_fun=cfg.MODEL.ACTIVATION_FUN,
        activation_inplace=cfg.MODEL.ACTIVATION_INPLACE,
    )
