"""Renames weights for other libraries: torchvision's and timm's RegNet and ResNet.

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


_SQUEEZE = ("f.se.f_ex.0", "f.se.f_ex.2")


def _outside(stem: str, stem_bn: str, head: str) -> dict[str, str]:
    return {"stem.conv": stem, "stem.bn": stem_bn, "head.fc": head}


def _inside(
    proj: str, bn: str, conv: str, conv_bn: str, squeeze: tuple[str, ...] = ()
) -> dict[str, str]:
    """Return the names in a bottleneck, whose convolutions are numbered and have a letter."""
    names = {"proj": proj, "bn": bn, **dict(zip(_SQUEEZE, squeeze, strict=False))}
    for number, letter in enumerate("abc", start=1):
        names[f"f.{letter}"] = conv.format(number=number, letter=letter)
        names[f"f.{letter}_bn"] = conv_bn.format(number=number, letter=letter)
    return names


_OURS_OUTSIDE = _outside("stem.conv", "stem.bn", "head.fc")
_OURS = {
    family: _Names(
        outside=_OURS_OUTSIDE,
        block="s{stage}.b{block}",
        first_block=1,
        inside=_inside("proj", "bn", "f.{letter}", "f.{letter}_bn", squeeze),
    )
    for family, squeeze in (("regnet", _SQUEEZE), ("resnet", ()))
}

_RESNET = _Names(
    outside=_outside("conv1", "bn1", "fc"),
    block="layer{stage}.{block}",
    first_block=0,
    inside=_inside("downsample.0", "downsample.1", "conv{number}", "bn{number}"),
)

_THEIRS = {
    ("torchvision", "regnet"): _Names(
        outside=_outside("stem.0", "stem.1", "fc"),
        block="trunk_output.block{stage}.block{stage}-{block}",
        first_block=0,
        inside=_inside(
            "proj.0", "proj.1", "f.{letter}.0", "f.{letter}.1", ("f.se.fc1", "f.se.fc2")
        ),
    ),
    ("timm", "regnet"): _Names(
        outside=_OURS_OUTSIDE,
        block="s{stage}.b{block}",
        first_block=1,
        inside=_inside(
            "downsample.conv",
            "downsample.bn",
            "conv{number}.conv",
            "conv{number}.bn",
            ("se.fc1", "se.fc2"),
        ),
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
