"""From a folder of photographs to a network taken along: each command of the pages, in turn."""

import html
import importlib
import json
import re
import shlex
import shutil

import forked_tools
import pytest
import yaml
from pages import COMMAND, ROOT, commands_of, tool_of
from PIL import Image
from sklearn.datasets import load_sample_image

TUTORIAL = ROOT / "docs" / "tutorials" / "own_images.md"
CHOOSING = ROOT / "docs" / "choosing.md"


def carry_out(line, monkeypatch):
    """Do what a line of a page says, in the current folder."""
    tool = tool_of(line)
    words = shlex.split(COMMAND.sub("", line, count=1))
    monkeypatch.setattr("sys.argv", [f"{tool}.py", *words])
    assert not importlib.import_module(f"pycls.commands.{tool}").main(), line


def write_photographs(folder):
    """Write patches of two photographs as those of two classes, as the tutorial lays them out."""
    for name, picture in (("robin", "china.jpg"), ("wren", "flower.jpg")):
        pixels = load_sample_image(picture)
        for number in range(36):
            row, column = divmod(number, 6)
            side = "test" if number % 3 == 2 else "train"
            path = folder / side / name / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            patch = pixels[60 * row : 60 * row + 60, 90 * column : 90 * column + 80]
            Image.fromarray(patch).save(path)


def make_small(path, **choose):
    """Change a study file as a reader may: fewer architectures, epochs and seeds."""
    study = yaml.safe_load(path.read_text())
    study["population"]["size"] = 3
    study["config"]["OPTIM"] |= {"MAX_EPOCH": 2, "WARMUP_EPOCHS": 0}
    study["config"] |= {"PREC_TIME": {"NUM_ITER": 0}, "BN": {"USE_PRECISE_STATS": False}}
    study["config"] |= {"DEVICE": "cpu", "LAYER_FORMS": "library", "NUM_THREADS": 1}
    study["repeats"][0]["seeds"] = [1, 2]
    study["choose"] = {"seeds": [5], "baselines": ["resnet"], **choose}
    path.write_text(yaml.safe_dump(study))


@pytest.mark.slow
def test_each_command_is_carried_out_in_turn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYCLS_DATA", raising=False)
    monkeypatch.setattr("sys.executable", forked_tools.python())  # of what the commands start
    write_photographs(tmp_path / "photographs")
    for line in commands_of(TUTORIAL):
        carry_out(line, monkeypatch)
        if " init " in line:
            make_small(tmp_path / "birds.yaml", strategy="halving", trainings=4)
    assert (tmp_path / "birds.png").is_file()
    assert (tmp_path / "studies" / "birds" / "report" / "index.html").is_file()
    answer = json.loads((tmp_path / "choices" / "birds" / "choice.json").read_text())
    assert answer["optimism"]["candidates"] > 1
    assert answer["data"]["validation_images"] + answer["data"]["train_images"] == 48
    capsys.readouterr()
    # What the answer page says: another format, the error again, training on.
    page = html.unescape((tmp_path / "choices" / "birds" / "report" / "index.html").read_text())
    found = re.findall(r"<pre>(.*?)</pre>", page)
    assert [tool_of(line) for line in found] == ["export_net", "test_net", "train_net"]
    for line in found:
        carry_out(line, monkeypatch)
        if tool_of(line) == "test_net":
            error = answer["taken"]["test"]["error"]
            assert f"test error {error:.2f} % top-1" in capsys.readouterr().out
    assert list((tmp_path / "runs" / "birds" / "checkpoints").iterdir())
    # The other page, with a set under its name, and without trainings to choose by.
    shutil.copytree(tmp_path / "data" / "birds", tmp_path / "data" / "mine")
    for line in commands_of(CHOOSING):
        if "LAUNCH" in line or "--watch" in line:
            continue  # of a cluster: tests/on_slurm
        carry_out(line, monkeypatch)
        if " init " in line:
            make_small(tmp_path / "mine.yaml", strategy="score", score="params", trainings=2)
    network = tmp_path / "choices" / "mine" / "network"
    assert {path.name for path in network.iterdir()} == {
        "network.yaml", "weights.pyth", "network.onnx", "MODEL_CARD.md",
    }  # fmt: skip
