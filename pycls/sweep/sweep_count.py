"""Complexity of what a sweep draws: at once where arrays can be counted, else one by one."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.sweep.config_count import count_anynet_lists, count_regnet
from pycls.sweep.regime import METRICS
from pycls.sweep.sweep_base import BaseCfg

Columns = Mapping[str, NDArray]

ANYNET_LISTS = ("ANYNET.DEPTHS", "ANYNET.WIDTHS", "ANYNET.BOT_MULS", "ANYNET.GROUP_WS")
_SECTIONS = ("MODEL.", "ANYNET.", "REGNET.", "RESNET.", "EN.", "VIT.")
_KEYS = ("TRAIN.IM_SIZE", "TRAIN.DATASET")


class Counter:
    """Counts flops, params and acts of draws over a base configuration.

    Args:
        base: the configuration that the draws change.
        keys: the configuration keys that are drawn.

    Attributes:
        names: what it counts: flops, params, acts and, of AnyNets and RegNets, num_stages.
    """

    def __init__(self, base: BaseCfg, keys: Iterable[str]) -> None:
        self._base = base
        self._keys = [key for key in keys if key in _KEYS or key.startswith(_SECTIONS)]
        self._memory: dict[str, dict[str, int]] = {}
        kind = base.flat["MODEL.TYPE"]
        arrays = {"anynet": count_anynet_lists, "regnet": count_regnet}
        self._count = None if "MODEL.TYPE" in self._keys else arrays.get(kind)
        self.names = METRICS if self._count is None else (*METRICS, "num_stages")

    def count(self, columns: Columns) -> dict[str, NDArray[np.int64]]:
        """Return n int64 of each of `names`.

        Args:
            columns: for each key drawn n values, n x S of lists.

        Raises:
            ConfigError: a draw makes no network.
        """
        n = len(next(iter(columns.values())))
        own = {key: columns[key] for key in self._keys}
        if not own:  # one network for all
            own = {"MODEL.NUM_CLASSES": np.array([self._base.flat["MODEL.NUM_CLASSES"]])}
            return {name: np.repeat(c, n) for name, c in self._count_rows(own, 1).items()}
        return self._count_rows(own, n)

    def _count_rows(self, columns: Columns, n: int) -> dict[str, NDArray[np.int64]]:
        lists = [columns[k] for k in (*ANYNET_LISTS, "ANYNET.STRIDES") if k in columns]
        if self._count is not None and all(array.dtype != object for array in lists):
            # What it refuses is built one by one below, which also says what is wrong: groups
            # may be of another width than a hand-written GROUP_WS says, as in pycls.
            with suppress(ConfigError):
                return dict(self._count(columns, self._base.flat))
        rows = to_rows(columns, range(n))
        counted = [self._count_network(row) for row in rows]
        return {name: np.array([c[name] for c in counted], dtype=np.int64) for name in self.names}

    def _count_network(self, row: Mapping[str, Any]) -> dict[str, int]:
        """Count by building the network without memory; each network once."""
        key = repr(sorted(row.items()))
        if key not in self._memory:
            from pycls.models import complexity

            with self._base.explained(row):
                node = self._base.node(self._base.typed(row))
                self._memory[key] = complexity(node) | {"num_stages": len(node.ANYNET.DEPTHS)}
        return self._memory[key]


def to_rows(columns: Columns, numbers: Iterable[int]) -> list[dict[str, Any]]:
    """Return some rows of columns as plain Python values."""
    index = np.fromiter(numbers, dtype=np.intp)
    values = [column[index].tolist() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
