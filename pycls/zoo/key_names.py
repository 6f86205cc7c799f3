"""The names of weights in other libraries: torchvision's and timm's RegNet and ResNet.

Names only: a tensor keeps its content under another key. All three write a convolution, a
normalisation and a linear layer with the same shapes, so nothing else is needed to move
weights, in either direction.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from pycls.errors import CheckpointError, ConfigError

LIBRARIES = ("torchvision", "timm")
KEY_FAMILIES = ("regnet", "resnet")  # ResNeXt has the names of ResNet

# The last part of a key, the same in all libraries.
_TENSORS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class _Names:
    """How a library names the modules of a network; the keys of the tables are our names.

    Attributes:
        outside: modules outside of the stages.
        block: a block of a stage, with {stage} counted from 1 and {block}.
        first_block: the number of a stage's first block.
        inside: modules inside a block.
    """

    outside: dict[str, str]
    block: str
    first_block: int
    inside: dict[str, str]


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_BOTTLENECK = ("f.a", "f.a_bn", "f.b", "f.b_bn", "f.c", "f.c_bn")
_SQUEEZE = ("f.se.f_ex.0", "f.se.f_ex.2")

_OURS = {
    family: _Names(
        outside=_same("stem.conv", "stem.bn", "head.fc"),
        block="s{stage}.b{block}",
        first_block=1,
        inside=_same("proj", "bn", *_BOTTLENECK, *squeeze),
    )
    for family, squeeze in (("regnet", _SQUEEZE), ("resnet", ()))
}

_RESNET = _Names(
    outside={"stem.conv": "conv1", "stem.bn": "bn1", "head.fc": "fc"},
    block="layer{stage}.{block}",
    first_block=0,
    inside={
        "proj": "downsample.0",
        "bn": "downsample.1",
        "f.a": "conv1",
        "f.a_bn": "bn1",
        "f.b": "conv2",
        "f.b_bn": "bn2",
        "f.c": "conv3",
        "f.c_bn": "bn3",
    },
)

_THEIRS = {
    ("torchvision", "regnet"): _Names(
        outside={"stem.conv": "stem.0", "stem.bn": "stem.1", "head.fc": "fc"},
        block="trunk_output.block{stage}.block{stage}-{block}",
        first_block=0,
        inside={
            "proj": "proj.0",
            "bn": "proj.1",
            "f.a": "f.a.0",
            "f.a_bn": "f.a.1",
            "f.b": "f.b.0",
            "f.b_bn": "f.b.1",
            "f.se.f_ex.0": "f.se.fc1",
            "f.se.f_ex.2": "f.se.fc2",
            "f.c": "f.c.0",
            "f.c_bn": "f.c.1",
        },
    ),
    ("timm", "regnet"): _Names(
        outside=_same("stem.conv", "stem.bn", "head.fc"),
        block="s{stage}.b{block}",
        first_block=1,
        inside={
            "proj": "downsample.conv",
            "bn": "downsample.bn",
            "f.a": "conv1.conv",
            "f.a_bn": "conv1.bn",
            "f.b": "conv2.conv",
            "f.b_bn": "conv2.bn",
            "f.se.f_ex.0": "se.fc1",
            "f.se.f_ex.2": "se.fc2",
            "f.c": "conv3.conv",
            "f.c_bn": "conv3.bn",
        },
    ),
    ("torchvision", "resnet"): _RESNET,
    ("timm", "resnet"): _RESNET,
}


def to_other(state: Mapping[str, Tensor], library: str, family: str) -> dict[str, Tensor]:
    """Return our weights under another library's keys.

    Args:
        state: a state dict of our RegNet, ResNet or ResNeXt.
        library: torchvision or timm.
        family: regnet (behind a 3x3 stem) or resnet (behind the pooled 7x7 stem).

    Raises:
        ConfigError: no such library or family.
        CheckpointError: a key that this family does not have.
    """
    ours, theirs = _tables(library, family)
    return _rename(state, ours, theirs, f"our {family}")


def from_other(state: Mapping[str, Tensor], library: str, family: str) -> dict[str, Tensor]:
    """Return another library's weights under our keys; the inverse of :func:`to_other`.

    Args:
        state: a state dict of that library's RegNet, ResNet or ResNeXt.
        library: torchvision or timm.
        family: regnet or resnet.

    Raises:
        ConfigError: no such library or family.
        CheckpointError: a key that this family does not have.
    """
    ours, theirs = _tables(library, family)
    return _rename(state, theirs, ours, f"{library}'s {family}")


def _tables(library: str, family: str) -> tuple[_Names, _Names]:
    if library not in LIBRARIES:
        raise ConfigError(f"no key names of {library!r}; there are: {', '.join(LIBRARIES)}")
    if family not in KEY_FAMILIES:
        raise ConfigError(f"no key names of family {family!r}; there are: regnet, resnet")
    return _OURS[family], _THEIRS[library, family]


def _rename(
    state: Mapping[str, Tensor], source: _Names, target: _Names, whose: str
) -> dict[str, Tensor]:
    outside = {name: target.outside[ours] for ours, name in source.outside.items()}
    inside = {name: target.inside[ours] for ours, name in source.inside.items()}
    block = _block_pattern(source.block)
    renamed = {}
    for key, value in state.items():
        module, _, tensor = key.rpartition(".")
        new = outside.get(module)
        match = block.fullmatch(module)
        if match and match["inside"] in inside:
            number = int(match["block"]) - source.first_block + target.first_block
            place = target.block.format(stage=match["stage"], block=number)
            new = f"{place}.{inside[match['inside']]}"
        if new is None or tensor not in _TENSORS:
            raise CheckpointError(
                f"{key!r} is no weight of {whose}: the weights are of another network, or have "
                "another library's names already"
            )
        renamed[f"{new}.{tensor}"] = value
    return renamed


def _block_pattern(block: str) -> re.Pattern[str]:
    """Return the pattern of a block's address, followed by a module inside it."""
    pattern = re.escape(block).replace(r"\{", "{").replace(r"\}", "}")
    pattern = pattern.replace("{stage}", r"(?P<stage>[1-9]\d*)", 1)
    pattern = pattern.replace("{stage}", "(?P=stage)").replace("{block}", r"(?P<block>\d+)")
    return re.compile(pattern + r"\.(?P<inside>.+)")
