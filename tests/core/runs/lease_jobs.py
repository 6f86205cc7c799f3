"""Processes for the tests of the lease: python lease_jobs.py JOB ARGUMENT ..., or forked."""

import functools
import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

from pycls.core.runs import lease as run_lease_module
from pycls.core.runs.lease import run_lease
from pycls.errors import LeaseHeldError, LeaseLostError, run_tool


def hold(out_dir, lease_s, renew_s):
    """Hold a folder; say at each line of standard input whether it is held still."""
    with run_lease(out_dir, lease_s=float(lease_s), renew_s=float(renew_s)) as lease:
        print("held", flush=True)
        for _ in sys.stdin:
            lease.check()
            print("held", flush=True)


def race(out_dir, rounds, num):
    """Let contenders of several hosts begin at once, again and again; print how many won."""
    print(json.dumps([_race_once(out_dir, int(num), i) for i in range(int(rounds))]))


def _race_once(out_dir, num, number):
    start, go = os.pipe()
    stay, end = os.pipe()
    won, report = os.pipe()
    children = []
    for i in range(num):
        pid = os.fork()
        if pid == 0:
            os.close(go)
            os.close(end)
            os.read(start, 1)  # the end of the pipe: for all of them at once
            try:
                with run_lease(out_dir, host=f"host{i % 3}"):
                    os.write(report, b"W")
                    os.read(stay, 1)
                    if number % 3 == 0:
                        os._exit(0)  # leaves its lease behind
            except LeaseHeldError:
                os.write(report, b"-")
            os._exit(0)
        children.append(pid)
    os.close(go)
    answers = b""
    while len(answers) < num:
        answers += os.read(won, num)
    os.close(end)
    for pid in children:
        os.waitpid(pid, 0)
    for descriptor in (start, stay, won, report):
        os.close(descriptor)
    if number % 3 == 0:  # whoever it was of: run out
        newest = max(Path(out_dir).glob(".lease.*"))
        os.utime(newest, (0, 0))
    return answers.count(b"W")


def contend(out_dir, log, host, seed, rounds, lease_s):
    """Take and leave a folder, now and then by dying or being suspended; log how it went."""
    draw = random.Random(int(seed))
    rounds, lease_s = int(rounds), float(lease_s)
    ways = ["release"] * (rounds - 2) + ["die", "suspend"]
    draw.shuffle(ways)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for i, way in enumerate(ways):
        pause = draw.random() * 0.004
        asleep = lease_s * draw.choice([0.3, 2.0])
        pid = os.fork()
        if pid == 0:
            _work(out_dir, file, f"{host}-{seed}-{i}", host, lease_s, way, pause)
            os._exit(0)
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            time.sleep(asleep)
            os.kill(pid, signal.SIGCONT)
        if status:
            sys.exit(f"{way}: status {status}")
        time.sleep(draw.random() * 0.004)


def _work(out_dir, file, name, host, lease_s, way, pause):
    """Hold a folder once; log between which times it was held for certain, or was lost."""
    now = run_lease_module._clock  # the same for all processes

    def say(*words):
        os.write(file, (json.dumps([name, way, *words]) + "\n").encode())

    came = now()
    try:
        with run_lease(out_dir, wait_s=600, lease_s=lease_s, renew_s=lease_s / 8, host=host) as it:
            entered = now()
            time.sleep(pause)
            if way == "suspend":
                os.kill(os.getpid(), signal.SIGSTOP)
            checked = now()
            it.check()
            say("held", entered, checked)
            if way == "die":
                os._exit(0)
    except LeaseLostError:
        say("lost", came, now())


def fork(out_dir):
    """Fork while holding a folder; the child must not touch the lease."""
    with run_lease(out_dir, lease_s=0.4, renew_s=0.05) as lease:
        pid = os.fork()
        if pid == 0:
            time.sleep(0.5)  # no thread renews here
            try:
                lease.check()
            except LeaseLostError as error:
                lease.release()
                sys.exit(0 if "forked" in str(error) else 3)
            sys.exit(4)
        _, status = os.waitpid(pid, 0)
        lease.check()
        print(os.waitstatus_to_exitcode(status), flush=True)
        sys.stdin.read()


def full(out_dir):
    """Try to take a folder where nothing can be written to files."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        with run_lease(out_dir):
            pass
    except OSError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        print(error.errno, flush=True)
        sys.stdin.read()  # lives on


def train(cfg, moment, lease_s, errors):
    """Train, and be suspended at the second such moment; write what one says to a file.

    In a step, or when a file whose name begins so is to be renamed into place.
    """
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT, 0o644), sys.stderr.fileno())
    from pycls.core import trainer
    from pycls.core.config import load_cfg

    trainer.run_lease = functools.partial(run_lease, lease_s=lease_s, renew_s=lease_s / 8)
    calls = 0

    def suspended_once(function, is_moment):
        @functools.wraps(function)
        def call(*args, **kwargs):
            nonlocal calls
            if is_moment(*args):
                calls += 1
                if calls == 2:
                    os.kill(os.getpid(), signal.SIGSTOP)
            return function(*args, **kwargs)

        return call

    if moment == "step":
        trainer.lr_at = suspended_once(trainer.lr_at, lambda *args: True)
    else:
        Path.replace = suspended_once(Path.replace, lambda _, to: Path(to).name.startswith(moment))
    run_tool(lambda: trainer.train_model(load_cfg(cfg)) and 0)


if __name__ == "__main__":
    run_lease_module._LONGEST_PAUSE_S = 0.02  # waiting contenders shall meet often
    jobs = (hold, race, contend, fork, full)
    {job.__name__: job for job in jobs}[sys.argv[1]](*sys.argv[2:])
