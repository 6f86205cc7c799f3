"""The sweeps that come along, launched on a real Slurm: their results and pages are there after."""

import csv
import subprocess
from pathlib import Path

import forked_tools
from shipped_sweeps import SWEEPS, small
from slurm_queue import wait_for_empty_queue

ROOT = Path(__file__).resolve().parents[2]


def test_every_shipped_sweep_ends_in_its_page(slurm, cifar_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("PYCLS_DATA", str(cifar_dir))

    def tool(step, name, *more):
        where = ["--sweep-cfg", SWEEPS[name], "--root-dir", "sweeps", *small(name), *more]
        command = forked_tools.command(ROOT / "tools" / f"sweep_{step}.py", *where)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    for name in SWEEPS:
        tool("setup", name)
        # The three runs of each in one job, which pays once for its start.
        tool("launch", name, "LAUNCH.RUNS_PER_JOB", "3", "LAUNCH.TIME_LIMIT", "60", "--yes")
    wait_for_empty_queue()
    for name in SWEEPS:
        folder = tmp_path / "sweeps" / "cifar" / name
        # By the job that looks after the others, the page too.
        with (folder / "results.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["status"] for row in rows] == ["done"] * 3
        page = (folder / "analysis.html").read_text(encoding="utf-8")
        assert f"{min(float(row['final_top1_err']) for row in rows):.1f}" in page
