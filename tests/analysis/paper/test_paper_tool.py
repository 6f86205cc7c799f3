import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from synthetic_study import write_study

from pycls.analysis.paper.outputs import OUTPUTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
TOOL = ROOT / "tools" / "figures.py"
DOCS = ROOT / "docs" / "figures.md"


def test_command_writes_what_is_named_and_says_what_lacks_runs(tmp_path):
    folder = write_study(tmp_path / "study")
    command = [sys.executable, TOOL, folder, "--only", "table3", "fig_a6"]
    done = subprocess.run([*command, "--out", tmp_path / "out"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["table3", "table3.csv", "table3.tex"]
    assert lines[1].startswith(
        "fig_a6    skipped: Neither the study nor a collected one beside it has"
    )
    assert lines[2] == f"1 of 2 figures and tables written, in {tmp_path / 'out'}"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("table3.csv", "table3.tex")
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "study.json: no such file; expected the folder of a study"),
        (["nowhere", "--only", "fig2"], "output 'fig2': expected some of fig1, "),
        ([], "name a study's folder, or --list"),
    ],
)
def test_mistakes_are_explained(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(TOOL), *arguments])
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # a tool changes it
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(TOOL), run_name="__main__")
    assert done.value.code == 2
    assert message in capsys.readouterr().err


def test_documentation_has_every_output():
    text = DOCS.read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")]
    assert [row.strip("`") for row in rows if row != "key"] == list(OUTPUTS)
