"""Logs into results: later records win whole, cut lines are passed over."""

from pathlib import Path

from run_logs import parse_log, write_epoch
from tiny_study import TINY

from pycls.core.runs.log import RunLog
from pycls.results.collect_study import collect, log_tail
from pycls.strict_yaml import dump_yaml
from pycls.study.file import load_study_file
from pycls.study.study import StudyFolder
from pycls.study.write import write_study


def stats(kind, epoch, **fields):
    values = ", ".join(f'"{key}": {value}' for key, value in sorted(fields.items()))
    return f'[trainer.py:  1]: json_stats: {{"_type": "{kind}", "epoch": "{epoch}/3", {values}}}\n'


def test_epochs_that_occur_twice_come_from_the_later_start_whole(tmp_path):
    path = tmp_path / "stdout.log"
    path.write_text(
        '[trainer.py:  1]: json_stats: {"_type": "complexity", "acts": 1, "flops": 2}\n'
        + stats("test_epoch", 1, top1_err=50.0, min_top1_err=50.0)
        + stats("test_epoch", 2, top1_err=40.0, min_top1_err=40.0, extra=1)
        + stats("test_iter", 3, top1_err=1.0)
        + stats("test_epoch", 2, top1_err=30.0, min_top1_err=30.0)
        + stats("train_epoch", 2, top1_err=20.0)
    )
    log = parse_log(path)
    assert log.complexity["flops"] == 2
    assert sorted(log.test) == [1, 2]
    assert log.test[2]["top1_err"] == 30.0
    assert "extra" not in log.test[2]
    assert log.train[2]["top1_err"] == 20.0


def test_cut_lines_and_strange_text_do_no_harm(tmp_path):
    path = tmp_path / "stdout.log"
    whole = stats("test_epoch", 1, top1_err=50.0)
    path.write_bytes(
        whole.encode()
        + b"\xff\xfe json_stats: \n"
        + b'json_stats: {"_type": "test_epoch", "epoch": "x/3"}\n'
        + b'json_stats: {"_type": "test_epoch"}\n'
        + stats("test_epoch", 2, top1_err=float("nan")).replace("nan", "NaN").encode()
        + stats("test_epoch", 3, top1_err=1.0)[:-10].encode()
    )
    log = parse_log(path)
    assert log.test[1]["top1_err"] == 50.0
    assert log.test[2]["top1_err"] != log.test[2]["top1_err"]
    assert 3 not in log.test


def test_no_log_is_an_empty_one(tmp_path):
    assert parse_log(tmp_path / "nothing.log").test == {}


def test_tail_ends_with_the_errors(tmp_path):
    (tmp_path / "stdout.log").write_text("".join(f"line {i}\n" for i in range(100)))
    (tmp_path / "stderr.log").write_text("Traceback\nValueError: x\n")
    assert log_tail(tmp_path, lines=4).splitlines() == [
        "line 98", "line 99", "Traceback", "ValueError: x",
    ]  # fmt: skip


def test_log_that_pycls_wrote_is_read():
    folder = Path(__file__).parents[1] / "data" / "pycls_run" / "logs" / "000000"
    log = parse_log(folder / "stdout.log")
    # Interrupted after two epochs and started again: two complexity records, one each epoch.
    assert log.complexity["flops"] > 0
    assert sorted(log.train) == sorted(log.test) == [1, 2]
    assert log.test[2]["top1_err"] == 89.5


def test_a_run_whose_record_is_gone_is_collected_from_its_log(tmp_path):
    keys = ("name", "population", "config")
    values = {**{key: TINY[key] for key in keys}, "datasets": {"digits": {}}}
    (tmp_path / "tiny.yaml").write_text(dump_yaml(values))
    study = StudyFolder(load_study_file(tmp_path / "tiny.yaml"), tmp_path / "out", tmp_path)
    write_study(study)
    for run, epochs in zip(study.runs, (3, 2), strict=False):
        study.out_dir(run).mkdir(parents=True)
        with RunLog(study.out_dir(run) / "stdout.log") as log:
            for epoch in range(1, epochs + 1):
                write_epoch(log, epoch, 3, 50.0 - epoch)
    summary = collect(study)
    assert (summary["done"], summary["missing"]) == (1, 3)
    rows = (tmp_path / "out" / "results.csv").read_text().splitlines()
    assert ",done," in rows[1]
    assert all(",missing," in row for row in rows[2:])
