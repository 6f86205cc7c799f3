"""The records of logs: found among everything else, and never mixed."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_logs import CFG, parse_log, write_start

from pycls.core.runs.log import STATS_TAG
from pycls.results.log_records import (
    EPOCH_KINDS,
    LogData,
    find_records,
    from_columns,
    to_columns,
)

PYCLS_LOG = Path(__file__).parents[1] / "data" / "pycls_run" / "logs" / "000000" / "stdout.log"


def fold(content):
    log = LogData()
    for kind, record in find_records(content):
        log.add(kind, record)
    return log


def plain_records(content):
    """Return all records of a log by parsing every line."""
    lines = content.decode().splitlines()
    texts = [line.partition(STATS_TAG)[2] for line in lines if re.match(r"\[.*?\]: json_st", line)]
    return [json.loads(text) for text in texts]


@pytest.fixture(scope="module")
def our_log(tmp_path_factory):
    """A log of three starts: epochs 1 to 3, then 3 and 4, then 4 to 6."""
    path = tmp_path_factory.mktemp("log") / "stdout.log"
    for number, epochs in enumerate(([1, 2, 3], [3, 4], [4, 5, 6])):
        write_start(path, epochs, 6, offset=number / 10)
    return path.read_bytes()


def test_all_records_are_found_and_nothing_else(our_log):
    for content in (our_log, PYCLS_LOG.read_bytes()):
        wanted = [r for r in plain_records(content) if not r["_type"].endswith("_iter")]
        found = [{"_type": kind, **record} for kind, record in find_records(content)]
        assert found == wanted
        assert {"cfg", "complexity", *EPOCH_KINDS} <= {r["_type"] for r in wanted}


def test_a_log_of_pycls():
    log = parse_log(PYCLS_LOG)
    assert log.complexity == {"acts": 53258, "flops": 958634, "params": 2434}
    assert [r["top1_err"] for r in log.test.values()] == [91.5, 89.5]
    assert log.by_epoch("test_ema_epoch")[2]["top5_err"] == 53.0
    assert log.first["cfg"]["OPTIM"]["MAX_EPOCH"] == 3


def test_the_later_start_counts_from_its_test_on(our_log):
    log = fold(our_log)
    errors = {epoch: record["top1_err"] for epoch, record in log.test.items()}
    assert errors == {1: 49.0, 2: 48.0, 3: 47.1, 4: 46.2, 5: 45.2, 6: 44.2}
    # The third start is cut after its training of epoch 4: the second one's epoch 4 stands.
    cut = our_log.rindex(b'"_type": "test_epoch", "epoch": "4/6"')
    log = fold(our_log[:cut])
    assert (log.train[4]["top1_err"], log.test[4]["top1_err"]) == (47.1, 46.1)
    assert log.by_epoch("test_ema_epoch")[4]["top1_err"] == 45.1
    # An epoch that no start has tested yet has its training already.
    cut = our_log.rindex(b'"_type": "test_epoch", "epoch": "5/6"')
    log = fold(our_log[:cut])
    assert (max(log.train), max(log.test)) == (5, 4)


def test_a_restart_from_an_earlier_epoch_leaves_the_epochs_it_has_not_come_to(tmp_path):
    path = write_start(tmp_path / "log", [1, 2, 3, 4], 4)
    write_start(path, [1, 2], 4, offset=0.5)
    log = parse_log(path)
    assert [r["top1_err"] for r in log.test.values()] == [49.5, 48.5, 47.0, 46.0]
    assert [r["top1_err"] for r in log.train.values()] == [50.5, 49.5, 48.0, 47.0]


def test_starts_are_told_apart_without_their_first_lines(tmp_path):
    path = write_start(tmp_path / "log", [1, 2], 3)
    write_start(path, [2, 3], 3, offset=0.5)
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [x for x in lines if b'"_type": "cfg"' not in x and b'"_type": "complexity"' not in x]
    log = fold(b"".join(kept))
    assert [r["top1_err"] for r in log.test.values()] == [49.0, 48.5, 47.5]
    assert [r["top1_err"] for r in log.train.values()] == [50.0, 49.5, 48.5]
    # The `cfg` line of the second start was cut: `complexity` tells.
    cfgs = [x for x in lines if b'"_type": "cfg"' in x]
    log = fold(b"".join(lines).replace(cfgs[1], cfgs[1][:50] + b"\n"))
    assert log.test[2]["top1_err"] == 48.5


def test_an_epoch_whose_later_start_lacks_a_part_is_not_filled_from_the_earlier(tmp_path):
    path = write_start(tmp_path / "log", [1, 2], 2)
    write_start(path, [2], 2, offset=0.5, ema=False)
    log = parse_log(path)
    assert list(log.by_epoch("test_ema_epoch")) == [1]
    assert log.test[2]["top1_err"] == 48.5


def test_the_last_full_measurement_counts():
    line = (
        '[t.py:  1]: json_stats: {{"_type": "train_full_epoch", "epoch": "{}/4", "top1_err": {}}}\n'
    )
    log = fold("".join(line.format(*x) for x in ((2, 5.0), (4, 3.0), (4, 2.0))).encode())
    assert log.full == {"epoch": "4/4", "top1_err": 2.0}
    assert list(to_columns(log)["train_full_epoch"]["top1_err"]) == [5.0, 2.0]


RECORD = b'json_stats: {"_type": "test_epoch", "epoch": "1/3", "top1_err": 50.0}'


@pytest.mark.parametrize(
    "line",
    [
        b'json_stats: {"_type": "test_epoch", "epoch": "2/3", "top1_err": 4',
        b'json_stats: {"_type": "test_epoch", "epoch": "2", "top1_err": 4.0}',
        b'json_stats: {"_type": "test_epoch", "epoch": "0/3", "top1_err": 4.0}',
        b'json_stats: {"_type": "test_epoch", "epoch": "-1/3", "top1_err": 4.0}',
        b'json_stats: {"_type": "test_epoch", "epoch": null}',
        b'json_stats: {"_type": "test_epoch", "epoch": ["1/3"]}',
        b'json_stats: {"_type": "test_epoch", "epoch": "2/3", "top1_err": "low"}',
        b'json_stats: {"_type": "test_epoch", "epoch": "2/3", "top1_err": {"a": 1}}',
        b'json_stats: {"_type": "test_epoch", "epoch": "' + b"9" * 5000 + b'/3"}',
        b'json_stats: {"_type": "test_epoch", "epoch": "2/3", "mem": ' + b"9" * 5000 + b"}",
        b'json_stats: {"a": ' + b"[" * 100_000,
        b'json_stats: {"a": 1}',
        b'json_stats: {"_type": 7}',
        b'json_stats: {"_type": "complexity", "flops": "many"}',
        b"json_stats: {}",
        b"json_stats: ",
        b"\xff\xfe\x00 json_stats: \x00{",
        b"\x00" * 4096,
    ],
)
def test_what_is_no_whole_record_is_passed_over(line):
    log = fold(RECORD + b"\n" + line + b"\n" + RECORD.replace(b"1/3", b"3/3"))
    assert list(log.test) == [1, 3]


def test_logs_with_colours_and_of_utf_16_consoles_are_read():
    text = f"\x1b[32m[m.py: 1]\x1b[0m: {RECORD.decode()}\x1b[0m\r\n"
    text = text.replace("json_stats: {", "json_stats: \x1b[1m{")
    for encoding in ("utf-8", "utf-16", "utf-16-be"):
        assert fold((text * 2).encode(encoding)).test[1]["top1_err"] == 50.0


@pytest.mark.parametrize(
    "before",
    [
        b'[m.py: 1]: json_stats: {"_type": "train_iter", "epoch": "1/3", "loss": 2.[m.py: 9]: ',
        b'json_stats: {"_type": "test_epoch", "epoch": "1/3", "top1_err": 4[m.py: 9]: ',
        b'json_stats: {"BN": {"EPS": 1e-0[m.py: 9]: ',
        b"\x00\x00\x00\xff",
        b"12%|###   |\r",
    ],
)
def test_a_record_on_the_end_of_a_cut_line_is_found(before):
    assert fold(before + RECORD + b"\r\n").test[1]["top1_err"] == 50.0


def test_nan_and_infinity_are_values():
    text = (
        b'json_stats: {"_type": "train_epoch", "epoch": "1/3", "loss": NaN, "top1_err": -Infinity}'
    )
    record = fold(text).train[1]
    assert record["loss"] != record["loss"]
    assert record["top1_err"] == float("-inf")


def test_columns_are_those_of_pycls_and_read_back(our_log):
    log = fold(our_log)
    job = json.loads(json.dumps(to_columns(log)))
    test = job["test_epoch"]
    assert (test["epoch_ind"], test["epoch_max"]) == ([1, 2, 3, 4, 5, 6], [6] * 6)
    assert test["epoch"][0] == "1/6"
    assert len({len(values) for values in test.values()}) == 1
    assert job["cfg"] == CFG
    again = from_columns(job)
    assert (again.rows, again.first) == (log.rows, log.first)


def test_a_metric_that_some_epochs_lack_is_none_there():
    log = fold(
        RECORD + b"\n" + RECORD.replace(b"1/3", b"2/3").replace(b'"top1', b'"mem": 1, "top1')
    )
    assert to_columns(log)["test_epoch"]["mem"] == [None, 1]
    assert from_columns(to_columns(log)).rows == log.rows


@settings(max_examples=150)
@given(st.data())
def test_cut_anywhere_each_record_is_whole_or_not_there(our_log, data):
    end = data.draw(st.integers(0, len(our_log)))
    whole = list(find_records(our_log))
    found = list(find_records(our_log[:end]))
    assert found == whole[: len(found)]
    # All that lies before the cut is there.
    assert len(found) >= len(list(find_records(our_log[: our_log.rfind(b"\n", 0, end) + 1])))


def start_of(error):
    """Return the start (0, 1, ...) that an error of these tests comes from."""
    return round(error % 1 * 10)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.floats(0.1, 1), st.booleans()),
        min_size=1,
        max_size=5,
    )
)
def test_starts_that_are_cut_never_mix(tmp_path_factory, starts):
    path, pieces = tmp_path_factory.mktemp("cut") / "log", []
    for number, (first, count, share, ends_line) in enumerate(starts):
        path.unlink(missing_ok=True)
        epochs = range(first, first + count)
        content = write_start(path, epochs, 9, offset=number / 10, iterations=1).read_bytes()
        head = content.index(b"Start epoch")  # the start's first lines are there
        piece = content[: head + int(share * (len(content) - head))]
        pieces.append(piece + (b"\n" if ends_line and piece[-1:] != b"\n" else b""))
    log = fold(b"".join(pieces))
    tested = {}
    for number, piece in enumerate(pieces):
        tested |= dict.fromkeys(fold(piece).test, number)
    for epoch, row in log.rows.items():
        sources = {start_of(record["top1_err"]) for record in row.values()}
        assert len(sources) == 1
        if epoch in tested:
            assert sources == {tested[epoch]}
        else:
            assert "test_epoch" not in row
    assert set(tested) <= set(log.rows)
