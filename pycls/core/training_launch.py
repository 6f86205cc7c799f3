"""Trains in as many processes as a configuration asks for (no PyTorch until it begins)."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from yacs.config import CfgNode

from pycls.core.allocator import keep_freed_memory
from pycls.core.config.load import dump_cfg, parse_cfg
from pycls.core.processes.launch_local import launch
from pycls.core.processes.world import ONE_PROCESS, World, find_world
from pycls.errors import RunInterruptedError

_Around = Callable[[int], AbstractContextManager[Any]]


def train(cfg: CfgNode, world: World | None = None) -> dict[str, Any]:
    """Train a network in NUM_GPUS processes.

    Args:
        cfg: the configuration.
        world: the processes that were started already, of which this is one; None: start them
            on this machine, where NUM_GPUS is above 1.

    Returns:
        The run's record, see :func:`pycls.core.trainer.train_model`, whose errors it raises.
    """
    if world is None and cfg.NUM_GPUS > 1:
        return launch(train_in_process, [dump_cfg(cfg)], cfg.NUM_GPUS)
    keep_freed_memory()  # before PyTorch allocates
    from pycls.core.trainer import train_model

    return train_model(cfg, world or ONE_PROCESS)


def train_several(
    cfgs: Sequence[CfgNode], around: _Around
) -> Iterator[tuple[int, dict[str, Any] | Exception]]:
    """Train several networks in this process, on one reading of the data where they share it.

    Arguments and what is yielded are those of :func:`pycls.core.together.train.train_together`;
    here any configurations of one process each will do, those that share nothing in turn.
    """
    keep_freed_memory()
    from pycls.core.together.train import group_cfgs, train_together

    for group in group_cfgs(cfgs):
        ended = train_together([cfgs[index] for index in group], _of_group(around, group))
        stopped = False
        for number, outcome in ended:
            stopped = stopped or isinstance(outcome, RunInterruptedError)
            yield group[number], outcome
        if stopped:
            return


def _of_group(around: _Around, group: list[int]) -> _Around:
    return lambda number: around(group[number])


def train_in_process(world: World, text: str) -> dict[str, Any]:
    """Be one of the processes of a training; `text` is the configuration."""
    return train(parse_cfg(text, "configuration"), world)


def started_as_one_of(cfg: CfgNode, environ: Mapping[str, str] = os.environ) -> World | None:
    """Return the processes that torchrun, srun or this module started this one with.

    Raises:
        ConfigError: their number is not NUM_GPUS.
    """
    low, high = cfg.PORT_RANGE
    return find_world(environ, cfg.NUM_GPUS, (low, high))
