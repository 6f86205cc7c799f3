import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycls.datasets.preparation.work_folder import Journal, WorkFolder, list_work, read_journal


def test_journal_is_read_back(tmp_path):
    path, data = tmp_path / "journal", tmp_path / "data"
    data.write_bytes(b"images")
    with Journal(path, data) as journal:
        for number in range(5):
            journal.add(number, {"sums": [2**70 + number]})
    with Journal(path, data) as journal:
        journal.add(1, "again")
    found = read_journal(path)
    assert list(found) == [0, 1, 2, 3, 4]
    assert found[4] == {"sums": [2**70 + 4]}
    assert found[1] == "again"
    assert read_journal(tmp_path / "none") == {}


@given(st.integers(0, 60))
def test_cut_journal_keeps_its_whole_lines_and_can_be_continued(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("journal") / "journal"
    lines = [json.dumps([number, f"record {number}"]) + "\n" for number in range(4)]
    content = "".join(lines).encode()
    path.write_bytes(content[:cut])
    whole = [number for number in range(4) if len("".join(lines[: number + 1])) <= cut]
    assert list(read_journal(path)) == whole
    with Journal(path) as journal:
        journal.add(9, "more")
    assert list(read_journal(path)) == [*whole, 9]


def test_what_was_done_before_an_error_is_kept(tmp_path):
    path = tmp_path / "journal"

    def work():
        with Journal(path) as journal:
            journal.add(0, "done")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert read_journal(path) == {0: "done"}


def test_records_without_their_data_are_not_written(tmp_path):
    path = tmp_path / "journal"
    with (
        pytest.raises(FileNotFoundError, match="no_data"),
        Journal(path, tmp_path / "no_data") as j,
    ):
        j.add(0, "done")
    assert not path.exists()


def test_another_plan_starts_over_and_the_same_goes_on(tmp_path):
    work = WorkFolder(tmp_path / "set")
    assert work.begin({"size": 8}) is None
    work.images_path.write_text("[0, 1]\n")
    assert work.begin({"size": 8}) is True
    assert list_work(tmp_path).keys() == {"set"}
    assert work.begin({"size": 9}) is False
    assert not work.images_path.exists()
    work.remove()
    assert list_work(tmp_path) == {}
