"""The failures that a run's record keeps."""

import pytest

from pycls.core.runs.record import (
    add_failure,
    failures_of,
    forget_failures,
    has_failed_for_good,
    read_record,
    write_record,
)


def test_failures_are_kept_until_they_are_forgotten(tmp_path):
    assert not has_failed_for_good(None, 0)
    assert len(failures_of(add_failure(tmp_path, "first"))) == 1
    record = add_failure(tmp_path, "second", "12_3")
    assert read_record(tmp_path) == record
    assert (record["status"], record["reason"]) == ("failed", "second")
    assert [(each["reason"], each["job"]) for each in failures_of(record)] == [
        ("first", ""), ("second", "12_3"),
    ]  # fmt: skip
    assert has_failed_for_good(record, 1)
    assert not has_failed_for_good(record, 2)
    forget_failures(tmp_path)
    assert read_record(tmp_path) == {**record, "failures": []}


@pytest.mark.parametrize("status", ["interrupted", "running", "failed"])
def test_fewer_tries_than_were_had_count_whatever_came_last(tmp_path, status):
    # MAX_RETRY was lowered since: a job would refuse the run, so no launch shall submit it.
    write_record(tmp_path, {"status": status, "failures": [{"reason": "x"}] * 2})
    assert has_failed_for_good(read_record(tmp_path), 1)
    forget_failures(tmp_path)
    assert not has_failed_for_good(read_record(tmp_path), 0)


def test_a_run_that_is_done_has_not_failed(tmp_path):
    write_record(tmp_path, {"status": "done", "failures": [{"reason": "x"}] * 9})
    assert not has_failed_for_good(read_record(tmp_path), 0)
