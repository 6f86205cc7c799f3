"""Builds convolutional networks of a stem, stages of blocks and a head."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

# Part of a network (stem, s1, s2, ...) -> what it is made of, as attributes of
# pycls.zoo.info.StageInfo.
Parts = dict[str, dict[str, Any]]


class StagedNetwork(nn.Module):
    """Computes a stem, the stages s1, s2, ... and a head, one after the other."""

    def __init__(self, stem: nn.Module, stages: Iterable[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self._stage_names: list[str] = []
        for number, stage in enumerate(stages, start=1):
            self.add_module(f"s{number}", stage)
            self._stage_names.append(f"s{number}")
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x 3 x H x W images to N x num_classes logits."""
        x = self.stem(x)
        for name in self._stage_names:
            x = self.get_submodule(name)(x)
        return self.head(x)


def build_stages(
    stem_w: int,
    depths: Iterable[int],
    widths: Iterable[int],
    strides: Iterable[int],
    build_block: Callable[[int, int, int, int], nn.Module],
) -> list[nn.Sequential]:
    """Return the stages, each of blocks b1, b2, ..., the first of which takes the stride.

    Args:
        stem_w: input channels of the first stage.
        depths: blocks of each stage.
        widths: output channels of each stage.
        strides: stride of each stage's first block.
        build_block: (number of the stage from 0, input channels, output channels, stride) -> a
            block.
    """
    stages, w_in = [], stem_w
    for i, (depth, width, stride) in enumerate(zip(depths, widths, strides, strict=True)):
        stage = nn.Sequential()
        for j in range(depth):
            block = build_block(i, w_in, width, stride if j == 0 else 1)
            stage.add_module(f"b{j + 1}", block)
            w_in = width
        stages.append(stage)
    return stages


def stage_parts(columns: Mapping[str, Sequence[Any]]) -> Parts:
    """Return what each stage is made of, from one value a stage of each attribute."""
    rows = zip(*columns.values(), strict=True)
    return {f"s{i}": dict(zip(columns, row, strict=True)) for i, row in enumerate(rows, start=1)}
