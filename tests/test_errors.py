"""How a tool ends: exit codes, messages, and tracebacks for defects only."""

import errno

import pytest

from pycls.errors import ConfigError, DataError, explain_os_error, find_environment_error, run_tool


def end_of(action, capsys):
    with pytest.raises(SystemExit) as caught:
        run_tool(action)
    return caught.value.code, capsys.readouterr().err


def failing(error, cause=None):
    def main():
        raise error from cause

    return main


def test_exit_codes(capsys):
    assert end_of(lambda: None, capsys) == (0, "")
    assert end_of(lambda: 3, capsys) == (3, "")
    assert end_of(failing(ConfigError("bad key")), capsys) == (2, "error: bad key\n")
    assert end_of(failing(DataError("no data")), capsys) == (1, "error: no data\n")
    assert end_of(failing(KeyboardInterrupt()), capsys) == (130, "interrupted\n")


def test_a_full_disk_is_found_behind_a_librarys_error(capsys):
    full = OSError(errno.ENOSPC, "x", "runs/a")
    code, message = end_of(failing(RuntimeError("writer failed"), full), capsys)
    assert code == 1
    assert message.startswith("error: runs/a: no space left on the device")


def test_a_defect_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_tool(lambda: 1 // 0)


def test_only_errors_of_the_environment_are_explained():
    assert explain_os_error(OSError(errno.EINVAL, "x")) is None
    assert find_environment_error(ValueError("x")) is None
    assert find_environment_error(None) is None
