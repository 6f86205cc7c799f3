"""A sweep's folder into sweep.json, results.csv and curves.csv."""

import csv
import io
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from run_logs import CFG, COMPLEXITY, write_start

from pycls.core.runs.lease import run_lease
from pycls.core.runs.record import write_record
from pycls.errors import ConfigError
from pycls.results.collect_sweep import OUTPUTS, collect_sweep
from pycls.results.sweep_rows import describe_network
from pycls.sweep.folder import read_summary

PYCLS_RUN = Path(__file__).parents[1] / "data" / "pycls_run"


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def jobs_of(folder):
    return json.loads((folder / "sweep.json").read_text())


@pytest.fixture
def sweep(tmp_path):
    """Return a function that makes a sweep of some runs, and its folder."""
    folder = tmp_path / "sweep"

    def add_run(number, epochs=(1, 2, 3), last=3, *, status=None, errors=None, **options):
        name = f"{number:06d}"
        (folder / "cfgs").mkdir(parents=True, exist_ok=True)
        (folder / "cfgs" / f"{name}.yaml").write_text(yaml.safe_dump(CFG))
        out_dir = folder / "logs" / name
        if epochs is not None:
            out_dir.mkdir(parents=True, exist_ok=True)
            write_start(out_dir / "stdout.log", epochs, last, **options)
        if errors is not None:
            (out_dir / "stderr.log").write_text(errors)
        if status is not None:
            write_record(out_dir, {"status": status, "started": "2026-01-02T03:04:05+00:00"})
        return out_dir

    return folder, add_run


def test_a_sweep_that_pycls_wrote(tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(PYCLS_RUN, folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    collected = collect_sweep(folder, keep="none", delete=True)
    assert collected.epochs == {"000000": (2, 3)}
    assert all(path.read_bytes() == content for path, content in before.items())
    [job] = jobs_of(folder)
    assert set(job) == {
        "cfg", "complexity", "train_epoch", "test_epoch", "test_ema_epoch",
        "err", "err_file", "log_file",
    }  # fmt: skip
    assert job["log_file"] == f"{folder}/logs/000000/stdout.log"
    assert (job["err_file"], job["err"]) == (f"{folder}/logs/000000/stderr.log", "")
    assert job["cfg"]["ANYNET"]["WIDTHS"] == [8, 16]
    assert job["test_ema_epoch"]["top5_err"] == [52.5, 53.0]
    assert (job["test_epoch"]["epoch_ind"], job["test_epoch"]["epoch_max"]) == ([1, 2], [3, 3])
    [row] = rows_of(folder / "results.csv")
    assert (row["run"], row["cfg"], row["status"]) == ("000000", "0", "stopped")
    assert "after epoch 2 of 3" in row["reason"]
    # Of an unfinished run no error is a result; the curves have them.
    assert not any(row[name] for name in row if name.endswith("_err"))
    assert (row["flops"], row["cum_depth"], row["cum_width"]) == ("958634", "2", "24")
    assert [row[f"group_w_{i}"] for i in (1, 2)] == ["4", "8"]
    curves = rows_of(folder / "curves.csv")
    assert [c["test_top1_err"] for c in curves] == ["91.5", "89.5"]
    assert [c["train_topk_err"] for c in curves] == ["50.5", "51.0"]
    assert [c["ema_topk_err"] for c in curves] == ["52.5", "53.0"]


def test_results_of_a_finished_run(sweep):
    folder, add_run = sweep
    add_run(0, [1, 2, 3], status="done")
    # Lower in the middle than at the end; pycls's own minimum begins anew with each start.
    add_run(1, [1, 2, 3], 4, offset=-30)
    add_run(1, [3, 4], 4, offset=5)
    collect_sweep(folder)
    first, second = rows_of(folder / "results.csv")
    expected = {
        "final_top1_err": 47.0, "min_top1_err": 47.0, "final_topk_err": 23.5,
        "final_train_top1_err": 48.0, "min_train_topk_err": 24.5, "final_ema_top1_err": 46.0,
        "min_ema_topk_err": 22.5, "seconds": 9.0, "num_classes": 10, "topk": 5, "epochs": 3,
        "epochs_done": 3, "flops": 1000, "cum_depth": 3, "cum_width": 48, "depth_2": 2,
        "width_1": 16, "bot_mul_1": 0.5, "group_w_2": 16, "seed": 3,
    }  # fmt: skip
    assert {name: float(first[name]) for name in expected} == expected
    assert (first["status"], first["model"], first["dataset"]) == ("done", "anynet", "digits")
    assert first["started"] == "2026-01-02T03:04:05+00:00"
    assert first["full_train_top1_err"] == ""
    assert second["status"] == "done"
    assert (second["final_top1_err"], second["min_top1_err"]) == ("51.0", "18.0")
    curves = [r for r in rows_of(folder / "curves.csv") if r["run"] == "000001"]
    assert [float(c["test_top1_err"]) for c in curves] == [19.0, 18.0, 52.0, 51.0]
    assert [float(c["train_top1_err"]) for c in curves] == [20.0, 19.0, 53.0, 52.0]


def test_every_state_is_named_with_its_reason(sweep):
    folder, add_run = sweep
    add_run(0)
    add_run(1, [1], status="failed")
    write_record(folder / "logs" / "000001", {"status": "failed", "reason": "the loss is nan"})
    add_run(2, [1], errors="warning: slow\nTraceback (most recent call last):\nKeyError: 'x'\n")
    add_run(3, [1, 2], status="running")
    add_run(4, [1], status="running")
    add_run(5, None)
    add_run(6, [1], errors="some warning\n")
    add_run(7, [1], status="done")
    add_run(8, [], errors=None)
    write_record(add_run(9, [1]), {"status": "interrupted", "reason": "SIGTERM"})
    (folder / "logs" / "000010").mkdir()
    with run_lease(folder / "logs" / "000003"):
        collected = collect_sweep(folder)
    found = {int(run): (s.state, s.reason) for run, s in collected.statuses.items()}
    assert found == {
        0: ("done", ""),
        1: ("failed", "the loss is nan"),
        2: ("failed", "stderr.log: KeyError: 'x'"),
        3: ("running", ""),
        4: ("stopped", "its process is gone"),
        5: ("missing", ""),
        6: ("stopped", "the log ends after epoch 1 of 3, and no run.json says why"),
        7: ("failed", "its log has no record of the last epoch"),
        8: ("stopped", "the log ends before the first epoch was tested, and no run.json says why"),
        9: ("stopped", "SIGTERM"),
        10: ("missing", ""),
    }
    rows = rows_of(folder / "results.csv")
    assert [(row["status"], row["reason"]) for row in rows] == list(found.values())
    assert {row["status"] for row in rows if row["final_top1_err"]} == {"done"}
    # A run without a log has what its configuration says; sweep.json has runs with logs.
    assert (rows[5]["model"], rows[5]["width_2"], rows[5]["flops"]) == ("anynet", "32", "")
    assert [Path(job["log_file"]).parent.name for job in jobs_of(folder)] == [
        f"{i:06d}" for i in (0, 1, 2, 3, 4, 6, 7, 8, 9)
    ]
    assert "KeyError" in jobs_of(folder)[2]["err"]
    # The process of run 3 is gone now, though no file has changed.
    assert collect_sweep(folder).statuses["000003"].state == "stopped"
    assert rows_of(folder / "results.csv")[3]["status"] == "stopped"


def test_errors_that_are_no_numbers_stay_that(sweep):
    folder, add_run = sweep
    add_run(0, [1, 2, 3])
    log = folder / "logs" / "000000" / "stdout.log"
    log.write_text(log.read_text().replace(' "top1_err": 47.0000', ' "top1_err": NaN'))
    add_run(1, offset=math.inf)
    collect_sweep(folder)
    first, second = rows_of(folder / "results.csv")
    assert (first["status"], first["final_top1_err"], first["min_top1_err"]) == (
        "done", "nan", "48.0",
    )  # fmt: skip
    assert (second["final_top1_err"], second["min_top1_err"]) == ("inf", "inf")
    assert '"top1_err": [49.0, 48.0, NaN]' in (folder / "sweep.json").read_text()
    assert math.isnan(jobs_of(folder)[0]["test_epoch"]["top1_err"][2])


def test_records_with_missing_fields_abort_nothing(sweep):
    folder, add_run = sweep
    log = add_run(0) / "stdout.log"
    text = log.read_text().replace('"top5_err"', '"top_err"').replace(', "time_epoch": 0.5000', "")
    log.write_text(text + 'json_stats: {"_type": "test_epoch", "epoch": "1/2", "top1_err": 4\n')
    other = add_run(1) / "stdout.log"
    other.write_text(other.read_text().replace('"NUM_CLASSES": 10', '"NUM_CLASSES": "ten"')
                     .replace('"WIDTHS": [16, 32]', '"WIDTHS": [16, null]'))  # fmt: skip
    assert len(collect_sweep(folder).damaged) == 1
    assert list(collect_sweep(folder).damaged.values()) == [1]  # nothing is read again
    first, second = rows_of(folder / "results.csv")
    assert (first["final_topk_err"], first["final_top1_err"], first["seconds"]) == (
        "", "47.0", "6.0",
    )  # fmt: skip
    assert (second["num_classes"], second["topk"], second["width_1"]) == ("", "", "")
    assert second["final_top1_err"] == "47.0"


def test_other_networks_in_one_log_are_said(sweep):
    folder, add_run = sweep
    add_run(0, [1, 2])
    cfg = {**CFG, "ANYNET": {**CFG["ANYNET"], "WIDTHS": [64, 128]}}
    add_run(0, [1, 2, 3], cfg=cfg, complexity={**COMPLEXITY, "flops": 7})
    collect_sweep(folder)
    [row] = rows_of(folder / "results.csv")
    assert (row["flops"], row["width_1"], row["status"]) == ("7", "64", "done")
    assert "different networks" in row["reason"]
    assert jobs_of(folder)[0]["complexity"] == COMPLEXITY  # the first, as pycls has it


def test_collecting_again_gives_the_same_and_sees_what_changed(sweep):
    folder, add_run = sweep
    for number in range(3):
        add_run(number, [1, 2])

    def outputs():
        return {name: (folder / name).read_bytes() for name in OUTPUTS}

    def anew():
        (folder / ".collect.cache").unlink()
        collect_sweep(folder)
        return outputs()

    first = collect_sweep(folder)
    before = outputs()
    again = collect_sweep(folder)
    assert (again.statuses, again.epochs, again.paths) == (
        first.statuses, first.epochs, first.paths,
    )  # fmt: skip
    assert (again.reading.read, again.reading.unchanged) == (0, 3)
    assert outputs() == before == anew()
    add_run(1, [3])
    assert collect_sweep(folder).reading.read == 1
    changed = outputs()
    assert changed != before
    assert changed == anew()
    # Files that were removed or edited come back.
    (folder / "results.csv").unlink()
    (folder / "curves.csv").write_text("edited\n")
    collect_sweep(folder)
    assert outputs() == changed
    # What a run writes beside its log counts too.
    (folder / "logs" / "000000" / "stderr.log").write_text("RuntimeError: out of memory\n")
    assert collect_sweep(folder).statuses["000000"].state == "failed"
    write_record(folder / "logs" / "000002", {"status": "failed", "reason": "late"})
    assert collect_sweep(folder).statuses["000002"].reason == "late"
    (folder / "cfgs_summary.yaml").write_text("'000000': {OPTIM.BASE_LR: 0.5}\n")
    collect_sweep(folder)
    assert rows_of(folder / "results.csv")[0]["OPTIM.BASE_LR"] == "0.5"
    assert outputs() == anew()


def test_what_was_drawn_in_our_form_and_in_pyclss(tmp_path, sweep):
    folder, add_run = sweep
    add_run(0)
    add_run(1, None)
    (folder / "cfgs_summary.yaml").write_text(
        "'000000': {OPTIM.BASE_LR: 0.5, ANYNET.DEPTHS: [1, 2], arch: a7}\n"
        "'000001': {OPTIM.BASE_LR: 1.5, complexity: {flops: 5, params: 6, acts: 7}}\n"
    )
    collect_sweep(folder)
    first, second = rows_of(folder / "results.csv")
    assert (first["OPTIM.BASE_LR"], first["ANYNET.DEPTHS"], first["arch"]) == (
        "0.5", "[1, 2]", "a7",
    )  # fmt: skip
    assert (second["OPTIM.BASE_LR"], second["ANYNET.DEPTHS"]) == ("1.5", "")
    assert [first[n] for n in ("flops", "params")] == ["1000", "200"]
    assert [second[n] for n in ("flops", "params", "acts")] == ["5", "6", "7"]
    path = tmp_path / "pycls.yaml"
    path.write_text(
        "000000.yaml: OPTIM.BASE_LR 0.5 ANYNET.DEPTHS [1, 2] MODEL.ACTIVATION_FUN silu "
        "BN.EPS 1e-05\n"
        "000001.yaml: RNG_SEED 3\n000002.yaml: 17\n"
    )
    assert read_summary(path) == {
        "000000": {
            "OPTIM.BASE_LR": 0.5, "ANYNET.DEPTHS": [1, 2], "MODEL.ACTIVATION_FUN": "silu",
            "BN.EPS": 1e-05,
        },
        "000001": {"RNG_SEED": 3},
    }  # fmt: skip


def test_networks_by_stage():
    regnet = {"WA": 38.65, "W0": 96, "WM": 2.43, "DEPTH": 15, "BOT_MUL": 1.0, "GROUP_W": 40}
    # RegNetX-4.0GF (its widths and depths: pycls's model zoo)
    described = describe_network({"MODEL": {"TYPE": "regnet"}, "REGNET": {**regnet, "DEPTH": 23}})
    assert described["stages"]["depth"] == [2, 5, 14, 2]
    assert described["stages"]["width"] == [80, 240, 560, 1360]
    assert (described["cum_depth"], described["cum_width"]) == (23, 2240)
    described = describe_network(
        {"MODEL": {"TYPE": "effnet"}, "EN": {"DEPTHS": [1, 2], "WIDTHS": [16, 24]}}
    )
    assert (described["cum_depth"], described["cum_width"]) == (3, 40)
    assert describe_network({"MODEL": {"TYPE": "resnet"}}) == {"model": "resnet", "stages": {}}
    assert describe_network({"MODEL": {"TYPE": "regnet"}, "REGNET": {"W0": 7}}) == {
        "model": "regnet"
    }
    assert describe_network({}) == {}


def add_checkpoints(out_dir, epochs):
    folder = out_dir / "checkpoints"
    folder.mkdir()
    for epoch in epochs:
        (folder / f"model_epoch_{epoch:04d}.pyth").write_bytes(b"x" * 100 * epoch)
    (folder / "notes.txt").write_text("mine")
    (out_dir / "model.pyth").write_bytes(b"best")
    return folder


def left(folder):
    return sorted(int(p.stem[-4:]) for p in folder.glob("*.pyth"))


@pytest.mark.parametrize(
    ("keep", "expected", "freed"),
    [("all", [1, 2, 3], (0, 0, 0)), ("last", [3], (4, 600, 2)), ("none", [], (6, 1200, 2))],
)
def test_checkpoints_of_finished_runs_only(sweep, keep, expected, freed):
    folder, add_run = sweep
    finished = [
        add_checkpoints(add_run(i, status=s), [1, 2, 3]) for i, s in ((0, "done"), (1, None))
    ]
    others = [
        add_checkpoints(add_run(2, [1, 2]), [1, 2]),
        add_checkpoints(add_run(3, [1, 2], status="failed"), [1, 2]),
        add_checkpoints(add_run(4, [1, 2, 3], status="running"), [1, 2]),
        add_checkpoints(add_run(5, [1, 2, 3], errors="boom", status="interrupted"), [1, 2]),
    ]
    busy = add_run(6, status="done")
    others.append(add_checkpoints(busy, [1, 2]))
    with run_lease(busy):
        collected = collect_sweep(folder, keep, delete=True)
    assert [left(f) for f in finished] == [expected] * 2
    assert [left(f) for f in others] == [[1, 2]] * 5
    found = collected.freed
    assert (found.checkpoints, found.size, found.runs) == freed
    assert all((f / "notes.txt").exists() and (f.parent / "model.pyth").exists() for f in finished)


def test_the_last_checkpoint_is_awaited(sweep):
    folder, add_run = sweep
    checkpoints = add_checkpoints(add_run(0), [1, 2])  # pycls logs an epoch, then saves it
    collect_sweep(folder, "last", delete=True)
    assert left(checkpoints) == [1, 2]
    # A later collection, nothing to read, removes what it may now.
    (checkpoints / "model_epoch_0003.pyth").write_bytes(b"x")
    collected = collect_sweep(folder, "last", delete=True)
    assert (left(checkpoints), collected.reading.read) == ([3], 0)


def test_folders_that_are_no_sweeps(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        collect_sweep(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="not the folder of a sweep"):
        collect_sweep(tmp_path / "empty")


def test_before_the_first_run_nothing_is_written(sweep):
    folder, add_run = sweep
    add_run(0, None)
    collected = collect_sweep(folder)
    assert (collected.counts["missing"], list(collected.paths)) == (1, [])
    assert [path.name for path in folder.iterdir()] == ["cfgs"]


def test_names_that_are_no_numbers(sweep):
    folder, add_run = sweep
    add_run(0)
    add_run(1)
    (folder / "logs" / "000001").rename(folder / "logs" / 'big, "lr"')
    (folder / "cfgs" / "000001.yaml").unlink()
    collect_sweep(folder)
    assert [(r["run"], r["cfg"]) for r in rows_of(folder / "results.csv")] == [
        ("000000", "0"), ('big, "lr"', ""),
    ]  # fmt: skip
    curves = (folder / "curves.csv").read_text()
    assert {row["run"] for row in csv.DictReader(io.StringIO(curves))} == {"000000", 'big, "lr"'}
    assert jobs_of(folder)[1]["log_file"].endswith('/logs/big, "lr"/stdout.log')


def test_collecting_needs_no_heavy_packages():
    code = (
        "import sys; import pycls.results.collect_sweep; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'pandas', 'scipy', 'cv2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
