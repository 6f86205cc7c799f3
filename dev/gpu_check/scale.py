"""How large things are that are measured: as the study has them, or tiny, to try the check."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from pycls.core.config.load import load_cfg
from pycls.spaces.population_csv import read_population

REPO = Path(__file__).resolve().parents[2]
# Of the committed population: one for each tenth of its activations (2.8 to 6.5 million), in an
# order in which any first few stand for all.
ROWS = (26, 448, 466, 375, 50, 186, 193, 496, 32, 330)
_TINY = (
    "MODEL.TYPE", "anynet", "ANYNET.STEM_TYPE", "res_stem_in", "ANYNET.STEM_W", 8,
    "ANYNET.DEPTHS", [1, 1], "ANYNET.WIDTHS", [8, 16], "ANYNET.STRIDES", [1, 2],
    "ANYNET.BOT_MULS", [1.0, 0.5], "ANYNET.GROUP_WS", [4, 4],
)  # fmt: skip
_HALF = {"bfloat16", "float16"}


@dataclass(frozen=True)
class Scale:
    """Sizes of what is measured.

    Attributes:
        device: where.
        tiny: smallest sizes, which measure nothing.
        large, small: pixels of images.
        batch: images of a batch.
        seconds: how long to repeat what is timed.
    """

    device: torch.device
    tiny: bool
    large: int = 224
    small: int = 32
    batch: int = 128
    seconds: float = 0.5

    @classmethod
    def of(cls, device: str, tiny: bool) -> "Scale":
        """Return the sizes for a device."""
        if tiny:
            return cls(torch.device(device), True, 24, 16, 4, 0.0)
        return cls(torch.device(device), False)

    def networks(self, count: int = len(ROWS)) -> list[tuple[str, list[Any]]]:
        """Return the first of the ten architectures: names, keys and values."""
        if self.tiny:
            return [("tiny", list(_TINY))]
        people = read_population(REPO / "sweeps/imagenet_as_basis/population.csv")
        rows = [people.row(row) for row in ROWS[:count]]
        return [(row.arch, row.overrides()) for row in rows]

    def cfg(self, keys: list[Any], size: int, number_format: str, *more: Any) -> CfgNode:
        """Return the configuration of a network at a size; formats: float32, tf32, bfloat16."""
        words = [
            *keys, "DEVICE", str(self.device), "TRAIN.IM_SIZE", size, "TEST.IM_SIZE", size,
            "TRAIN.BATCH_SIZE", self.batch, "TEST.BATCH_SIZE", self.batch,
            "MODEL.NUM_CLASSES", 1000 if size == self.large else 10,
            "TRAIN.MIXED_PRECISION", number_format in _HALF,
            "CUDNN.TF32", number_format != "float32", "OPTIM.EMA_UPDATE_PERIOD", 0,
        ]  # fmt: skip
        if number_format in _HALF:
            words += ["TRAIN.MIXED_DTYPE", number_format]
        return load_cfg(None, [*words, *more])
