"""What workers of the pool's tests do in place of training."""

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

from pycls.core.runs.record import write_record
from pycls.core.runs.watchers import is_watched
from pycls.cores import runs_on_gpu
from pycls.errors import ConfigError, LeaseHeldError, PyclsError
from pycls.pulse import beat


def note(cfg):
    """Say in a file of the run who did it, and how it is set up."""
    folder = Path(cfg.OUT_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    facts = {
        "pid": os.getpid(),
        "cores": cores,
        "threads": os.environ["OMP_NUM_THREADS"],
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "runs_on_gpu": runs_on_gpu(),
        "torch": "torch" in sys.modules,
        "seed": cfg.RNG_SEED,
        "at_terminal": sys.stdout.isatty(),
        "watched": is_watched(),
        "at": time.monotonic(),
    }
    with (folder / "notes").open("a") as file:
        file.write(json.dumps(facts) + "\n")


def count(cfg):
    """Return how often a task has been at the run, this time included."""
    note(cfg)
    return len((Path(cfg.OUT_DIR) / "notes").read_text().splitlines())


def fail_once(cfg):
    """Fail the first time, with an error of ours."""
    if count(cfg) == 1:
        raise PyclsError("the first time never works")


def fail_by_mistake(cfg):
    """Fail every time, as of a mistake in the configuration."""
    note(cfg)
    raise ConfigError("TRAIN.DATASET is empty")


def fail_always(cfg):
    """Fail every time, with a defect."""
    note(cfg)
    raise ValueError(f"no. {cfg.RNG_SEED} cannot work\nfor many reasons")


def run_out_of_memory(cfg):
    """Fail as Python code does that runs out of memory."""
    note(cfg)
    raise MemoryError


def exceed_memory(cfg):
    """Really take more memory than there is allowed."""
    import torch

    note(cfg)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), resource.RLIM_INFINITY))
    torch.ones(1 << 30)


def busy_twice(cfg):
    """Be at work elsewhere two times."""
    if count(cfg) <= 2:
        raise LeaseHeldError(f"{cfg.OUT_DIR} is held by process 1 of elsewhere")


def busy_or_finished_elsewhere(cfg):
    """Do seed 0; be at work elsewhere with seed 1, to its end there, and with others forever."""
    note(cfg)
    if cfg.RNG_SEED == 0:
        return
    if cfg.RNG_SEED == 1:
        write_record(cfg.OUT_DIR, {"status": "done"})
    raise LeaseHeldError(f"{cfg.OUT_DIR} is held by process 1 of elsewhere")


def die(cfg):
    """Be killed."""
    note(cfg)
    os.kill(os.getpid(), signal.SIGKILL)


def full_disk(cfg):
    """Meet a full disk."""
    note(cfg)
    raise OSError(28, "No space left on device", "somewhere")


def train_until_told(cfg):
    """Go through batches until there is a file `go` beside the run's folder."""
    note(cfg)
    while not (Path(cfg.OUT_DIR).parent / "go").exists():
        beat()
        time.sleep(0.02)


def sleep(cfg):
    """Take long, and not be ready to save."""
    note(cfg)
    time.sleep(600)
