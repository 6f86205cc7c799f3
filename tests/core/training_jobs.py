"""What processes of the interruption tests run; imported by their fork server and launcher."""

import itertools
import math
import os
import signal
import sys
import time
import warnings
from pathlib import Path

from pycls.errors import PyclsError


def train(path, number=0, moment=0):
    """Train as a file says, and leave with a tool's exit code.

    Args:
        path: the configuration.
        number: a signal to send oneself; 0 for none.
        moment: at which :func:`at_moment`.
    """
    from pycls.core.config import load_cfg
    from pycls.core.trainer import train_model

    warnings.simplefilter("ignore")
    at_moment(moment, lambda: os.kill(os.getpid(), number))
    try:
        train_model(load_cfg(path))
    except PyclsError as error:
        sys.exit(error.exit_code)


def train_each(world, texts):
    """Train as one of several processes, as each of several configurations says."""
    from pycls.core.training_launch import train_in_process

    return [train_in_process(world, text) for text in texts]


def train_in_process(world, text):
    """Be one of the processes of a training whose first one waits in a step for a signal.

    It makes a file `in_step` beside OUT_DIR when it is there, in the second epoch.
    """
    from pycls.core import training_launch
    from pycls.core.config.load import parse_cfg

    reached = Path(parse_cfg(text, "configuration").OUT_DIR).with_name("in_step")

    def wait_for_signal():
        reached.touch()
        stop = signal.getsignal(signal.SIGTERM).__self__  # it is a StopRequest's method
        while not stop:
            time.sleep(0.01)

    if world.is_main:
        at_moment(12, wait_for_signal)
    return training_launch.train_in_process(world, text)


def at_moment(number, act):
    """Do something the `number`-th time that a training asks for its learning rate.

    From 1 on: before every step, and after every epoch.
    """
    from pycls.core import trainer

    lr_at, calls = trainer.lr_at, itertools.count(1)

    def call(*args):
        if next(calls) == number:
            act()
        return lr_at(*args)

    trainer.lr_at = call


def main():
    """Be a tool whose processes get all the time they need to end: [wait] TOOL [ARGUMENT ...].

    With `wait` they are as above.
    """
    import runpy

    import training_jobs  # the launcher's children know it by this name

    from pycls.core import training_launch
    from pycls.core.processes import launch_local

    launch_local.SETTLE_S = launch_local.SETTLE_AFTER_SIGNAL_S = math.inf
    del sys.argv[0]
    if sys.argv[0] == "wait":
        del sys.argv[0]
        training_launch.train_in_process = training_jobs.train_in_process
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
