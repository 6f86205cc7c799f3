"""The names that configurations, networks and design spaces share (no PyTorch here)."""

BLOCK_TYPES = (
    "vanilla_block",
    "res_basic_block",
    "res_bottleneck_block",
    "res_bottleneck_linear_block",
)
STEM_TYPES = ("res_stem_cifar", "res_stem_in", "simple_stem_in")
RESNET_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # for ImageNet


def is_cifar_resnet(dataset: str) -> bool:
    """Say whether MODEL.TYPE resnet means the form for CIFAR, from TRAIN.DATASET, as pycls."""
    return "cifar" in dataset.rstrip("/").rpartition("/")[2]
