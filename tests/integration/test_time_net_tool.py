"""tools/time_net.py as a user runs it."""

import json
import runpy
from pathlib import Path

import pytest
import torch

from pycls.spaces.anynet import AnyNetX

ROOT = Path(__file__).resolve().parents[2]
NET = """\
MODEL: {TYPE: anynet, NUM_CLASSES: 10}
ANYNET:
  {STEM_TYPE: res_stem_cifar, STEM_W: 8, DEPTHS: [1, 1], WIDTHS: [8, 16], STRIDES: [1, 2],
   GROUP_WS: [8, 8]}
TRAIN: {DATASET: digits, IM_SIZE: 8, BATCH_SIZE: 32}
TEST: {DATASET: digits, IM_SIZE: 8}
DATA: {PAD: 1, FLIP: False}
DEVICE: cpu
"""
PARTS = ("forward", "forward_backward", "step", "loader")


@pytest.fixture
def run_here(monkeypatch, capsys, tmp_path):
    """Return a function (*arguments) -> (exit code, output, errors) that starts no process.

    Most of a process's time is the import of PyTorch.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("warnings.formatwarning", None)  # brings back what run_tool replaces
    # A setting of the user's own: the test process keeps its way of allocating.
    monkeypatch.setenv("MALLOC_TOP_PAD_", "131072")

    def run(*arguments):
        words = ["time_net.py", "--seconds", "0", *map(str, arguments)]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as leaving:
            runpy.run_path(str(ROOT / "tools" / "time_net.py"), run_name="__main__")
        return leaving.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def net(tmp_path):
    """Return the file of a tiny network."""
    path = tmp_path / "net.yaml"
    path.write_text(NET)
    return path


@pytest.fixture
def population(tmp_path):
    """Return the table of five tiny networks."""
    space = AnyNetX(
        num_stages=2, strides=(1, 2), stem_type="res_stem_cifar", stem_w=8, depth=(1, 2),
        width=(8, 16), group_w=(4, 8), resolution=8, num_classes=5,
    )  # fmt: skip
    path = tmp_path / "population.csv"
    space.sample(5, seed=1).to_csv(path)
    return path


def table(output):
    """Return the words of the table's rows."""
    return [line.split() for line in output.splitlines() if line[:5].strip().isdecimal()]


def test_as_a_process_with_a_prepared_set(tool, net, digits_dir, tmp_path):
    process = tool(
        "time_net", "--cfg", net, "--batch-sizes", "16,64", "--precision", "float32,bfloat16",
        "--seconds", "0", "--json", "times.json", "--set", "DATA.DIR", digits_dir,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    rows = table(process.stdout)
    settings = [["16", "float32"], ["16", "bfloat16"], ["64", "float32"], ["64", "bfloat16"]]
    assert [[row[0], row[2]] for row in rows] == settings
    assert all(row[1:4:2] == ["8", "channels_last"] and row[-1] == "net" for row in rows)
    assert "wrote times.json" in process.stdout
    written = json.loads((tmp_path / "times.json").read_text())
    assert {"device", "threads", "torch", "host", "memory_note", "rows"} == set(written)
    for row, (batch_size, precision) in zip(written["rows"], settings, strict=True):
        assert (row["batch_size"], row["precision"]) == (int(batch_size), precision)
        assert (row["status"], row["loader_note"], row["flops"] > 0) == ("ok", "", True)
        for part in PARTS:
            rate = row["batch_size"] / row[part]["seconds"]
            assert row[part]["images_per_second"] == pytest.approx(rate)
            assert row[part]["count"] >= 3
            assert row[part]["spread"] >= 0


def test_missing_data_is_said_and_images_are_random(run_here, net):
    code, output, _ = run_here("--cfg", net, "--im-size", "8,16", "--layout", "contiguous")
    assert code == 0
    rows = table(output)
    assert [row[1] for row in rows] == ["8", "16"]
    # milliseconds, spread and rate of three parts, and none of the loader
    assert all(row[4 + 9] == "-" for row in rows)
    (note,) = [line for line in output.splitlines() if line.startswith("Random images")]
    assert "no loader measured: data set 'digits' is not prepared" in note


def test_population_rows(run_here, population, tmp_path):
    code, output, _ = run_here(
        "--population", population, "--rows", "4,1", "--batch-sizes", 8, "--json", "a.json",
        "--set", "DEVICE", "cpu",
    )  # fmt: skip
    assert (code, [row[-1] for row in table(output)]) == (0, ["a0004", "a0001"])
    assert "TRAIN.DATASET is empty" in output
    lines = population.read_text().splitlines()
    column = lines[0].split(",").index("flops")
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert [row["flops"] for row in rows] == [int(lines[i + 1].split(",")[column]) for i in (4, 1)]


def test_population_over_a_configuration(run_here, population, net):
    code, output, _ = run_here("--population", population, "--first", 2, "--cfg", net)
    assert (code, [row[-1] for row in table(output)]) == (0, ["a0000", "a0001"])
    assert all(row[0] == "32" for row in table(output))


def test_out_of_memory_is_a_row(run_here, net, tmp_path):
    sizes = f"4,{10**12},8"
    code, output, _ = run_here("--cfg", net, "--batch-sizes", sizes, "--json", "a.json")
    assert code == 0
    assert output.count("out of memory") == 1
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert [row["status"] for row in rows] == ["ok", "out of memory", "ok"]
    assert [rows[1][part] for part in PARTS] == [None] * 4
    code, _, _ = run_here("--cfg", net, "--batch-sizes", 10**12)
    assert code == 1


def test_profile(run_here, net, tmp_path):
    code, output, _ = run_here("--cfg", net, "--profile", "steps.txt")
    assert code == 0
    assert "wrote steps.txt and steps.trace.json" in output
    # Which operations are among the longest is up to the machine.
    assert " aten::" in (tmp_path / "steps.txt").read_text()
    trace = json.loads((tmp_path / "steps.trace.json").read_text())
    names = {event.get("name") for event in trace["traceEvents"]}
    assert {"aten::conv2d", "aten::convolution_backward"} <= names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to measure"),
        (["--cfg", "nowhere.yaml"], "nowhere.yaml"),
        (["--cfg", "net.yaml", "--set", "TRAIN.BATCHSIZE", "3"], "unknown key 'TRAIN.BATCHSIZE'"),
        (["--cfg", "net.yaml", "--batch-sizes", "0"], "--batch-sizes 0: expected whole numbers"),
        (["--cfg", "net.yaml", "--batch-sizes", "8,x"], "--batch-sizes 8,x: expected"),
        (["--cfg", "net.yaml", "--precision", "fp8"], "--precision 'fp8': expected any of"),
        (["--cfg", "net.yaml", "--precision", "float16"], "'float16', which the CPU"),
        (["--cfg", "net.yaml", "--layout", "nhwc"], "--layout 'nhwc': expected any of"),
        (["--cfg", "net.yaml", "--first", "2"], "--population; name one"),
        (["--cfg", "net.yaml", "--seconds", "-1"], "--seconds -1.0"),
        (["--cfg", "net.yaml", "--json", "no/a.json"], "there is no folder no"),
        (["--cfg", "net.yaml", "--json", "."], "is a folder"),
        (["--population", "population.csv", "--rows", "5"], "numbered 0 to 4"),
        (["--population", "population.csv", "--rows", "1", "--first", "1"], "give one of them"),
        (["--population", "population.csv", "--profile", "p.txt"], "there are 5 to measure"),
        (["--population", "population.csv", "--cfg", "net.yaml", "net.yaml"], "takes one --cfg"),
    ],
)
def test_mistakes_are_explained(run_here, net, population, arguments, message):
    code, output, errors = run_here(*arguments)
    assert (code, table(output)) == (2, [])
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert message in line


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(run_here, net, tmp_path):
    code, _, _ = run_here(
        "--cfg", net, "--precision", "float32,bfloat16,float16", "--batch-sizes", f"8,{10**9}",
        "--json", "a.json", "--set", "DEVICE", "cuda",
    )  # fmt: skip
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert code == 0
    assert [row["status"] for row in rows] == ["ok"] * 3 + ["out of memory"] * 3
    assert all(set(row["memory"]) == {"allocated", "reserved"} for row in rows[:3])
