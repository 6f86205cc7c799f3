"""Dependencies point one way, and what must stay light does."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("core", "models", "datasets", "zoo", "sweep", "analysis")

# What a part of the package may import, beside itself and the modules at its root.
ALLOWED = {
    "": set(),
    "models": set(),
    "datasets": set(),
    "core": {"models", "datasets"},
    "zoo": {"core", "models"},
    "sweep": {"core", "models", "datasets"},
    "analysis": set(),
}
# pycls.models offers the zoo's constructors under its own name, imported on first use.
FRONT_DOORS = {("pycls/models/__init__.py", "zoo")}
FORBIDDEN = {
    "analysis": {"torch", "torchvision", "submitit"},
    "models": {"matplotlib", "submitit", "pandas"},
    "datasets": {"submitit", "pandas"},
    "core": {"matplotlib", "submitit", "pandas"},
    "zoo": {"matplotlib", "submitit", "pandas"},
    "sweep": {"matplotlib"},
}


def imports_of(path):
    """Return every module that a file imports, at its top or inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part_of(module):
    """Return the part that a module name lies in; "" for the package's root, else None."""
    pieces = module.split(".")
    if pieces[0] != "pycls":
        return None
    return pieces[1] if len(pieces) > 1 and pieces[1] in PARTS else ""


def package_files():
    return sorted((ROOT / "pycls").rglob("*.py"))


def test_every_part_is_looked_at():
    found = {part_of(".".join(p.relative_to(ROOT).with_suffix("").parts)) for p in package_files()}
    assert found == set(ALLOWED)


@pytest.mark.parametrize("path", package_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    part = part_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for name in imports_of(path):
        assert not name.startswith(("tools", "dev", "tests")), name
        other = part_of(name)
        front_door = (str(path.relative_to(ROOT)), other) in FRONT_DOORS
        if other is not None and other not in ("", part) and not front_door:
            assert other in ALLOWED[part], f"{path} imports {name}"
        assert name.split(".")[0] not in FORBIDDEN.get(part, set()), f"{path} imports {name}"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import pycls.models, pycls.datasets, pycls.analysis, pycls.core.config", {"torch"}),
        ("import pycls.models, pycls.datasets, pycls.analysis", {"pandas"}),
        ("from pycls.models import list_models; list_models()", {"torch"}),
        ("from pycls.sweep.design_space import AnyNetX", {"torch"}),
        ("import pycls.sweep.spaces, pycls.sweep.describe_space", {"torch"}),
        ("import pycls.sweep.config_count", {"torch"}),
        ("import pycls.sweep.spaces, pycls.sweep.parameter_samplers", {"scipy"}),
        ("import pycls.sweep.sweep_setup, pycls.sweep.sweep_population", {"torch"}),
        ("import pycls.sweep.sweep_collect", {"torch", "pandas"}),
        ("import pycls.datasets.catalog, pycls.sweep.study_plan", {"torch", "cv2"}),
        ("import pycls.sweep.study, pycls.sweep.collect, pycls.sweep.launch.pool", {"torch"}),
        ("import pycls.analysis.report", {"torch"}),
        ("import pycls.core.trainer", {"matplotlib", "pandas", "submitit", "sklearn"}),
    ],
)
def test_light_imports_stay_light(statement, absent):
    code = f"import sys; {statement}; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert not absent & set(process.stdout.decode().split())
