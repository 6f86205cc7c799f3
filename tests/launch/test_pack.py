"""Packed runs: all that reads runs finds them, and a kill at any moment loses nothing."""

import argparse
import copy
import os
import shutil
import sys

import pytest
import yaml
from run_logs import write_start
from tiny_study import TINY

from pycls.core.runs.packed import PACKED, pack, unpack
from pycls.core.runs.record import add_failure, read_record, write_record
from pycls.launch.commands import carry_out
from pycls.launch.status import Watch, find_status
from pycls.launch.work import study_work
from pycls.results.collect_study import collect
from pycls.results.merge_study import merge_study, require_parts
from pycls.results.pack_runs import pack_runs
from pycls.study.file import load_study_file
from pycls.study.study import StudyFolder

RESULTS = ("results.csv", "curves.csv", "timings.csv", "status.json")
WRITES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate")


@pytest.fixture
def study(tmp_path, digits_dir):
    """A study of four runs: two done, one of which keeps weights, one failed, one not begun."""
    values = copy.deepcopy({key: TINY[key] for key in ("name", "population", "config")})
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**values, "datasets": {"digits": {}}}))
    study = StudyFolder(load_study_file(path), tmp_path / "out", digits_dir)
    study_work(study).write()
    for run in study.runs[:3]:
        leave_run(study.out_dir(run), run.index)
    weights = study.out_dir(study.runs[0]) / "checkpoints"
    weights.mkdir()
    (weights / "model_epoch_0003.pyth").write_bytes(b"weights")
    (weights.parent / "model.pyth").write_bytes(b"best")
    add_failure(study.out_dir(study.runs[2]), "the loss is nan", final=True)
    return study


def leave_run(out_dir, index):
    """Leave what a finished run leaves beside its checkpoints."""
    out_dir.mkdir(parents=True)
    write_start(out_dir / "stdout.log", range(1, 4), 3, offset=index)
    (out_dir / "config.yaml").write_text("RNG_SEED: 1\n")
    (out_dir / "stderr.log").write_text("a warning\n")
    (out_dir / ".lease.000001").write_bytes(b"released\n")
    environment = {"pycls": "1", "device": "cpu"}
    epochs = [{"epoch": i + 1, "step": 2.0} for i in range(3)]
    started = {"started": "2026-01-01T00:00:00+00:00", "seconds": 6.0}
    # Done in the end, after a first start that had failed.
    write_record(
        out_dir, {"status": "done", "environment": environment, "epochs": epochs} | started
    )


def seen(study):
    """Return all that is read of runs: results, and states with their reasons and times left."""
    collect(study)
    status = find_status(study_work(study), None)
    shown = [(run.run, run.state, run.reason) for run in status.runs]
    return [(study.folder / name).read_bytes() for name in RESULTS], shown, status.left


def inodes(study, run):
    own = [study.cfg_path(run), study.out_dir(run), *study.out_dir(run).rglob("*")]
    return sum(path.exists() for path in own)


def test_packed_runs_are_read_by_all_that_reads_runs(study, tmp_path, capsys):
    part = tmp_path / "part"
    shutil.copytree(study.folder, part)
    before = seen(study)
    found = [path.read_bytes() for path in sorted(study.out_dir(study.runs[1]).glob("[!.]*"))]
    args = argparse.Namespace(run=study.runs[1].id, follow=True)
    assert carry_out("pack", study_work(study), args) == 0
    assert capsys.readouterr().out == "tiny: 2 runs packed, 0 were before\n"
    assert seen(study) == before
    first, second = study.runs[:2]
    # The configuration, the folder, that of checkpoints, and two of them.
    assert (inodes(study, first), inodes(study, second)) == (5, 1)
    assert pack_runs(map(study.out_dir, study.runs)) == (0, 2)
    assert [p.name for p in (study.out_dir(first).parent / PACKED).iterdir()] == ["000001.zip"]
    # Set up again, it knows that they have begun, and lays nothing anew.
    study_work(study).write()
    assert [run.id for run in study.begun_runs()] == [run.id for run in study.runs[:3]]
    assert carry_out("log", study_work(study), args) == 0
    assert '"epoch": "3/3"' in capsys.readouterr().out
    # Merged like one that is not packed.
    merged = []
    for name, place in (("packed", study.folder), ("plain", part)):
        into = StudyFolder(study.spec, tmp_path / name, study.data.data_dir)
        require_parts(into, [place])
        assert "2 runs copied" in merge_study(into, [place])[0]
        merged.append([(tmp_path / name / table).read_bytes() for table in RESULTS])
    assert merged[0] == merged[1]
    # One that is to go on gets its files back.
    unpack(study.out_dir(second), study.out_dir(second))
    assert [p.read_bytes() for p in sorted(study.out_dir(second).glob("[!.]*"))] == found
    # What is newer than an archive stands above it, and is packed by the next call.
    write_start(study.out_dir(second) / "stdout.log", [3], 3, offset=9.0)
    assert pack_runs(map(study.out_dir, study.runs)) == (1, 2)
    collect(study)
    assert ",56.0," in (study.folder / "results.csv").read_text().splitlines()[2]


@pytest.mark.parametrize("afresh", [True, False])
def test_a_kill_at_any_moment_of_packing_loses_nothing(study, tmp_path, afresh):
    expected = seen(study)
    out_dirs = [study.out_dir(run) for run in study.runs[:2]]
    logs = out_dirs[0].parent
    shutil.copytree(logs, tmp_path / "logs")
    kills = 0
    while kill_at(kills, out_dirs):
        assert seen(study) == expected
        kills += 1
        if afresh:
            shutil.rmtree(logs)
            shutil.copytree(tmp_path / "logs", logs)
    assert kills > 3
    assert seen(study) == expected
    assert not (out_dirs[1]).exists()


def kill_at(number, out_dirs):
    """Pack in a process that ends without a word at its Nth change; say whether it came to that."""
    process = os.fork()
    if process == 0:
        left = [number]

        def hook(event, args):
            is_write = event == "open" and isinstance(args[2], int) and args[2] & os.O_ACCMODE
            if event in WRITES or is_write:
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)

        sys.addaudithook(hook)
        pack(out_dirs)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9


def test_a_watch_looks_at_what_can_have_changed(study):
    work = study_work(study)
    watch = Watch(work, None)
    watch.look()
    first = watch.look()
    assert [run.state for run in first.runs] == ["done", "done", "failed", "planned"]
    opened = []
    is_on = [True]
    sys.addaudithook(
        lambda event, args: opened.append(str(args[0])) if is_on[0] and event == "open" else None
    )
    second = watch.look()
    is_on[0] = False
    assert not [path for path in opened if "/logs/" in path]
    assert second.runs == first.runs
    # A failed one that is tried again, one that begins, and packing.
    failed, planned = (study.out_dir(run) for run in study.runs[2:4])
    write_record(failed, {**read_record(failed), "status": "interrupted", "failures": []})
    leave_run(planned, 3)
    pack_runs(map(study.out_dir, study.runs))
    assert [run.state for run in watch.look().runs] == ["done", "done", "stopped", "done"]
