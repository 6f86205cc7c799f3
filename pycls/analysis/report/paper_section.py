"""The report's section on the outputs of the paper."""

import re
from dataclasses import dataclass
from pathlib import Path

from pycls.analysis.paper.beside import Writer
from pycls.analysis.paper.write import Written
from pycls.analysis.report.html_tables import HtmlTable
from pycls.analysis.report.page import Picture, data_url, svg_pixels, svg_url
from pycls.analysis.wording import DASH, MINUS

FOLDER = "paper"  # of the outputs' files, within the report
_PRINTED = ("fig3", "fig4", "fig5")  # stand in the place of the interactive plots
_NUMBER = re.compile(rf"{MINUS}?\d[\d.,]*( |$)")


@dataclass(frozen=True)
class PaperOutput:
    """One output on the page: a figure or a table.

    Attributes:
        key: its short name.
        title: what it is called.
        picture: the figure.
        table: the table.
        data: paths of the figure's numbers, relative to the page.
    """

    key: str
    title: str
    picture: Picture | None = None
    table: HtmlTable | None = None
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class PaperSection:
    """The outputs on the page.

    Attributes:
        made: in the paper's order.
        missing: titles of the others, and why they are missing.
        paths: every file written.
        links: path of a table's file, relative to the page -> what a link to it leads to.
    """

    made: list[PaperOutput]
    missing: list[tuple[str, str]]
    paths: list[Path]
    links: dict[str, str]

    @property
    def printed(self) -> list[PaperOutput]:
        """The figures of the targets and the family, which the page has as plots too."""
        return [output for output in self.made if output.key in _PRINTED]


def paper_section(writer: Writer, report: Path) -> PaperSection | None:
    """Return the paper's outputs for the page; None where none can be made.

    Args:
        writer: of the outputs, to `paper/` of the report.
        report: the report's folder.

    Raises:
        ConfigError: a file of the study is missing or damaged.
        DataError: results of two populations are mixed up.
    """
    outputs = writer.outputs()
    made = [_output(each) for each in outputs if not each.reason]
    if not made:
        return None
    links = {
        output.table.csv: data_url((report / output.table.csv).read_bytes(), "text/csv")
        for output in made
        if output.table
    }
    return PaperSection(
        made=made,
        missing=[(each.title, each.reason) for each in outputs if each.reason],
        paths=[path for each in outputs for path in each.paths],
        links=links,
    )


def _output(written: Written) -> PaperOutput:
    key, title, caption = written.key, written.title, written.caption
    tables = [path for path in written.paths if path.suffix == ".csv"]
    svg = next((path for path in written.paths if path.suffix == ".svg"), None)
    if svg is None:
        return PaperOutput(key, title, table=_table(written, tables[0]))
    content = svg.read_bytes()
    picture = Picture(
        key, title, caption, *svg_pixels(content), svg_url(content), FOLDER, formats=("svg",)
    )
    return PaperOutput(key, title, picture, data=tuple(f"{FOLDER}/{path.name}" for path in tables))


def _table(written: Written, path: Path) -> HtmlTable:
    """Return a table as it is printed; its file has every column."""
    headers, *rows = written.printed
    words = [
        place
        for place in range(len(headers))
        if not all(_NUMBER.match(row[place]) for row in rows if row[place] != DASH)
    ]
    csv = f"{FOLDER}/{path.name}"
    return HtmlTable(written.caption, headers, rows, csv, text_columns=words)
