"""Those who are told of a run's records, and what a terminal shows."""

import importlib
import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import forked_tools
import pytest

from pycls.core.config.load import dump_cfg
from pycls.core.runs.epoch_lines import EpochLines
from pycls.core.runs.log import RunLog
from pycls.core.runs.watchers import open_watchers
from pycls.core.trainer import train_model
from pycls.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
HOOK = """
told = []

def tell(record):
    told.append(record["_type"])
    if record["_type"] == "cfg":
        told.append(record["OUT_DIR"])
    record.clear()
    if record == {} and told.count("test_epoch") == 2:
        raise SystemExit("no connection")
"""


@pytest.fixture
def hook(tmp_path, monkeypatch):
    """Return a module with a hook that fails after two epochs."""
    (tmp_path / "my_tracking.py").write_text(HOOK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_tracking", raising=False)
    return importlib.import_module("my_tracking")


def test_a_hook_is_told_each_record_and_never_stops_a_run(digits_cfg, hook):
    cfg = digits_cfg("LOG_HOOK", "my_tracking:tell")
    with pytest.warns(UserWarning, match="tell failed and is told no more: SystemExit: no conn"):
        record = train_model(cfg)
    assert record["status"] == "done"
    log = (Path(cfg.OUT_DIR) / "stdout.log").read_text()
    logged = re.findall(r'"_type": "(\w+)"', log)
    assert logged.count("test_epoch") == cfg.OPTIM.MAX_EPOCH > 2
    assert hook.told[:2] == ["cfg", cfg.OUT_DIR]
    # The record of the configuration begins with another key: they are sorted.
    told = [kind for kind in hook.told[2:] if kind != "cfg"]
    assert told == [kind for kind in logged if kind != "cfg"][: len(told)]
    assert told.count("test_epoch") == 2
    assert "tell failed and is told no more" in log


@pytest.mark.parametrize("place", ["nowhere:tell", "my_tracking:no", "my_tracking:told", "tell"])
def test_a_hook_that_is_not_there_is_refused_before_anything_begins(digits_cfg, hook, place):
    cfg = digits_cfg("LOG_HOOK", place)
    with pytest.raises(ConfigError, match=rf"LOG_HOOK is '{place}'.*expected module:function"):
        open_watchers(cfg)


def test_a_line_an_epoch():
    now, stream = [0.0], io.StringIO()
    with RunLog(os.devnull, [EpochLines(stream, lambda: now[0])]) as log:
        cfg = {"MODEL": {"TYPE": "anynet"}, "TRAIN": {"DATASET": "digits"}}
        log.config({**cfg, "OPTIM": {"MAX_EPOCH": 3}, "OUT_DIR": "runs/a"})
        for epoch in (1, 2, 3):
            now[0] += 60
            common = {"epoch": f"{epoch}/3", "top1_err": 50.0 / epoch}
            log.stats({**common, "loss": 1.5}, "train_epoch")
            log.stats({**common, "min_top1_err": 16.0}, "test_epoch")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "anynet on digits, 3 epochs; log: runs/a/stdout.log"
    assert len(lines) == 4
    assert [line.rpartition(")  ")[2] for line in lines[1:]] == [
        "2 min 00 s left", "1 min 00 s left", "3 min 00 s in all",
    ]  # fmt: skip
    assert "epoch     2/3  loss  1.500  training error  25.00 %  test error  25.00 %" in lines[2]


@pytest.mark.slow
def test_a_terminal_shows_lines_and_the_folder_has_the_log(digits_cfg, tmp_path):
    cfg = digits_cfg("OPTIM.MAX_EPOCH", 2, "LOG_DEST", "stdout")
    (tmp_path / "cfg.yaml").write_text(dump_cfg(cfg))
    ours, theirs = pty.openpty()
    process = subprocess.run(
        forked_tools.command(ROOT / "tools" / "train_net.py", "--cfg", tmp_path / "cfg.yaml"),
        stdout=theirs, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert process.returncode == 0, process.stderr
    assert "json_stats" not in shown
    assert re.search(r"epoch     1/2  loss .* s left", shown)
    assert "done: test error" in shown
    assert "json_stats" in (Path(cfg.OUT_DIR) / "stdout.log").read_text()
