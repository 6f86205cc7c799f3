"""Dependencies point one way, without circles, and what must stay light does."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What a part of the package may import, beside itself and the modules at the package's root; a
# module at the root is a part by itself where others may not import it.
ALLOWED = {
    "": set(),
    "kernels": set(),
    "models": {"kernels"},
    "datasets": {"kernels"},
    "core": {"models", "datasets", "kernels"},
    "scores": {"core", "datasets", "models", "study"},
    "zoo": {"core", "datasets", "models"},
    "spaces": {"models"},
    "slurm": set(),
    "study": {"core", "datasets", "models", "spaces", "slurm"},
    "sweep": {"core", "datasets", "models", "spaces", "slurm"},
    "results": {"core", "models", "spaces", "study", "sweep"},
    "pool": {"core"},
    "launch": {"core", "pool", "results", "slurm", "study", "sweep"},
    "single": {"core", "launch", "slurm"},
    "choose": {
        "analysis", "core", "datasets", "launch", "models", "results", "scores", "slurm", "spaces",
        "study", "zoo",
    },
    "analysis": set(),
    "commands": {
        "analysis", "choose",
        "core", "datasets", "launch", "models", "pool", "results", "scores", "single", "spaces",
        "study", "sweep", "zoo",
    },
}  # fmt: skip
# pycls.models offers the zoo's constructors under its own name, imported on first use.
FRONT_DOORS = {("pycls/models/__init__.py", "zoo")}
FORBIDDEN = {
    "": {"torch", "matplotlib", "submitit", "pandas"},
    "analysis": {"torch", "torchvision", "submitit"},
    "kernels": {"matplotlib", "submitit", "pandas"},
    "models": {"matplotlib", "submitit", "pandas"},
    "datasets": {"matplotlib", "submitit", "pandas"},
    "core": {"matplotlib", "submitit", "pandas"},
    "scores": {"matplotlib", "submitit", "pandas"},
    "zoo": {"matplotlib", "submitit", "pandas"},
    "spaces": {"torch", "matplotlib", "submitit", "pandas"},
    "slurm": {"torch", "matplotlib", "pandas"},
    "study": {"torch", "matplotlib", "submitit", "pandas"},
    "sweep": {"torch", "matplotlib", "submitit"},
    "results": {"torch", "matplotlib", "submitit"},
    "pool": {"matplotlib", "submitit", "pandas"},
    "launch": {"torch", "matplotlib", "submitit", "pandas"},
    "single": {"torch", "matplotlib", "pandas"},
    "choose": {"matplotlib", "submitit", "pandas"},
    "commands": {"matplotlib", "submitit", "pandas"},
}
# submitit is imported by one module, which others import where a script is written.
MAY = {("pycls/slurm/script_writer.py", "submitit"), ("pycls/torchvision_import.py", "torch")}
MOST_MODULES = 20


def module_name(path):
    """Return the dotted name of a file of the package."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


FILES = sorted((ROOT / "pycls").rglob("*.py"))
MODULES = {module_name(path): path for path in FILES}
PARTS = {path.name for path in (ROOT / "pycls").iterdir() if (path / "__init__.py").is_file()}


def imports_of(path):
    """Return every module that a file imports: at its top, inside functions, for types."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in MODULES else node.module)
    return names


def part_of(module):
    """Return the part that a module name lies in; "" for the package's root, else None."""
    pieces = module.split(".")
    if pieces[0] != "pycls":
        return None
    return pieces[1] if len(pieces) > 1 and pieces[1] in PARTS else ""


def find_circles(graph):
    """Return the sets of nodes that reach each other, of two or more (Tarjan, 1972)."""
    index, low, stack, circles = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            members = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(members) > 1:
                circles.append(sorted(members))

    for node in graph:
        if node not in index:
            visit(node)
    return circles


def test_every_part_is_looked_at():
    assert {part_of(name) for name in MODULES} == set(ALLOWED)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    part = part_of(module_name(path))
    shown = str(path.relative_to(ROOT))
    for name in imports_of(path):
        assert not name.startswith(("tools", "dev", "tests")), name
        other = part_of(name)
        if other is not None and other not in ("", part) and (shown, other) not in FRONT_DOORS:
            assert other in ALLOWED[part], f"{path} imports {name}"
        library = name.split(".")[0]
        if (shown, library) not in MAY:
            assert library not in FORBIDDEN[part], f"{path} imports {name}"


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert find_circles(graph) == [["b", "c"]]


def test_no_modules_import_each_other():
    graph = {name: imports_of(path) & set(MODULES) - {name} for name, path in MODULES.items()}
    assert sum(map(len, graph.values())) > len(graph)
    assert find_circles(graph) == []


def test_no_folder_holds_too_many_modules():
    for folder in {path.parent for path in FILES}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= MOST_MODULES, folder


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import pycls.models, pycls.datasets, pycls.analysis, pycls.core.config", {"torch"}),
        ("from pycls.core.config import load_cfg", {"torch"}),
        ("import pycls.models, pycls.datasets, pycls.analysis", {"pandas", "numpy"}),
        ("from pycls.models import list_models; list_models()", {"torch"}),
        ("from pycls.spaces import AnyNetX", {"torch"}),
        ("import pycls.spaces.by_name, pycls.spaces.describe", {"torch"}),
        ("import pycls.sweep.count", {"torch"}),
        ("import pycls.spaces.by_name, pycls.sweep.samplers", {"scipy"}),
        ("import pycls.sweep.setup, pycls.sweep.as_population", {"torch"}),
        ("import pycls.results.collect_sweep", {"torch", "pandas"}),
        ("import pycls.datasets.catalog.catalog, pycls.study.plan", {"torch", "cv2"}),
        ("import pycls.study.study, pycls.results.collect_study, pycls.pool.pool", {"torch"}),
        ("import pycls.analysis.report.report", {"torch"}),
        ("import pycls.analysis.figures.spaces", {"torch", "pandas"}),
        (
            "import pycls.commands.study, pycls.commands.sweep_setup, pycls.commands.sweep_launch, "
            "pycls.commands.sample_population, pycls.commands.prepare_data",
            {"torch", "sklearn", "skimage", "pandas"},
        ),
        ("import pycls.core.cli, pycls.command_names, pycls_studies", {"yacs", "numpy"}),
        ("import pycls.core.trainer", {"matplotlib", "pandas", "submitit", "sklearn"}),
    ],
)
def test_light_imports_stay_light(statement, absent):
    code = f"import sys; {statement}; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert not absent & set(process.stdout.decode().split())


@pytest.mark.slow
def test_a_training_imports_no_compiler(digits_cfg, tmp_path):
    (tmp_path / "net.yaml").write_text(digits_cfg("OPTIM.MAX_EPOCH", 1).dump())
    code = (
        "import sys; from pycls.core.config.load import load_cfg; "
        "from pycls.core.training_launch import train; "
        "train(load_cfg(sys.argv[1])); print(*sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "net.yaml")]
    process = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    assert not {"torch._dynamo", "torch._inductor", "sympy"} & set(process.stdout.decode().split())
