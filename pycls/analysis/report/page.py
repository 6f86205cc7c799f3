"""Turns the report's parts into one page that needs no file beside it."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from pycls.analysis.tables.study_tables import table_text

_TEMPLATES = Path(__file__).parent / "templates"
_PIXELS_PER_INCH = 118  # a figure of page width fills the page's column
_MAX_INLINE_CSV = 300_000  # bytes; larger tables are linked, not embedded
_SURPLUS = re.compile(rb"(\d\.\d\d)\d+")  # decimals after the second
# Two or more markers in a row with one style.
_MARKERS = re.compile(rb'<use [^>]*? style="([^"]*)"/>\n(?:<use [^>]*? style="\1"/>\n)+')


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it.

    Attributes:
        name: of its files, without suffix.
        title: what it is called.
        caption: what it shows.
        width: on the page, in pixels.
        height: on the page, in pixels.
        source: the SVG as a data URL, so that the page needs no file beside it.
        folder: where its files are, relative to the page.
        formats: in which there are files.
        section: of the page.
    """

    name: str
    title: str
    caption: str
    width: int
    height: int
    source: str
    folder: str = "figures"
    formats: tuple[str, ...] = ("svg", "pdf")
    section: str = ""


def picture(svg: Path, title: str, caption: str, figure: Figure, section: str = "") -> Picture:
    """Return a figure that was written as `svg`, embedded."""
    width, height = (round(inches * _PIXELS_PER_INCH) for inches in figure.get_size_inches())
    source = svg_url(svg.read_bytes())
    return Picture(svg.stem, title, caption, width, height, source, section=section)


def svg_url(content: bytes) -> str:
    """Return an SVG of matplotlib as a URL, without what makes it large but not different."""
    return data_url(compact_svg(content), "image/svg+xml")


def svg_pixels(content: bytes) -> tuple[int, int]:
    """Return the width and height on the page of an SVG of matplotlib, which are in points."""
    root = content[content.index(b"<svg") :].partition(b">")[0]
    sizes = [re.search(rb'\b%s="([\d.]+)pt"' % name, root) for name in (b"width", b"height")]
    width, height = (
        round(float(found[1]) * _PIXELS_PER_INCH / 72) if found else 0 for found in sizes
    )
    return width, height


def compact_svg(content: bytes) -> bytes:
    """Return an SVG of matplotlib that looks the same in about half the bytes.

    Without metadata; numbers in tags, which are in points, with two decimals; and the style of
    the markers of a series, which each repeats, once for all of them.
    """
    content = content[content.index(b"<svg") :]
    content = re.sub(rb"\s*<metadata>.*?</metadata>", b"", content, flags=re.DOTALL)
    content = re.sub(rb"<[^>]+>", lambda tag: _SURPLUS.sub(rb"\1", tag[0]), content)
    content = re.sub(rb"\n\s*", b"\n", content)
    return _MARKERS.sub(_share_style, content)


def _share_style(markers: re.Match[bytes]) -> bytes:
    style = markers[1]
    if re.search(rb"(^|[; ])opacity", style):  # not inherited: it would apply to the whole
        return markers[0]
    bare = markers[0].replace(b' style="%s"' % style, b"")
    return b'<g style="%s">\n%s</g>\n' % (style, bare)


def data_url(content: bytes, kind: str) -> str:
    """Return a file's content as a URL; base64, since an SVG holds every other character."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def csv_links(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Return path of a table's file -> what a link to it leads to: its content where small."""
    links = {}
    for name, table in tables.items():
        path, content = f"tables/{name}.csv", table_text(table).encode("utf-8")
        small = len(content) <= _MAX_INLINE_CSV
        links[path] = data_url(content, "text/csv;charset=utf-8") if small else path
    return links


def render_page(template: str, context: Mapping[str, Any]) -> str:
    """Return a page's HTML; every text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(context)
