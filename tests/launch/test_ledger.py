"""The ledger of a launch: what it holds survives crashes, and says what is known."""

import errno
import multiprocessing

import pytest

from pycls import files
from pycls.errors import PyclsError
from pycls.launch.ledger import JobState, Ledger

CHUNKS = [
    [{"id": "a", "group": "g", "cfg": "/c/a", "out_dir": "/o/a"}],
    [{"id": "b", "group": "g", "cfg": "/c/b", "out_dir": "/o/b"}],
]


@pytest.fixture
def ledger(tmp_path):
    """An empty ledger whose folder is there."""
    ledger = Ledger(tmp_path)
    ledger.root.mkdir()
    return ledger


def add(ledger, title="my sweep", **given):
    return ledger.add(title, CHUNKS, {"throttle": 2}, **given)


def test_a_study_that_was_never_launched_has_no_submissions(tmp_path):
    assert Ledger(tmp_path / "nothing").submissions() == []


def test_an_array_is_as_it_was_planned(ledger):
    add(ledger)
    add(ledger, kind="follow-up")
    first, second = Ledger(ledger.folder).submissions()
    assert (first.number, first.kind, second.number, second.kind) == (1, "runs", 2, "follow-up")
    assert first.chunks == CHUNKS
    assert [first.chunk(i) for i in range(first.jobs)] == CHUNKS
    # As version 0.3.0 left it.
    old = {**first.plan, "chunks": CHUNKS}
    del old["jobs"]
    (first.path / "runs.txt").unlink()
    files.write_json(first.path / "plan.json", old)
    first = Ledger(ledger.folder).submissions()[0]
    assert (first.jobs, first.chunks, first.chunk(1)) == (2, CHUNKS, CHUNKS[1])
    assert (first.job_id, first.throttle, first.void, first.was_cancelled) == (None, 2, "", False)


def test_no_two_arrays_have_one_name_and_slurm_can_print_it(ledger):
    title = "it's a 'study' | é/" + 100 * "x"
    names = [add(ledger, title).name for _ in range(5)]
    assert len(set(names)) == 5
    for name in names:
        assert name.startswith("it-s-a-study-x")
        assert len(name) < 80
        assert name.isascii()
        assert name.isprintable()


def test_numbers_go_on_beyond_four_digits_in_their_order(ledger):
    (ledger.root / "9999").mkdir()
    (ledger.root / "code").mkdir()
    assert [add(ledger).number for _ in range(2)] == [10000, 10001]
    (ledger.root / "0002").mkdir()
    (ledger.root / "0002" / "plan.json").write_text("{}")
    assert [each.number for each in ledger.submissions()] == [2, 10000, 10001]


def test_what_slurm_was_told_is_kept(ledger):
    add(ledger).mark_submitted(1234)
    (found,) = Ledger(ledger.folder).submissions()
    assert (found.job_id, found.throttle) == (1234, 2)
    found.mark_submitted(1234, throttle=7)
    assert (found.job_id, found.throttle) == (1234, 7)
    assert found.log_path(3) == found.path / "1234_3.log"


def test_void_and_cancelled_are_two_things(ledger):
    first, second = add(ledger), add(ledger)
    first.mark_void("its submission was interrupted")
    second.mark_void("cancelled", cancelled=True)
    assert (first.void, first.was_cancelled) == ("its submission was interrupted", False)
    assert (second.void, second.was_cancelled) == ("cancelled", True)


def test_jobs_say_what_they_are_at(ledger):
    submission = add(ledger)
    assert (submission.job_states(), submission.job_state(1)) == ({}, None)
    state = JobState("running", job="12_1", host="node", restarts=1, at_work=["b"])
    submission.write_job_state(1, state)
    files.write_text(submission.path / "jobs" / ".00000.json.1.partial", "{")
    assert submission.job_states() == {1: state}


def test_nothing_is_left_of_an_array_that_could_not_be_planned(ledger, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            add(ledger)
    assert list(ledger.root.iterdir()) == []
    assert add(ledger).number == 1


def _hold(folder, held, leave):
    with Ledger(folder).lock():
        held.set()
        leave.wait(300)


@pytest.fixture
def holder(tmp_path):
    """Return a process that holds the ledger, and the event at which it lets go."""
    context = multiprocessing.get_context("spawn")
    held, leave = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, held, leave))
    process.start()
    assert held.wait(300)
    return process, leave


def test_one_process_at_a_time_submits(holder, tmp_path):
    process, leave = holder
    message = "another process is submitting or cancelling jobs"
    with pytest.raises(PyclsError, match=message), Ledger(tmp_path).lock():
        pass
    leave.set()
    with Ledger(tmp_path).lock(wait_s=300):
        process.join(300)


def test_the_lock_of_a_killed_process_is_free(holder, tmp_path):
    process, _ = holder
    process.kill()
    process.join(300)
    with Ledger(tmp_path).lock():
        pass


def test_damaged_files_have_a_message_or_are_found_out_again(ledger):
    array = add(ledger)
    array.mark_submitted(17)
    array.write_job_state(0, JobState("running"))
    for path in (array.path / "submitted.json", array.path / "jobs" / "00000.json"):
        path.write_text('{"job_id": 1')
    found = ledger.submission(1)
    # As after a kill in between: Slurm is asked for its name.
    assert (found.job_id, found.throttle, found.job_states()) == (None, 2, {})
    (array.path / "void.json").write_text("")
    assert found.void == "void"
    assert found.chunk(1) == CHUNKS[1]
    (array.path / "runs.txt").write_text((array.path / "runs.txt").read_text()[:-5])
    with pytest.raises(PyclsError, match=r"runs.txt: is damaged .*0001.damaged, and launch"):
        found.chunk(1)
    for damaged in ('{"name": "a"', "[]", "{}", '{"name": "a", "kind": "runs"}'):
        (array.path / "plan.json").write_text(damaged)
        with pytest.raises(PyclsError, match=r"plan.json: is damaged .*0001.damaged, and launch"):
            _ = Ledger(ledger.folder).submissions()[0].chunks
