"""The sweeps that come along, from set-up to analysis.html, as a user carries them out."""

import csv
import json

import pytest
from shipped_sweeps import SWEEPS, small


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_a_sweep_as_it_is_shipped_ends_in_its_page(
    tool_here, tmp_path, cifar_dir, monkeypatch, name
):
    monkeypatch.setenv("PYCLS_DATA", str(cifar_dir))
    where = ["--sweep-cfg", SWEEPS[name], "--root-dir", "sweeps"]
    words = [*where, *small(name)]
    assert "LOG_DEST" not in SWEEPS[name].read_text()  # standard output, by default
    steps = [["sweep_setup"], ["sweep_launch", "LAUNCH.MODE", "local"], ["sweep_collect"],
             ["sweep_analyze"]]  # fmt: skip
    for tool, *more in steps:
        process = tool_here(tool, *words, *more)
        assert process.returncode == 0, process.stderr
        if tool == "sweep_launch":  # which leaves a report
            page = tmp_path / "sweeps" / "cifar" / name / "analysis.html"
            assert f"report: sweeps/cifar/{name}/analysis.html" in process.stdout
            page.unlink()
    folder = tmp_path / "sweeps" / "cifar" / name
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["done"] * 3
    assert all(0 <= float(row["final_top1_err"]) <= 100 for row in rows)
    assert len(json.loads((folder / "sweep.json").read_text())) == 3
    page = (folder / "analysis.html").read_text(encoding="utf-8")
    assert f"{min(float(row['final_top1_err']) for row in rows):.1f}" in page


def test_runs_without_a_log_are_said_to_be(tool_here, tmp_path, cifar_dir, monkeypatch):
    """As by train_net.py, which writes to the terminal where the sweep does not say otherwise."""
    folder = tmp_path / "sweeps" / "cifar" / "cifar_optim"
    where = ["--sweep-cfg", SWEEPS["cifar_optim"], "--root-dir", "sweeps"]
    assert tool_here("sweep_setup", *where, *small("cifar_optim")).returncode == 0
    for run in range(3):
        out_dir = folder / "logs" / f"{run:06d}"
        out_dir.mkdir()
        (out_dir / "run.json").write_text(json.dumps({"status": "done", "result": {}}))
    process = tool_here("sweep_collect", *where)
    assert process.returncode == 0, process.stderr
    assert "no results: no run has a log with an epoch in it" in process.stdout
    assert "there is no stdout.log in its folder" in process.stdout
    process = tool_here("sweep_analyze", *where)
    assert process.returncode == 2
    assert "none of 3 runs has a" in process.stderr
