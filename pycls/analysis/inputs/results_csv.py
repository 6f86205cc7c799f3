"""The reader of results.csv, the table with one row per planned run, which is checked once."""

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pycls.analysis.inputs.study_json import Study
from pycls.errors import ConfigError, DataError
from pycls.schema import RESULTS, RESULTS_CSV, STAGES, STATUSES

_KINDS = {column.name: column.kind for column in RESULTS}
_STAGE_KINDS = {column.name: column.kind for column in STAGES}
# What makes two rows the same run; names of runs are only unique within a study.
_RUN_KEY = ["sweep", "dataset", "arch", "seed"]
_STAGE = re.compile(rf"({'|'.join(_STAGE_KINDS)})_[1-9]\d*$")


def load_results(
    folder_or_csv: str | os.PathLike[str], *others: str | os.PathLike[str]
) -> pd.DataFrame:
    """Read `results.csv` of a study, or of several over one population.

    Args:
        folder_or_csv: a study's folder, or the table itself.
        others: more of them, such as control experiments beside their base. Of a run (sweep,
            data set, architecture and seed) that occurs in several, a finished one counts
            before one that is not, and then that of the first place.

    Returns:
        One row per planned run in the files' order. Texts (run, sweep, dataset, regime,
        arch, status, error_metric) are never missing values; counts (seed, classes,
        flops, depth_1, ...) are nullable integers; errors, in percent, and bot_mul_* are
        floats, NaN where there is none. Columns this package does not know stay texts.

    Raises:
        ConfigError: the file or a column is missing, a run occurs twice in one file, a text
            stands where a number belongs, a status is unknown, or an error is no percentage.
        DataError: one architecture's name stands for different architectures in two files:
            two populations are mixed up.
    """
    places = [Path(place) for place in (folder_or_csv, *others)]
    paths = [place / RESULTS_CSV if place.is_dir() else place for place in places]
    tables = [_load_table(path) for path in paths]
    return tables[0] if len(tables) == 1 else _merge(tables, paths)


def _load_table(path: Path) -> pd.DataFrame:
    raw = _read_texts(path)
    required = [column.name for column in RESULTS if column.required]
    missing = [name for name in required if name not in raw.columns]
    if missing:
        raise ConfigError(
            f"{path}: missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            "expected the results.csv of a study, one row per run"
        )
    columns = {name: _parse(raw[name], path) for name in raw.columns}
    results = pd.DataFrame(columns)
    _check_rows(results, path)
    return results


def _parse(texts: pd.Series, path: Path) -> pd.Series:
    """Return a column as what its name says; columns this package does not know stay texts."""
    name = str(texts.name)
    stage = _STAGE.match(name)
    kind = _STAGE_KINDS[stage[1]] if stage else _KINDS.get(name, "text")
    if kind == "text":
        return texts
    return _to_integers(texts, path) if kind == "count" else _to_floats(texts, path)


def architecture_columns(results: pd.DataFrame) -> list[str]:
    """Return the columns that say what an architecture is: those of its stages, and sums."""
    names = [str(name) for name in results.columns if _STAGE.match(str(name))]
    return [*names, "cum_depth", "cum_width"]


def population_runs(results: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the rows of the population's sweeps (role "main").

    Raises:
        ConfigError: a sweep in the results is not in the study, or a data set has two
            runs of one architecture, so that there is no single error to compare.
    """
    unknown = [name for name in results["sweep"].unique() if name not in study.sweeps]
    if unknown:
        raise ConfigError(
            f"results.csv has runs of the sweep '{unknown[0]}', which study.json does not "
            f"describe (it has {', '.join(study.sweeps) or 'none'}); collect the study again"
        )
    runs = results[results["sweep"].isin(study.sweeps_of_role("main"))]
    twice = runs[runs.duplicated(["arch", "dataset"], keep=False)]
    if len(twice):
        first = twice.iloc[0]
        same = twice[(twice["arch"] == first["arch"]) & (twice["dataset"] == first["dataset"])]
        raise ConfigError(
            f"results.csv: architecture {first['arch']} has {len(same)} runs on the data set "
            f"{first['dataset']} ({', '.join(same['run'])}); the population needs one run per "
            "architecture and data set: give the other sweep the role 'repeats'"
        )
    return runs


def error_table(results: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the population's errors, matched by architecture.

    Args:
        results: as from :func:`load_results`.
        study: as from :func:`load_study`.

    Returns:
        Architectures (index "arch", sorted) x data sets (reference, family, targets,
        others), headline test errors in percent; NaN where a run is not done or its error
        is not finite. Architectures without any error are left out.

    Raises:
        ConfigError: see :func:`population_runs`.
    """
    finished = finished_runs(population_runs(results, study))
    table = finished.pivot(index="arch", columns="dataset", values="error")
    table = table.reindex(columns=study.dataset_keys()).sort_index()
    return table.astype(float).rename_axis(columns=None)


def architecture_table(results: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the properties of the population's architectures that hold on any data set.

    Returns:
        Index "arch", sorted; columns cum_depth (blocks), cum_width (channels), the sums
        over the stages (paper, section 4.5), as floats.

    Raises:
        ConfigError: one architecture's name stands for two different architectures.
    """
    names = architecture_columns(results)
    # Not flops and params: the head, and so both, depend on the number of classes.
    runs = population_runs(results, study)[["arch", *names]].drop_duplicates()
    twice = runs["arch"][runs["arch"].duplicated()]
    if len(twice):
        raise ConfigError(
            f"results.csv: architecture {twice.iloc[0]} is described in two different ways; "
            "results of two populations are mixed up"
        )
    return runs.set_index("arch")[["cum_depth", "cum_width"]].astype(float).sort_index()


def repeat_runs(results: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the finished runs of the repeats: architectures under several seeds.

    Those of the study itself and those of its control experiments, on the population's data sets.
    """
    sweeps = [*study.sweeps_of_role("repeats"), *study.control_sweeps("repeats")]
    keys = study.dataset_keys()
    return finished_runs(results[results["sweep"].isin(sweeps) & results["dataset"].isin(keys)])


def finished_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the runs that are done and have a finite error."""
    return runs[(runs["status"] == "done") & np.isfinite(runs["error"])]


def require_one_population(
    tables: Sequence[pd.DataFrame], places: Sequence[str | os.PathLike[str]]
) -> None:
    """Check that an architecture's name means the same one in all of several results.

    Args:
        tables: as from :func:`load_results`.
        places: what to call each of them.

    Raises:
        DataError: it does not; the message says which, where and how they differ.
    """
    merged = pd.concat(tables, ignore_index=True)
    columns = architecture_columns(merged)
    described = merged[["arch", *columns]].drop_duplicates()
    twice = described[described["arch"].duplicated(keep=False)]
    if twice.empty:
        return
    arch = twice["arch"].iloc[0]
    rows = twice.index[twice["arch"] == arch][:2]
    column = next(name for name in columns if merged[name].loc[rows].nunique(dropna=False) > 1)
    values = ["nothing" if pd.isna(v) else f"{v:g}" for v in merged.loc[rows, column]]
    ends = np.cumsum([len(table) for table in tables])
    one, other = (places[int(np.searchsorted(ends, row, side="right"))] for row in rows)
    raise DataError(
        f"architecture {arch} has {column} {values[0]} in {one} and {values[1]} in {other}: "
        "results of two populations are mixed up; give results of one"
    )


def _read_texts(path: Path) -> pd.DataFrame:
    try:
        # Texts first: a data set may be called "NA", and a wrong cell must be named.
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; expected the folder of a study that has been run, or its "
            "results.csv"
        ) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a CSV table ({error})") from None


def _to_floats(texts: pd.Series, path: Path) -> pd.Series:
    numbers = pd.to_numeric(texts, errors="coerce").astype(float)
    missing = texts[numbers.isna()]
    wrong = missing[~missing.str.strip().str.lower().isin(["", "nan"])]
    if len(wrong):
        _refuse_cell(path, wrong.index[0], texts.name, wrong.iloc[0], "a number or nothing")
    return numbers


def _to_integers(texts: pd.Series, path: Path) -> pd.Series:
    numbers = _to_floats(texts, path)
    wrong = numbers[numbers.notna() & (numbers != numbers.round())]
    if len(wrong):
        row = wrong.index[0]
        _refuse_cell(path, row, texts.name, texts[row], "a whole number or nothing")
    return numbers.astype("Int64")


def _check_rows(results: pd.DataFrame, path: Path) -> None:
    twice = results["run"].duplicated(keep=False)
    if twice.any():
        run = results["run"][twice].iloc[0]
        lines = [str(row + 2) for row in results.index[results["run"] == run]]
        raise ConfigError(
            f"{path}: run '{run}' occurs {len(lines)} times, on lines {', '.join(lines)}; keep "
            "one row per run"
        )
    unknown = results["status"][~results["status"].isin(STATUSES)]
    if len(unknown):
        _refuse_cell(path, unknown.index[0], "status", unknown.iloc[0], " or ".join(STATUSES))
    for name in (name for name in results if _KINDS.get(str(name)) == "percent"):
        values = results[name]
        wrong = values[values.notna() & ~values.between(0, 100)]
        if len(wrong):
            _refuse_cell(path, wrong.index[0], name, wrong.iloc[0], "percent, from 0 to 100")


def _merge(tables: Sequence[pd.DataFrame], paths: Sequence[Path]) -> pd.DataFrame:
    """Return the rows of several results of one population, each run once."""
    require_one_population(tables, paths)
    merged = pd.concat(tables, ignore_index=True)
    places = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    order = np.lexsort((places, merged["status"] != "done"))
    kept = merged.iloc[order].drop_duplicates(_RUN_KEY).index.sort_values()
    dropped = merged.drop(kept)
    pairs = dropped.merge(merged.loc[kept], on=_RUN_KEY, suffixes=("", "_kept"))
    differing = pairs[(pairs["error"] - pairs["error_kept"]).abs() > 0]
    if len(differing):
        first = differing.iloc[0]
        warnings.warn(
            f"finished runs that occur twice with different errors: {len(differing)}, the first "
            f"{first['sweep']}, architecture {first['arch']}, seed {first['seed']}: "
            f"{first['error_kept']} and {first['error']}; the errors of the results named first "
            f"are used ({paths[0]} before {paths[-1]})",
            stacklevel=3,
        )
    merged = merged.loc[kept].reset_index(drop=True)
    texts = [name for name in merged if not pd.api.types.is_numeric_dtype(merged[name])]
    return merged.fillna(dict.fromkeys(texts, ""))


def _refuse_cell(path: Path, row: object, column: object, value: object, expected: str) -> None:
    line = int(str(row)) + 2
    raise ConfigError(f"{path}, line {line}, column {column}: '{value}', expected {expected}")
