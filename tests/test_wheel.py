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
NOT_SOURCE = (
    ".*",
    "__pycache__",
    "*.egg-info",
    "build",
    "dist",
    "studies",
    "data",
    "runs",
    "report",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return the folder that holds the content of a wheel built from an sdist of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # At the top only: pycls/ and tests/ have folders of these names, too.
    shutil.copytree(
        ROOT, source,
        ignore=lambda parent, names: shutil.ignore_patterns(
            *(NOT_SOURCE if Path(parent) == ROOT else NOT_SOURCE[:2])
        )(parent, names),
    )  # fmt: skip
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, stdout=subprocess.DEVNULL)
    (sdist,) = folder.glob("*.tar.gz")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
            "--no-index", "--disable-pip-version-check", "--wheel-dir", folder, sdist,
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
