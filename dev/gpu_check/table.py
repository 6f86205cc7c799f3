"""The results as tables for docs/benchmarks.md."""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_SPEEDS = ("speed_large", "own_layers", "speed_small", "formats")
_ONE_LINE = ("several", "agreement", "waits", "resuming", "peers", "together", "loading")


def write_table(found: dict[str, Any], path: Path) -> None:
    """Write what was found, section by section, as Markdown."""
    machine = found.get("machine", {})
    facts = ("gpu", "torch", "cuda", "cudnn", "triton", "python", "cores", "copy_gb_s",
             "bfloat16_tflops", "to_device_gb_s", "launch_us")  # fmt: skip
    lines = [", ".join(f"{k} {_cell(machine[k])}" for k in facts if machine.get(k) is not None), ""]
    lines += _speeds([row for name in _SPEEDS for row in _rows(found, name)], machine)
    lines += _profiles(_rows(found, "profile"))
    for name in _ONE_LINE:
        if rows := _rows(found, name):
            columns = [key for key in rows[0] if key != "losses"]
            lines += [*_table(columns, ([row.get(key, "") for key in columns] for row in rows)), ""]
    tests = found.get("gpu_tests", {})
    if "counts" in tests:
        lines += [f"Tests for GPUs: {tests['counts']}; failed: {tests['failed']}", ""]
    for name, section in found.items():
        for error in section.get("errors", []):
            lines.append(f"- {name}, {error['what']}: {error['error'][:200]}")
        for key, what in (("cut_off", "cut off by its time"), ("ended", section.get("ended")),
                          ("skipped", section.get("skipped"))):  # fmt: skip
            if section.get(key):
                lines.append(f"- {name}: {what}")
    path.write_text("\n".join(lines).strip() + "\n")


def _speeds(rows: list[dict[str, Any]], machine: dict[str, Any]) -> list[str]:
    """Return the harmonic mean, and the range, of each size, format and way."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["size"], row["format"], row["way"]), []).append(row)
    if not groups:
        return []
    copy = machine.get("copy_gb_s")
    cells = []
    for key, group in groups.items():
        rates = [row["img_s"] for row in group]
        share = statistics.fmean(row["gb_s"] for row in group) / copy if copy else ""
        cells.append(
            [
                *key, len(group), statistics.harmonic_mean(rates), min(rates), max(rates), share,
                statistics.fmean(row["host_ms"] for row in group),
                max(row.get("peak_mb", 0) for row in group),
            ]
        )  # fmt: skip
    columns = ["pixels", "format", "way", "networks", "img/s, harmonic mean", "least", "most",
               "share of copying", "host, ms a step", "memory, MB"]  # fmt: skip
    return [*_table(columns, cells), ""]


def _profiles(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    cells = (
        [row["network"], row["kernels"], row["busy_ms"],
         "; ".join(f"{top['name'][:40]} {top['us']:.0f} us" for top in row["top"][:3])]
        for row in rows
    )  # fmt: skip
    return [*_table(["network", "kernels a step", "busy, ms", "most"], cells), ""]


def _rows(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = found.get(name, {}).get("rows", [])
    return rows


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    head = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return [*head, *(f"| {' | '.join(map(_cell, row))} |" for row in rows)]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value).replace("|", "/")
