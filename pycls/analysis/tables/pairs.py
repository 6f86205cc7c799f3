"""Tables of the effect of training noise and of shared properties on the rho of pairs."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields

import pandas as pd

from pycls.analysis.inputs.results_csv import finished_runs, population_runs
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.correlation import correlation_columns, spearman
from pycls.analysis.statistics.noise import (
    MIN_REPEATED,
    NO_NOISE,
    Ceiling,
    NoiseVariance,
    corrected_rho,
    noise_ceiling,
    repeat_variance,
)
from pycls.analysis.statistics.partial import partial_spearman
from pycls.errors import ConfigError

_CEILING = [field.name for field in fields(Ceiling)]


def dataset_noise(repeats: pd.DataFrame) -> dict[str, NoiseVariance]:
    """Return the variance of the error over seeds per data set, pooled over architectures.

    Args:
        repeats: as from :func:`pycls.analysis.inputs.results_csv.repeat_runs`.

    Returns:
        Data set -> variance, for those where an architecture has two errors or more.
    """
    found = {}
    for key, runs in repeats.groupby("dataset", sort=False):
        noise = repeat_variance(group["error"] for _, group in runs.groupby("arch"))
        if noise.degrees:
            found[str(key)] = noise
    return found


def with_own_runs(repeats: pd.DataFrame, results: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return repeats and, of the same architectures, the population's own runs beside them.

    Those are one more training each, where they had another seed, and the same regime and
    number of epochs.

    Args:
        repeats: as from :func:`pycls.analysis.inputs.results_csv.repeat_runs`.
        results: as from :func:`pycls.analysis.inputs.results_csv.load_results`.
        study: which sweeps are the population's.
    """
    alike = ["arch", "dataset", "regime", "epochs"]
    own = finished_runs(population_runs(results, study))
    own = own.merge(repeats[alike].drop_duplicates(), on=alike)
    every = pd.concat([repeats, own], ignore_index=True)
    return every.drop_duplicates([*alike, "seed"])


def trainings_of(repeats: pd.DataFrame, key: str, architectures: pd.Index) -> pd.DataFrame:
    """Return the errors of each architecture's trainings on a data set, NaN for none.

    Args:
        repeats: a row per run; see :func:`with_own_runs`.
        key: of the data set.
        architectures: names, in the order of the rows wanted.

    Returns:
        Architectures x trainings; no columns where nothing was trained twice.
    """
    runs = repeats[repeats["dataset"] == key]
    runs = runs[runs.duplicated("arch", keep=False)]
    places = runs.groupby("arch").cumcount()
    table = runs.assign(place=places).pivot(index="arch", columns="place", values="error")
    return table.reindex(architectures).astype(float)


def ceiling_table(
    errors: pd.DataFrame, repeats: pd.DataFrame, pairs: Iterable[tuple[str, str]]
) -> pd.DataFrame:
    """Return how high rho can be in pairs of data sets, given training noise.

    The quantity behind Fig. A3 of the paper: by
    :func:`pycls.analysis.statistics.noise.corrected_rho` where enough architectures were repeated
    on both, else by :func:`pycls.analysis.statistics.noise.noise_ceiling`.

    Args:
        errors: architectures x data sets, in percent.
        repeats: a row per run, as from :func:`with_own_runs`.
        pairs: data sets x and y; those without repeats of either are left out.

    Returns:
        A row per pair: dataset_x, dataset_y, n, rho, ceiling, reliability_x,
        reliability_y, corrected, corrected_low, corrected_high, reason (why there is no
        interval), and unknown:
        the side ("x", "y") without repeats, whose noise is not counted, so that the ceiling is
        too high and the corrected rho too low; empty where both are known.
    """
    noise = dataset_noise(repeats)
    trainings = {key: trainings_of(repeats, key, errors.index) for key in noise}
    many = {
        key for key, table in trainings.items() if table.notna().any(axis=1).sum() >= MIN_REPEATED
    }
    rows = []
    for x, y in pairs:
        if x not in noise and y not in noise:
            continue
        if {x, y} <= many:
            found = corrected_rho(errors[x], errors[y], trainings[x], trainings[y])
        else:
            found = noise_ceiling(
                errors[x], errors[y], noise.get(x, NO_NOISE), noise.get(y, NO_NOISE)
            )
        unknown = "" if x in noise and y in noise else ("y" if x in noise else "x")
        rows.append({"dataset_x": x, "dataset_y": y, **asdict(found), "unknown": unknown})
    return pd.DataFrame(rows, columns=["dataset_x", "dataset_y", *_CEILING, "unknown"])


def partial_table(
    errors: pd.DataFrame,
    properties: pd.DataFrame,
    pairs: Iterable[tuple[str, str]],
    given: Sequence[str] = ("cum_depth", "cum_width", "flops"),
) -> pd.DataFrame:
    """Return rho of pairs of data sets, plain and with properties held fixed.

    Args:
        errors: architectures x data sets, in percent.
        properties: architectures x numbers, such as those of
            :func:`pycls.analysis.inputs.results_csv.architecture_table`.
        pairs: data sets x and y.
        given: columns of `properties` to hold fixed; those it does not have are left out.

    Returns:
        A row per pair: dataset_x, dataset_y, given (the columns, with commas), rho, n,
        ci_low, ci_high, p, and the same with the suffix _partial.

    Raises:
        ConfigError: none of the columns is there.
    """
    used = [name for name in given if name in properties]
    if not used:
        raise ConfigError(
            f"there is no property {', '.join(given)} to hold fixed (there are "
            f"{', '.join(map(str, properties))})"
        )
    fixed = properties[used].reindex(errors.index).to_numpy(dtype=float)
    rows = []
    for x, y in pairs:
        row = {"dataset_x": x, "dataset_y": y, "given": ", ".join(used)}
        row |= correlation_columns(spearman(errors[x], errors[y]))
        row |= correlation_columns(partial_spearman(errors[x], errors[y], fixed), "_partial")
        rows.append(row)
    return pd.DataFrame(rows)
