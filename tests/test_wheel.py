"""What is installed from a built wheel is complete."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import pycls
from pycls.command_names import TOOLS

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


def test_its_commands_work_from_an_empty_folder(installed, tmp_path):
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")
    commands = configparser.ConfigParser()
    commands.read(entry_points)
    assert dict(commands["console_scripts"]) == dict.fromkeys(TOOLS.values(), "pycls_studies:main")
    code = "import sys, pycls_studies; sys.argv[0] = '/bin/pycls-study'; pycls_studies.main()"
    process = subprocess.run(
        [sys.executable, "-c", code, "plan", "sweeps/imagenet_as_basis/small.yaml"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"({installed / 'pycls' / 'sweeps'}" in process.stdout
    assert "'pycls-data list' says how" in process.stdout
    assert "tools/" not in process.stdout


def test_its_metadata(installed):
    (metadata,) = installed.glob("*.dist-info/METADATA")
    text = metadata.read_text()
    assert f"Version: {pycls.__version__}" in text
    assert (installed / "pycls" / "py.typed").is_file()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == pycls.__version__
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert first is not None
    assert first[1] == pycls.__version__
