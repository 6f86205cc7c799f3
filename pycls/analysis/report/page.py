"""Turns the report's parts into one page that needs no file beside it."""

import base64
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pycls.analysis.tables.study_tables import table_text

_TEMPLATES = Path(__file__).parent / "templates"
_PIXELS_PER_INCH = 118  # a figure of page width fills the page's column
_MAX_INLINE_CSV = 300_000  # bytes; larger tables are linked, not embedded
_SURPLUS = re.compile(r"(\d\.\d\d)\d+")  # decimals after the second
_UNTURNED = re.compile(r' transform="rotate\(-?0 [^)]*\)"')
_LINE = re.compile(r' d="M (?:[-\d. ]+\nL )+[-\d. ]+\n"')  # an open line
_NUMBER = re.compile(r"[-\d.]+")
# Three or more markers in a row of one shape and style.
_MARKERS = re.compile(
    r'<use xlink:href="#(\w+)" x="[^"]*" y="[^"]*" style="([^"]*)"/>\n'
    r'(?:<use xlink:href="#\1" x="[^"]*" y="[^"]*" style="\2"/>\n){2,}'
)
_PLACE = re.compile(r'x="([^"]*)" y="([^"]*)"')
_REFERENCE = re.compile(r'(url\(|href=")#([^")]+)')
_STYLE = re.compile(r'style="([^"]*)"')


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
    """Return an SVG of matplotlib as a URL, without what makes it large but not different.

    As text, which is a quarter smaller than base64, and without the characters that a URL or an
    attribute in double quotes must not hold. A line end beside "<" could be taken for an attack.
    """
    text = compact_svg(content).decode("utf-8")
    for character in '%#&"':
        text = text.replace(character, f"%{ord(character):02X}")
    text = re.sub(r"[ \r\n\t]+", " ", text)
    return f"data:image/svg+xml;charset=utf-8,{text}"


def svg_pixels(content: bytes) -> tuple[int, int]:
    """Return the width and height on the page of an SVG of matplotlib, which are in points."""
    root = content[content.index(b"<svg") :].partition(b">")[0]
    sizes = [re.search(rb"\b%s=.([\d.]+)pt" % name, root) for name in (b"width", b"height")]
    width, height = (
        round(float(found[1]) * _PIXELS_PER_INCH / 72) if found else 0 for found in sizes
    )
    return width, height


def compact_svg(content: bytes) -> bytes:
    """Return an SVG of matplotlib that looks the same in about a third of the bytes.

    Without metadata; numbers in tags, which are in points, with two decimals, those of lines
    with one; the markers of a series, which each are an element, as one path with a marker on
    each of its points, to a tenth of a point; only ids that something refers to, and short ones;
    styles that occur again and again as classes; single quotes.
    """
    text = content[content.index(b"<svg") :].decode("utf-8")
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\n\s*", "\n", text)
    numbers = itertools.count(1)
    text = _UNTURNED.sub("", text)
    text = _LINE.sub(lambda line: f' d="m{_steps(_NUMBER.findall(line[0]))}"', text)
    text = _MARKERS.sub(lambda markers: _as_path(markers, next(numbers)), text)
    text = re.sub(r"<[^>]+>", lambda tag: _SURPLUS.sub(r"\1", tag[0]), text)
    text = _share_styles(_short_ids(text))
    return re.sub(r'="([^"\']*)"', r"='\1'", text).encode("utf-8")


def _as_path(markers: re.Match[str], number: int) -> str:
    """Return markers of one kind as a path that has one on each of its points."""
    places = itertools.chain.from_iterable(_PLACE.findall(markers[0]))
    points = " ".join(f"{float(place):.1f}".removesuffix(".0") for place in places)
    look = f"fill: none; stroke: none; marker: url(#k{number})"
    return (
        f'<marker id="k{number}" markerUnits="userSpaceOnUse" overflow="visible">'
        f'<use xlink:href="#{markers[1]}" style="{markers[2]}"/></marker>'
        f'<path d="M{points}" style="{look}"/>\n'
    )


def _steps(numbers: Sequence[str]) -> str:
    """Return a line's points to a tenth of a point, each but the first relative to the last."""
    tenths = np.rint(np.asarray(numbers, dtype=float).reshape(-1, 2) * 10).astype(int)
    steps = np.diff(tenths, axis=0, prepend=0).ravel().tolist()
    texts = " ".join(f"{step / 10:.1f}".removesuffix(".0") for step in steps)
    return re.sub(r"\b0\.", ".", texts).replace(" -", "-")


def _short_ids(text: str) -> str:
    """Return an SVG whose ids are those that are referred to, numbered."""
    used = dict.fromkeys(name for _, name in _REFERENCE.findall(text))
    short = {name: f"i{place}" for place, name in enumerate(used)}
    text = re.sub(
        r'(<[^>]*) id="([^"]*)"',
        lambda tag: f'{tag[1]} id="{short[tag[2]]}"' if tag[2] in short else tag[1],
        text,
    )
    return _REFERENCE.sub(lambda found: f"{found[1]}#{short[found[2]]}", text)


def _share_styles(text: str) -> str:
    """Return an SVG with the styles that occur several times in its style sheet."""
    times = Counter(_STYLE.findall(text))
    classes = {style: f"s{place}" for place, style in enumerate(times) if times[style] > 1}
    sheet = "".join(f".{name}{{{style}}}" for style, name in classes.items())
    text = _STYLE.sub(
        lambda found: f'class="{classes[found[1]]}"' if found[1] in classes else found[0], text
    )
    return text.replace("</style>", f"{sheet}</style>", 1)


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
    """Return a page's HTML; every text is escaped.

    Args:
        template: extends page.html.
        context: what it names; of page.html the title, and where there are some a description and
            data (JSON) for report.js.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render({"description": "", "data": "", **context})
