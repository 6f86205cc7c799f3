import matplotlib as mpl
import numpy as np
import pytest
from figure_texts import check_texts
from matplotlib.colors import same_color
from synthetic_study import Plan, write_study

from pycls.analysis import figures
from pycls.analysis.figures.style import ORANGE, RC, RED, panel_grid
from pycls.analysis.inputs.results_csv import (
    architecture_table,
    error_table,
    load_results,
    repeat_runs,
)
from pycls.analysis.inputs.study_json import load_study
from pycls.analysis.statistics import spearman
from pycls.errors import ConfigError

pytestmark = pytest.mark.slow


def load(folder):
    results, study = load_results(folder), load_study(folder)
    return (
        study,
        error_table(results, study),
        architecture_table(results, study),
        repeat_runs(results, study),
    )


@pytest.fixture(scope="module")
def simulated(study_folder):
    return load(study_folder)


def plan_with_targets(targets, archs=12):
    plan = Plan(archs=archs, targets=(), failed=())
    plan.classes = {"digits": 10, "digits_5": 5, "digits_2": 2}
    plan.signal = {key: plan.signal[key] for key in plan.classes}
    for index in range(targets):
        key = f"photograph_patches_{index}"
        plan.classes[key], plan.signal[key] = 2 + index, 0.5
        plan.targets += (key,)
    return plan


def coloured(axes, colour):
    return [line for line in axes.lines if same_color(line.get_color(), colour)]


@pytest.mark.parametrize(
    ("population", "number"), [(4, 1), (24, 2), (32, 3), (99, 10), (100, 10), (500, 10)]
)
def test_number_of_coloured_architectures(population, number):
    assert figures.highlighted(population) == number


def test_scatter_shows_rho_and_colours_best_and_worst(simulated):
    study, errors, *_ = simulated
    figure = figures.reference_figure(errors, study)
    assert len(figure.axes) == 3
    for axes, key in zip(figure.axes, study.targets, strict=True):
        rho = spearman(errors["digits"], errors[key]).rho
        shown = axes.get_title(loc="left").replace("\N{MINUS SIGN}", "-")
        assert f"= {rho:.2f} [" in shown
        assert axes.get_ylabel().replace("\n", " ") == study.error_label(key)
        assert axes.get_xlabel().replace("\n", " ") == "test error on Digits (top-1, %)"
        ranked = np.sort(errors[key].dropna())
        (best,), (worst,) = coloured(axes, ORANGE), coloured(axes, RED)
        assert sorted(best.get_ydata()) == ranked[:3].tolist()
        assert sorted(worst.get_ydata()) == ranked[-3:].tolist()
        points = sum(len(line.get_xdata()) for line in axes.lines)
        assert points == len(ranked)


def test_skewed_errors_get_the_same_logarithmic_axis_everywhere(simulated):
    study, errors, architectures, _ = simulated
    errors = errors.copy()
    errors.loc[errors.index[0], study.reference] = 99.0
    edfs = figures.edf_figure(errors, study).axes
    scatter = figures.reference_figure(errors, study).axes
    depths = figures.structure_figure(errors, architectures, study, "cum_depth").axes
    place = study.dataset_keys().index(study.reference)
    assert [axes.get_xscale() for axes in edfs].count("log") == 1
    assert edfs[place].get_xscale() == depths[place].get_yscale() == "log"
    assert {(axes.get_xscale(), axes.get_yscale()) for axes in scatter} == {("log", "linear")}
    errors.loc[errors.index[1], study.reference] = 0.0  # no place on a logarithmic axis
    assert figures.edf_figure(errors, study).axes[place].get_xscale() == "linear"


def test_member_figure_uses_the_closest_member(simulated):
    study, errors, *_ = simulated
    labels = [axes.get_xlabel() for axes in figures.member_figure(errors, study).axes]
    assert ["Digits-5" in label for label in labels] == [True, False, False]


@pytest.mark.parametrize("targets", [1, 5, 12])
def test_no_texts_overlap_or_leave_the_figure(tmp_path, targets):
    study, errors, architectures, repeats = load(
        write_study(tmp_path / "study", plan_with_targets(targets))
    )
    drawn = [
        figures.edf_figure(errors, study),
        figures.reference_figure(errors, study),
        figures.structure_figure(errors, architectures, study, "cum_width"),
        figures.noise_figure(errors, repeats, study),
    ]
    for figure in drawn:
        assert check_texts(figure) > 4 * len(figure.axes)


@pytest.mark.parametrize("archs", [1, 3, 5000])
def test_any_population_size_is_drawn(tmp_path, archs):
    plan = plan_with_targets(1, archs)
    study, errors, architectures, _ = load(write_study(tmp_path / "study", plan))
    figure = figures.reference_figure(errors, study)
    title = figure.axes[0].get_title(loc="left")
    assert f"n = {archs}" in title
    assert ("undefined" in title) == (archs < 4)
    path = figures.save_figure(figure, tmp_path / "figure", ["svg"])[0]
    assert path.stat().st_size < 400_000
    figures.save_figure(
        figures.structure_figure(errors, architectures, study, "cum_depth"), tmp_path / "depth"
    )


def test_a_set_without_errors_says_so(simulated):
    study, errors, architectures, _ = simulated
    errors = errors.assign(faces=np.nan)
    drawn = (
        figures.edf_figure(errors, study),
        figures.reference_figure(errors, study),
        figures.structure_figure(errors, architectures, study, "cum_depth"),
    )
    for figure in drawn:
        texts = " ".join(text.get_text() for text in figure.axes[-1].texts)
        assert "no " in texts


def test_the_same_data_gives_the_same_bytes(simulated, tmp_path, monkeypatch, given_fonttype):
    monkeypatch.setitem(RC, "pdf.fonttype", given_fonttype)
    study, errors, *_ = simulated
    first = figures.save_figure(figures.reference_figure(errors, study), tmp_path / "a")
    second = figures.save_figure(figures.reference_figure(errors, study), tmp_path / "b")
    assert [path.suffix for path in first] == [".svg", ".pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert "<text" in first[0].read_text()


def test_pdfs_hold_truetype_fonts_as_publishers_ask(tmp_path, monkeypatch, given_fonttype):
    figure = panel_grid(1, title_lines=1).figure
    figure.text(0, 0, "ünï → ç Ω")  # letters beyond the first 256 too
    embedded = []
    for kind in (given_fonttype, 3):
        monkeypatch.setitem(RC, "pdf.fonttype", kind)
        (path,) = figures.save_figure(figure, tmp_path / f"type_{kind}", ["pdf"])
        pdf = path.read_bytes()
        embedded.append({name for name in (b"/FontFile2", b"/Type3") if name in pdf})
    assert embedded == [{b"/FontFile2"}, {b"/Type3"}]


def test_the_callers_matplotlib_is_left_as_it_was(simulated):
    study, errors, *_ = simulated
    before = dict(mpl.rcParams)
    figures.edf_figure(errors, study)
    assert dict(mpl.rcParams) == before


def test_nothing_to_draw_is_an_error(simulated):
    study, errors, architectures, repeats = simulated
    with pytest.raises(ConfigError, match="no pairs"):
        figures.scatter_figure(errors, study, [])
    with pytest.raises(ConfigError, match="no finished repeats"):
        figures.noise_figure(errors, repeats.head(0), study)
    with pytest.raises(ConfigError, match="flops"):
        figures.structure_figure(errors, architectures, study, "flops")
