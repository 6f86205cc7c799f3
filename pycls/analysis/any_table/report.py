"""The report on a table from anywhere: correlations, figures and one page."""

import os
from pathlib import Path

import pandas as pd

from pycls.analysis import wording
from pycls.analysis.any_table.correlations import (
    CHOSEN,
    correlation_table,
    matrix_table,
    scale_note,
    table_warnings,
)
from pycls.analysis.any_table.figures import matrix_figure, scatter_figures
from pycls.analysis.any_table.read import AnyTable
from pycls.analysis.figures.style import save_figure
from pycls.analysis.report.html_tables import HtmlTable
from pycls.analysis.report.page import Picture, picture, render_page
from pycls.analysis.statistics.correlation import Correlation
from pycls.analysis.tables.study_tables import table_text
from pycls.analysis.wording import RHO, interval_text, number
from pycls.files import remove_partials, write_text

FORMATS = ("svg", "pdf", "png")


def write_table_report(table: AnyTable, out_dir: str | os.PathLike[str]) -> list[str]:
    """Write correlations.csv, matrix.csv, figures/ and index.html.

    The same table gives the same bytes. Figures of an earlier report that no longer apply
    are removed.

    Args:
        table: as from :func:`pycls.analysis.any_table.read.read_table`.
        out_dir: made where there is none.

    Returns:
        The warnings in the report.
    """
    out = Path(out_dir)
    correlations, matrix = correlation_table(table), matrix_table(table)
    warnings = table_warnings(table, correlations)
    written: list[Path] = []
    scatters = []
    figures = scatter_figures(table, correlations)
    for place, figure in enumerate(figures, 1):
        name = "scatter" if len(figures) == 1 else f"scatter_{place}"
        paths = save_figure(figure, out / "figures" / name, FORMATS)
        written += paths
        scatters.append(picture(paths[0], *_scatter_caption(table), figure))
    figure = matrix_figure(table, matrix)
    paths = save_figure(figure, out / "figures" / "matrix", FORMATS)
    caption = f"Spearman's {RHO} of each pair of data sets. {scale_note()}"
    page = _page(
        table,
        correlations,
        warnings,
        scatters,
        picture(paths[0], "All pairs", caption, figure),
    )
    write_text(out / "correlations.csv", table_text(correlations))
    write_text(out / "matrix.csv", table_text(matrix))
    write_text(out / "index.html", page)
    _remove_stale(out, [*written, *paths])
    return warnings


def _scatter_caption(table: AnyTable) -> tuple[str, str]:
    return (
        f"Errors against those on {table.reference}",
        f"A point per architecture. Above each panel: Spearman's {RHO} with its 95 % interval, n "
        "architectures, p-value. Errors of which the largest is more than twice the 90th "
        "percentile have a logarithmic axis.",
    )


def _page(
    table: AnyTable,
    correlations: pd.DataFrame,
    warnings: list[str],
    scatters: list[Picture],
    matrix: Picture,
) -> str:
    rows = correlations.to_dict("records")
    found = [
        Correlation(r["spearman_rho"], r["n"], r["ci_low"], r["ci_high"], r["p_value"])
        for r in rows
    ]
    context = {
        "title": f"{table.path.name}: what {table.reference} predicts",
        "reference": table.reference,
        "rho": RHO,
        "csv": {},
        "summary": f"{wording.summary(found, [], table.reference)} {scale_note()}",
        "answer": _answer_table(table, rows),
        "findings": [
            (row["target"], wording.relation(entry, table.reference, row["target"]))
            for row, entry in zip(rows, found, strict=True)
        ],
        "warnings": warnings,
        "notes": table.notes,
        "scatters": scatters,
        "matrix": matrix,
    }
    return render_page("table_report.html", context)


def _answer_table(table: AnyTable, rows: list[dict]) -> HtmlTable:
    headers = ["target", f"{RHO} [95 %]", "n", "p", "p adjusted", "tau-b", "r", "lowest error, %"]
    for k in CHOSEN:
        headers += [f"regret of {k}, points", "at random"]
    cells = []
    for row in rows:
        p_values = (_p_cell(row[name]) for name in ("p_value", "p_adjusted"))
        line = [
            str(row["target"]),
            f"{number(row['spearman_rho'], 2)} {interval_text(row['ci_low'], row['ci_high'])}",
            str(row["n"]),
            *p_values,
            *(number(row[name], 2) for name in ("kendall_tau_b", "pearson_r", "best")),
        ]
        for k in CHOSEN:
            bounds = interval_text(row[f"regret_{k}_low"], row[f"regret_{k}_high"])
            line += [
                f"{number(row[f'regret_{k}'], 2)} {bounds}",
                number(row[f"regret_{k}_random"], 2),
            ]
        cells.append(line)
    caption = (
        f"How {table.reference} ranks architectures beside each target, and what is lost on the "
        f"target by choosing on {table.reference}."
    )
    return HtmlTable(caption, headers, cells)


def _p_cell(value: float) -> str:
    return wording.p_text(value).removeprefix("p ").removeprefix("= ")


def _remove_stale(out: Path, written: list[Path]) -> None:
    remove_partials(out)
    remove_partials(out / "figures")
    for path in (out / "figures").glob("scatter*"):
        if path not in written:
            path.unlink()
