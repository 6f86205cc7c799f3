"""docs/extending.md is true: its examples are carried out on a copy of the package.

A code block whose info string holds `file=PATH` is added to that file, at its end, or where
`after=` (or `before=`) quotes a line of it; the file is made where it does not exist. Blocks with
`run` are executed then. Each section says how many files its kind of thing takes.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "extending.md"
BLOCK = re.compile(r"^```(\w+)[ ]+([^\n]*)\n(.*?)^```$", re.M | re.S)
COPIED = ("pycls", "tools", "configs", "sweeps")


def sections():
    """Return {heading: text} of the examples."""
    parts = re.split(r"^## ", PAGE.read_text(), flags=re.M)[1:]
    return dict(part.split("\n", 1) for part in parts)


def add(path, code, info):
    """Add a block's code to a file, where its info string says."""
    place = re.search(r'(after|before)="([^"]*)"', info)
    if place is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.read_text() if path.is_file() else ""
        path.write_text(f"{old}\n\n{code}" if old else code)
        return
    lines = path.read_text().split("\n")
    (number,) = [i for i, line in enumerate(lines) if line.strip() == place[2]]
    lines[number + (place[1] == "after") : number + (place[1] == "after")] = code.rstrip().split(
        "\n"
    )
    path.write_text("\n".join(lines))


@pytest.mark.slow
@pytest.mark.parametrize("heading", sections())
def test_example_works(heading, tmp_path):
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pycls_studies.py", tmp_path)
    text = sections()[heading]
    files, runs = set(), []
    for language, info, code in BLOCK.findall(text):
        if file := re.search(r"file=(\S+)", info):
            add(tmp_path / file[1], code, info)
            files.add(file[1])
        elif info.startswith("run"):
            runs.append((language, code))
    assert runs, "an example that is not tried"
    said = re.search(r"^Files: (\d+)", text, re.M)
    assert said is not None
    assert len(files) == int(said[1])
    programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": programs}
    for language, code in runs:
        command = [sys.executable, "-c", code] if language == "python" else ["sh", "-e", "-c", code]
        process = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, process.stderr
