"""What is a node's or the storage's fault is told from what is a run's."""

import errno
import subprocess
import sys

import pytest

from pycls.core.runs.record import write_record
from pycls.errors import CheckpointError, ConfigError, RunError
from pycls.pool.node_check import NodeError, prove_node
from pycls.pool.signals import EarlySignals
from pycls.pool.worker import _judge


def judged(raise_it):
    """Return what a worker answers to a job that raises."""
    with pytest.raises(BaseException) as caught:
        raise_it()
    answer = _judge(caught.value, EarlySignals())
    return answer["state"], answer.get("fault", "")


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE"])
def test_errors_of_the_storage_are_no_runs(name):
    number = getattr(errno, name)

    def wrapped():
        try:
            raise OSError(number, "x", "somewhere")
        except OSError:
            raise CheckpointError("cannot be written") from None

    def of_another_process():
        raise RunError(f"process 1 ended: {OSError(number, __import__('os').strerror(number))}")

    assert judged(wrapped) == ("fatal", "storage")
    assert judged(of_another_process) == ("fatal", "storage")


def test_what_fails_while_it_is_imported_is_the_nodes(tmp_path, monkeypatch):
    (tmp_path / "cut_off_here.py").write_text("def f(:\n")
    (tmp_path / "library_gone_here.py").write_text("raise OSError('libx.so: cannot open')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("cut_off_here", "library_gone_here", "is_not_there_at_all"):
        assert judged(lambda name=name: __import__(name)) == ("fatal", "node"), name


def test_mistakes_and_defects_are_the_runs(tmp_path):
    def mistake():
        raise ConfigError("no")

    assert judged(mistake) == ("failed", "")
    assert judged(lambda: 1 / 0) == ("failed", "")
    (tmp_path / "file").touch()
    assert judged(lambda: write_record(tmp_path / "file", {})) == ("fatal", "")


@pytest.mark.slow
def test_a_machine_must_have_the_gpus_unless_the_run_is_for_the_cpu():
    with pytest.raises(NodeError, match=r"of the 99 GPUs that the job asked for.*set DEVICE cpu"):
        prove_node("auto", 99)
    prove_node("cpu", 99)
    prove_node("auto", 0)
    broken = "import sys; sys.modules['torch'] = None; from pycls.pool import node_check as n; "
    done = subprocess.run(
        [sys.executable, "-c", f"{broken} n.prove_node('cpu', 0)"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "NodeError: PyTorch cannot be imported (ModuleNotFoundError" in done.stderr
