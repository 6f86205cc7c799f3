"""README and docs are true: links lead somewhere, commands and code are used as they stand."""

import ast
import importlib
import inspect
import re
import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from pages import BLOCK, COMMAND, PAGES, ROOT, blocks, commands_of, lines_of, name_of, tool_of
from synthetic_study import Plan, write_study
from tiny_study import TINY

from pycls.choose.options import read_options
from pycls.core.cli import CommandParser
from pycls.core.config import load_cfg
from pycls.datasets.catalog.views import load_views
from pycls.study.file import load_study_file
from pycls.sweep.file import load_sweep_cfg

QUOTED = re.compile(r"`((?:tools/\w+\.py|pycls-[a-z-]+)\s[^`]+)`")
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
EXECUTED = {"README.md", "figures.md", "reading.md", "training.md", "models.md",
            "datasets/README.md"}  # fmt: skip
PYTHON_NOT_HERE = {
    "extending.md": "tests/test_extending.py carries all of them out",
    "slurm_cluster.md": "starts a cluster; its calls are compared with what they call",
}
# Kinds of blocks; each is tried: commands parsed, YAML read by what it is for, Python executed.
# Those of extending.md name a file, or `run`.
KINDS = {"", "bash", "sh", "yaml", "python"}


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


def test_commands_in_sentences_name_what_their_tools_have(monkeypatch, capsys):
    """Commands within and options, of those that are quoted in part."""
    found = {
        " ".join(quoted.split())
        for page in PAGES
        for quoted in QUOTED.findall(BLOCK.sub("", page.read_text()))
    }
    assert len(found) > 15
    for command in found:
        tool, words = tool_of(command), command.split()[1:]
        within = words[0].split("|") if tool in ("study", "prepare_data") else [""]
        for name in within:
            monkeypatch.setattr("sys.argv", [f"{tool}.py", *filter(None, [name]), "--help"])
            with pytest.raises(SystemExit) as leaving:
                importlib.import_module(f"pycls.commands.{tool}").main()
            text = capsys.readouterr().out
            assert leaving.value.code == 0, command
            assert all(word in text for word in words if word.startswith("--")), command


def test_make_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for words in re.findall(r"^make ([^#\n]+)", "\n".join(lines_of(page)), re.M):
            for word in words.split():
                assert "=" in word or re.search(rf"^{word}:", makefile, re.M), (page, word)


def test_every_block_is_of_a_kind_that_is_tried():
    for page in PAGES:
        kinds = {kind for kind, _ in BLOCK.findall(page.read_text())}
        if page.name == "extending.md":
            kinds = {
                kind for kind in kinds if not re.search(r"^python file=|^(python|sh) run", kind)
            }
        assert kinds <= KINDS, page


def test_yaml_is_what_it_is_for(tmp_path):
    """Study files, sections of them, sweep files and views, each read by its own reader."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "mine.txt").write_text("\n".join(f"class {n}" for n in range(50)))
    shutil.copytree(ROOT / "docs" / "datasets", tmp_path / "docs" / "datasets")
    shutil.copy(ROOT / "configs" / "embedded" / "digits_resnet8.yaml", folder / "resnet8.yaml")
    read, sweep = [], {}
    for page in PAGES:
        for text in blocks(page, "yaml"):
            keys = yaml.safe_load(text)
            path = folder / f"{keys.get('name', 'views')}.yaml"
            path.write_text(text)
            if keys.keys() & {"NAME", "ANALYZE"}:
                if "NAME" not in keys:
                    path.write_text(yaml.safe_dump({**sweep, **keys}))
                sweep = yaml.safe_load(path.read_text())
                load_sweep_cfg(path)
                read.append("sweep")
            elif "choose" in keys:
                shutil.copy(folder / "resnet8.yaml", folder / "pretrained.yaml")
                alone = {key: TINY[key] for key in ("name", "population", "config")}
                path.write_text(yaml.safe_dump({**alone, "datasets": {"digits": {}}, **keys}))
                read_options(load_study_file(path))
                read.append("choice")
            elif "MODEL" in keys:
                load_cfg(path)
                read.append("network")
            elif keys.keys() & {"name", "launch", "datasets"}:
                path.write_text(text if "name" in keys else yaml.safe_dump({**TINY, "family": [],
                    "repeats": [], **keys}))  # fmt: skip
                load_study_file(path)
                read.append("study" if "name" in keys else "section")
            else:
                assert len(load_views(path)) == len(keys)
                read.append("views")
    assert set(read) == {"study", "section", "sweep", "views", "choice", "network"}


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
def test_networks_are_made_as_the_page_says(tmp_path, monkeypatch):
    """But for the published weights, which need a network; a checkpoint of one's own is loaded."""
    import torch

    from pycls.models import effnet

    monkeypatch.chdir(tmp_path)
    own = tmp_path / "runs" / "a" / "model.pyth"
    own.parent.mkdir(parents=True)
    torch.save({"model_state": effnet("B0").state_dict()}, own)
    execute("models.md", [("pretrained=True", "pretrained=False")])


def test_a_view_is_opened_as_the_page_says(digits_here, digits_dir, tmp_path):
    """Of the digits under ImageNet's name: what is on disk beside a views.yaml like the page's."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "imagenet").symlink_to(digits_dir / "digits")
    (tmp_path / "data" / "views.yaml").write_text("imagenet_10: {of: imagenet, num_classes: 5}")
    assert execute("datasets/README.md")["train"].num_classes == 5


def test_a_cluster_s_calls_are_those_of_the_page(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "dev"))
    (text,) = blocks(ROOT / "docs" / "slurm_cluster.md", "python")
    tree = ast.parse(text)
    module = importlib.import_module("slurm_cluster")
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    bound = set()
    for call in calls:
        name = ast.unparse(call.func)
        if name == "sys.path.insert":
            continue
        of_cluster = name.startswith("cluster.")
        owner = module.SlurmCluster if of_cluster else module
        function = getattr(owner, name.removeprefix("cluster."))
        given = {word.arg: word.value for word in call.keywords}
        inspect.signature(function).bind(*[module] * of_cluster, *call.args, **given)
        bound.add(name)
    assert len(bound) > 8


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
