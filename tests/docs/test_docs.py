"""README and docs are true: links lead somewhere, commands and code are used as they stand."""

import importlib
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from synthetic_study import Plan, write_study

from pycls.command_names import TOOLS
from pycls.core.cli import CommandParser
from pycls.core.config import load_cfg
from pycls.study.file import load_study_file
from pycls.sweep.file import load_sweep_cfg

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
COMMAND = re.compile(r"(?:(?:\.venv/bin/)?python )?tools/(\w+)\.py|(pycls-[a-z-]+)")
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")

# Lines of command blocks that are no command of ours, with the reason why they are not tried here.
NOT_OURS = {
    "make": "targets of the Makefile, see test_make_targets_are_there",
    ".venv/bin/python -m pip install -r requirements-dev.txt": "installs packages",
    "sh dev/install_slurm.sh": "installs Slurm",
    "python dev/slurm_cluster": "tests/on_slurm starts and stops clusters by it",
    'eval "$(python dev/slurm_cluster': "see above",
    "sbatch --wrap": "a command of Slurm's",
    "export PYCLS_DATA": "the shell's",
    "pip install": "installs packages",
}
# Words that stand for what the reader has.
PLACEHOLDERS = {"FILE": "a.yaml", "NET.yaml": "a.yaml", "A.yaml": "a.yaml", "B.yaml": "a.yaml"}
# Blocks that are no commands: layouts of folders and files, and pictures made of letters.
NO_COMMANDS = {
    "architecture.md": 2, "own.md": 2, "own_images.md": 1,
}  # fmt: skip
# Pages whose Python blocks are executed here; and those that are not, with the reason.
EXECUTED = {"README.md", "figures.md", "reading.md", "training.md"}
PYTHON_NOT_HERE = {
    "datasets/README.md": "opens a part of ImageNet; views are opened by tests/datasets/opening",
    "models.md": "downloads published weights; tests/zoo builds, loads and exports these networks",
    "extending.md": "tests/test_extending.py carries all of them out",
    "slurm_cluster.md": "tests/on_slurm starts clusters in this way",
}


def name_of(page):
    return page.relative_to(ROOT / "docs" if page.is_relative_to(ROOT / "docs") else ROOT)


def blocks(page, *languages):
    return [text for language, text in BLOCK.findall(page.read_text()) if language in languages]


def anchors(page):
    """Return the anchors of a page's headings, as GitHub and MkDocs make them."""
    text = BLOCK.sub("", page.read_text())
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.M):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading))
        found.add(words.strip().lower().replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(name_of(page)))
def test_links_lead_somewhere(page):
    for link in filter(None, sum(LINK.findall(BLOCK.sub("", page.read_text())), ())):
        place, _, anchor = link.partition("#")
        if re.match(r"(https?|mailto):", link):
            continue
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def lines_of(page):
    """Yield the command lines of a page, continued lines joined, without remarks."""
    for text in blocks(page, "", "bash", "sh"):
        for line in text.replace("\\\n", " ").splitlines():
            command = re.sub(r"\s+#.*$", "", line).strip()
            if command and not command.startswith("#"):
                yield command


def commands_of(page):
    return [line for line in lines_of(page) if COMMAND.match(line)]


def tool_of(line):
    found = COMMAND.match(line)
    return found[1] or next(tool for tool, name in TOOLS.items() if name == found[2])


def test_lines_that_are_not_tried_are_listed():
    others = {}
    for page in PAGES[:1] + PAGES[3:]:
        lines = [line for line in lines_of(page) if not COMMAND.match(line)]
        lines = [line for line in lines if not line.startswith(tuple(NOT_OURS))]
        if lines:
            others[page.name] = lines
    assert set(others) == set(NO_COMMANDS), others


ALL = sorted({line for page in PAGES for line in commands_of(page)})


class ParsedError(Exception):
    """Ends a tool once its arguments are parsed."""


def parse(tool, words, monkeypatch):
    """Return the arguments that a tool takes from a command line, as it parses them itself."""

    def ending(original):
        def parse_and_end(self, *given):
            raise ParsedError(original(self, *given))

        return parse_and_end

    # study parses what it knows and looks at the rest itself: keys of LAUNCH, in any order.
    methods = ["parse_known_args"] if tool == "study" else ["parse_args", "parse_with_keys"]
    for method in methods:
        monkeypatch.setattr(CommandParser, method, ending(getattr(CommandParser, method)))
    monkeypatch.setattr("sys.argv", [f"{tool}.py", *words])
    with pytest.raises(ParsedError) as ended:
        importlib.import_module(f"pycls.commands.{tool}").main()
    args = ended.value.args[0]
    if tool == "study":
        args, args.overrides = args
        assert all(word.startswith("LAUNCH.") for word in args.overrides[::2])
    return args


@pytest.mark.parametrize("line", ALL)
def test_a_command_is_one_that_its_tool_takes(line, monkeypatch, tmp_path):
    tool = tool_of(line)
    line = re.sub(r"\[[^\]]*(\[[^\]]*\])?[^\]]*\]", "", line)  # [KEY VALUE ...], [options]
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(COMMAND.sub("", line, count=1))]
    monkeypatch.chdir(tmp_path)
    args = parse(tool, words, monkeypatch)
    overrides = getattr(args, "overrides", [])
    assert len(overrides) % 2 == 0
    # What it names of the files that come along can be read, with what is given beside it.
    if str(getattr(args, "study", "")).startswith("sweeps/") and "mine" not in args.study:
        load_study_file(args.study)
    if str(getattr(args, "sweep_cfg", "")).startswith("configs/"):
        load_sweep_cfg(args.sweep_cfg, overrides)
    for cfg in [args.cfg] if isinstance(getattr(args, "cfg", None), str) else ():
        if cfg.startswith("configs/"):
            load_cfg(cfg, overrides)


def test_make_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for words in re.findall(r"^make ([^#\n]+)", "\n".join(lines_of(page)), re.M):
            for word in words.split():
                assert "=" in word or re.search(rf"^{word}:", makefile, re.M), (page, word)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(name_of(page)))
def test_yaml_is_read(page, tmp_path):
    for text in blocks(page, "yaml"):
        assert isinstance(yaml.safe_load(text), dict)


def test_every_python_block_is_executed_somewhere():
    pages = {
        str(name_of(page)) for page in PAGES if re.search("^```python", page.read_text(), re.M)
    }
    assert pages == {*EXECUTED, *PYTHON_NOT_HERE}


def execute(name, changes=()):
    """Execute a page's Python blocks in turn, as one program; return its names."""
    page = ROOT / "README.md" if name == "README.md" else ROOT / "docs" / name
    names = {}
    for text in blocks(page, "python"):
        for old, new in changes:
            assert old in text or len(blocks(page, "python")) > 1, old
            text = text.replace(old, new)
        exec(compile(text, name, "exec"), names)
    return names


@pytest.fixture
def digits_here(digits_dir, tmp_path, monkeypatch):
    """Be in an empty folder, with the digits prepared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYCLS_DATA", str(digits_dir))


@pytest.mark.slow
def test_the_library_is_used_as_the_readme_says(digits_here):
    write_study(Path("studies", "embedded"), Plan(archs=8))
    names = execute(
        "README.md", [("pretrained=True", "pretrained=False"), ("sample(100", "sample(5")]
    )
    assert names["counts"].keys() >= {"flops", "params", "acts"}
    assert len(names["population"]) == 5
    assert len(names["images"]) == 1078
    assert len(names["results"]) > 8


@pytest.mark.slow
def test_figures_are_drawn_as_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_study(Path("studies", "embedded"), Plan(archs=8))
    names = execute("figures.md")
    assert names["figure"].get_axes()
    assert len(names["table"]) > 0


def test_numbers_of_architectures_are_those_of_the_page():
    text = (ROOT / "docs" / "reading.md").read_text()
    names = execute("reading.md")
    found = re.findall(r"^(architectures_\w+\(.*\))  # (\d+):", text, re.M)
    assert len(found) == 2
    for call, number in found:
        assert eval(call, names) == int(number)


@pytest.mark.parametrize(("library", "hook"), [("wandb", "to_wandb"), ("mlflow", "to_mlflow")])
def test_trackers_are_called_as_the_page_says(library, hook, monkeypatch):
    """With stand-ins for the libraries, which take what their functions take."""
    calls = []

    def note(name):
        return lambda *args, **options: calls.append((name, args, options))

    for name in ("wandb", "mlflow"):
        functions = ("init", "log", "end_run", "start_run", "log_dict", "log_metrics")
        stand_in = SimpleNamespace(**{each: note(each) for each in functions})
        monkeypatch.setitem(sys.modules, name, stand_in)
    tell = execute("training.md")[hook]
    tell({"_type": "cfg", "OUT_DIR": "runs/a", "OPTIM": {"BASE_LR": 0.1}})
    tell({"_type": "train_iter", "epoch": "1/2", "loss": 2.0})
    tell({"_type": "test_epoch", "epoch": "2/2", "top1_err": 20.0})
    last = calls[-1]
    assert len(calls) == {"wandb": 2, "mlflow": 4}[library]
    assert last[1][0]["test_epoch/top1_err"] == 20.0
