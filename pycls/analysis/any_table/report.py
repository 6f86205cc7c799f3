"""The report on a table from elsewhere: correlations, figures and one page."""

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
from pycls.analysis.any_table.explorer import best_architectures, explorer_data
from pycls.analysis.any_table.figures import matrix_figure, scatter_figures
from pycls.analysis.any_table.read import AnyTable
from pycls.analysis.figures.style import save_figure
from pycls.analysis.report.html_tables import (
    RHO_HEADERS,
    STATISTIC_HEADERS,
    HtmlTable,
    rho_cells,
    statistic_cells,
)
from pycls.analysis.report.page import Picture, picture, render_page
from pycls.analysis.statistics.correlation import correlation_of
from pycls.analysis.tables.study_tables import write_table
from pycls.analysis.wording import RHO, number, p_cell, percent_text
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
    title = f"Errors against those on {table.reference}"
    caption = (
        f"A point per architecture. Above each panel: Spearman's {RHO} with its 95 % interval, n "
        "architectures, p-value. Errors of which the largest is more than twice the 90th "
        "percentile have a logarithmic axis."
    )
    figures = scatter_figures(table)
    for place, figure in enumerate(figures, 1):
        name = "scatter" if len(figures) == 1 else f"scatter_{place}"
        paths = save_figure(figure, out / "figures" / name, FORMATS)
        written += paths
        scatters.append(picture(paths[0], title, caption, figure))
    figure = matrix_figure(table, matrix)
    paths = save_figure(figure, out / "figures" / "matrix", FORMATS)
    caption = f"Spearman's {RHO} of each pair of data sets. {scale_note()}"
    pairs = picture(paths[0], "All pairs", caption, figure)
    data = explorer_data(table, matrix)
    page = _page(table, correlations, warnings, scatters, pairs, data)
    write_table(correlations, out / "correlations.csv")
    write_table(matrix, out / "matrix.csv")
    write_text(out / "index.html", page)
    _remove_stale(out, [*written, *paths])
    return warnings


def _page(
    table: AnyTable,
    correlations: pd.DataFrame,
    warnings: list[str],
    scatters: list[Picture],
    matrix: Picture,
    data: str,
) -> str:
    rows = correlations.to_dict("records")
    found = [correlation_of(row) for row in rows]
    source = table.path.name if table.files == 1 else f"{table.files} tables"
    context = {
        "title": f"{source}: what {table.reference} predicts",
        "reference": table.reference,
        "rho": RHO,
        "csv": {},
        "summary": f"{' '.join(wording.summary(found, [], table.reference))} {scale_note()}",
        "answer": _answer_table(table, rows),
        "findings": [
            (row["target"], wording.relation(entry, table.reference, row["target"]))
            for row, entry in zip(rows, found, strict=True)
        ],
        "warnings": warnings,
        "notes": table.notes,
        "scatters": scatters,
        "matrix": matrix,
        "best": best_architectures(table),
        "data": data,
    }
    return render_page("table_report.html", context)


def _answer_table(table: AnyTable, rows: list[dict]) -> HtmlTable:
    headers = ["target", *RHO_HEADERS, "p adjusted", *STATISTIC_HEADERS, "lowest error, %"]
    for k in CHOSEN:
        headers += [f"regret of {k}, points", "at random", "better, % [95 %]"]
    cells = []
    for row in rows:
        line = [str(row["target"]), *rho_cells(row), p_cell(row["p_adjusted"])]
        line += [*statistic_cells(row), number(row["best"], 2)]
        for k in CHOSEN:
            line += [number(row[f"regret_{k}{which}"], 2) for which in ("", "_random")]
            line.append(percent_text(*(row[f"better_{k}{end}"] for end in ("", "_low", "_high"))))
        cells.append(line)
    caption = (
        f"How {table.reference} ranks architectures beside each target, and what is lost on the "
        f"target by choosing on {table.reference}."
    )
    return HtmlTable(caption, headers, cells)


def _remove_stale(out: Path, written: list[Path]) -> None:
    remove_partials(out)
    remove_partials(out / "figures")
    for path in (out / "figures").glob("scatter*"):
        if path not in written:
            path.unlink()
