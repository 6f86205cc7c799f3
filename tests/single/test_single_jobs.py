"""Single trainings and tests as jobs of submitit's, where no Slurm takes part."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pycls.core.runs.record import failures_of, read_record, write_record
from pycls.errors import ConfigError, DataError, PyclsError, RunError
from pycls.single.job import SingleJob
from pycls.single.submit import FOLDER, submit

ROOT = Path(__file__).resolve().parents[2]
PACED = ROOT / "tests" / "pool" / "paced"


def test_the_debug_executor_trains_and_tests_in_this_process(digits_cfg, capsys, monkeypatch):
    cfg = digits_cfg("LAUNCH.MODE", "submitit_debug", "OPTIM.MAX_EPOCH", 1)
    record = submit(cfg, "train")
    assert (record["status"], record["pid"]) == ("done", os.getpid())
    monkeypatch.setenv("PATH", "")
    done = digits_cfg("LAUNCH.MODE", "slurm", "OPTIM.MAX_EPOCH", 1, "LOG_DEST", "file")
    Path(cfg.OUT_DIR, "stdout.log").touch()
    assert submit(done, "train") == record  # nothing is submitted for it
    weights = next(Path(cfg.OUT_DIR, "checkpoints").iterdir())
    submit(digits_cfg("LAUNCH.MODE", "submitit_debug", "TEST.WEIGHTS", str(weights)), "test")
    assert f"test error {record['result']['final_top1_err']:.2f} % top-1" in capsys.readouterr().out
    with pytest.raises(RunError, match="diverged"):
        submit(digits_cfg(
            "LAUNCH.MODE", "submitit_debug", "OPTIM.BASE_LR", 1e30, "OUT_DIR", f"{cfg.OUT_DIR}/b"
        ), "train")  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        ((), PyclsError, "no Slurm on this machine"),
        (("LAUNCH.TIME_LIMIT", 0), ConfigError, r"LAUNCH.TIME_LIMIT.* 0.*minutes"),
        (("LAUNCH.CONDA_ENV", "a", "LAUNCH.PYTHON", "b"), ConfigError, "CONDA_ENV and PYTHON"),
        (("TRAIN.DATASET", "nothing"), DataError, "nothing was submitted: .*nothing"),
        (("OUT_DIR", "a%j"), ConfigError, "a%j.*choose another"),
    ],
)
def test_what_cannot_be_submitted_is_refused_and_leaves_nothing(
    digits_cfg, tmp_path, monkeypatch, overrides, error, message
):
    monkeypatch.setenv("PATH", "")
    cfg = digits_cfg("LAUNCH.MODE", "slurm", *overrides)
    with pytest.raises(error, match=message):
        submit(cfg, "train")
    assert not Path(cfg.OUT_DIR).exists()


def test_a_job_that_never_comes_to_its_training_is_not_requeued_for_ever(tmp_path):
    job = SingleJob("train", "", str(tmp_path), "slurm", limit_s=0.0)
    job._began = "2026-01-01T00:00:00+00:00"
    assert None not in (job.checkpoint(), job.checkpoint())
    write_record(tmp_path, {"status": "interrupted", "started": "2026-01-01T00:00:01+00:00"})
    assert all(job.checkpoint() for _ in range(5))  # it got there
    job._began = "2026-01-02T00:00:00+00:00"
    assert None not in (job.checkpoint(), job.checkpoint())
    assert job.checkpoint() is None
    assert "stopped 3 times in a row" in failures_of(read_record(tmp_path))[0]["reason"]


@pytest.mark.slow
def test_the_local_executor_goes_on_after_a_signal(digits_dir, tmp_path):
    out_dir, over = tmp_path / "a b", tmp_path / "over"
    paths = os.pathsep.join(filter(None, (str(PACED), os.environ.get("PYTHONPATH"))))
    tool = subprocess.Popen(
        [
            sys.executable, ROOT / "tools" / "train_net.py",
            "--cfg", ROOT / "configs" / "embedded" / "digits_anynet.yaml",
            "OUT_DIR", out_dir, "LAUNCH.MODE", "submitit_local", "OPTIM.MAX_EPOCH", "1",
                "LOG_PERIOD", "1",
            "DATA.DIR", digits_dir, "DEVICE", "cpu",
        ],
        stdout=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths, "PACE_S": "0.2", "PACE_UNTIL": str(over)},
    )  # fmt: skip
    log = out_dir / "stdout.log"
    deadline = time.monotonic() + 300
    while not (log.exists() and "train_iter" in log.read_text()):
        assert tool.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(read_record(out_dir)["pid"], signal.SIGUSR2)
    while "Resumed" not in log.read_text():
        assert tool.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    over.touch()
    said, _ = tool.communicate(timeout=300)
    assert tool.returncode == 0
    assert "done: test error" in said
    (job,) = (p for p in (out_dir / FOLDER).iterdir() if p.name != "code")
    assert f"submitted as job {job.name}" in said
    assert (job / f"{job.name}_0_result.pkl").exists()
