"""Installs the wheel (or the sdist) for a Python and carries a study of one's own images through.

    python dev/smoke_test.py --python python3.12 [--sdist] [--packages-of .venv]

Builds it and installs it in fresh virtual environments in a temporary folder, and runs, in an empty
folder, what the first tutorial does in small: prepare a folder of images, write a
study file, plan, run, report. Fails with the first command that does.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_SOURCE = (".*", "__pycache__", "*.egg-info", "build", "dist", "studies", "data", "runs", "site")
MAKE_IMAGES = """
import numpy, pathlib, PIL.Image
random = numpy.random.default_rng(0)
for side, count in (("train", 24), ("test", 12)):
    for label in range(3):
        folder = pathlib.Path("photographs", side, f"kind{label}")
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 60, (32, 32, 3))
            pixels[8 * label : 8 * label + 8, :, label] += 150
            PIL.Image.fromarray(pixels.astype("uint8")).save(folder / f"{number}.png")
"""
COMMANDS = (
    "pycls-data prepare folder --raw photographs --name mine --size 16",
    "pycls-study init mine --architectures 2",
    "pycls-study plan mine.yaml",
    "pycls-study run mine.yaml --jobs 1 --threads 1",
    "pycls-study report mine.yaml",
    "pycls-study plan sweeps/embedded.yaml",
    "pycls-info configs/dds_baselines/regnetx/RegNetX-400MF_dds_8gpu.yaml",
)


def main() -> None:
    """Build, install and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="interpreter (default: this one)")
    parser.add_argument("--sdist", action="store_true", help="install the sdist")
    parser.add_argument(
        "--packages-of", metavar="VENV", type=Path,
        help="use the packages of an environment of the same Python instead of installing them",
    )  # fmt: skip
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = _build(folder, args.python, "*.tar.gz" if args.sdist else "*.whl")
        binaries = _install(folder / "venv", archive, args.python, args.packages_of)
        _try(folder / "empty", binaries)
    print(f"works: {archive.name}")


def _build(folder: Path, python: str, pattern: str) -> Path:
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=_ignored)
    pip = _make_environment(folder / "build", python)
    _call([*pip, "install", "setuptools>=77"])
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    _call([folder / "build/bin/python", "-c", code], cwd=source, stdout=subprocess.DEVNULL)
    (sdist,) = folder.glob("*.tar.gz")
    _call([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, sdist])
    (archive,) = folder.glob(pattern)
    return archive


def _ignored(parent: str, names: list[str]) -> set[str]:
    # At the top only: the package has folders of some of these names.
    patterns = NOT_SOURCE if Path(parent) == ROOT else NOT_SOURCE[:2]
    return shutil.ignore_patterns(*patterns)(parent, names)


def _install(venv: Path, archive: Path, python: str, packages_of: Path | None) -> Path:
    pip = _make_environment(venv, python)
    if packages_of is None:
        _call([*pip, "install", archive])
    else:
        (theirs,) = packages_of.absolute().glob("lib/python*/site-packages")
        (ours,) = venv.glob("lib/python*/site-packages")
        (ours / "packages.pth").write_text(f"{theirs}\n")
        _call([*pip, "install", "--no-deps", archive])
    return venv / "bin"


def _make_environment(folder: Path, python: str) -> list:
    """Make a virtual environment; return the start of the command that is its pip."""
    _call([python, "-m", "venv", folder])
    return [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet"]


def _try(folder: Path, binaries: Path) -> None:
    folder.mkdir()
    _call([binaries / "python", "-c", MAKE_IMAGES], cwd=folder)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYCLS"))}
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        name, *words = command.split()
        _call([binaries / name, *words], cwd=folder, env=environment)
        if words[0] == "init":
            study = folder / "mine.yaml"
            text = re.sub(r"MAX_EPOCH: \d+", "MAX_EPOCH: 1", study.read_text(encoding="utf-8"))
            study.write_text(text, encoding="utf-8")
    report = folder / "studies" / "mine" / "report" / "index.html"
    if "mine" not in report.read_text(encoding="utf-8"):
        sys.exit(f"{report}: no report of the study")


def _call(command: list, **options: object) -> None:
    done = subprocess.run(list(map(str, command)), check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}")


if __name__ == "__main__":
    main()
