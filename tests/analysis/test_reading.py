"""The numbers of docs/reading.md."""

import re
from pathlib import Path

import pytest

from pycls.analysis.statistics import (
    architectures_for_width,
    architectures_to_tell_apart,
    interval_width,
    spearman,
)

TEXT = (Path(__file__).parents[2] / "docs" / "reading.md").read_text()


def test_the_table_of_widths_is_what_the_function_gives():
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", TEXT, re.MULTILINE)
    assert len(rows) == 7
    for n, *widths in rows:
        for rho, width in zip((0.0, 0.5, 0.9), widths, strict=True):
            assert float(width) == round(interval_width(rho, int(n)), 2)


def test_the_examples_give_what_stands_beside_them():
    names = {
        "architectures_for_width": architectures_for_width,
        "architectures_to_tell_apart": architectures_to_tell_apart,
    }
    calls = re.findall(r"^(architectures_\w+\(.*?\)) +# (\d+)", TEXT, re.MULTILINE)
    assert len(calls) == 2
    for call, number in calls:
        assert eval(call, names) == int(number)
    assert interval_width(0.0, 100) / interval_width(0.0, 400) == pytest.approx(2, abs=0.05)


def test_a_small_rho_of_many_architectures_is_significant():
    x = list(range(500))
    rhos = []
    for step in range(1, 250):
        y = [(value * step) % 499 for value in x]
        found = spearman(x, y)
        if 0.09 < found.rho < 0.11:
            rhos.append(found.p_value)
    assert rhos
    assert max(rhos) < 0.05
