"""The figure of what a sweep drew."""

import numpy as np
import pytest

from pycls.analysis.figures.style import save_figure
from pycls.analysis.sweep.drawn import Drawn, sweep_figure

RNG = np.random.default_rng(0)
FLOPS = Drawn("flops", RNG.integers(360e6, 400e6, 60).tolist())


def bar_heights(axes):
    return [bar.get_height() for bar in axes.patches]


def test_few_values_have_a_bar_each():
    drawn = Drawn("OPTIM.MAX_EPOCH", [50, 100, 100, 400])
    axes = sweep_figure([drawn], [FLOPS]).axes[0]
    assert bar_heights(axes) == [1, 2, 1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["50", "100", "400"]


@pytest.mark.parametrize("values", [RNG.normal(0, 1, 200), np.exp(RNG.normal(0, 2, 200))])
def test_histograms_hold_every_value(values):
    axes = sweep_figure([Drawn("a", values.tolist())], [FLOPS]).axes
    assert sum(bar_heights(axes[0])) == 200
    assert axes[0].get_xscale() == ("log" if values.min() > 0 else "linear")
    assert sum(bar_heights(axes[1])) == 60


def test_lists_are_shown_by_their_items_and_texts_by_name():
    widths = Drawn("ANYNET.WIDTHS", [[8, 16], [8, 8]])
    texts = Drawn("MODEL.ACTIVATION_FUN", ["relu", "silu"])
    flags = Drawn("ANYNET.SE_ON", [True, False])
    ragged = Drawn("OPTIM.STEPS", [[0, "x"], [1]])
    axes = sweep_figure([widths, texts, flags, ragged], []).axes
    assert [bar_heights(each) for each in axes] == [[3, 1], [1, 1], [1, 1], [1, 1]]
    assert [label.get_text() for label in axes[1].get_xticklabels()] == ["relu", "silu"]


def test_one_value_for_all_and_too_many_parameters():
    figure = sweep_figure([Drawn(f"k{i}", [1, 1]) for i in range(40)], [FLOPS])
    assert len(figure.axes) == 24
    assert "the same in all runs" in [text.get_text() for text in figure.axes[0].texts]


def test_the_same_values_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_figure(sweep_figure([Drawn("RNG_SEED", [1, 2])], [FLOPS]), tmp_path / name, ["svg"])
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
