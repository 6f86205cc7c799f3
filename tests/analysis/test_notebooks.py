"""The notebooks in sweeps/notebooks: run from start to end, as they are.

They run on simulated studies; PYCLS_STUDIES=studies takes real ones of `make study`,
`make appendix` and sweeps/embedded_spaces.yaml where they are in that folder.
"""

import json
import os
import re

import pytest
from notebooks import NOTEBOOKS, execute, lay_out

from pycls.analysis.inputs.results_csv import error_table, load_results
from pycls.analysis.inputs.study_json import load_study
from pycls.analysis.statistics import spearman

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Return a folder laid out like the repository after the studies were run."""
    root = tmp_path_factory.mktemp("clone")
    lay_out(root, os.environ.get("PYCLS_STUDIES"))
    return root


@pytest.fixture
def run(clone, tmp_path):
    """Return a function (name) -> outputs of a notebook: its texts, and how many pictures."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")

    def run(name):
        notebook = execute(clone / "sweeps" / "notebooks" / f"{name}.ipynb", tmp_path)
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
        shown = [output["data"] for output in outputs if "data" in output]
        texts = [output["text"] for output in outputs if "text" in output]
        texts += [data["text/plain"] for data in shown]
        return "\n".join(texts), sum("image/png" in data for data in shown)

    return run


def test_there_is_one_for_each_thing_to_do():
    assert [path.stem for path in NOTEBOOKS] == [
        "bring_your_own_data_set", "compare_design_spaces", "explore_a_study",
        "reproduce_the_papers_figures",
    ]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_holds_no_results(path):
    assert path.stat().st_size < 20_000
    text = path.read_text()
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)
    cells = json.loads(text)["cells"]
    assert cells[0]["cell_type"] == "markdown"
    assert cells[0]["source"][0].startswith("# ")
    assert cells[-1]["cell_type"] == "markdown"
    for cell in cells:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
            # The public surface only.
            assert not re.search(r"(import|\.) _\w|pycls\S*\._", "".join(cell["source"]))


def test_explore_a_study(run, clone):
    text, pictures = run("explore_a_study")
    assert pictures == 3
    folder = clone / "studies" / "embedded"
    study = load_study(folder)
    errors = error_table(load_results(folder), study)
    for target in study.targets:
        found = spearman(errors[study.reference], errors[target])
        line = next(
            line for line in text.splitlines() if line.startswith(f"{study.dataset_title(target)} ")
        )
        assert f"rho {found.rho:5.2f} [{found.ci_low:5.2f}, {found.ci_high:5.2f}]" in line
        assert f"n = {found.n}," in line


def test_compare_design_spaces(run, clone):
    text, pictures = run("compare_design_spaces")
    assert pictures == 3
    spaces = load_study(clone / "studies" / "embedded_spaces").spaces()
    assert len(spaces) == 3
    assert all(re.search(rf"\d  +{space} ", text) for space in spaces)


def test_bring_your_own_data_set(run):
    text, pictures = run("bring_your_own_data_set")
    assert pictures == 1
    assert "images per class: [60 60 60]" in text
    # Two of three would be wrong by chance, and with mixed-up labels.
    assert float(re.search(r"'final_top1_err': ([\d.]+)", text)[1]) < 40
    assert re.search(r"patterns +patterns +24 +10 +180 \+ 60", text)


def test_reproduce_the_papers_figures(run, clone):
    text, pictures = run("reproduce_the_papers_figures")
    assert pictures == 2
    assert "closest_member" in text
    paper = clone / "studies" / "embedded" / "paper"
    written = {path.name for path in paper.iterdir()}
    assert {"fig3.svg", "fig3_data.csv", "fig7a.svg", "table3.csv", "table3.tex"} <= written
