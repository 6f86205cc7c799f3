"""Log lines as pycls writes them, and after a kill in the middle of one."""

import json
import math

from pycls.core.runs.log import RunLog


def test_record_has_tag_type_sorted_keys_and_four_decimals(tmp_path):
    with RunLog(tmp_path / "log") as log:
        log.stats({"top1_err": 12.345678, "epoch": "1/2", "mem": 0, "lr": 0.1}, "train_epoch")
    line = (tmp_path / "log").read_text()
    head, text = line.split("json_stats: ")
    assert head.startswith("[test_run_log.py: ")
    assert head.endswith("]: ")
    assert text == (
        '{"_type": "train_epoch", "epoch": "1/2", "lr": 0.1000, "mem": 0, "top1_err": 12.3457}\n'
    )


def test_numbers_that_are_not_finite_can_be_read_back(tmp_path):
    with RunLog(tmp_path / "log") as log:
        log.stats({"loss": math.nan, "other": math.inf}, "train_epoch")
    record = json.loads((tmp_path / "log").read_text().split("json_stats: ")[1])
    assert math.isnan(record["loss"])
    assert record["other"] == math.inf


def test_restart_begins_a_new_line_after_a_cut_one(tmp_path):
    path = tmp_path / "log"
    path.write_text('[a.py:  1]: json_stats: {"_type": "tra')
    with RunLog(path) as log:
        log.line("again")
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("]: again")


def test_without_a_file_lines_go_to_standard_output(capsys):
    with RunLog() as log:
        log.line("hello")
    assert capsys.readouterr().out.endswith("]: hello\n")


def test_config_record_is_not_rounded(tmp_path):
    with RunLog(tmp_path / "log") as log:
        log.config({"OPTIM": {"WEIGHT_DECAY": 5e-5}})
    record = json.loads((tmp_path / "log").read_text().split("json_stats: ")[1])
    assert record == {"_type": "cfg", "OPTIM": {"WEIGHT_DECAY": 5e-5}}
