"""The tables of the paper, computed from a collection of studies: numbers, and texts to print."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from pycls.analysis.controls.population import networks
from pycls.analysis.inputs.collection import Collection, MissingRuns
from pycls.analysis.paper.published import TABLE_3, TABLE_3_AVERAGE, TABLE_4
from pycls.analysis.tables import study_tables
from pycls.analysis.tables.study_tables import AVERAGE, dataset_table, rho_table
from pycls.analysis.wording import DASH, RHO, estimate_text, number

_UNPUBLISHED = (math.nan, math.nan)


def dataset_facts(collection: Collection) -> pd.DataFrame:
    """Return the meta data of the data sets (paper, Table 1).

    Returns:
        A row per data set: dataset, title, images (both sides), train_images, test_images,
        num_classes, im_size (of the stored images in pixels).
    """
    facts = _datasets(collection)
    facts["images"] = facts["train_images"] + facts["test_images"]
    return facts[
        ["dataset", "title", "images", "train_images", "test_images", "num_classes", "im_size"]
    ]


def dataset_settings(collection: Collection) -> pd.DataFrame:
    """Return the settings of the data sets (paper, Table 2).

    Returns:
        A row per data set: dataset, title, epochs, error_metric, regime, planned and done
        (runs of the population).
    """
    names = ["dataset", "title", "epochs", "error_metric", "regime", "planned", "done"]
    return _datasets(collection)[names]


def _datasets(collection: Collection) -> pd.DataFrame:
    """Return the table of data sets: those in their own right first, then the class subsets."""
    facts = dataset_table(collection.results, collection.study)
    own = [*collection.study.targets, collection.study.reference]
    known = [key for key in collection.study.datasets if key in own]
    rest = [key for key in facts["dataset"] if key not in known]
    return facts.set_index("dataset", drop=False).loc[[*known, *rest]].reset_index(drop=True)


def correlation_table(collection: Collection) -> pd.DataFrame:
    """Return rho of each target with the reference and the closest member (paper, Table 3).

    Returns:
        As :func:`pycls.analysis.tables.study_tables.rho_table`, and for the published study
        published_reference, published_member and published_difference.
    """
    collection.reference, collection.targets  # noqa: B018 - each says why there is nothing
    table = rho_table(collection.errors, collection.study)
    if collection.is_published:
        known = TABLE_3 | {AVERAGE: TABLE_3_AVERAGE}
        rows = [known.get(key, _UNPUBLISHED) for key in table["target"]]
        table[["published_reference", "published_member"]] = rows
        table["published_difference"] = table["published_member"] - table["published_reference"]
    return table


def structure_table(collection: Collection) -> pd.DataFrame:
    """Return rho of the errors of the reference and its subsets with depth and width (Table 4).

    Returns:
        A row per set: dataset, title; rho, n, ci_low, ci_high, p with the suffixes _cum_depth
        and _cum_width; for the published study published_cum_depth, published_cum_width.
    """
    if collection.architectures.isna().all(axis=None):
        raise MissingRuns("results.csv does not say how deep and wide the architectures are.")
    table = study_tables.structure_table(
        collection.errors,
        collection.architectures,
        collection.study,
        (collection.reference, *collection.members),
    )
    if collection.is_published:
        rows = [TABLE_4.get(key, _UNPUBLISHED) for key in table["dataset"]]
        table[["published_cum_depth", "published_cum_width"]] = rows
    return table


def network_table(collection: Collection) -> pd.DataFrame:
    """Return the errors of hand-written networks (paper, Table A1).

    Returns:
        As table "networks" of :func:`pycls.analysis.controls.population.networks`, with the title
        of the data set; its column "published" is empty for networks without a published error.
    """
    found = []
    for experiment, evidence in collection.ask(networks, "networks"):
        table = experiment.tables["networks"]
        found.append(table.assign(title=table["dataset"].map(evidence.title)))
    return pd.concat(found, ignore_index=True)


# ---------------------------------------------------------------- texts to print
def _texts(
    table: pd.DataFrame, columns: Sequence[tuple[str, Callable[[pd.Series], str]]]
) -> pd.DataFrame:
    records = [row for _, row in table.iterrows()]
    return pd.DataFrame({name: [text(row) for row in records] for name, text in columns})


def _plain(name: str) -> Callable[[pd.Series], str]:
    return lambda row: DASH if pd.isna(row[name]) else str(row[name])


def _whole(name: str) -> Callable[[pd.Series], str]:
    return lambda row: DASH if pd.isna(row[name]) else f"{int(row[name]):,}"


def _decimal(name: str, decimals: int) -> Callable[[pd.Series], str]:
    return lambda row: number(float(row[name]), decimals)


def _with_interval(name: str, suffix: str) -> Callable[[pd.Series], str]:
    def text(row: pd.Series) -> str:
        low, high = row[f"ci_low{suffix}"], row[f"ci_high{suffix}"]
        return estimate_text(float(row[name]), float(low), float(high), 3)

    return text


def facts_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return Table 1 as it is printed."""

    def size(row: pd.Series) -> str:
        pixels = row["im_size"]
        return DASH if pd.isna(pixels) else f"{pixels} \N{MULTIPLICATION SIGN} {pixels}"

    columns = [
        ("Data set", _plain("title")),
        ("Images", _whole("images")),
        ("Classes", _whole("num_classes")),
        ("Image size (pixels)", size),
    ]
    return _texts(table, columns)


def settings_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return Table 2 as it is printed."""
    columns = [
        ("Data set", _plain("title")),
        ("Training epochs", _whole("epochs")),
        ("Error", lambda row: str(row["error_metric"]).replace("top", "top-")),
        ("Architectures", _whole("done")),
    ]
    return _texts(table, columns)


def correlation_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return Table 3 as it is printed."""
    columns: list[tuple[str, Callable[[pd.Series], str]]] = [
        ("Data set", _plain("title")),
        (f"{RHO} reference", _with_interval("rho_reference", "_reference")),
        (f"{RHO} closest subset", _with_interval("rho_member", "_member")),
        ("Difference", _with_interval("difference", "_difference")),
    ]
    if "published_reference" in table:
        columns += [
            ("Published: reference", _decimal("published_reference", 3)),
            ("subset", _decimal("published_member", 3)),
            ("difference", _decimal("published_difference", 3)),
        ]
    return _texts(table, columns)


def structure_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return Table 4 as it is printed."""
    columns: list[tuple[str, Callable[[pd.Series], str]]] = [
        ("Data set", _plain("title")),
        ("Cumulative depth", _with_interval("rho_cum_depth", "_cum_depth")),
        ("Cumulative width", _with_interval("rho_cum_width", "_cum_width")),
    ]
    if "published_cum_depth" in table:
        columns += [
            ("Published: depth", _decimal("published_cum_depth", 3)),
            ("width", _decimal("published_cum_width", 3)),
        ]
    return _texts(table, columns)


def network_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return Table A1 as it is printed."""
    columns = [
        ("Network", _plain("network")),
        ("Data set", _plain("title")),
        ("Epochs", _whole("epochs")),
        ("Seeds", _whole("n_seeds")),
        ("Error (%)", _decimal("error", 2)),
    ]
    if np.isfinite(table["published"].astype(float)).any():
        columns.append(("Published (%)", _decimal("published", 2)))
    return _texts(table, columns)
