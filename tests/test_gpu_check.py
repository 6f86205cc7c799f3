"""`make gpu-check` on the CPU, in smallest sizes; and what it counts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "dev"))

from count_step import count_step  # noqa: E402
from gpu_check import command  # noqa: E402
from gpu_check.command import HALVES, main  # noqa: E402
from gpu_check.scale import Scale  # noqa: E402


@pytest.mark.slow
def test_it_goes_through_all_sections_on_the_cpu(tmp_path, capsys):
    out = tmp_path / "gpu-check.json"
    words = ["--device", "cpu", "--tiny", "--in-process", "--out", str(out)]
    assert main([*words, "--half", "2"]) == 0
    assert set(json.loads(out.read_text())) == set(HALVES[2])
    assert main([*words, "--half", "1"]) == 0
    found = json.loads(out.read_text())
    assert set(found) == {*HALVES[1], *HALVES[2]}  # a half leaves the other's results
    assert {name: section["errors"] for name, section in found.items() if section["errors"]} == {}
    only_on_gpu = {name for name, section in found.items() if "skipped" in section}
    assert only_on_gpu == {"gpu_tests", "waits"}
    for row in (*found["resuming"]["rows"], *found["together"]["rows"]):
        assert row["difference"] == 0.0  # on the CPU nothing may differ
    assert all(row["stopped"] for row in found["resuming"]["rows"])
    (lost,) = found["peers"]["rows"]
    assert "process 1 of 2 was killed by SIGKILL" in lost["error"]
    table = out.with_suffix(".md").read_text()
    assert "| 24 | bfloat16 | graph | 1 |" in table


@pytest.mark.slow
def test_a_section_has_a_process_and_a_time_of_its_own(tmp_path):
    command = [sys.executable, str(REPO / "dev" / "gpu_check"), "--section", "profile"]
    options = ["--device", "cpu", "--tiny", "--folder", str(tmp_path), "--until", "1e9"]
    subprocess.run([*command, *options], check=True)
    found = json.loads((tmp_path / "profile.json").read_text())
    assert found["errors"] == []
    assert found["rows"][0]["top"]


# In place of the check: a section that dies, one that does not end and has a process of its own,
# and one that is done.
SECTIONS = """
import os, signal, subprocess, sys, time
from pathlib import Path
name, folder = sys.argv[2], Path(sys.argv[6])
result = folder / f"{name}.json"
if name == "machine":
    os.kill(os.getpid(), signal.SIGKILL)
result.write_text('{"rows": [{"seconds": 1.5}], "errors": [], "cut_off": false}')
if name == "several":
    own = subprocess.Popen(["sleep", "600"])
    Path(sys.argv[0]).with_name("own").write_text(str(own.pid))
    time.sleep(600)
"""


def test_the_rest_goes_on_where_a_section_dies_or_does_not_end(tmp_path, monkeypatch, capsys):
    program = tmp_path / "program.py"
    program.write_text(SECTIONS)
    monkeypatch.setattr(command, "_PROGRAM", program)
    monkeypatch.setattr(command, "_END_S", 0.5)
    sections = dict.fromkeys(("machine", "several", "waits"), ("module", 1.0))
    monkeypatch.setattr(command, "HALVES", {1: sections, 2: {}})
    out = tmp_path / "out.json"
    earlier = {"rows": [], "errors": [], "gpu": "another"}
    out.write_text(json.dumps({"machine": earlier, "peers": {"rows": [{"seconds": 9.0}]}}))
    assert main(["--half", "1", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["machine"] == {"rows": [], "errors": [], "ended": "exit code -9"}
    assert found["several"]["rows"]
    assert "longer than its time" in found["several"]["ended"]
    assert "ended" not in found["waits"]
    assert found["peers"]["rows"] == [{"seconds": 9.0}]  # of the other half
    printed = capsys.readouterr().out
    assert "- machine: exit code -9" in printed
    assert "| seconds |" in printed
    state = Path("/proc", (tmp_path / "own").read_text(), "stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_halves_are_four_minutes_each():
    for half in HALVES.values():
        assert sum(seconds for _, seconds in half.values()) <= 240


def test_a_folder_without_wheels_is_refused(tmp_path, capsys):
    assert main(["--wheels", str(tmp_path), "--out", str(tmp_path / "x.json")]) == 1
    assert "no wheels" in capsys.readouterr().err


def test_kernels_and_bytes_of_a_step_are_counted():
    scale = Scale.of("cpu", True)
    cfg = scale.cfg(scale.networks()[0][1], 24, "bfloat16", "TRAIN.BATCH_SIZE", 4)
    count = count_step(cfg)
    # By hand: 8 convolutions (one projects), 8 norms, 7 activations, 2 blocks; 22 of no layer.
    assert count.kernels == 5 * 8 + 8 * 8 + 2 * (7 + 2) + 22
    assert count.one_cast_kernels == 3 * 8 + 2 + 8 * 8 + 2 * (7 + 2) + 22
    assert count.fused_kernels == 3 * 8 + 2 + 6 * 8 + 22
    assert count.float32 > count.mixed > count.fused
