"""Every figure and table of the paper, from a simulated study whose ranks are known."""

import contextlib
import csv
import re
import shutil
import warnings
from dataclasses import replace
from functools import lru_cache, partial
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from figure_texts import check_texts
from scipy.stats import spearmanr
from simulated_study import (
    CLOSEST,
    FAMILY,
    REFERENCE,
    TARGETS,
    WANTED,
    Simulation,
    write_collection,
)
from synthetic_appendix import write_pair
from synthetic_spaces import write_spaces
from synthetic_study import Plan, write_study

from pycls.analysis.figures.population import FIGURE_3
from pycls.analysis.figures.style import ORANGE, RED
from pycls.analysis.inputs.collection import MissingRuns, load_collection
from pycls.analysis.paper import write
from pycls.analysis.paper.outputs import OUTPUTS
from pycls.analysis.paper.published import TABLE_3, TABLE_4
from pycls.analysis.paper.write import write_outputs
from pycls.analysis.wording import MINUS, RHO
from pycls.errors import ConfigError

pytestmark = pytest.mark.slow

FIGURES = [key for key, output in OUTPUTS.items() if output.kind == "figure"]
PAPER = (
    *("fig1", "fig3", "fig4", "fig5", "fig6", "fig7a", "fig7b", "fig_a1", "fig_a2a", "fig_a2b"),
    *("fig_a3", "fig_a4a", "fig_a4b", "fig_a5a", "fig_a5b", "fig_a6", "fig_a7", "fig_a8"),
    *("table1", "table2", "table3", "table4", "table_a1"),
)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return write_collection(tmp_path_factory.mktemp("simulated"))


@pytest.fixture(scope="module")
def collection(simulated):
    return load_collection(simulated)


@pytest.fixture(scope="module")
def drawn(collection):
    """Return a function (key) -> the figure of the simulated study, which is drawn once."""
    return lru_cache(lambda key: OUTPUTS[key].make(collection))


@pytest.fixture(scope="module")
def written(simulated, collection, drawn):
    """Outputs by key, figures as SVG."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "load_collection", lambda _: collection)
        for key in FIGURES:
            make = partial(lambda figure, _: figure, drawn(key))
            patch.setitem(OUTPUTS, key, replace(OUTPUTS[key], make=make))
        return {each.key: each for each in write_outputs(simulated, formats=("svg",))}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A collection of another name and other data sets: roles decide what is shown."""
    folder = tmp_path_factory.mktemp("small")
    write_pair(folder)
    return load_collection(folder / "base")


@pytest.fixture(scope="module")
def truth(simulated):
    """Errors of all sweeps read without the package: {sweep: {arch: error}}."""
    errors = {}
    for path in simulated.parent.glob("*/results.csv"):
        with path.open() as file:
            for row in csv.DictReader(file):
                if row["error"]:
                    errors.setdefault(row["sweep"], {})[row["arch"]] = float(row["error"])
    return errors


@pytest.fixture(scope="module")
def sums(simulated):
    table = pd.read_csv(simulated / "results.csv").drop_duplicates("arch").set_index("arch")
    return {name: table[name].to_dict() for name in ("cum_depth", "cum_width")}


def test_planted_rhos_come_out_of_tables_3_and_4(tmp_path):
    folder = Simulation(500, 1, exact=True).write_main(tmp_path)
    entries = {each.key: each for each in write_outputs(folder, only=["table3", "table4"])}
    found = read(entries["table3"], "table3.csv").set_index("target")
    columns = ["rho_reference", "rho_member"]
    for key, rhos in TABLE_3.items():
        assert found.loc[key, columns].tolist() == pytest.approx(rhos, abs=0.002), key
    averages = np.mean(list(TABLE_3.values()), axis=0)
    assert averages == pytest.approx([0.19, 0.5], abs=5e-4)
    assert found.loc["average", columns].tolist() == pytest.approx(averages, abs=0.001)
    found = read(entries["table4"], "table4.csv").set_index("dataset")
    columns = ["rho_cum_depth", "rho_cum_width"]
    for key, rhos in TABLE_4.items():
        assert found.loc[key, columns].tolist() == pytest.approx(rhos, abs=0.002), key


def rho(x, y):
    both = sorted(set(x) & set(y))
    return spearmanr([x[arch] for arch in both], [y[arch] for arch in both]).statistic, len(both)


def read(entry, name):
    path = next(path for path in entry.paths if path.name == name)
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def test_list_is_the_papers():
    assert set(OUTPUTS) == set(PAPER)


def test_every_output_is_written(written):
    assert {key: each.reason for key, each in written.items() if each.reason} == {}
    for key, each in written.items():
        suffixes = {path.suffix for path in each.paths}
        assert suffixes == ({".svg", ".csv"} if OUTPUTS[key].kind == "figure" else {".csv", ".tex"})
        assert all(path.stat().st_size > 0 for path in each.paths)
        assert "{" not in each.caption


def test_simulation_has_the_wanted_ranks(truth, sums):
    """Within what ties and the last steps of a set's errors change."""
    for key, (reference, member, depth, width) in WANTED.items():
        others = (truth[REFERENCE], truth.get(CLOSEST.get(key)), sums["cum_depth"])
        for wanted, other in zip(
            (reference, member, depth, width), (*others, sums["cum_width"]), strict=True
        ):
            if wanted is not None:
                assert rho(truth[key], other)[0] == pytest.approx(wanted, abs=0.06)


@pytest.mark.parametrize("key", ["fig3", "fig4", "fig5", "fig6", "fig_a8"])
def test_rhos_of_pairs_are_the_simulated_ones(key, written, truth):
    table = read(written[key], f"{key}_rho.csv")
    for row in table.to_dict("records"):
        value, n = rho(truth[row["x_name"]], truth[row["y_name"]])
        assert row["rho"] == pytest.approx(value, abs=5.1e-5)
        assert row["n"] == n
        assert row["ci_low"] < row["rho"] < row["ci_high"]
    pairs = set(zip(table["x_name"], table["y_name"], strict=True))
    assert (
        pairs
        == {
            "fig3": {(REFERENCE, key) for key in TARGETS},
            "fig4": {(REFERENCE, key) for key in FAMILY},
            "fig5": {(CLOSEST[key], key) for key in TARGETS},
            "fig6": {
                (x, y)
                for x in (REFERENCE, "imagenet_1000_10", "imagenet_10")
                for y in ("cifar10", "natural", "powerline")
            },
            "fig_a8": set(combinations([REFERENCE, *(k for k in FIGURE_3 if k != "concrete")], 2)),
        }[key]
    )
    if key in ("fig3", "fig_a8"):  # as published: these in the first rows
        of_reference = table["y_name"][table["x_name"] == REFERENCE]
        assert list(of_reference)[:4] == ["insects", "mlc2008", "ham10000", "cifar100"]


@pytest.mark.parametrize(("key", "column"), [("fig7a", "cum_depth"), ("fig7b", "cum_width")])
def test_rhos_with_structure_are_the_simulated_ones(key, column, written, truth, sums):
    table = read(written[key], f"{key}_rho.csv")
    assert list(table["x_name"]) == [
        *("imagenet", "insects", "ham10000", "powerline", "natural", "cifar100")
    ]
    for row in table.to_dict("records"):
        assert row["rho"] == pytest.approx(rho(truth[row["x_name"]], sums[column])[0], abs=5.1e-5)


@pytest.mark.parametrize("key", ["fig_a1", "fig_a5b"])
def test_rhos_of_control_experiments_are_the_simulated_ones(key, written, truth):
    for row in read(written[key], f"{key}_rho.csv").to_dict("records"):
        value, _ = rho(truth[row["x_name"]], truth[row["y_name"]])
        assert row["rho"] == pytest.approx(value, abs=5.1e-5)


def test_pretraining_is_compared_on_the_same_architectures(written, truth):
    table = read(written["fig_a6"], "fig_a6_rho.csv")
    assert len(table) == 2 * (len(TARGETS) - 1)
    for row in table.to_dict("records"):
        of, how = row["y_name"].split()
        errors = truth[f"{of}_pretrained"] if how == "pretrained" else truth[of]
        both = set(truth[of]) & set(truth[f"{of}_pretrained"])
        chosen = {arch: errors[arch] for arch in both}
        assert row["rho"] == pytest.approx(rho(truth[REFERENCE], chosen)[0], abs=5.1e-5)


def test_titles_of_panels_say_these_rhos(written):
    """What a reader sees in the file is what the table beside it says."""
    text = next(p for p in written["fig3"].paths if p.suffix == ".svg").read_text()
    shown = re.findall(rf"{RHO} = ({MINUS}?\d\.\d\d), n = (\d+)", text)
    table = read(written["fig3"], "fig3_rho.csv")
    assert [(r.replace(MINUS, "-"), int(n)) for r, n in shown] == [
        (f"{row.rho:.2f}", row.n) for row in table.itertuples()
    ]


def test_table_3_stands_beside_the_published_numbers(written, truth):
    table = read(written["table3"], "table3.csv").set_index("target")
    for key in TARGETS:
        row = table.loc[key]
        assert row["rho_reference"] == pytest.approx(rho(truth[REFERENCE], truth[key])[0], abs=5e-5)
        assert row["closest_member"] == CLOSEST[key]
        assert row["rho_member"] == pytest.approx(rho(truth[CLOSEST[key]], truth[key])[0], abs=5e-5)
    assert table.loc["powerline", "published_reference"] == -0.436
    assert table.loc["mlc2008", "published_member"] == 0.811
    assert table.loc["average", ["published_reference", "published_member"]].tolist() == [
        0.19,
        0.507,
    ]
    mean = table.loc[list(TARGETS), "rho_member"].mean()
    assert table.loc["average", "rho_member"] == pytest.approx(mean, abs=1e-4)


def test_table_4_stands_beside_the_published_numbers(written, truth, sums):
    table = read(written["table4"], "table4.csv").set_index("dataset")
    assert list(table.index) == [REFERENCE, *FAMILY]
    for key, row in table.iterrows():
        for column, values in sums.items():
            assert row[f"rho_{column}"] == pytest.approx(rho(values, truth[key])[0], abs=5e-5)
    assert table["published_cum_depth"].tolist() == [-0.205, -0.022, 0.249, 0.51, 0.425]
    assert table["published_cum_width"].tolist() == [-0.511, -0.558, -0.457, -0.338, -0.179]


def test_table_a1_stands_beside_the_published_numbers(written):
    table = read(written["table_a1"], "table_a1.csv").set_index("network")
    assert table["published"].to_dict() == {
        "ResNet-56": 5.91, "ResNet-110": 5.23, "AnyNet-56": 5.68, "AnyNet-110": 5.59,
    }  # fmt: skip
    assert table.loc["ResNet-56", "error"] == 5.87


def test_only_the_published_study_has_published_numbers(small):
    assert not [name for name in OUTPUTS["table3"].make(small) if "published" in name]
    assert not [name for name in OUTPUTS["table4"].make(small) if "published" in name]


def test_best_ten_are_orange_and_worst_ten_red(drawn, truth):
    for axes, key in zip(drawn("fig3").axes, FIGURE_3, strict=True):
        errors = sorted(truth[key][arch] for arch in truth[key])
        shown = {line.get_color(): sorted(line.get_ydata()) for line in axes.get_lines()}
        assert shown[ORANGE] == pytest.approx(errors[:10])
        assert shown[RED] == pytest.approx(errors[-10:])


def test_best_architectures_are_those_of_lowest_error(written, truth, simulated):
    table = read(written["fig_a7"], "fig_a7_data.csv")
    archs = pd.read_csv(simulated / "results.csv").drop_duplicates("arch").set_index("arch")
    rows = table[(table["dataset"] == "natural") & (table["parameter"] == "bottleneck")]
    order = sorted(truth["natural"], key=lambda arch: (truth["natural"][arch], arch))
    ratios = 1 / archs.loc[order[:15], [f"bot_mul_{stage}" for stage in (1, 2, 3, 4)]]
    assert rows["best"].tolist() == ratios.iloc[0].tolist()
    assert rows["mean"].tolist() == pytest.approx(ratios.mean().tolist(), abs=1e-4)
    assert rows["sd"].tolist() == pytest.approx(ratios.std(ddof=1).tolist(), abs=1e-4)


def test_balancing_cuts_the_largest_class_only(written):
    table = read(written["fig_a5a"], "fig_a5a_data.csv")
    before, after = (
        table[table["dataset"] == key].set_index("class")["images"]
        for key in ("ham10000", "ham10000_balanced")
    )
    assert after["nv"] == before["mel"] == after["mel"]
    assert (after.drop("nv") == before.drop("nv")).all()


@pytest.mark.parametrize("key", FIGURES)
def test_figures_are_legible(key, drawn, small):
    """No text on another or outside, at the widths of a journal, in letters of 7 points."""
    figures = [drawn(key)]
    with contextlib.suppress(MissingRuns):
        figures.append(OUTPUTS[key].make(small))
    for figure in figures:
        assert check_texts(figure) > 3
        assert figure.get_figwidth() <= 178 / 25.4 + 1e-6
        sizes = {text.get_fontsize() for text in figure.findobj(mpl.text.Text) if text.get_text()}
        assert min(sizes) >= 7


def test_data_sets_are_chosen_by_role(small):
    """Where the paper's sets are not there: lowest and highest rho, most harm by depth."""
    numbers = OUTPUTS["fig1"].numbers(small)["rho"]
    rhos = {key: small.rho("digits", key) for key in small.targets}
    ends = [min(rhos, key=rhos.get), max(rhos, key=rhos.get)]
    assert list(numbers["y_name"]) == ["digits", *ends]
    assert set(OUTPUTS["fig7a"].numbers(small)["rho"]["x_name"]) == {"digits", *small.targets}


def test_missing_runs_are_named(tmp_path):
    folder = write_study(tmp_path / "alone", Plan(repeats=0))
    entries = {each.key: each for each in write_outputs(folder, formats=("svg",))}
    skipped = {key for key, each in entries.items() if each.reason}
    assert skipped == {
        *("fig6", "fig_a1", "fig_a2a", "fig_a2b", "fig_a3", "fig_a5a", "fig_a5b", "fig_a6"),
        *("table_a1",),
    } | {key for key in ("fig_a4a",) if entries[key].reason}
    assert "control: stem or duration" in entries["fig_a1"].reason
    assert "fewer images" in entries["fig6"].reason
    assert all(not entries[key].paths for key in skipped)


def test_study_without_reference_has_its_tables_of_facts(tmp_path):
    entries = {each.key: each for each in write_outputs(write_spaces(tmp_path / "spaces"))}
    assert {key for key, each in entries.items() if each.paths} >= {"table1", "table2"}
    assert "no reference" in entries["fig3"].reason


def test_files_of_outputs_that_cannot_be_made_any_more_are_removed(tmp_path):
    folder = write_pair(tmp_path).parent / "base"
    first = {each.key: each for each in write_outputs(folder, only=["fig_a6"])}
    assert all(path.is_file() for path in first["fig_a6"].paths)
    mine = folder / "paper" / "fig_a6_notes.txt"
    mine.write_text("mine")
    shutil.rmtree(tmp_path / "appendix")
    again = write_outputs(folder, only=["fig_a6"])
    assert again[0].reason
    assert not any(path.exists() for path in first["fig_a6"].paths)
    assert mine.is_file()


def test_all_formats_and_the_same_bytes_again(tmp_path, small):
    folder = tmp_path / "out"
    first = write_outputs(small.folder, folder, ["fig4", "table4"])
    before = {path: path.read_bytes() for each in first for path in each.paths}
    write_outputs(small.folder, folder, ["fig4", "table4"])
    assert {path.suffix for path in before} == {".svg", ".pdf", ".png", ".csv", ".tex"}
    assert all(path.read_bytes() == data for path, data in before.items())
    assert before[folder / "fig4.png"].startswith(b"\x89PNG")
    assert before[folder / "fig4.pdf"].startswith(b"%PDF")


def test_unknown_keys_and_formats_are_refused(small, tmp_path):
    with pytest.raises(ConfigError, match=r"fig99.*fig1, table1"):
        write_outputs(small.folder, tmp_path / "out", ["fig99"])
    with pytest.raises(ConfigError, match=r"gif.*svg, pdf, png"):
        write_outputs(small.folder, tmp_path / "out", formats=["gif"])
    assert not (tmp_path / "out").exists()


def damage(folder, change):
    table = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    change(table)
    table.to_csv(folder / "results.csv", index=False)


def constant(table):
    table.loc[table["sweep"] == "textures", ["error", "final_top1_err"]] = "12.5"
    table.loc[table["sweep"] == "digits_2", ["error", "final_train_top1_err"]] = "0.0"
    table.loc[table["sweep"] == "photographs", "error"] = "nan"
    names = ["error", "final_top1_err", "final_train_top1_err"]
    table.loc[table["sweep"].isin(["faces", "digits_2"]), names] = "0.0"


def no_target(table):
    rows = table["sweep"] == "faces"
    table.loc[rows, "status"] = "failed"
    table.loc[rows, [name for name in table if name.endswith(("err", "error"))]] = ""


def no_reference(table):
    rows = table["dataset"] == "digits"
    table.loc[rows, "status"] = "missing"
    table.loc[rows, [name for name in table if name.endswith(("err", "error"))]] = ""


@pytest.mark.parametrize("change", [constant, no_target, no_reference])
def test_poor_results_are_drawn_or_named(change, tmp_path):
    write_pair(tmp_path, Plan(archs=12, topk=True))
    damage(tmp_path / "base", change)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        entries = {each.key: each for each in write_outputs(tmp_path / "base", formats=("svg",))}
    assert all(bool(each.paths) != bool(each.reason) for each in entries.values())
    assert bool(entries["fig3"].reason) == (change is no_reference)


def test_one_architecture(tmp_path):
    folder = write_study(tmp_path / "few", Plan(archs=1, repeats=2, failed=()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        entries = {each.key: each for each in write_outputs(folder, formats=("svg",))}
    assert entries["fig3"].paths
    assert np.isnan(read(entries["table3"], "table3.csv")["rho_reference"]).all()


def test_long_names_fit(tmp_path):
    """Titles decide how many panels stand side by side; longer ones are shortened."""
    write_pair(tmp_path)
    path = tmp_path / "base" / "study.json"
    text = path.read_text().replace("Photograph patches", "Photographs of rare insects, cut out")
    path.write_text(text.replace('"Faces"', '"Faces & <signs> 100 % $x_1$"'))
    each = load_collection(tmp_path / "base")
    for key in ("fig1", "fig3", "fig5", "fig7a", "fig_a7"):
        check_texts(OUTPUTS[key].make(each))
    entry = write_outputs(tmp_path / "base", only=["table3"])[0]
    tex = next(path for path in entry.paths if path.suffix == ".tex").read_text()
    assert r"Faces \& \textless{}signs\textgreater{} 100 \% \$x\_1\$" in tex
