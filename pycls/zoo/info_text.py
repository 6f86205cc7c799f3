"""Writes networks' information as text tables for people and as CSV for programs."""

import math
from collections.abc import Sequence

from pycls.files import csv_text
from pycls.progress import align
from pycls.zoo.info import NetworkInfo, StageInfo

_COUNTS = ("flops", "params", "acts")
_OVERVIEW_COLUMNS = (
    "config", "family", "im_size", "num_classes", *_COUNTS, "cum_depth", "cum_width"
)  # fmt: skip
_PART_COLUMNS = (
    "depth", "width", "bottleneck_ratio", "group_w", "exp_ratio", "kernel", "heads", "mlp_dim",
    "stride",
)  # fmt: skip
_PART_HEADERS = ("d", "w", "b", "g", "exp", "kernel", "heads", "mlp", "stride")


def human(value: float, unit: str = "") -> str:
    """Return a count in millions, or from 1e9 on in thousands of millions, with 4 digits.

    ``human(397_700_000, "F")`` is "397.7 MF", ``human(25_557_032)`` is "25.56 M".
    """
    scale, prefix = (1e9, "G") if value >= 1e9 else (1e6, "M")
    value = float(f"{value / scale:.3e}")  # rounded first: 0.99999 has the digits of 1
    digits = 3 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(0, digits)}f} {prefix}{unit}"


def describe(info: NetworkInfo) -> str:
    """Return what a network is and costs, beside what it was scaled from, and its stage table."""
    origin = info.scaled_from
    lines = [info.name, f"  family   {info.family}", f"  classes  {info.num_classes}"]
    if origin is None:
        lines.insert(2, f"  input    {_input(info)}")
        for name in _COUNTS:
            value = getattr(info, name)
            known = not info.without_rule or name == "params"
            text = f"{_with_unit(name, value)} ({value:,})" if known else "not counted"
            lines.append(f"  {name:8} {text}")
        if info.without_rule:
            lines.append(f"  no counting rule for {', '.join(info.without_rule)}")
            return "\n".join(lines)
    else:
        rows = [
            ("", "scaled", "", "original", "", "ratio"),
            ("input", _input(info), "", _input(origin), "", _ratio(info, origin, "im_size")),
        ]
        for name in _COUNTS:
            new, old = getattr(info, name), getattr(origin, name)
            cells = (_with_unit(name, new), f"({new:,})", _with_unit(name, old), f"({old:,})")
            rows.append((name, *cells, _ratio(info, origin, name)))
        lines += [f"  {line}" for line in align(rows, text_columns=1)]
    return "\n".join([*lines, "", stage_table(info)])


def stage_table(info: NetworkInfo) -> str:
    """Return a line a part of a network, and their total."""
    shown = [
        (name, header)
        for name, header in zip(_PART_COLUMNS, _PART_HEADERS, strict=True)
        if any(getattr(part, name) is not None for part in info.parts)
    ]
    rows = [["stage", "output", *(header for _, header in shown), "flops", "%", "params", "acts"]]
    for part in info.parts:
        cells = [_cell(getattr(part, name)) for name, _ in shown]
        share = f"{100 * part.flops / info.flops:.1f}"
        counts = [f"{part.flops:,}", share, f"{part.params:,}", f"{part.acts:,}"]
        rows.append([part.name, _size(part), *cells, *counts])
    totals = [f"{info.flops:,}", "100.0", f"{info.params:,}", f"{info.acts:,}"]
    rows.append(["total", "", *("" for _ in shown), *totals])
    return "\n".join(f"  {line}" for line in align(rows, text_columns=1))


def overview(infos: Sequence[NetworkInfo]) -> str:
    """Return a line a network; with the ratio of flops where networks were scaled."""
    is_scaled = any(info.scaled_from for info in infos)
    rows = [["config", "family", "input", "classes", *_COUNTS]]
    rows[0] += ["flops / original"] if is_scaled else []
    for info in infos:
        counts = [_counted(info, name) for name in _COUNTS]
        row = [info.name, info.family, _input(info), str(info.num_classes), *counts]
        if is_scaled:
            row.append(_ratio(info, info.scaled_from, "flops") if info.scaled_from else "")
        rows.append(row)
    return "\n".join(align(rows, text_columns=2))


def overview_csv(infos: Sequence[NetworkInfo]) -> str:
    """Return a CSV line a network, counts as whole numbers.

    Where networks were scaled, the columns original_flops, original_params and original_acts
    follow.
    """
    is_scaled = any(info.scaled_from for info in infos)
    header = [*_OVERVIEW_COLUMNS, *(f"original_{name}" for name in _COUNTS if is_scaled)]
    rows = []
    for info in infos:
        unknown = ("flops", "acts") if info.without_rule else ()
        shown = _OVERVIEW_COLUMNS[1:]
        row = [info.name, *("" if name in unknown else getattr(info, name) for name in shown)]
        if is_scaled:
            row += [getattr(info.scaled_from, name, "") for name in _COUNTS]
        rows.append(row)
    return csv_text([header, *rows])


def stages_csv(infos: Sequence[NetworkInfo]) -> str:
    """Return a CSV line for every part of every network.

    out_height and out_width are in pixels, tokens are a transformer's instead; the columns after
    them as in :class:`StageInfo`.
    """
    header = [
        "config", "family", "stage", "out_height", "out_width", "tokens", *_PART_COLUMNS, *_COUNTS
    ]  # fmt: skip
    rows = []
    for info in infos:
        for part in info.parts:
            size = part.size if len(part.size) == 2 else ("", "")
            tokens = part.size[0] if len(part.size) == 1 else ""
            values = [getattr(part, name) for name in (*_PART_COLUMNS, *_COUNTS)]
            rows.append([info.name, info.family, part.name, *size, tokens, *values])
    return csv_text([header, *rows])


def _input(info: NetworkInfo) -> str:
    return f"{info.im_size} x {info.im_size}"


def _size(part: StageInfo) -> str:
    if len(part.size) == 1:
        return f"{part.size[0]} tokens"
    return " x ".join(map(str, part.size))


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _with_unit(name: str, value: int) -> str:
    return human(value, "F" if name == "flops" else "")


def _counted(info: NetworkInfo, name: str) -> str:
    known = not info.without_rule or name == "params"
    return _with_unit(name, getattr(info, name)) if known else "-"


def _ratio(info: NetworkInfo, origin: NetworkInfo, name: str) -> str:
    return f"{getattr(info, name) / getattr(origin, name):.3f}"
