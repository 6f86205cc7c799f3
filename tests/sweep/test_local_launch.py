"""The local launcher's own behaviour, with real worker processes."""

from pycls.core.run_record import read_record, write_record
from pycls.sweep.launch.local import Job, run_jobs


def test_a_failed_run_is_recorded_with_its_newest_reason(tmp_path):
    write_record(tmp_path, {"status": "failed", "reason": "an old one"})
    job = Job("a/0", "a", tmp_path / "nowhere.yaml", tmp_path)
    assert run_jobs([job], workers=1, threads=1, max_retry=1) == ["a/0"]
    record = read_record(tmp_path)
    assert record["status"] == "failed"
    assert "nowhere.yaml: no such file" in record["reason"]


def test_nothing_to_do_starts_nothing():
    assert run_jobs([], workers=1, threads=1) == []
