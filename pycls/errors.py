"""Errors meant for the reader of a message, and the wrapper that prints them.

Every mistake a user can make ends as a :class:`PyclsError` whose text says what was
wrong, where, what was expected and what to do. Tools print it as one message and leave
with a non-zero exit code; a traceback is left for defects of the program itself.
"""

import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress

from pycls.command_names import as_typed


class PyclsError(Exception):
    """Base of all errors that are explained to the user instead of traced."""

    exit_code = 1

    def __str__(self) -> str:
        """Return the message; tools that it names are called as the user starts them."""
        return as_typed(super().__str__())


class ConfigError(PyclsError, ValueError):
    """A configuration, study file or argument that cannot be used as it is."""

    exit_code = 2


class DataError(PyclsError):
    """A data set that is missing, incomplete or damaged."""


class CheckpointError(PyclsError):
    """A checkpoint that is missing, damaged or of another network."""


class DownloadError(PyclsError):
    """A file that could not be fetched whole, or not the right one."""


class RunError(PyclsError):
    """A run that cannot go on (for example a loss that is not finite)."""


class RunInterruptedError(PyclsError):
    """A run that was asked to stop and has saved where it is."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: not a failure, try again


class LeaseHeldError(PyclsError):
    """Another process is at work in a run's folder; nothing was touched.

    Attributes:
        owner: that process, a :class:`pycls.core.runs.lease.Owner`; None where it is not known.
    """

    def __init__(self, message: str, owner: object = None) -> None:
        super().__init__(message)
        self.owner = owner


class LeaseLostError(PyclsError):
    """A run's folder was, or may have been, taken over by another process."""


OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")
NO_MEMORY = "not enough memory; use smaller batches, images or networks, or fewer processes"
# Of the storage, not of what is done on it: another time it may work.
_STORAGE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)
_OS_ERROR_HINTS = {
    errno.EIO: "the storage gave an input/output error; try again, or ask who looks after it",
    errno.ESTALE: "stale handle: the file server has changed; try again, or ask who looks after it",
    errno.ENOSPC: "no space left on the device; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EFBIG: "the file-size limit was reached; raise the limit and run the same command again",
    errno.EROFS: "the file system is read-only; choose another output folder",
    errno.EACCES: "permission denied; check the owner of the folder or choose another one",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another output folder",
    errno.EEXIST: "there is a file where a folder is needed; choose another output folder",
    errno.EISDIR: "is a folder where a file is needed; name a file",
    errno.ENAMETOOLONG: "the name is too long for the file system; choose a shorter one",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
    errno.ENOMEM: "not enough memory; use fewer processes or smaller batches",
    errno.EPERM: "operation not permitted; check the owner of the folder or choose another one",
}


def explain_os_error(error: OSError) -> str | None:
    """Return a one-line explanation of an environment's OSError, or None for a defect."""
    hint = _OS_ERROR_HINTS.get(error.errno or 0)
    if hint is None:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{hint}"


def find_environment_error(error: BaseException | None) -> OSError | None:
    """Return the OSError with an explanation in an exception's chain, if there is one.

    Libraries wrap a full disk in errors of their own; the cause is what the user can mend.
    """
    for cause in chain_of(error):
        if isinstance(cause, OSError) and explain_os_error(cause):
            return cause
    return None


def find_storage_error(error: BaseException | None) -> OSError | None:
    """Return the OSError in an exception's chain that is the storage's, and may pass."""
    for cause in chain_of(error):
        if isinstance(cause, OSError) and cause.errno in _STORAGE_ERRORS:
            return cause
    return None


def tells_of_storage(text: str) -> bool:
    """Say whether the words of another process tell of such an error."""
    words = [(os.strerror(number), _OS_ERROR_HINTS[number]) for number in _STORAGE_ERRORS]
    return any(system in text or own in text for system, own in words)


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what it came of, one after the other."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def run_tool(main: Callable[[], int | None]) -> None:
    """Run a tool's main function and leave the process with its exit code.

    0 for success, 1 for a failure explained to the user, 2 for bad input, 130 after
    Ctrl-C. Exceptions that are defects keep their traceback.
    """
    warnings.formatwarning = lambda message, *args, **kwargs: f"warning: {as_typed(str(message))}\n"
    try:
        code = main() or 0
        sys.stdout.flush()
    except PyclsError as error:
        _say(f"error: {error}")
        code = error.exit_code
    except KeyboardInterrupt:
        _say("interrupted")
        code = 130
    except BrokenPipeError:
        # The reader of our output (head, less) has left; silence the flush at exit too.
        code = 0
    except MemoryError:
        _say(f"error: {NO_MEMORY}")
        code = 1
    except Exception as error:
        # Libraries turn an interrupted import into an error of their own.
        if any(isinstance(cause, KeyboardInterrupt) for cause in chain_of(error)):
            _say("interrupted")
            sys.exit(130)
        words = _words_of(error)
        if words is None:
            raise
        _say(f"error: {words}")
        code = 1
    _silence_unwritable()
    sys.exit(code)


def _words_of(error: BaseException) -> str | None:
    """Return what to say of an error that the environment, memory or a number caused, or None."""
    cause = find_environment_error(error)
    if cause is not None:
        return explain_os_error(cause)
    for found in chain_of(error):
        if isinstance(found, OSError) and found.filename and found.strerror:
            return f"{os.fsdecode(found.filename)}: {found.strerror.lower()}"
        # PyTorch's own are RuntimeErrors.
        text = str(found).partition("\n")[0]
        if any(words in text.lower() for words in OUT_OF_MEMORY):
            return f"{NO_MEMORY} ({text})"
        if isinstance(found, OverflowError) or "overflow" in text.lower():
            return f"a number is too large to compute with ({text})"
    return None


def _say(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr)


def _silence_unwritable() -> None:
    """Throw away what standard output could not take, or Python tries again as it leaves."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
