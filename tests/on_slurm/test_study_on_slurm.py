"""A study on a cluster ends in the same results as on one machine, byte for byte.

With PYCLS_SOAK_EMBEDDED=1 it is the embedded study, some minutes on each side.
"""

import json
import os
import subprocess
from pathlib import Path

import forked_tools
import pytest
import yaml
from slurm_queue import wait_for_empty_queue
from tiny_study import TINY

from pycls.launch.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = os.environ.get("PYCLS_SOAK_EMBEDDED") == "1"
LAUNCH = {
    "NUM_GPUS": 0, "CPUS_PER_GPU": 1, "MEM_PER_GPU": 0.5, "TIME_LIMIT": 60, "PARALLEL_JOBS": 4,
}  # fmt: skip
SMALL = {
    **{key: value for key, value in TINY.items() if key != "repeats"},
    "population": {**TINY["population"], "size": 3},
    "config": {**TINY["config"], "OPTIM": {"MAX_EPOCH": 2}},
}
# Each of the first sweep's networks gives its weights to one of the second; the third trains the
# best of the first.
WAVES = {
    "population": {**SMALL["population"], "size": 2},
    "config": SMALL["config"],
    "name": "waves",
    "datasets": {
        "digits": {},
        "further": {"of": "digits", "control": "pretrained", "weights_from": "digits"},
        "best": {
            "of": "digits", "control": "repeats", "seeds": {"count": 2},
            "archs": {"best": 1, "by": "digits"},
        },
    },
}  # fmt: skip


@pytest.fixture
def study_tool(slurm, digits_dir, tmp_path):
    """Return a function (arguments) -> what tools/study.py prints."""

    def call(*arguments):
        process = subprocess.run(
            forked_tools.command(ROOT / "tools" / "study.py", *arguments),
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYCLS_DATA": str(digits_dir)},
            cwd=tmp_path, capture_output=True, text=True, timeout=3600, check=False,
        )  # fmt: skip
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    return call


def write(path, study, **launch):
    path.write_text(yaml.safe_dump({**study, "launch": {**LAUNCH, **launch}}, sort_keys=False))
    return path


def run_both(study_tool, path, tmp_path, patience_s=600, part=""):
    """Carry a study out here and on the cluster, and a part of it; return the first two folders."""
    here, there = tmp_path / "here", tmp_path / "there"
    # Training goes differently with another number of threads, which is a machine's own by
    # default: as many as a job has here, too.
    here.mkdir()
    (here / "launch.json").write_text(json.dumps({"threads": 1}))
    workers = 2 if EMBEDDED else 1  # each imports PyTorch, which takes longer than its trainings
    study_tool("launch", path, "--out", here, "--workers", workers, "LAUNCH.MODE", "local")
    assert json.loads((here / "launch.json").read_text())["threads"] == 1
    said = study_tool("launch", path, "--out", there, "--yes")
    assert "one that looks after them" in said
    if part:
        words = ("--out", tmp_path / "part", "--part", part, "--yes", "LAUNCH.FOLLOW_UP", "False")
        assert f"part {part}" in study_tool("launch", path, *words)
    wait_for_empty_queue(patience_s)
    return here, there


def assert_same_tables(here, there):
    for name in ("results.csv", "curves.csv", "population.csv"):
        assert (there / name).read_bytes() == (here / name).read_bytes(), name
    assert b",missing," not in (there / "results.csv").read_bytes()
    assert b",done," in (there / "results.csv").read_bytes()


def test_a_study_ends_in_the_same_results_on_slurm(study_tool, tmp_path):
    if EMBEDDED:
        study = yaml.safe_load((ROOT / "sweeps" / "embedded.yaml").read_text())
        path = write(tmp_path / "embedded.yaml", study, RUNS_PER_JOB=20)
    else:
        path = write(tmp_path / "tiny.yaml", SMALL, RUNS_PER_JOB=3)
    here, there = run_both(study_tool, path, tmp_path, 3600 if EMBEDDED else 600, part="1/3")
    assert_same_tables(here, there)
    assert "nothing to submit" in study_tool("launch", path, "--out", there, "--yes")
    # What a part is of on the cluster, and all else of this machine.
    part, whole = tmp_path / "part", tmp_path / "whole"
    said = study_tool("merge", path, part, here, "--out", whole)
    assert f"0 runs copied from {part}" not in said
    assert "complete: all" in said
    assert_same_tables(here, whole)


def test_runs_that_wait_for_others_follow_by_themselves(study_tool, tmp_path):
    path = write(tmp_path / "waves.yaml", WAVES, RUNS_PER_JOB=4)
    here, there = run_both(study_tool, path, tmp_path)
    assert_same_tables(here, there)
    arrays = Ledger(there).submissions()
    waves = [
        {run["group"] for chunk in array.chunks for run in chunk}
        for array in arrays
        if array.kind == "runs"
    ]
    # What can begin is submitted before results are collected, and what they choose after that.
    assert waves == [{"digits"}, {"further"}, {"best"}]
    # The first ones were submitted by hand, the others by the job that looked after them.
    assert [array.kind for array in arrays] == ["runs", "follow-up"] * 3


def test_a_choice_ends_in_the_same_answer_on_slurm(study_tool, tmp_path):
    choose = {"strategy": "halving", "trainings": 4.6, "seeds": [5], "baselines": []}
    study = {**SMALL, "name": "tiny_choice", "datasets": {"digits": {}}, "choose": choose}
    for key in ("reference", "family", "targets"):
        del study[key]
    path = write(tmp_path / "choice.yaml", study)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "launch.json").write_text(json.dumps({"threads": 1}))
    study_tool("choose", path, "--out", here, "--jobs", 1, "LAUNCH.MODE", "local")
    study_tool("choose", path, "--out", there, "--do", "launch", "--yes")
    wait_for_empty_queue(900)
    said = study_tool("choose", path, "--out", there, "--do", "status")
    assert "all runs are done; their report is" in said
    for name in ("plan.json", "decisions.json", "test.json", "choice.json"):
        assert (there / name).read_bytes() == (here / name).read_bytes(), name
    assert (there / "report" / "index.html").is_file()
    files = [folder / "network" / "weights.pyth" for folder in (here, there)]
    assert files[0].read_bytes() == files[1].read_bytes()
