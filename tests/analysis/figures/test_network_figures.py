"""The figure of networks' stages: what is drawn, and that it can be read."""

from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pycls.analysis.figures.networks import MAX_NETWORKS, NetworkStages, network_figure
from pycls.analysis.figures.style import save_figure
from pycls.errors import ConfigError

REGNET = NetworkStages(
    "RegNetX-400MF_dds_8gpu", [1, 2, 7, 12], [32, 64, 160, 384], [1.0] * 4, [16] * 4
)
BOTTLENECK = NetworkStages("R-50", [3, 4, 6, 3], [256, 512, 1024, 2048], [4.0] * 4, [64] * 4)
EFFNET = NetworkStages(
    "EN-B0", [1, 2, 2, 3, 3, 4, 1], [16, 24, 40, 80, 112, 192, 320],
    expansion_ratios=[1, 6, 6, 6, 6, 6, 6], kernels=[3, 3, 5, 3, 5, 5, 3],
)  # fmt: skip
BASIC = NetworkStages("R-56", [9, 9, 9], [16, 32, 64])
LONG = NetworkStages("a_configuration_with_an_unusually_long_name_" * 3, [2], [1024], [1.5], [8])


def panels(figure):
    """Return each panel's heading and the values of its lines."""
    return {axes.texts[0].get_text(): [list(line.get_ydata()) for line in axes.lines]
            for axes in figure.axes}  # fmt: skip


def test_one_network_has_a_panel_a_parameter():
    figure = network_figure([REGNET])
    assert panels(figure) == {
        "depth d": [[1, 2, 7, 12]],
        "width w": [[32, 64, 160, 384]],
        "bottleneck ratio b": [[1.0] * 4],
        "group width g": [[16] * 4],
    }
    assert [list(axes.lines[0].get_xdata()) for axes in figure.axes] == [[1, 2, 3, 4]] * 4
    assert not figure.legends


def test_only_parameters_that_exist_are_drawn():
    assert list(panels(network_figure([BASIC]))) == ["depth d", "width w"]
    assert list(panels(network_figure([EFFNET]))) == [
        "depth d", "width w", "expansion ratio", "kernel size"
    ]  # fmt: skip
    mixed = panels(network_figure([REGNET, EFFNET]))
    assert len(mixed) == 6
    assert [len(values) for values in mixed["group width g"]] == [4, 0]
    assert [len(values) for values in mixed["kernel size"]] == [0, 7]


def test_equal_networks_stay_visible_and_are_named():
    figure = network_figure([REGNET, BOTTLENECK, BOTTLENECK])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [REGNET.name, "R-50", "R-50"]
    for axes in figure.axes:
        looks = {(line.get_color(), line.get_marker()) for line in axes.lines}
        assert len(looks) == 3
        places = [line.get_xdata()[0] for line in axes.lines]
        assert len(set(places)) == 3


def test_ticks_are_whole_numbers_for_whole_values():
    for axes in network_figure([REGNET, EFFNET]).axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            shown = [place for place in axis.get_majorticklocs() if low <= place <= high]
            assert shown
            assert all(float(place).is_integer() for place in shown)


@pytest.mark.parametrize(
    "networks",
    [[REGNET], [EFFNET], [BASIC, LONG], [REGNET, BOTTLENECK, EFFNET], [REGNET] * MAX_NETWORKS,
     [LONG] * MAX_NETWORKS],
    ids=["regnet", "effnet", "long name", "mixed", "six", "six long names"],
)  # fmt: skip
def test_texts_neither_overlap_nor_leave_the_figure(networks):
    figure = network_figure(networks)
    assert figure.get_figwidth() == 3.5  # a column of a page
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = []
    for axes in figure.axes:
        texts += [axes._left_title, axes.xaxis.label, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
            texts += [label for place, label in ticks if low <= place <= high]
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
    boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
    for box in boxes:
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y1 <= figure.bbox.y1 + 1
    shown = [box.padded(-0.5) for box in boxes]
    assert not [pair for pair in combinations(shown, 2) if pair[0].overlaps(pair[1])]


def test_same_networks_give_the_same_bytes(tmp_path):
    first = save_figure(network_figure([REGNET, EFFNET]), tmp_path / "a", ["svg"])[0]
    second = save_figure(network_figure([REGNET, EFFNET]), tmp_path / "b", ["svg"])[0]
    assert first.read_bytes() == second.read_bytes()
    assert "bottleneck ratio b" in first.read_text()


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ConfigError, match="no networks"):
        network_figure([])
    with pytest.raises(ConfigError, match=f"at most {MAX_NETWORKS}"):
        network_figure([REGNET] * (MAX_NETWORKS + 1))
    with pytest.raises(ConfigError, match="empty: has no stages"):
        network_figure([NetworkStages("empty", [], [])])
