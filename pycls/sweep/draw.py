"""The rows of a sweep: drawn by its samplers, made to fit and filtered, each kept once.

Draw number i depends on the sweep's settings and i only, and the first draws that fit are
kept: neither CHUNK_SIZE nor NUM_PROC changes what comes out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.models.vocabulary import has_groups
from pycls.models.widths import make_compatible
from pycls.spaces.anynet_count import make_compatible as fit_arrays
from pycls.spaces.bounds import METRICS, STAGE_COLUMNS, Bounds
from pycls.spaces.drawing import Accepted, Progress, find_different
from pycls.spaces.expressions import Expression
from pycls.sweep.base_cfg import BaseCfg
from pycls.sweep.count import Counter
from pycls.sweep.file import SweepCfg
from pycls.sweep.keys import DEFAULT_STAGES
from pycls.sweep.rows import ANYNET_LISTS, ListedRows, as_column, to_rows
from pycls.sweep.samplers import ParameterSampler, draw_rows

Columns = dict[str, NDArray]
# The rows kept of a chunk of draws, and flops, params and acts of each.
Part = tuple[list[dict[str, Any]], dict[str, NDArray]]

_OF_A_STAGE = dict(zip(STAGE_COLUMNS, ANYNET_LISTS, strict=True))


@dataclass(frozen=True)
class Draws:
    """What a sweep trains, and how it was found.

    Attributes:
        rows: of each run the drawn configuration keys with their values.
        labels: of each run the name of its row in the sweep's list; () without a list.
        counts: {"flops", "params", "acts"}, int64 a run.
        drawn: draws made until the last one was kept.
        accepted: those within the constraints.
        duplicates: those accepted that repeated an earlier one, and were left out.
    """

    rows: Sequence[Mapping[str, Any]]
    labels: Sequence[str]
    counts: Mapping[str, NDArray[np.int64]]
    drawn: int
    accepted: int
    duplicates: int


class Drawer:
    """Draws the runs of a sweep.

    Args:
        sweep: the sweep's settings.
        base: what the runs share.
        samplers: as of :func:`build_samplers`.
        listed: the networks that the sweep lists; None: all is drawn.

    Raises:
        ConfigError: a sampler draws what the list gives, or an expression cannot be read.
    """

    def __init__(
        self,
        sweep: SweepCfg,
        base: BaseCfg,
        samplers: Mapping[str, ParameterSampler],
        listed: ListedRows | None = None,
    ) -> None:
        self._sweep, self._base, self._listed = sweep, base, listed
        self._samplers = list(samplers.values())
        self._keys = [key for sampler in self._samplers for key in sampler.keys]
        for name, sampler in samplers.items():
            doubled = sorted(set(sampler.keys) & set(listed.columns)) if listed else []
            if doubled:
                raise ConfigError(
                    f"{sweep.where('SETUP', 'SAMPLERS', name)}: draws {doubled[0]}, which "
                    f"{listed.place if listed else ''} gives already; keep one of them"
                )
        keys = [*(listed.columns if listed else ()), *self._keys]
        if listed is not None and not keys:
            raise ConfigError(
                f"{listed.place}: nothing in it differs from SETUP.BASE_CFG, so all runs would be "
                "one; give the keys that differ, or samplers (RNG_SEED, for example)"
            )
        self._fits = self._needs_fit(samplers)
        if self._fits:
            keys = list(dict.fromkeys([*keys, *self._fitted_keys(keys)]))
        self.keys = keys
        self._base.sources = self._sources(samplers)
        self._counter = Counter(base, keys)
        self._bounds = self._make_bounds()

    def _needs_fit(self, samplers: Mapping[str, ParameterSampler]) -> bool:
        """Say whether lists are drawn that may not go together (the sampler ANYNET's do)."""
        drawn = {key for name, s in samplers.items() for key in s.keys if name != "ANYNET"}
        block = "ANYNET.BLOCK_TYPE"
        return not drawn.isdisjoint(ANYNET_LISTS[1:]) and (
            block in self._keys or has_groups(self._base.flat[block])
        )

    def _sources(self, samplers: Mapping[str, ParameterSampler]) -> dict[str, str]:
        """Return, by key, the place that gives it its values."""
        listed = self._listed
        sources = dict.fromkeys(listed.columns, listed.place) if listed else {}
        for name, sampler in samplers.items():
            place = self._sweep.where("SETUP", "SAMPLERS", name)
            sources |= dict.fromkeys(sampler.keys, place)
        return dict.fromkeys(self.keys, self._sweep.where("SETUP", "SAMPLERS")) | sources

    def _make_bounds(self) -> Bounds:
        """Return the constraints; where there are none it accepts all."""
        limits = self._sweep.setup["CONSTRAINTS"]
        bounds: dict[str, Any] = {
            name: limits["CX"][name.upper()] if any(limits["CX"][name.upper()]) else None
            for name in METRICS
        }
        stages = limits["REGNET"]["NUM_STAGES"]
        is_regnet = self._base.flat["MODEL.TYPE"] == "regnet" and "MODEL.TYPE" not in self.keys
        # The default is for what is drawn, not for networks written by hand.
        if is_regnet and (self._listed is None or stages != DEFAULT_STAGES):
            bounds["num_stages"] = stages
        known = [*self.keys, *self._counter.names]
        known += [name for name, key in _OF_A_STAGE.items() if key in self.keys]
        known += [f"cum_{name}" for name in ("depth", "width") if name in known]
        where = ("SETUP", "CONSTRAINTS", "EXPRESSIONS")
        for i, text in enumerate(limits["EXPRESSIONS"]):
            Expression(text, known, self._sweep.where(*where, i))  # for the line in its message
        return Bounds(bounds, limits["EXPRESSIONS"], known, self._sweep.where(*where))

    def draw(self, progress: Progress | None = None) -> Draws:
        """Draw until NUM_CONFIGS different rows fit, or nothing is left to draw.

        Args:
            progress: called now and then with the rows found and the draws made.

        Raises:
            ConfigError: too few rows were found; says which constraint rejected how many.
        """
        wanted, limit = self._limits()
        found = find_different(self._draw_accepted, wanted, limit, progress)
        if not found.numbers or (self._sweep.setup["NUM_CONFIGS"] and not found.is_full):
            problem = found.describe_failure(
                "configurations",
                self._bounds,
                repeated="the samplers give no more; widen their ranges or lower SETUP.NUM_CONFIGS",
                rejected="widen the constraints or the samplers' ranges, lower SETUP.NUM_CONFIGS "
                "or raise SETUP.NUM_SAMPLES",
            )
            raise ConfigError(f"{self._sweep.where('SETUP', 'CONSTRAINTS')}: {problem}")
        labels = self._listed.labels if self._listed else ()
        return Draws(
            rows=[row for rows, _ in found.parts for row in rows],
            labels=[labels[i % len(labels)] for i in found.numbers] if labels else (),
            counts={
                name: np.concatenate([counts[name] for _, counts in found.parts])
                for name in METRICS
            },
            drawn=found.drawn,
            accepted=found.accepted,
            duplicates=found.duplicates,
        )

    def _limits(self) -> tuple[int, int]:
        """Return how many rows are wanted, and after how many draws to give up."""
        setup = self._sweep.setup
        wanted, limit = setup["NUM_CONFIGS"], setup["NUM_SAMPLES"]
        if self._listed is not None and (not self._samplers or not wanted):
            limit = len(self._listed)  # once through the list
            if wanted > limit:
                raise ConfigError(
                    f"{self._sweep.where('SETUP', 'NUM_CONFIGS')} is {wanted}, but "
                    f"{self._listed.place} has {limit:,} rows; lower it, or leave it out to take "
                    "all rows"
                )
        return wanted or limit, limit

    def _draw_accepted(self, start: int, count: int) -> Accepted[Part]:
        """Return which of the draws `start` to `start + count` fit, with their rows and counts."""
        columns = self._draw_columns(start, count)
        inside, counts = np.arange(count), None
        if not self._bounds.names.isdisjoint(self._counter.names):
            counts = self._counter.count(columns)
        if self._bounds.names:
            named = self._row_columns(columns) | (counts or {})
            inside = np.flatnonzero(self._bounds.accept(named))
        rows = to_rows(columns, inside)

        def keep(new: list[int]) -> Part:
            kept = inside[new]
            if counts is not None:
                return [rows[i] for i in new], {name: count[kept] for name, count in counts.items()}
            # Counting takes long, and only the rows that are kept need it.
            some = {key: column[kept] for key, column in columns.items()}
            return [rows[i] for i in new], self._counter.count(some)

        return Accepted(inside, (repr(list(row.values())) for row in rows), keep)

    def _draw_columns(self, start: int, count: int) -> Columns:
        """Return draws `start` to `start + count` as columns, lists made to fit."""
        columns = self._listed.take(start, count) if self._listed else {}
        if self._samplers:
            columns |= draw_rows(self._samplers, self._sweep.setup["RNG_SEED"], start, count)
        if self._fits:
            columns |= self._fit(columns, count)
        return columns

    def _fitted_keys(self, keys: Iterable[str]) -> list[str]:
        """Return the lists that fitting can change."""
        given = [k for k in ("ANYNET.GROUP_WS",) if k in keys or self._base.flat[k]]
        return ["ANYNET.WIDTHS", *given]

    def _fit(self, columns: Columns, count: int) -> Columns:
        """Round drawn group widths and make the widths fit them, as pycls's set-up does.

        The rule is that of scaling (:func:`pycls.models.scaler.round_group_w`).
        """
        lists = {key: self._lists_of(key, columns, count) for key in ANYNET_LISTS[1:]}
        try:
            fitted = fit_lists(*lists.values())
        except ConfigError as error:
            raise ConfigError(f"{self._sweep.where('SETUP', 'SAMPLERS')}: {error}") from None
        keys = self._fitted_keys(columns)
        return {key: fitted[key] for key in keys}

    def _lists_of(self, key: str, columns: Columns, count: int) -> NDArray:
        if key in columns:
            column = columns[key]
            return as_column(column.tolist()) if column.dtype == object else column
        value = self._base.flat[key]
        return np.tile(np.array(value), (count, 1)) if value else np.empty((count, 0))

    def _row_columns(self, columns: Columns) -> Columns:
        """Return the columns with the names that constraints may use beside the keys'."""
        needed = self._bounds.names
        named = {name: columns[k] for name, k in _OF_A_STAGE.items() if k in columns}
        for name in ("depth", "width"):
            if f"cum_{name}" in needed:
                named[f"cum_{name}"] = named[name].sum(axis=1)
        return columns | named


def fit_lists(widths: NDArray, bot_muls: NDArray, group_ws: NDArray) -> dict[str, NDArray]:
    """Return widths and group widths that go together; n x S each, or objects."""
    if any(array.dtype == object for array in (widths, bot_muls, group_ws)):
        return _fit_objects(widths, bot_muls, group_ws)
    shape = widths.shape
    bot_muls = bot_muls if bot_muls.shape[1] else np.ones(shape)
    group_ws = group_ws if group_ws.shape[1] else np.ones(shape, dtype=np.int64)
    if not shape == bot_muls.shape == group_ws.shape:
        raise ConfigError(
            f"ANYNET.WIDTHS, BOT_MULS and GROUP_WS have {shape[1]}, {bot_muls.shape[1]} and "
            f"{group_ws.shape[1]} values; expected one a stage each"
        )
    if ((bot_muls > 1) & (bot_muls != np.trunc(bot_muls))).any():
        raise ConfigError("ANYNET.BOT_MULS above 1 must be whole numbers")
    fitted = fit_arrays(widths, bot_muls, round_group_ws(group_ws))
    return dict(zip(("ANYNET.WIDTHS", "ANYNET.GROUP_WS"), fitted, strict=True))


def _fit_objects(widths: NDArray, bot_muls: NDArray, group_ws: NDArray) -> dict[str, NDArray]:
    """Do the same for lists that differ in length, row by row."""
    rows = []
    for w, b, g in zip(widths.tolist(), bot_muls.tolist(), group_ws.tolist(), strict=True):
        rounded = round_group_ws(np.array(g or [1] * len(w))).tolist()
        try:
            rows.append(make_compatible(w, b or [1.0] * len(w), rounded))
        except ValueError:  # of zip: a list of another length
            raise ConfigError(
                f"ANYNET.WIDTHS {w}, BOT_MULS {b} and GROUP_WS {g}: expected one value a stage each"
            ) from None
    return {
        "ANYNET.WIDTHS": as_column([row[0] for row in rows]),
        "ANYNET.GROUP_WS": as_column([row[1] for row in rows]),
    }


def round_group_ws(group_ws: NDArray[np.int64]) -> NDArray[np.int64]:
    """Round group widths as :func:`pycls.models.scaler.round_group_w`, all at once."""
    to_eight = (np.rint(group_ws / 8) * 8).astype(np.int64)
    return np.where(group_ws <= 2, group_ws, np.where(group_ws <= 5, 4, to_eight))
