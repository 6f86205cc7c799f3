"""The names that configurations, networks and design spaces share (no PyTorch here)."""

BLOCK_TYPES = (
    "vanilla_block",
    "res_basic_block",
    "res_bottleneck_block",
    "res_bottleneck_linear_block",
)
STEM_TYPES = ("res_stem_cifar", "res_stem_in", "simple_stem_in")
