"""The complexity of many configurations at once, from columns of drawn configuration keys.

What is not drawn comes from one set of settings. Keys that change stem, head, blocks or
resolution may be drawn too: rows are then counted in groups of equal values.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.errors import ConfigError
from pycls.spaces.anynet_count import AnyNetFrame, IntArray, count_stages, groups_misfit
from pycls.spaces.bounds import BOUNDED, METRICS
from pycls.spaces.regnet_stages import fit_stages, regnet_stages
from pycls.sweep.base_cfg import BaseCfg
from pycls.sweep.rows import ANYNET_LISTS, to_rows

Columns = Mapping[str, NDArray]

# Keys that change a network: of these sections, and two of TRAIN.
_SECTIONS = ("MODEL.", "ANYNET.", "REGNET.", "RESNET.", "EN.", "VIT.", "TIMM.", "TORCHVISION.")
_KEYS = ("TRAIN.IM_SIZE", "TRAIN.DATASET")
# What rows that are counted together share: keys of ANYNET or REGNET, and of other sections.
_SHARED = ("STEM_TYPE", "STEM_W", "BLOCK_TYPE", "SE_ON", "SE_R", "HEAD_W")
_OUTSIDE = ("TRAIN.IM_SIZE", "MODEL.NUM_CLASSES")
# What makes each row a network of its own.
_REGNET = ("WA", "W0", "WM", "DEPTH", "BOT_MUL", "GROUP_W")
_ANYNET = ("DEPTHS", "WIDTHS", "BOT_MULS", "GROUP_WS")


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
        self.names = METRICS if self._count is None else BOUNDED

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
            from pycls.models.counting import complexity

            with self._base.explained(row):
                node = self._base.node(self._base.typed(row))
                counts = complexity(node)
                if "flops" not in counts:
                    raise ConfigError(
                        f"MODEL.TYPE {node.MODEL.TYPE}: this network has layers without a counting "
                        "rule (tools/model_info.py names them), so that a sweep cannot limit it"
                    )
                self._memory[key] = counts | {"num_stages": len(node.ANYNET.DEPTHS)}
        return self._memory[key]


def count_regnet(
    arrays: Mapping[str, ArrayLike], settings: Mapping[str, Any]
) -> dict[str, IntArray]:
    """Count the RegNets of n rows, at TRAIN.IM_SIZE and MODEL.NUM_CLASSES.

    Args:
        arrays: {drawn key: n values}, at least one.
        settings: {key with dots: value} of all REGNET keys, TRAIN.IM_SIZE and
            MODEL.NUM_CLASSES; a drawn key takes the place of its setting.

    Returns:
        flops, params, acts and num_stages, n int64 each: what
        :func:`pycls.models.complexity` counts of each row's configuration.

    Raises:
        ConfigError: parameters that make no network.
    """

    def count(rows: Mapping[str, Any], shared: Mapping[str, Any]) -> tuple[IntArray, ...]:
        # A column of one value for all rows stays a single one until here.
        n = max(np.size(value) for value in rows.values())
        w_a, w_0, w_m, depth, bot_mul, group_w = (
            np.broadcast_to(np.asarray(rows[f"REGNET.{key}"]), n) for key in _REGNET
        )
        widths, depths = regnet_stages(w_a, w_0, w_m, depth)
        widths, group_ws = fit_stages(widths, bot_mul, group_w)
        frame = frame_of("REGNET", shared, (shared["REGNET.STRIDE"],) * len(widths))
        counts = count_stages(depths, widths, bot_mul, group_ws, frame, _se_r("REGNET", shared))
        return *counts, np.count_nonzero(depths, axis=0)

    return _count_in_groups("REGNET", (*_SHARED, "STRIDE"), _REGNET, arrays, settings, count)


def count_anynet_lists(
    arrays: Mapping[str, ArrayLike], settings: Mapping[str, Any]
) -> dict[str, IntArray]:
    """Count the AnyNets of n rows, as :func:`count_regnet`.

    Args:
        arrays: {drawn key: n values, or n x S for DEPTHS, WIDTHS, BOT_MULS, GROUP_WS}; the
            groups fit the widths.
        settings: {key with dots: value} of all ANYNET keys, TRAIN.IM_SIZE and
            MODEL.NUM_CLASSES.

    Raises:
        ConfigError: lists of unequal lengths, or groups that do not fit.
    """

    def count(rows: Mapping[str, Any], shared: Mapping[str, Any]) -> tuple[IntArray, ...]:
        lists = {key: np.atleast_2d(np.asarray(rows[f"ANYNET.{key}"])) for key in _ANYNET}
        n, stages = (max(a.shape[axis] for a in lists.values()) for axis in (0, 1))
        for key, array in lists.items():
            if not array.size:  # no multipliers or groups: 1 everywhere
                array = np.ones((1, stages))
            if array.dtype == object or array.shape[1] != stages:
                raise ConfigError(f"ANYNET.{key} has not one number for each of {stages} stages")
            lists[key] = np.broadcast_to(array, (n, stages)).T
        frame = frame_of("ANYNET", shared, shared["ANYNET.STRIDES"])
        if frame.num_stages != stages:
            raise ConfigError(
                f"ANYNET.STRIDES {list(frame.strides)} is for {frame.num_stages} stages, but "
                f"ANYNET.DEPTHS has {stages}"
            )
        d, w, g = (
            np.ascontiguousarray(lists[key], dtype=np.int64)
            for key in ("DEPTHS", "WIDTHS", "GROUP_WS")
        )
        if frame.has_groups and groups_misfit(w, lists["BOT_MULS"], g).any():
            raise ConfigError("ANYNET.GROUP_WS must divide the bottleneck widths")
        counts = count_stages(d, w, lists["BOT_MULS"], g, frame, _se_r("ANYNET", shared))
        return *counts, np.full(n, stages)

    return _count_in_groups("ANYNET", (*_SHARED, "STRIDES"), _ANYNET, arrays, settings, count)


def _count_in_groups(
    section: str,
    shared_keys: tuple[str, ...],
    row_keys: tuple[str, ...],
    arrays: Mapping[str, ArrayLike],
    settings: Mapping[str, Any],
    count: Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[IntArray, ...]],
) -> dict[str, IntArray]:
    """Count rows that agree in `shared_keys` together."""
    columns = {key: np.asarray(values) for key, values in arrays.items()}
    n = len(next(iter(columns.values())))
    shared = (*(f"{section}.{key}" for key in shared_keys), *_OUTSIDE)
    own = [f"{section}.{key}" for key in row_keys]
    missing = [key for key in (*shared, *own) if key not in columns and key not in settings]
    if missing:
        raise ConfigError(f"{missing[0]} is missing; expected all keys of {section}")
    counts = {name: np.empty(n, dtype=np.int64) for name in BOUNDED}
    fixed = {key: settings[key] for key in own if key not in columns}
    for values, rows in _groups([key for key in shared if key in columns], columns, n):
        varied = {key: columns[key][rows] for key in own if key in columns}
        part = count(varied | fixed, {key: settings.get(key) for key in shared} | values)
        for name, counted in zip(BOUNDED, part, strict=True):
            counts[name][rows] = counted
    return counts


def _groups(
    keys: list[str], columns: Mapping[str, NDArray], n: int
) -> Iterator[tuple[dict[str, Any], NDArray | slice]]:
    """Yield the values of `keys` and the rows that have them."""
    if not keys:
        yield {}, slice(None)
        return
    found: dict[str, tuple[dict[str, Any], list[int]]] = {}
    for i in range(n):
        values = {key: columns[key][i] for key in keys}
        plain = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in values.items()}
        found.setdefault(repr(plain), (plain, []))[1].append(i)
    for plain, rows in found.values():
        yield plain, np.array(rows)


def frame_of(section: str, cfg: Mapping[str, Any], strides: Iterable[int]) -> AnyNetFrame:
    """Return what networks share beside their stages.

    Args:
        section: ANYNET or REGNET.
        cfg: {key with dots: value}.
        strides: of the stages.
    """
    own = ("STEM_TYPE", "STEM_W", "BLOCK_TYPE", "HEAD_W")
    return AnyNetFrame(
        strides=tuple(strides),
        resolution=cfg["TRAIN.IM_SIZE"],
        num_classes=cfg["MODEL.NUM_CLASSES"],
        **{name.lower(): cfg[f"{section}.{name}"] for name in own},
    )


def _se_r(section: str, shared: Mapping[str, Any]) -> float:
    return shared[f"{section}.SE_R"] if shared[f"{section}.SE_ON"] else 0.0
