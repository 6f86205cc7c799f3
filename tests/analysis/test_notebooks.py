"""The notebooks in sweeps/notebooks: run from start to end, as they are.

They run on simulated studies; PYCLS_STUDIES=studies takes real ones of `make study`,
`make appendix` and sweeps/embedded_spaces.yaml where they are in that folder.
"""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from synthetic_appendix import write_appendix
from synthetic_spaces import write_spaces
from synthetic_study import Plan, write_study

from pycls.analysis.inputs.results_csv import error_table, load_results
from pycls.analysis.inputs.study_json import load_study
from pycls.analysis.statistics import spearman

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "sweeps" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
REAL = os.environ.get("PYCLS_STUDIES")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Return a folder laid out like the repository after the studies were run."""
    root = tmp_path_factory.mktemp("clone")
    shutil.copytree(FOLDER, root / "sweeps" / "notebooks")
    for name in ("configs", "tools"):
        (root / name).symlink_to(ROOT / name)
    studies = root / "studies"
    studies.mkdir()
    for folder in Path(REAL).glob("embedded*") if REAL else ():
        (studies / folder.name).mkdir()
        for path in [*folder.glob("*.csv"), *folder.glob("*.json")]:
            shutil.copy(path, studies / folder.name)
    if not (studies / "embedded").exists():
        write_study(studies / "embedded", Plan(archs=16, topk=True))
        write_appendix(studies / "embedded_appendix", studies / "embedded")
    if not (studies / "embedded_spaces").exists():
        write_spaces(studies / "embedded_spaces")
    return root


@pytest.fixture
def sockets():
    """How to talk to a kernel: files, since another process may take a port that was free."""
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has 100 letters at most
        yield {"transport": "ipc", "connection_file": f"{folder}/kernel.json"}


@pytest.fixture
def run(clone, tmp_path, sockets):
    """Return a function (name) -> outputs of a notebook: its texts, and how many pictures."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    traitlets_config = pytest.importorskip("traitlets.config")
    pytest.importorskip("ipykernel")

    def run(name):
        folder = clone / "sweeps" / "notebooks"
        notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        client = nbclient.NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            config=traitlets_config.Config(KernelManager=sockets),
        )
        private = {"IPYTHONDIR": tmp_path / "ipython", "TMPDIR": tmp_path, "OMP_NUM_THREADS": 1}
        client.execute(env={**os.environ, **{key: str(value) for key, value in private.items()}})
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
