"""Holds the names that configurations, networks and design spaces share (no PyTorch)."""

from pycls.registry import Registry, import_object

# The blocks that are known without importing PyTorch, and whether they have a bottleneck and
# groups. Others stand in pycls.models.blocks.BLOCKS alone, which is looked at for unknown names.
_HAS_GROUPS = {
    "vanilla_block": False,
    "res_basic_block": False,
    "res_bottleneck_block": True,
    "res_bottleneck_linear_block": True,
}
BLOCK_TYPES = tuple(_HAS_GROUPS)

# Kernel size and stride of the convolution, stride of the max pooling after it (0: none).
STEMS = {"res_stem_cifar": (3, 1, 0), "res_stem_in": (7, 2, 2), "simple_stem_in": (3, 2, 0)}
STEM_TYPES = tuple(STEMS)

ACTIVATIONS = Registry(
    "activation function",
    {
        "relu": "torch.nn:ReLU",
        "silu": "torch.nn:SiLU",
        "swish": "torch.nn:SiLU",
        "gelu": "torch.nn:GELU",
    },
)

RESNET_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # for ImageNet


def block_types(name: str) -> tuple[str, ...]:
    """Return the types of blocks, all of them where `name` is not one of :data:`BLOCK_TYPES`."""
    if name in BLOCK_TYPES:
        return BLOCK_TYPES
    return tuple(import_object("pycls.models.blocks:BLOCKS"))


def has_groups(block_type: str) -> bool:
    """Say whether blocks of a type have a bottleneck and groups (BOT_MULS and GROUP_WS).

    Raises:
        ConfigError: no such type.
    """
    if block_type in BLOCK_TYPES:
        return _HAS_GROUPS[block_type]
    return import_object("pycls.models.blocks:find_block")(block_type).has_groups


def is_cifar_resnet(dataset: str) -> bool:
    """Say whether MODEL.TYPE resnet means the form for CIFAR, from TRAIN.DATASET, as pycls."""
    return "cifar" in dataset.rstrip("/").rpartition("/")[2]
