"""The lease on a run's folder: at most one process anywhere works in it.

It holds on shared file systems, whose locks may be local to a machine or not there at all, and
it tells who has it. The holder is the owner of the folder's highest generation
(:mod:`pycls.core.runs.lease_files`) as long as that is neither released, nor of a process of this
machine that is gone, nor run out: not renewed for `lease_s` seconds by the file system's clock.
Who takes a free folder creates the next generation, which only one can. Two machines' clocks are
never compared.

A holder trusts its lease for less time than others must wait (:data:`_TRUSTED_PART`), counted
from before it was written. After that, suspended perhaps, it goes on only if it can create the
next generation itself, which proves that nobody else has been here.
"""

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pycls.core.runs.lease_files import (
    LeaseFile,
    create_lease,
    find_generations,
    folder_time,
    lease_path,
    read_lease,
    release_lease,
    remove_lease,
    renew_lease,
    was_released,
)
from pycls.core.runs.process_identity import ProcessIdentity, is_alive, this_process
from pycls.errors import LeaseHeldError, LeaseLostError

LEASE_S = 120.0
RENEW_S = 20.0

_TRUSTED_PART = 0.75
# By how much a machine's clock may differ from the file system's, where no probe is written.
_CLOCK_SLACK_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_MOST_LOOKS = 100  # of find_owner, at a folder whose highest generation keeps changing
# Unlike the monotonic clock of Linux it goes on while the machine sleeps.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True)
class Owner:
    """The holder of a folder's lease, as far as one look can tell.

    Attributes:
        host: the name of its machine; "" of one that has only just come, or left no whole word.
        pid: its number there.
        job: its Slurm job ("123", of an array "123_4"); "" without one.
        restarts: how often Slurm had requeued that job.
        token: what no other lease has.
        age_s: how long ago it last showed itself, in seconds.
        lease_s: how long it may stay silent, in seconds.
        is_here: it is a process of this machine, and alive.
        renewals: how often it has shown itself.
    """

    host: str
    pid: int
    job: str
    restarts: int
    token: str
    age_s: float
    lease_s: float
    is_here: bool
    renewals: int

    def __str__(self) -> str:
        if not self.host:
            return "a process that has only just begun"
        job = f" (Slurm job {self.job})" if self.job else ""
        return f"process {self.pid} on {self.host}{job}"


class Lease:
    """A folder's lease, held by this process; see :func:`run_lease`."""

    def __init__(
        self,
        out_dir: str | os.PathLike[str],
        process: ProcessIdentity,
        lease_s: float,
        renew_s: float,
    ) -> None:
        self._out_dir = out_dir
        self._pid = process.pid
        self._renew_s = renew_s
        self._trusted_s = lease_s * _TRUSTED_PART
        self._token = secrets.token_hex(16)
        self._owner = {**process.to_dict(), "token": self._token, "lease_s": lease_s}
        self._renewals = 0
        self._generation = 0
        self._trusted_until = -1.0  # by _clock
        self._lost = ""  # why
        self._is_taken_over = False
        self._ended = threading.Event()
        self._mutex = threading.Lock()

    def check(self) -> None:
        """Make sure that the folder is still this process's; cheap enough for every step.

        Raises:
            LeaseLostError: it is, or may be, another's; write nothing there any more.
        """
        if _clock() > self._trusted_until:
            self._confirm()

    def take(self, generation: int) -> bool:
        """Try to create a generation, and with it become the holder; say whether it worked.

        Raises:
            OSError: the folder cannot be written.
        """
        began = _clock()
        try:
            create_lease(self._path(generation), self._content())
        except FileExistsError:
            return False
        self._generation = generation
        found = find_generations(self._out_dir)
        if not found or found[-1] > generation:
            # Others came and went since we looked, and removed a file of this very name; or
            # somebody emptied the folder.
            remove_lease(self._path(generation))
            return False
        self._trusted_until = began + self._trusted_s
        for old in found[:-1]:
            remove_lease(self._path(old))
        return True

    def start_renewing(self) -> None:
        """Show from now on, in a thread, that the holder lives."""
        threading.Thread(target=self._keep, name="run-lease", daemon=True).start()

    def release(self) -> None:
        """Give the folder up."""
        if self._is_forked():
            return
        self._ended.set()
        with self._mutex:
            self._trusted_until = -1.0
            self._lost = self._lost or "it was given up"
            if not self._is_taken_over:
                release_lease(self._path(self._generation), self._token)

    def _path(self, generation: int) -> str:
        return lease_path(self._out_dir, generation)

    def _content(self) -> dict[str, Any]:
        return {**self._owner, "counter": self._renewals}

    def _is_forked(self) -> bool:
        return os.getpid() != self._pid

    def _keep(self) -> None:
        pause = self._renew_s
        while not self._ended.wait(pause):
            with self._mutex:
                if self._ended.is_set() or self._lost:
                    return
                try:
                    self._renew()
                    pause = self._renew_s
                except OSError:  # a file server may be away for a while
                    pause = self._renew_s / 4

    def _renew(self) -> None:
        began = _clock()
        if began > self._trusted_until:
            self._take_next()
            return
        self._renewals += 1
        is_own = renew_lease(self._path(self._generation), self._content())
        found = find_generations(self._out_dir) if is_own else []
        if not found:  # it may have gone since it was renewed
            self._lose("its lease file is gone")
        elif found[-1] > self._generation:
            self._lose("another process has taken it over")
        else:
            self._trusted_until = began + self._trusted_s

    def _take_next(self) -> None:
        """Prove, after a time without renewing, that nobody came: be the next one oneself."""
        self._renewals += 1
        if not self.take(self._generation + 1):
            self._lose(
                f"this process had not renewed its lease for {self._trusted_s:g} s (was it "
                "suspended?), and another one has taken it over"
            )

    def _lose(self, reason: str, is_taken_over: bool = True) -> None:
        self._lost = reason
        self._is_taken_over = is_taken_over
        self._trusted_until = -1.0

    def _confirm(self) -> None:
        if self._is_forked():  # before the mutex, which the fork may have copied locked
            raise LeaseLostError(f"{self._out_dir}: a forked process does not hold its lease")
        with self._mutex:
            if not self._lost and _clock() > self._trusted_until:
                try:
                    self._take_next()
                except OSError as error:
                    self._lose(f"its lease could not be renewed ({error})", is_taken_over=False)
            if self._lost:
                raise LeaseLostError(
                    f"{self._out_dir} is no longer this process's: {self._lost}. Nothing more was "
                    "written there"
                )


@contextlib.contextmanager
def run_lease(
    out_dir: str | os.PathLike[str],
    *,
    wait_s: float = 0.0,
    lease_s: float = LEASE_S,
    renew_s: float = RENEW_S,
    host: str | None = None,
) -> Iterator[Lease]:
    """Be the only process that works in a run's folder, for the time of a `with` block.

    A process that was forked in the block does not hold the lease.

    Args:
        out_dir: the folder, which is there.
        wait_s: how long to wait for another holder, in seconds.
        lease_s: after how many seconds of silence others may take it over.
        renew_s: how often to show that this process lives, in seconds.
        host: what to call this machine; None: its own name.

    Yields:
        The lease: call its `check` before every write.

    Raises:
        LeaseHeldError: another process holds it; its `owner` says which.
        LeaseLostError: whatever went wrong in the block, the lease had been lost by then.
        OSError: the folder cannot be written.
    """
    lease = _acquire(out_dir, this_process(host), wait_s, lease_s, renew_s)
    try:
        lease.start_renewing()
        try:
            yield lease
        except LeaseLostError:
            raise
        except Exception:
            lease.check()
            raise
    finally:
        lease.release()


def find_owner(out_dir: str | os.PathLike[str]) -> Owner | None:
    """Return who works in a run's folder; None where nobody does.

    Writes nothing: another machine's process counts as gone only when this machine's clock says
    so with a minute to spare. Where nobody is at work it costs one listing of the folder, and
    one look at a file's size where somebody has been.
    """
    for _ in range(_MOST_LOOKS):
        try:
            found = find_generations(out_dir)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not found:
            return None
        path = lease_path(out_dir, found[-1])
        with contextlib.suppress(FileNotFoundError):  # a higher one has come
            if was_released(path):
                return None
            return _find_holder(read_lease(path), this_process(), time.time, _CLOCK_SLACK_S)
    return None


def _acquire(
    out_dir: str | os.PathLike[str],
    process: ProcessIdentity,
    wait_s: float,
    lease_s: float,
    renew_s: float,
) -> Lease:
    """Return the lease as soon as it is this process's."""
    deadline, pause = _clock() + wait_s, _FIRST_PAUSE_S
    known = 0
    while True:
        generation, owner = _look(out_dir, process, known)
        if owner is not None:
            left = deadline - _clock()
            if left <= 0:
                raise LeaseHeldError(_describe_holder(out_dir, owner), owner)
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            continue
        known = generation + 1
        lease = Lease(out_dir, process, lease_s, renew_s)
        try:
            if lease.take(known):
                lease.check()  # held up since, it may have been taken over already
                return lease
        except LeaseLostError:
            continue
        except BaseException:
            lease.release()
            raise


def _look(
    out_dir: str | os.PathLike[str], process: ProcessIdentity, known: int
) -> tuple[int, Owner | None]:
    """Return the highest generation, 0 where there is none, and its holder, if it has one.

    `known` was there a moment ago: a network file system may give an older listing.
    """
    while True:
        generation = max([known, *find_generations(out_dir)])
        if not generation:
            return 0, None
        try:
            file = read_lease(lease_path(out_dir, generation))
        except FileNotFoundError:  # a higher one has come
            known = 0
            time.sleep(_FIRST_PAUSE_S)
            continue
        return generation, _find_holder(file, process, lambda: folder_time(out_dir), 0.0)


def _find_holder(
    file: LeaseFile, viewer: ProcessIdentity, now: Callable[[], float], slack_s: float
) -> Owner | None:
    """Return the owner of the highest generation's file, if it holds the lease.

    `now` gives the time that files written now would bear, wrong by `slack_s` at most.
    """
    if file.is_released:
        return None
    content = file.content or {}
    try:
        owner = ProcessIdentity.from_dict(content)
        token, lease_s, renewals = content["token"], float(content["lease_s"]), content["counter"]
    except (KeyError, TypeError, ValueError):
        # Created, and not yet written; or its owner never came to it.
        owner = ProcessIdentity("", "", "", 0, 0)
        token, lease_s, renewals = "", LEASE_S, 0
    is_here = owner.is_neighbour_of(viewer)
    age_s = (time.time() if is_here else now()) - file.mtime
    if is_here and not is_alive(owner):
        return None
    if not is_here and age_s > lease_s + slack_s:
        return None
    return Owner(
        host=owner.host,
        pid=owner.pid,
        job=owner.job,
        restarts=owner.restarts,
        token=token,
        age_s=max(0.0, age_s),
        lease_s=lease_s,
        is_here=is_here,
        renewals=renewals,
    )


def _describe_holder(out_dir: str | os.PathLike[str], owner: Owner) -> str:
    text = (
        f"another process is training in {out_dir}: {owner}, which last showed itself "
        f"{owner.age_s:.0f} s ago. Wait for it or stop it first, or choose another OUT_DIR"
    )
    if not owner.is_here:
        text += f"; if it is gone, the folder is free after {owner.lease_s:g} s of silence"
    return text


def _clock() -> float:
    return time.clock_gettime(_CLOCK)
