"""What a worker takes for a sign that a training in other processes goes on."""

import pytest

from pycls.pool import worker


def test_a_log_that_grows_is_a_sign_of_life(tmp_path, monkeypatch):
    log, second, said = tmp_path / "stdout.log", [0], []

    def sleep(_):
        second[0] += 1
        if second[0] in (15, 34):
            log.open("a").write("a line\n")
        if second[0] > 60:
            raise EOFError

    monkeypatch.setattr(worker.time, "sleep", sleep)
    monkeypatch.setattr(worker, "_answer", lambda _, answer: said.append((second[0], answer)))
    with pytest.raises(EOFError):
        worker._show_signs(None, {str(tmp_path)})
    # Looked at every ten seconds; a log that stands still says nothing.
    assert said == [(21, {"state": "alive"}), (41, {"state": "alive"})]
