"""What is installed from a built wheel is complete."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "pycls", "configs")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return the folder that holds the content of a wheel built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, source / name)
    subprocess.run(
        [
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
            "--no-index", "--disable-pip-version-check", "--wheel-dir", folder, source,
        ],
        check=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    return folder / "installed"


def test_it_holds_every_file_of_the_package(installed):
    expected = {
        path.relative_to(ROOT)
        for path in (ROOT / "pycls").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len({path for path in expected if path.suffix != ".py"}) > 5
    assert expected - {path.relative_to(installed) for path in installed.rglob("*")} == set()


def test_it_works_without_the_checkout(installed, tmp_path):
    code = (
        "import pycls; from pycls.models import list_models, regnetx; "
        "from pycls.analysis.report.page import render_page; "
        "print(pycls.__file__, len(list_models())); regnetx('400MF')"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    place, models = process.stdout.split()
    assert Path(place).is_relative_to(installed)
    assert int(models) > 30
