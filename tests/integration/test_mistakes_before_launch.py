"""What no run could succeed with is said once, before any of them is begun."""

import json

import pytest
from sweep_files import RATES, write

BASE = {
    "MODEL": {"TYPE": "anynet", "NUM_CLASSES": 10},
    "ANYNET": {"DEPTHS": [1, 1], "WIDTHS": [8, 16], "STRIDES": [1, 2], "STEM_W": 8,
               "STEM_TYPE": "res_stem_cifar", "BOT_MULS": [1.0, 1.0], "GROUP_WS": [8, 8]},
    "TRAIN": {"DATASET": "digits", "IM_SIZE": 8, "BATCH_SIZE": 256},
    "TEST": {"DATASET": "digits", "IM_SIZE": 8},
}  # fmt: skip


@pytest.fixture
def sweep(tool_here, tmp_path):
    """Return a function (changes to BASE_CFG) -> the words that name a sweep that is set up."""

    def make(**changes):
        base = {**BASE, **{name: {**BASE[name], **new} for name, new in changes.items()}}
        path = write(tmp_path / "rates.yaml", RATES, {("SETUP", "BASE_CFG"): base})
        process = tool_here("sweep_setup", "--sweep-cfg", path)
        assert process.returncode == 0, process.stderr
        return ["--sweep-cfg", path]

    return make


def logs(tmp_path):
    return list((tmp_path / "studies" / "group" / "rates" / "logs").iterdir())


LOCAL = ("LAUNCH.MODE", "local")


def test_data_that_are_not_prepared(tool_here, tmp_path, sweep, monkeypatch):
    words = sweep()
    process = tool_here("sweep_launch", *words, *LOCAL)
    assert process.returncode == 1
    assert process.stderr.count("data set 'digits' is not prepared") == 1
    assert "rates: nothing was begun: " in process.stderr
    assert logs(tmp_path) == []
    # Neither Slurm nor the data are needed to look.
    monkeypatch.setenv("PATH", str(tmp_path))
    for more in ((), LOCAL):
        process = tool_here("sweep_launch", *words, "--dry-run", *more)
        assert process.returncode == 0, process.stderr
        assert "missing, and to be there before the launch:" in process.stdout
        assert "data set 'digits' is not prepared" in process.stdout
    assert "6 runs to train here" in process.stdout
    assert logs(tmp_path) == []
    # What never began is set up anew without more ado; what failed, on request.
    assert tool_here("sweep_setup", *words).returncode == 0


@pytest.mark.parametrize(
    ("changes", "code", "parts"),
    [
        ({"MODEL": {"NUM_CLASSES": 7}}, 2, ["NUM_CLASSES is 7", "has 10 classes", "000000.yaml"]),
        ({"TRAIN": {"BATCH_SIZE": 5000}}, 2, ["BATCH_SIZE is 5000", "fewer than one batch"]),
        ({"TRAIN": {"WEIGHTS": "none.pyth"}}, 1, ["TRAIN.WEIGHTS none.pyth: no such file"]),
    ],
)
def test_what_no_run_could_begin_with(
    tool_here, tmp_path, sweep, digits_dir, monkeypatch, changes, code, parts
):
    monkeypatch.setenv("PYCLS_DATA", str(digits_dir))
    process = tool_here("sweep_launch", *sweep(**changes), *LOCAL)
    assert process.returncode == code
    assert all(part in process.stderr for part in parts)
    assert process.stderr.count("\n") == 1
    assert logs(tmp_path) == []


def test_a_sweep_whose_runs_all_failed_is_replaced_on_request(tool_here, tmp_path, sweep):
    words = sweep()
    folder = tmp_path / "studies" / "group" / "rates"
    for run in range(6):
        out_dir = folder / "logs" / f"{run:06d}"
        out_dir.mkdir()
        (out_dir / "run.json").write_text(json.dumps({"status": "failed", "reason": "no data"}))
    process = tool_here("sweep_setup", *words)
    assert process.returncode == 2
    assert "add --replace" in process.stderr
    assert tool_here("sweep_setup", *words, "--replace").returncode == 0
    assert logs(tmp_path) == []


def test_a_study_is_looked_at_without_slurm_and_data(tool_here, tmp_path, tiny_study, monkeypatch):
    path = tiny_study(
        datasets={"digits": {}, "cifar10": {}}, family=[], targets=["cifar10"],
        launch={"NUM_GPUS": 0, "TIME_LIMIT": 60},
    )  # fmt: skip
    monkeypatch.setenv("PATH", str(tmp_path))
    process = tool_here("study", "launch", path, "--dry-run")
    assert process.returncode == 0, process.stderr
    assert "#SBATCH" in process.stdout
    assert "a guess, not of this device" in process.stdout
    _, _, follow_up = process.stdout.partition("a small job that looks after them when they have")
    assert "-m pycls.launch.follow_up" in follow_up
    assert "data set 'cifar10' is not prepared" in process.stdout
    process = tool_here("study", "launch", path, *LOCAL)
    assert process.returncode == 1
    assert "data set 'cifar10' is not prepared" in process.stderr
    assert not list(tmp_path.rglob("run.json"))


def test_a_batch_that_a_study_s_set_does_not_hold(tool_here, tmp_path, tiny_study):
    config = {"TRAIN": {"BATCH_SIZE": 100_000}, "OPTIM": {"MAX_EPOCH": 1}}
    process = tool_here("study", "plan", tiny_study(config=config))
    assert process.returncode == 2
    assert "TRAIN.BATCH_SIZE is 100000" in process.stderr
    assert "fewer than one batch" in process.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.yaml"]
