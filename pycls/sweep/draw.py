"""Drawing the rows of a sweep: sampled, made to fit, filtered, each once.

Draw number i depends on the sweep's settings and i only, and the first draws that fit are
kept: neither CHUNK_SIZE nor NUM_PROC changes what comes out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.models.widths import make_compatible
from pycls.spaces import anynet_count
from pycls.spaces.bounds import METRICS, Regime
from pycls.spaces.expressions import Expression
from pycls.sweep.base_cfg import BaseCfg
from pycls.sweep.count import ANYNET_LISTS, Counter, to_rows
from pycls.sweep.file import SweepCfg
from pycls.sweep.keys import DEFAULT_STAGES
from pycls.sweep.rows import ListedRows, as_column
from pycls.sweep.samplers import ParameterSampler, draw_rows

Columns = dict[str, NDArray]

_CHUNK = 4096
_OF_A_STAGE = dict(zip(("depth", "width", "bot_mul", "group_w"), ANYNET_LISTS, strict=True))


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
        self._regime = self._make_regime()

    def _needs_fit(self, samplers: Mapping[str, ParameterSampler]) -> bool:
        """Say whether lists are drawn that may not go together (the sampler ANYNET's do)."""
        drawn = {key for name, s in samplers.items() for key in s.keys if name != "ANYNET"}
        block = "ANYNET.BLOCK_TYPE"
        return not drawn.isdisjoint(ANYNET_LISTS[1:]) and (
            block in self._keys or "bottleneck" in self._base.flat[block]
        )

    def _sources(self, samplers: Mapping[str, ParameterSampler]) -> dict[str, str]:
        """Return, by key, the place that gives it its values."""
        listed = self._listed
        sources = dict.fromkeys(listed.columns, listed.place) if listed else {}
        for name, sampler in samplers.items():
            place = self._sweep.where("SETUP", "SAMPLERS", name)
            sources |= dict.fromkeys(sampler.keys, place)
        return dict.fromkeys(self.keys, self._sweep.where("SETUP", "SAMPLERS")) | sources

    def _make_regime(self) -> Regime:
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
        return Regime(bounds, limits["EXPRESSIONS"], known, self._sweep.where(*where))

    def draw(self, progress: Callable[[int, int], None] | None = None) -> Draws:
        """Draw until NUM_CONFIGS different rows fit, or nothing is left to draw.

        Args:
            progress: called now and then with the rows found and the draws made.

        Raises:
            ConfigError: too few rows were found; says which constraint rejected how many.
        """
        wanted, limit = self._limits()
        keeper = _Keeper(wanted)
        counts: list[dict[str, NDArray]] = []
        drawn = 0
        while not keeper.is_full and drawn < limit:
            size = min(_CHUNK, limit - drawn)
            columns = self._draw_columns(drawn, size)
            inside, counted = self._filter(columns)
            kept = keeper.add(to_rows(columns, inside), inside, drawn)
            counts.append(counted(kept - drawn))
            drawn += size
            if keeper.is_full:
                drawn = int(keeper.numbers[-1]) + 1
            if progress is not None:
                progress(len(keeper), drawn)
        if not keeper.rows or (self._sweep.setup["NUM_CONFIGS"] and not keeper.is_full):
            raise ConfigError(self._describe_failure(wanted, keeper, drawn))
        labels = self._listed.labels if self._listed else ()
        return Draws(
            rows=keeper.rows,
            labels=[labels[i % len(labels)] for i in keeper.numbers] if labels else (),
            counts={name: np.concatenate([part[name] for part in counts]) for name in METRICS},
            drawn=drawn,
            accepted=keeper.accepted,
            duplicates=keeper.accepted - len(keeper.rows),
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

    def _filter(
        self, columns: Columns
    ) -> tuple[NDArray[np.intp], Callable[[NDArray[np.intp]], dict[str, NDArray]]]:
        """Return which draws fit, and a function that gives the counts of some of them."""
        if not self._regime.names.isdisjoint(self._counter.names):
            counts = self._counter.count(columns)
            inside = np.flatnonzero(self._regime.accept(self._row_columns(columns) | counts))
            return inside, lambda kept: {name: count[kept] for name, count in counts.items()}
        n = len(next(iter(columns.values())))
        inside = np.arange(n)
        if self._regime.names:
            inside = np.flatnonzero(self._regime.accept(self._row_columns(columns)))

        def count_kept(kept: NDArray[np.intp]) -> dict[str, NDArray]:
            if not len(kept):
                return {name: np.empty(0, dtype=np.int64) for name in METRICS}
            return self._counter.count({key: column[kept] for key, column in columns.items()})

        return inside, count_kept

    def _row_columns(self, columns: Columns) -> Columns:
        """Return the columns with the names that constraints may use beside the keys'."""
        needed = self._regime.names
        named = {name: columns[k] for name, k in _OF_A_STAGE.items() if k in columns}
        for name in ("depth", "width"):
            if f"cum_{name}" in needed:
                named[f"cum_{name}"] = named[name].sum(axis=1)
        return columns | named

    def _describe_failure(self, wanted: int, keeper: "_Keeper", drawn: int) -> str:
        place = self._sweep.where("SETUP", "CONSTRAINTS")
        text = (
            f"{place}: only {len(keeper):,} of {wanted:,} configurations found in {drawn:,} draws"
        )
        seen = self._regime.describe()
        text += f"\n{seen}\n" if seen else "; "
        if keeper.accepted > 10 * max(1, len(keeper)):
            return text + (
                f"the {keeper.accepted:,} draws within the constraints are the same "
                f"{len(keeper):,} again and again: the samplers give no more; widen their ranges "
                "or lower SETUP.NUM_CONFIGS"
            )
        return text + (
            "widen the constraints or the samplers' ranges, lower SETUP.NUM_CONFIGS or raise "
            "SETUP.NUM_SAMPLES"
        )


class _Keeper:
    """Keeps the first different rows of those that fit."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._seen: set[str] = set()
        self.rows: list[dict[str, Any]] = []
        self.numbers: list[int] = []
        self.accepted = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_full(self) -> bool:
        return len(self.rows) >= self._wanted

    def add(
        self, rows: Sequence[dict[str, Any]], inside: NDArray[np.intp], start: int
    ) -> NDArray[np.intp]:
        """Keep what is new, until full; return the numbers of the draws kept."""
        before = len(self.numbers)
        for row, number in zip(rows, inside.tolist(), strict=True):
            self.accepted += 1
            key = repr(list(row.values()))
            if key in self._seen:
                continue
            self._seen.add(key)
            self.rows.append(row)
            self.numbers.append(start + number)
            if self.is_full:
                break
        return np.array(self.numbers[before:], dtype=np.intp)


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
    fitted = anynet_count.make_compatible(widths, bot_muls, round_group_ws(group_ws))
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
