"""Every tool is a command of an installation, and all are started in the same way."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import pycls
import pycls_studies
from pycls.command_names import TOOLS, as_typed, command_name
from pycls.core.cli import CommandParser, add_cfg_arguments
from pycls.errors import ConfigError
from pycls.shipped import or_shipped

ROOT = Path(__file__).resolve().parents[1]
TRAIN = [sys.executable, str(ROOT / "tools" / "train_net.py")]


def modules_of(folder):
    return {path.stem for path in folder.glob("*.py")} - {"__init__"}


def test_the_table_names_every_tool():
    assert set(TOOLS) == modules_of(ROOT / "tools") == modules_of(ROOT / "pycls" / "commands")
    assert len(set(TOOLS.values())) == len(TOOLS)
    assert all(command.startswith("pycls-") for command in TOOLS.values())


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_of_the_checkout_calls_its_command(tool):
    text = (ROOT / "tools" / f"{tool}.py").read_text()
    expected = (ROOT / "tools" / "study.py").read_text().replace("pycls-study)", f"{TOOLS[tool]})")
    for place in ("commands/{}.py", 'run("{}")'):
        expected = expected.replace(place.format("study"), place.format(tool))
    assert text == expected
    # What multiprocessing does in each new process, such as those that decode images.
    runpy.run_path(str(ROOT / "tools" / f"{tool}.py"), run_name="__mp_main__")


@pytest.mark.parametrize("tool", TOOLS)
def test_help_and_version(tool, monkeypatch, capsys):
    for word, expected in (("--help", TOOLS[tool]), ("--version", pycls.__version__)):
        monkeypatch.setattr("sys.argv", [f"/somewhere/bin/{TOOLS[tool]}", word])
        with pytest.raises(SystemExit) as leaving:
            pycls_studies.main()
        printed = capsys.readouterr().out
        assert leaving.value.code == 0
        assert expected in printed
        assert "tools/" not in printed
        assert all(len(line) <= 100 for line in printed.splitlines())


def test_a_command_s_own_commands_say_version_and_where_keys_stand(monkeypatch, capsys):
    for words, code, expected in (
        (["plan", "--version"], 0, pycls.__version__),
        (["run", "a.yaml", "OPTIM.MAX_EPOCH=1"], 2, "stand in the study file, under config"),
    ):
        monkeypatch.setattr("sys.argv", ["/somewhere/bin/pycls-study", *words])
        with pytest.raises(SystemExit) as leaving:
            pycls_studies.main()
        assert leaving.value.code == code
        assert expected in "".join(capsys.readouterr())


def test_messages_name_the_command_that_was_used(monkeypatch):
    text = "prepare it: 'python tools/prepare_data.py prepare digits', then tools/study.py run"
    monkeypatch.setattr("sys.argv", ["tools/study.py"])
    assert command_name("study") == "tools/study.py"
    assert as_typed(text) == str(ConfigError(text)) == text
    monkeypatch.setattr("sys.argv", ["/env/bin/pycls-study"])
    assert command_name("study") == "pycls-study"
    expected = "prepare it: 'pycls-data prepare digits', then pycls-study run"
    assert as_typed(text) == str(ConfigError(text)) == expected


def test_options_and_keys_come_in_any_order():
    parser = CommandParser("train_net", "Train.")
    add_cfg_arguments(parser)
    keys = ["OPTIM.BASE_LR", "-1e-5", "ANYNET.DEPTHS", "[1, 2]", "DATA.MEAN", "-.5"]
    for words in (["--cfg", "a.yaml", *keys], [*keys, "--cfg", "a.yaml"]):
        args = parser.parse_with_keys(words)
        assert (args.cfg, args.overrides) == ("a.yaml", keys)
    with pytest.raises(SystemExit):
        parser.parse_with_keys(["--cfg", "a.yaml", "OPTIM.BASE_LR", "1", "--bogus"])


def test_files_that_came_along_are_found_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert or_shipped("sweeps/embedded.yaml") == ROOT / "sweeps" / "embedded.yaml"
    assert or_shipped("sweeps/nothing.yaml") == Path("sweeps/nothing.yaml")
    assert or_shipped("tests/conftest.py") == Path("tests/conftest.py")
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "embedded.yaml").touch()
    assert or_shipped("sweeps/embedded.yaml") == Path("sweeps/embedded.yaml")


@pytest.fixture
def other(tmp_path):
    """Return a folder with another package of the name pycls."""
    package = tmp_path / "other" / "pycls"
    (package / "core").mkdir(parents=True)
    for folder in (package, package / "core"):
        (folder / "__init__.py").touch()
    return package.parent


def test_a_command_says_that_another_pycls_hides_its_own(other, monkeypatch, capsys):
    # Their files may also lie among ours, where both were installed into the same folder.
    for is_mixed in (False, True):
        if is_mixed:
            (other / "pycls" / "command_names.py").touch()
        monkeypatch.setattr("sys.argv", ["pycls-study", "--help"])
        monkeypatch.setattr("sys.path", [str(other), *sys.path])
        monkeypatch.delitem(sys.modules, "pycls")
        with pytest.raises(SystemExit) as leaving:
            pycls_studies.main()
        monkeypatch.undo()
        assert leaving.value.code == 2
        message = capsys.readouterr().err
        assert message.startswith(f"error: the package pycls of {other / 'pycls'} is another one")


def test_a_tool_takes_its_own_checkout_beside_another_pycls(other):
    process = subprocess.run(
        [*TRAIN, "--version"], env={"PYTHONPATH": str(other)}, capture_output=True, text=True
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert pycls.__version__ in process.stdout
    assert f"another package pycls, of {other / 'pycls'}" in process.stderr


def test_a_python_without_what_is_needed_is_told():
    bare = [sys.executable, "-I", "-S", *TRAIN[1:], "--help"]
    process = subprocess.run(bare, capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stderr.startswith(f"error: {sys.executable} has no package ")
    assert len(process.stderr.splitlines()) == 1
