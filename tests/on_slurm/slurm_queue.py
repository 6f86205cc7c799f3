"""Submitting jobs to the cluster that SLURM_CONF names, and looking at its queue."""

import subprocess
import time
from pathlib import Path

from pycls.slurm.client import Slurm


def run(*command, check=True):
    """Return what a command prints; fail with its message where it fails."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 or not check, f"{command}: {result.stderr}"
    return result.stdout.strip()


def submit(folder, text, *options):
    """Submit a bash script with these options; return the job's number."""
    folder = Path(folder)
    script = folder / f"job{len(list(folder.glob('job*.sh')))}.sh"
    script.write_text(f"#!/bin/bash\n{text}\n")
    output = "" if any(option.startswith("--output") for option in options) else "%x.%A.%a.out"
    where = [f"--output={folder}/{output}", "--open-mode=append"] if output else []
    return int(run("sbatch", "--parsable", *where, *options, str(script)))


def squeue():
    """Return {job, or job_element of an array: state} of the queue ("PENDING", "RUNNING")."""
    lines = run("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
    return dict(line.split() for line in lines)


def job_record(job):
    """Return what the controller knows of a job, as {key: value}."""
    text = run("scontrol", "--oneliner", "show", "job", str(job))
    return dict(part.split("=", 1) for part in text.split() if "=" in part)


def wait_until(condition, seconds=300, what="it", pause_s=0.1):
    """Return a condition's value as soon as it is true; fail, with the queue, if it never is.

    A look mostly starts commands, which take the cores from the jobs waited for.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            queue = run("squeue", check=False)
            raise AssertionError(f"waited {seconds} s in vain for {what}; the queue:\n{queue}")
        time.sleep(pause_s)
    return value


def wait_for_empty_queue(seconds=600):
    slurm = Slurm(patience_s=120.0)  # for a controller that is being restarted
    wait_until(lambda: not slurm.jobs(), seconds, "the end of all jobs", pause_s=0.3)


def wait_for_file(path, seconds=300):
    """Wait until a file holds a whole line; return its text."""
    path = Path(path)
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), seconds, path.name)
    return path.read_text()
