"""tools/sweep_collect.py as a user runs it."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from processes import killed_at
from sweep_files import RATES, write

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "sweep_collect.py"
PYCLS_RUN = ROOT / "tests" / "data" / "pycls_run"


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_that_pycls_wrote_as_it_is(tool, tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(PYCLS_RUN, folder)
    process = tool("sweep_collect", "--folder", "tiny")
    assert (process.returncode, process.stderr) == (0, "")
    lines = process.stdout.splitlines()
    assert lines[:3] == [
        "tiny: 1 runs: 1 stopped",
        "  2 of 3 epochs of the runs that have a log",
        "  stopped: 000000: the log ends after epoch 2 of 3, and no run.json says why",
    ]
    assert "  tiny/sweep.json" in lines
    assert json.loads((folder / "sweep.json").read_text())[0]["test_epoch"]["epoch_ind"] == [1, 2]
    before = (folder / "results.csv").read_bytes()
    process = tool("sweep_collect", "--folder", "tiny")
    assert "read 0.0 MB of 0 logs; 1 unchanged since the last time" in process.stdout
    assert (folder / "results.csv").read_bytes() == before
    # Elsewhere, where the folder is not to be written to.
    (tmp_path / "out").mkdir()
    process = tool("sweep_collect", "--folder", PYCLS_RUN, "--out", "out")
    assert process.returncode == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        ".collect.cache", ".collect.lock", "curves.csv", "results.csv", "sweep.json",
    ]  # fmt: skip
    assert not (PYCLS_RUN / "sweep.json").exists()


def test_a_sweep_from_set_up_to_results(tool, tmp_path):
    base = {
        "MODEL": {"TYPE": "anynet", "NUM_CLASSES": 10},
        "ANYNET": {"DEPTHS": [1, 1], "WIDTHS": [8, 16], "STRIDES": [1, 2], "STEM_W": 8,
                   "STEM_TYPE": "res_stem_cifar", "BOT_MULS": [1.0, 1.0], "GROUP_WS": [8, 8]},
        "OPTIM": {"MAX_EPOCH": 2, "EMA_UPDATE_PERIOD": 1},
        "TRAIN": {"DATASET": "digits", "IM_SIZE": 8, "BATCH_SIZE": 256},
        "TEST": {"DATASET": "digits", "IM_SIZE": 8, "BATCH_SIZE": 1000},
        "BN": {"USE_PRECISE_STATS": False},
        "DATA": {"PAD": 1},
        "PREC_TIME": {"NUM_ITER": 1, "WARMUP_ITER": 1},
        "LOG_DEST": "file", "LOG_PERIOD": 2, "DEVICE": "cpu", "NUM_THREADS": 1,
    }  # fmt: skip
    changes = {("SETUP", "BASE_CFG"): base, ("SETUP", "NUM_CONFIGS"): 3}
    path = write(tmp_path / "rates.yaml", RATES, changes)
    assert tool("prepare_data", "prepare", "digits").returncode == 0
    assert tool("sweep_setup", "--sweep-cfg", path).returncode == 0
    folder = tmp_path / "studies" / "group" / "rates"
    process = tool("sweep_collect", "--sweep-cfg", path)
    assert process.stdout.splitlines() == [
        "studies/group/rates: 3 runs: 3 missing", "  no run has begun; nothing was written",
    ]  # fmt: skip
    process = tool("train_net", "--cfg", folder / "cfgs" / "000000.yaml")
    assert process.returncode == 0, process.stderr
    diverging = ("OPTIM.BASE_LR", "1e30", "OPTIM.WARMUP_EPOCHS", "0")
    process = tool("train_net", "--cfg", folder / "cfgs" / "000002.yaml", *diverging)
    assert process.returncode == 1
    checkpoints = folder / "logs" / "000000" / "checkpoints"
    size = (checkpoints / "model_epoch_0001.pyth").stat().st_size
    process = tool("sweep_collect", "--sweep-cfg", path)
    assert (process.returncode, process.stderr) == (0, "")
    assert "studies/group/rates: 3 runs: 1 done, 1 failed, 1 missing" in process.stdout
    assert "  failed: 000002: the loss is nan" in process.stdout
    # pycls's default is to keep the last checkpoint; here that is said, and done on request.
    counted = f"1 checkpoints of 1 finished runs, {size / 1e6:,.1f} MB"
    assert f"not needed by CHECKPOINTS_KEEP: {counted}" in process.stdout
    assert "nothing was deleted; --delete-checkpoints does it" in process.stdout
    assert len(list(checkpoints.iterdir())) == 2
    process = tool("sweep_collect", "--sweep-cfg", path, "--delete-checkpoints")
    assert f"removed: {counted}" in process.stdout
    assert [p.name for p in checkpoints.iterdir()] == ["model_epoch_0002.pyth"]
    done, missing, failed = rows_of(folder / "results.csv")
    record = json.loads((folder / "logs" / "000000" / "run.json").read_text())
    for name in ("final_top1_err", "min_top1_err", "final_topk_err", "final_train_top1_err"):
        assert float(done[name]) == pytest.approx(record["result"][name], abs=1e-4)
    assert float(done["final_ema_top1_err"]) > 0
    summary = yaml.safe_load((folder / "cfgs_summary.yaml").read_text())
    for run, row in zip(("000000", "000001", "000002"), (done, missing, failed), strict=True):
        assert row["run"] == run
        assert float(row["OPTIM.BASE_LR"]) == summary[run]["OPTIM.BASE_LR"]
        assert int(row["flops"]) == summary[run]["complexity"]["flops"]
        assert (row["cum_depth"], row["cum_width"]) == ("2", "24")
    assert (missing["status"], missing["final_top1_err"]) == ("missing", "")
    assert failed["final_top1_err"] == ""
    process = tool(
        "sweep_collect", "--sweep-cfg", folder / "sweep_cfg.yaml",
        "--delete-checkpoints", "COLLECT.CHECKPOINTS_KEEP", "none",
    )  # fmt: skip
    assert "removed: 1 checkpoints" in process.stdout
    assert list(checkpoints.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--folder", "none"], ["none: no such folder"]),
        (["--folder", "."], ["not the folder of a sweep", "cfgs/"]),
        (["--folder", ".", "COLLECT.CHECKPOINTS_KEEP", "all"], ["--folder", "--sweep-cfg"]),
        (["--sweep-cfg", "none.yaml"], ["none.yaml: no such file"]),
        (["--folder", str(PYCLS_RUN), "--out", "none"], ["none: no such folder"]),
    ],
)
def test_mistakes_are_one_message(tool, tmp_path, words, parts):
    process = tool("sweep_collect", *words)
    assert process.returncode == 2
    assert "Traceback" not in process.stderr
    [line] = process.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(part in line for part in parts)
    assert list(tmp_path.iterdir()) == []


def test_killed_collections_leave_whole_files(tmp_path):
    folder = tmp_path / "sweep"
    log = (PYCLS_RUN / "logs" / "000000" / "stdout.log").read_bytes()
    for run in range(60):
        out_dir = folder / "logs" / f"{run:06d}"
        out_dir.mkdir(parents=True)
        (out_dir / "stdout.log").write_bytes(log)
    command = [str(TOOL), "--folder", str(folder), "--processes", "1"]
    # The first collection is killed at its first file, and each other one a file later: when
    # that is written, and not yet in its place.
    for name, files in ((".sweep.json", 1), (".results.csv", 2), (".curves.csv", 2),
                        ("..collect.cache", 2)):  # fmt: skip
        killed = killed_at("fsync", files, *command)
        process = subprocess.run(killed, stdout=subprocess.DEVNULL, check=False)
        assert process.returncode == -signal.SIGKILL
        assert list(folder.glob(f"{name}.*.partial"))
        if name != ".sweep.json":
            assert len(json.loads((folder / "sweep.json").read_text())) == 60
        if name in (".curves.csv", "..collect.cache"):
            assert len(rows_of(folder / "results.csv")) == 60
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    assert len(json.loads((folder / "sweep.json").read_text())) == 60
    assert len(rows_of(folder / "curves.csv")) == 120
    assert not list(folder.glob("*.partial"))
