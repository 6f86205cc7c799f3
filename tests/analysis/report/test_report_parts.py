import base64
import json
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from figure_texts import check_texts
from hypothesis import given
from hypothesis import strategies as st
from report_page import Page
from synthetic_study import Plan, plan_of, write_study

from pycls.analysis.figures.population import reference_figure
from pycls.analysis.figures.style import save_figure
from pycls.analysis.figures.training import curves_figure, pack
from pycls.analysis.inputs.curves_csv import MAX_EPOCHS, load_curves, population_curves
from pycls.analysis.inputs.results_csv import error_table, load_results
from pycls.analysis.inputs.study_json import load_study
from pycls.analysis.report import report
from pycls.analysis.report.html_tables import best_html
from pycls.analysis.report.page import compact_svg, svg_pixels
from pycls.analysis.report.page_data import json_text, page_data
from pycls.analysis.report.report import write_report
from pycls.analysis.report.warnings import study_warnings, undone_runs
from pycls.analysis.statistics import spearman
from pycls.analysis.tables.best import best_table, describe
from pycls.analysis.tables.choice import choice_table
from pycls.analysis.tables.heat import (
    PARAMETER,
    driver_heat,
    driver_table,
    matrix_heat,
    parameter_values,
    shade,
    stage_parameters,
)
from pycls.analysis.tables.study_tables import dataset_table, noise_table, pair_table
from pycls.errors import ConfigError

CURVE_HEADER = "run,sweep,arch,seed,epoch,test_top1_err,test_topk_err,train_top1_err,train_topk_err"


class Parts:
    """What the report computes of a study's folder."""

    def __init__(self, folder):
        self.study, self.results = load_study(folder), load_results(folder)
        self.errors = error_table(self.results, self.study)
        self.stages = stage_parameters(self.results, self.study, self.errors.index)
        self.parameters = parameter_values(self.results, self.study, self.errors.index)
        self.pairs = pair_table(self.errors, self.study)
        self.drivers = driver_table(self.errors, self.parameters, self.study)

    def warnings(self, results=None):
        results = self.results if results is None else results
        errors = error_table(results, self.study)
        tables = {
            "datasets": dataset_table(results, self.study),
            "noise": noise_table(errors, results.head(0), self.study),
        }
        return study_warnings(results, self.study, tables)


@pytest.fixture(scope="module")
def parts(study_folder):
    return Parts(study_folder)


def write_curves(folder, lines):
    (folder / "curves.csv").write_text("\n".join([CURVE_HEADER, *lines]) + "\n")


def rewrite(folder, change):
    """Change the rows of results.csv, as texts."""
    table = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    change(table).to_csv(folder / "results.csv", index=False)


# ---- matrices ----


def test_the_matrix_says_what_the_pairs_are(parts):
    heat = matrix_heat(parts.pairs, parts.study, "pairs.csv")
    keys = parts.study.dataset_keys()
    assert [name for name, _ in heat.rows] == list(heat.headers)
    for y, (_, cells) in zip(keys, heat.rows, strict=True):
        for x, cell in zip(keys, cells, strict=True):
            if x == y:
                assert cell.text == ""
                continue
            found = spearman(parts.errors[x], parts.errors[y])
            assert float(cell.text.replace("\N{MINUS SIGN}", "-")) == round(found.rho, 2)
            assert (cell.x, cell.y) == (x, y)
            assert cell.clear == (found.ci_low > 0 or found.ci_high < 0)
            assert f"n = {found.n}" in cell.title


def test_drivers_are_the_parameters_that_differ(parts):
    heat = driver_heat(parts.drivers, parts.study, "drivers.csv")
    names = [name for name, _ in heat.rows]
    assert "cumulative depth" in names
    assert "depth, stage 3" in names
    assert not any(name.startswith(("bottleneck", "group width")) for name in names)  # all equal
    row = parts.drivers.query("dataset == 'faces' and parameter == 'width_2'").iloc[0]
    assert row["rho"] == spearman(parts.stages["width_2"], parts.errors["faces"]).rho
    assert all(cell.x.startswith(PARAMETER) for _, cells in heat.rows for cell in cells)


@given(st.floats(-1, 1))
def test_dark_text_is_readable_on_every_shade(rho):
    colour = shade(rho)
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    background = float(np.dot([0.2126, 0.7152, 0.0722], linear))
    ink = (0x33 / 255 + 0.055) / 1.055
    assert (background + 0.05) / (ink**2.4 + 0.05) >= 4.5  # WCAG 2, level AA
    if rho > 0.1:
        assert parts[2] > parts[0]
    if rho < -0.1:
        assert parts[2] < parts[0]


def test_an_undefined_correlation_has_no_shade(parts):
    pairs = parts.pairs.assign(rho=math.nan, ci_low=math.nan, ci_high=math.nan, p=math.nan)
    cell = matrix_heat(pairs, parts.study, "").rows[0][1][1]
    assert (cell.shade, cell.clear, cell.text) == ("", False, "\N{EN DASH}")


# ---- best architectures, and what choosing costs ----


def test_the_best_are_ranked_with_ties_and_stand_on_the_reference(parts):
    errors = parts.errors.copy()
    errors.loc["a0005", "faces"] = errors.loc["a0009", "faces"] = 0.5
    table = best_table(errors, parts.stages, parts.study)
    assert table.groupby("dataset").size().to_dict() == dict.fromkeys(errors.columns, 3)
    faces = table[table["dataset"] == "faces"]
    assert faces["arch"].tolist()[:2] == ["a0005", "a0009"]
    assert faces["rank"].tolist() == [1, 1, 3]
    expected = int((errors["digits"] < errors.loc["a0009", "digits"]).sum()) + 1
    assert faces["rank_reference"].tolist()[1] == expected
    depths = parts.stages.loc["a0005", ["depth_1", "depth_2", "depth_3"]]
    assert faces["depth"].tolist()[0] == "-".join(f"{int(depth)}" for depth in depths)
    page = best_html(table, parts.study)
    assert all(len(row) == len(page.headers) for row in page.rows)


def test_architectures_of_several_numbers_of_stages_are_described():
    stages = pd.DataFrame(
        {"depth_1": [1.0, 2.0], "depth_2": [3.0, math.nan], "bot_mul_1": [0.25, 1.0]},
        index=["a", "b"],
    )
    assert describe(stages) == ["depth 1-3; 1/b 0.25", "depth 2; 1/b 1"]


def test_what_choosing_costs_by_hand(parts):
    table = choice_table(parts.errors, parts.study)
    row = table.query("target == 'faces' and role == 'reference' and k == 1").iloc[0]
    best = parts.errors["digits"].idxmin()
    lowest = parts.errors["faces"].min()
    assert row["lost"] == pytest.approx(parts.errors.loc[best, "faces"] - lowest)
    assert row["random_lost"] == pytest.approx(parts.errors["faces"].mean() - lowest)
    ten = table.query("target == 'faces' and role == 'reference' and k == 10").iloc[0]
    chosen = parts.errors["digits"].nsmallest(10).index
    assert ten["chosen"] == parts.errors.loc[chosen, "faces"].min()


# ---- training curves ----


def test_curves_are_in_the_metric_of_the_set_and_hold_gaps(parts, tmp_path):
    write_curves(
        tmp_path,
        [
            "digits/000000,digits,a0000,1,1,50.0,5.0,60.0,6.0",
            "digits/000000,digits,a0000,1,2,nan,5.0,inf,6.0",
            "digits/000000,digits,a0000,1,1,40.0,4.0,55.0,6.0",  # started again
            "digits/000002,digits,a0002,1,3,30.0,3.0,35.0,6.0",
            "repeats/000000,repeats,a0000,1,1,99.0,9.0,99.0,9.0",
            "digits/000099,digits,unknown,1,1,99.0,9.0,99.0,9.0",
        ],
    )
    curves = population_curves(load_curves(tmp_path), parts.study, parts.errors.index)
    assert list(curves) == ["digits"]
    digits = curves["digits"]
    assert digits.epochs.tolist() == [1, 2, 3]
    assert digits.test.shape == (len(parts.errors), 3)
    assert digits.test[0, 0] == 40.0
    assert np.isnan(digits.test[0, 1:]).all()
    assert np.isnan(digits.train[0, 1])
    assert digits.test[2, 2] == 30.0
    assert check_texts(curves_figure(curves, parts.study)) > 3


def test_long_training_is_thinned_to_its_ends(parts, tmp_path):
    write_curves(tmp_path, [f"d/0,digits,a0001,1,{e},{100 - e / 10},1,2,3" for e in range(1, 501)])
    digits = population_curves(load_curves(tmp_path), parts.study, parts.errors.index)["digits"]
    assert len(digits.epochs) == MAX_EPOCHS
    assert digits.epochs[[0, -1]].tolist() == [1, 500]
    assert np.diff(digits.epochs).max() <= 9


def test_a_damaged_table_of_curves_is_refused_and_a_missing_one_is_not(parts, tmp_path):
    assert population_curves(load_curves(tmp_path), parts.study, parts.errors.index) == {}
    (tmp_path / "curves.csv").write_text("run,epoch\nx,1\n")
    with pytest.raises(ConfigError, match=r"curves\.csv: expected a CSV table"):
        load_curves(tmp_path)
    write_curves(tmp_path, ["d/0,digits,a0001,1,1,many,1,2,3"])
    with pytest.raises(ConfigError, match="many"):
        load_curves(tmp_path)


@given(st.lists(st.one_of(st.floats(0, 100), st.just(math.nan)), min_size=1, max_size=20))
def test_packed_errors_come_back_to_a_plot_s_precision(errors):
    packed = pack(np.array([errors]))
    bits = "".join(f"{byte:08b}" for byte in base64.b64decode(packed["codes"]))
    codes = [int(bits[at : at + 12], 2) for at in range(0, len(bits), 12)]
    assert codes[len(errors) :] == [4095] * (len(errors) % 2)
    span = packed["high"] - packed["low"]
    for code, error in zip(codes, errors, strict=False):
        if math.isnan(error):
            assert code == 4095
        else:
            found = packed["low"] + code / 4094 * span
            assert found == pytest.approx(error, abs=span / 8000 + 1e-9)


# ---- the embedded data ----


def test_the_data_hold_no_nan_and_nothing_that_html_would_take(parts):
    errors = parts.errors.rename(index={"a0003": "</script><b>&\u2028"})
    stages = parts.stages.set_axis(errors.index)
    parameters = parts.parameters.set_axis(errors.index)
    tables = {"pairs": parts.pairs, "drivers": parts.drivers}
    text = json_text(page_data(errors, stages, parameters, tables, {}, parts.study))
    assert not set("<>&\u2028\u2029") & set(text)
    assert "NaN" not in text
    data = json.loads(text)
    assert data["archs"][3] == "</script><b>&\u2028"
    textures = next(column for column in data["columns"] if column["key"] == "textures")
    assert textures["values"][7] is None  # the failed run
    back = [math.nan if value is None else value for value in textures["values"]]
    np.testing.assert_allclose(back, errors["textures"], atol=5.1e-5)
    assert data["rho"]["digits\tfaces"][1].startswith("n = 32")
    assert data["closest"]["photographs"] == "digits_5"
    with pytest.raises(ValueError, match="JSON"):
        json_text({"error": math.nan})


# ---- figures within the page ----


def test_a_compact_figure_looks_the_same(parts, tmp_path):
    figure = reference_figure(parts.errors, parts.study)
    figure.text(0.5, 0.5, "0.123456 <&> A.7891")
    svg = save_figure(figure, tmp_path / "figure", ("svg",))[0].read_bytes()
    small = compact_svg(svg)
    assert len(small) < 0.5 * len(svg)
    assert b"0.123456 &lt;&amp;&gt; A.7891" in small  # numbers of texts stay
    before, after = drawn(svg), drawn(small)
    assert len(before) == len(after) > 100
    for (tag, x, y, style), (other, u, v, same) in zip(before, after, strict=True):
        assert tag == other
        assert x == pytest.approx(u, abs=0.0601)
        assert y == pytest.approx(v, abs=0.0601)
        assert style == same
    width, height = figure.get_size_inches()
    assert svg_pixels(small) == (round(width * 118), round(height * 118))


def drawn(svg):
    """Return markers, texts and points of lines with the style that they are drawn in."""
    root, found, markers = ET.fromstring(svg), [], {}
    sheet = "".join(e.text or "" for e in root.iter() if e.tag.endswith("}style"))
    classes = dict(re.findall(r"\.(\w+){([^}]*)}", sheet))

    def style_of(element):
        text = element.get("style") or classes.get(element.get("class"), "")
        return dict(re.findall(r"([\w-]+): ([^;]+)", text))

    def walk(element, style):
        own, tag = style_of(element), element.tag.rpartition("}")[2]
        style = style | own
        if tag == "marker":
            markers[f"url(#{element.get('id')})"] = style_of(element[0])
            return
        if "marker" in own:
            numbers = re.findall(r"[\d.]+", element.get("d"))
            places = zip(numbers[::2], numbers[1::2], strict=True)
            found.extend(("use", float(x), float(y), markers[own["marker"]]) for x, y in places)
        elif tag == "path" and re.fullmatch(r"[mML\d.\s-]+", line := element.get("d")):
            numbers = re.findall(r"-?(?:\d+\.?\d*|\.\d+)", line)
            points = np.array(numbers, dtype=float).reshape(-1, 2)
            points = np.cumsum(points, axis=0) if line.startswith("m") else points
            found.extend(("line", x, y, own) for x, y in points)
        elif tag in ("use", "text"):
            place = (float(element.get(name, 0)) for name in "xy")
            found.append((tag, *place, own if tag == "use" else style))
        for child in element:
            walk(child, style)

    walk(root, {})
    return found


# ---- warnings ----


def test_constant_errors_are_named(parts):
    results = parts.results.copy()
    results.loc[results["sweep"] == "faces", "error"] = 12.5
    warnings = parts.warnings(results)
    assert any("all 32 are 12.50 % on Faces" in text for text in warnings)


def test_unequal_epochs_are_named(parts):
    results = parts.results.copy()
    assert not any("epochs" in text for text in parts.warnings())
    results.loc[results["sweep"] == "faces", "epochs"] = 40
    assert any("different numbers of epochs (20 to 40)" in t for t in parts.warnings(results))
    results.loc[results["run"] == "digits/000003", "epochs"] = 10
    assert any("numbers of epochs: 10 to 20 on Digits; their" in t
               for t in parts.warnings(results))  # fmt: skip


def test_accuracies_in_the_place_of_errors_are_named(parts):
    results = parts.results.copy()
    digits = results["sweep"] == "digits"
    results.loc[digits, "error"] = 100 - results.loc[digits, "error"]
    warnings = parts.warnings(results)
    assert any("guessing among classes of one size: 9" in t and "accuracies" in t for t in warnings)
    assert not any("guessing" in text for text in parts.warnings())


def test_runs_without_a_result_are_named_and_many_are_counted(parts):
    results = parts.results.copy()
    assert undone_runs(results) == [("textures", "failed: a0007")]
    results.loc[results["sweep"] == "repeats", "status"] = "missing"
    digits = results["sweep"] == "digits"
    results.loc[digits, "status"] = "missing"
    found = dict(undone_runs(pd.concat([results, results[digits].assign(arch="b")])))
    assert found["repeats"].startswith("missing: a0000 (seed 1), a0000 (seed 2)")
    assert found["digits"].endswith(" and 24 others")


# ---- whole reports of unusual studies ----


@pytest.mark.slow
def test_one_architecture(tmp_path):
    plan = plan_of("digits", "digits_5", "faces", archs=1, failed=(), repeats=0)
    page = Page(write_report(write_study(tmp_path / "one", plan)))
    assert "only 1 error, and" in page.text
    assert "cannot be said" in page.text
    assert not any("nan" in cell.lower() for row in page.rows for cell in row)


@pytest.mark.slow
def test_errors_that_are_constant_or_not_finite(tmp_path, monkeypatch):
    # The paper's outputs of such errors: test_paper_outputs.py.
    monkeypatch.setattr(report, "paper_section", lambda *_: None)
    plan = plan_of("digits", "digits_2", "textures", "faces", archs=8, failed=(), repeats=0)
    folder = write_study(tmp_path / "study", plan)

    def spoil(table):
        table.loc[table["sweep"] == "faces", "error"] = "7.0000"
        table.loc[table["run"] == "textures/000002", "error"] = "nan"
        return table

    rewrite(folder, spoil)
    page = Page(write_report(folder))
    assert "all 8 are 7.00 % on Faces" in page.text
    assert "without a finite error are left out: 1 of Textures." in page.text
    row = next(row for row in page.rows if row[0] == "Faces" and len(row) == 18)
    assert row[2] == "undefined"
    data = re.search(r'id="report-data">(.*?)</script>', (folder / "report" / "index.html")
                     .read_text(), re.DOTALL)[1]  # fmt: skip
    assert "NaN" not in data
    assert json.loads(data)["archs"]


def test_a_row_that_occurs_twice_is_refused(tmp_path):
    folder = write_study(tmp_path / "study", Plan(archs=4, failed=(), repeats=0))
    rewrite(folder, lambda table: pd.concat([table, table.head(1)]))
    with pytest.raises(ConfigError, match="occurs 2 times, on lines 2, 26"):
        write_report(folder)
    assert not (folder / "report").exists()
