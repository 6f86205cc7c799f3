"""Defines ResNet and ResNeXt (He et al., 2016; Xie et al., CVPR 2017) as AnyNets.

Two forms: four stages of bottleneck blocks behind a pooled 7x7 stem for ImageNet, and three
stages of basic blocks behind a 3x3 stem for CIFAR.
"""

from yacs.config import CfgNode

from pycls.models.layers import LayerOptions
from pycls.models.networks.anynet import AnyNetSpec
from pycls.models.vocabulary import RESNET_DEPTHS, is_cifar_resnet

IMAGENET_WIDTHS = (256, 512, 1024, 2048)
CIFAR_WIDTHS = (16, 32, 64)


def imagenet_resnet(
    depth: int,
    num_classes: int,
    *,
    num_groups: int = 1,
    width_per_group: int = 64,
    stride_1x1: bool = False,
    options: LayerOptions | None = None,
) -> AnyNetSpec:
    """Return a ResNet of 50, 101 or 152 layers, or ResNeXt with more than one group.

    Args:
        depth: layers.
        num_classes: outputs of the linear layer.
        num_groups: groups of the 3x3 convolutions (the cardinality of ResNeXt).
        width_per_group: channels of a group in the first stage; they double with each stage.
        stride_1x1: bottlenecks take their stride in the first convolution, not the 3x3.
        options: normalisation and activation.

    Raises:
        ValueError: no such depth.
    """
    if depth not in RESNET_DEPTHS:
        allowed = ", ".join(map(str, RESNET_DEPTHS))
        raise ValueError(f"a ResNet for ImageNet has {allowed} layers, not {depth}")
    bottlenecks = [num_groups * width_per_group * 2**i for i in range(4)]
    return AnyNetSpec(
        depths=RESNET_DEPTHS[depth],
        widths=IMAGENET_WIDTHS,
        strides=(1, 2, 2, 2),
        bot_muls=tuple(v / w for v, w in zip(bottlenecks, IMAGENET_WIDTHS, strict=True)),
        group_ws=tuple(v // num_groups for v in bottlenecks),
        num_classes=num_classes,
        stem_type="res_stem_in",
        stem_w=64,
        block_type="res_bottleneck_block",
        stride_1x1=stride_1x1,
        options=options or LayerOptions(),
    )


def cifar_resnet(depth: int, num_classes: int, options: LayerOptions | None = None) -> AnyNetSpec:
    """Return a ResNet of 6n + 2 layers of basic blocks, n a stage.

    Raises:
        ValueError: no such depth.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"a ResNet for CIFAR has 6n + 2 layers, not {depth}")
    return AnyNetSpec(
        depths=((depth - 2) // 6,) * 3,
        widths=CIFAR_WIDTHS,
        strides=(1, 2, 2),
        num_classes=num_classes,
        stem_type="res_stem_cifar",
        stem_w=16,
        block_type="res_basic_block",
        options=options or LayerOptions(),
    )


def resnet_spec(cfg: CfgNode) -> AnyNetSpec:
    """Return the architecture that MODEL.DEPTH and the RESNET section describe.

    As in pycls, the name of TRAIN.DATASET decides between the forms for CIFAR and ImageNet.
    """
    depth, num_classes, options = cfg.MODEL.DEPTH, cfg.MODEL.NUM_CLASSES, LayerOptions.from_cfg(cfg)
    if is_cifar_resnet(cfg.TRAIN.DATASET):
        return cifar_resnet(depth, num_classes, options)
    return imagenet_resnet(
        depth,
        num_classes,
        num_groups=cfg.RESNET.NUM_GROUPS,
        width_per_group=cfg.RESNET.WIDTH_PER_GROUP,
        stride_1x1=cfg.RESNET.STRIDE_1X1,
        options=options,
    )
