"""What the page of a table from elsewhere shows of single architectures: plots and the best."""

import math

import pandas as pd

from pycls.analysis.any_table.read import AnyTable
from pycls.analysis.figures.panels import highlighted
from pycls.analysis.figures.style import is_skewed
from pycls.analysis.report.html_tables import HtmlTable
from pycls.analysis.report.page_data import correlation_texts, json_text, numbers
from pycls.analysis.wording import DASH, count, number

_BEST = 10  # architectures in the table


def explorer_data(table: AnyTable, matrix: pd.DataFrame) -> str:
    """Return the JSON of the interactive plots, of the form that a study's page has.

    Args:
        table: as from :func:`pycls.analysis.any_table.read.read_table`.
        matrix: as from :func:`pycls.analysis.any_table.correlations.matrix_table`; its
            correlations stand above the plots.
    """
    errors = table.errors
    columns = [
        {
            "key": str(key),
            "title": str(key),
            "label": table.labels[str(key)],
            "metric": "error",
            "error": True,
            "unit": " %" if key in table.percent else "",
            "log": is_skewed(errors[key].dropna().to_numpy()),
            "values": numbers(errors[key], 4),
        }
        for key in errors
    ]
    return json_text(
        {
            "archs": list(errors.index),
            "about": [""] * len(errors),
            "columns": columns,
            "rho": correlation_texts({"pairs": matrix}),
            "reference": table.reference,
            "closest": {},
            "groups": {"targets": list(table.targets), "all": list(errors)},
            "coloured": highlighted(len(errors)),
            "curves": {},
        }
    )


def best_architectures(table: AnyTable) -> HtmlTable:
    """Return the names of the reference's best, and their places on every target."""
    errors = table.errors
    best = errors[table.reference].dropna().sort_values(kind="stable").head(_BEST)
    places = errors.rank(method="min").loc[best.index, list(table.targets)].to_numpy()
    sizes = errors.notna().sum()
    rows = []
    for (name, value), own in zip(best.items(), places, strict=True):
        row = [str(name), number(abs(float(value)), 2)]
        for key, place in zip(table.targets, own, strict=True):
            row.append(DASH if math.isnan(place) else f"{place:.0f} of {sizes[key]:,}")
        rows.append(row)
    unit = ", %" if table.reference in table.percent else ""
    caption = (
        f"The {count(len(rows), 'architecture')} that {'is' if len(rows) == 1 else 'are'} best on "
        f"{table.reference}, and the place of each on every target (1 is the best; equal values "
        "share a place)."
    )
    headers = ["architecture", f"{table.reference}{unit}", *table.targets]
    return HtmlTable(caption, headers, rows)
