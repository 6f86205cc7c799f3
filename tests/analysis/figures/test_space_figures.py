import numpy as np
import pytest

from pycls.analysis.figures.spaces import population_figure, space_figure
from pycls.analysis.figures.style import save_figure

PARAMETERS = {
    "depth": (np.arange(1, 17), np.full(16, 1 / 16)),
    "width": (np.arange(8, 1025, 8), np.full(128, 1 / 128)),
    "w_m": (np.linspace(2, 3, 1001), np.full(1001, 1 / 1001)),
    "w_a": (np.linspace(8, 256, 2481), np.full(2481, 1 / 2481)),
    "bot_mul": (np.array([1.0]), np.array([1.0])),
}


def heights(axes):
    return np.array([bar.get_height() for bar in axes.patches])


def test_bars_hold_all_of_the_probability():
    figure = space_figure("a space", PARAMETERS)
    assert len(figure.axes) == len(PARAMETERS)
    for axes in figure.axes:
        assert heights(axes).sum() == pytest.approx(100)
        assert axes.get_xlabel()
        assert axes.get_ylabel() == "share (%)"
    depth, width = figure.axes[:2]
    assert heights(depth) == pytest.approx(np.full(16, 100 / 16))
    # Octaves: 8, then 16, then 24 and 32, then 40 to 64 ...
    assert heights(width) == pytest.approx(np.array([1, 1, 2, 4, 8, 16, 32, 64]) / 128 * 100)


def test_the_drawn_stand_beside_the_space():
    drawn = {"depth": [1, 1, 16, 2], "width": np.full((3, 4), 12), "other": [1]}
    figure = population_figure("4 drawn", PARAMETERS, drawn)
    depth, width = figure.axes
    assert heights(depth)[[0, 1, 15]] == pytest.approx([50, 25, 25])
    assert heights(width) == pytest.approx([0, 100, 0, 0, 0, 0, 0, 0])
    (line,) = width.lines
    assert line.get_ydata().sum() == pytest.approx(100)
    # All of the line is in the panel.
    assert width.get_ylim()[1] >= line.get_ydata().max()


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    texts = []
    for name in ("one", "two"):
        (path,) = save_figure(space_figure("a space", PARAMETERS), tmp_path / name, ["svg"])
        texts.append(path.read_bytes())
    assert texts[0] == texts[1]
    assert b"a space" in texts[0]
    (path,) = save_figure(space_figure("a space", PARAMETERS), tmp_path / "p", ["png"])
    assert path.read_bytes().startswith(b"\x89PNG")
