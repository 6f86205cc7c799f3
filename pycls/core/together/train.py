"""Trains several networks in one process: in turns, a batch each, which is loaded once for all.

What a run computes is what it computes alone, bit for bit on the CPU: a run seeds the global
generator before it draws, and what else belongs to the process (threads, arithmetic, signals) is
set once, the same for all. On a GPU each network has a stream, and where steps are captured a
graph, so that the short kernels of several fill it.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from yacs.config import CfgNode

from pycls.core.config.load import flatten_cfg
from pycls.core.config.trainable import check_trainable
from pycls.core.env import run_settings
from pycls.core.loaders import build_loader
from pycls.core.runs.interruption import StopRequest, stop_requests
from pycls.core.together.steps import Steps
from pycls.core.trainer import train_in_folder
from pycls.core.training_run import TrainingRun
from pycls.datasets.loading.loader import Loader
from pycls.datasets.loading.shared import SharedLoader
from pycls.gpu_devices import is_gpu

Around = Callable[[int], contextlib.AbstractContextManager[Any]]

# What two runs agree on that see the same batches in the same process.
_SHARED_SECTIONS = ("DATA", "DATA_LOADER", "CUDNN")
_SHARED_KEYS = (
    "TRAIN.DATASET", "TRAIN.SPLIT", "TRAIN.BATCH_SIZE", "TRAIN.IM_SIZE", "TRAIN.AUGMENT",
    "TRAIN.PCA_STD", "TEST.DATASET", "TEST.SPLIT", "TEST.BATCH_SIZE", "TEST.IM_SIZE",
    "MODEL.NUM_CLASSES", "OPTIM.MAX_EPOCH", "RNG_SEED", "MEMORY_FORMAT", "DEVICE", "NUM_THREADS",
    "LAYER_FORMS",
)  # fmt: skip


def group_cfgs(cfgs: Sequence[CfgNode]) -> list[list[int]]:
    """Return which configurations can be trained together, by their places; in their order."""
    groups: dict[object, list[int]] = {}
    for index, cfg in enumerate(cfgs):
        groups.setdefault(_shared_part(cfg) if cfg.NUM_GPUS <= 1 else index, []).append(index)
    return list(groups.values())


def _shared_part(cfg: CfgNode) -> str:
    return repr(
        [
            (key, value)
            for key, value in flatten_cfg(cfg).items()
            if key in _SHARED_KEYS or key.split(".")[0] in _SHARED_SECTIONS
        ]
    )


@dataclass
class _Turns:
    """One of the runs, and how often it has been on since it came to its iteration."""

    index: int
    run: TrainingRun
    steps: Steps[dict[str, Any]]
    stream: torch.cuda.Stream | None
    count: int = field(default=0)

    def place(self) -> tuple[int, int, int]:
        """Order the runs: who is behind comes first, so that all come to the same batches."""
        return *self.iteration(), self.count

    def iteration(self) -> tuple[int, int]:
        """Return how far the training is."""
        return self.run.epoch, self.run.iteration


def train_together(
    cfgs: Sequence[CfgNode], around: Around = lambda index: contextlib.nullcontext()
) -> Iterator[tuple[int, dict[str, Any] | Exception]]:
    """Train the networks of several configurations, or finish their training.

    Args:
        cfgs: configurations of one group of :func:`group_cfgs`.
        around: called with a run's number; its turns happen in the context that this returns. An
            error that ends a run passes through it.

    Yields:
        A run's number and what came of it, as soon as it is over: its record, or the error that
        :func:`pycls.core.trainer.train_model` raises. The others go on. Stop signals end all.
    """
    with stop_requests() as stop, run_settings(cfgs[0]) as device:
        loaders = _Loaders()
        at_work: list[_Turns] = []
        try:
            for index, cfg in enumerate(cfgs):
                try:
                    with around(index):
                        at_work.append(_begin(index, cfg, device, loaders, stop))
                except Exception as error:
                    yield index, error
            while at_work:
                turns = min(at_work, key=_Turns.place)
                outcome = _turn(turns, around)
                if outcome is not None:
                    at_work.remove(turns)
                    index = turns.index
                    del turns  # with the memory of the network
                    if isinstance(outcome, Exception) and is_gpu(device):
                        torch.cuda.empty_cache()
                    yield index, outcome
        finally:
            for turns in at_work:
                with around(turns.index):
                    turns.steps.close()


def _begin(
    index: int, cfg: CfgNode, device: torch.device, loaders: "_Loaders", stop: StopRequest
) -> _Turns:
    check_trainable(cfg, device)
    run = TrainingRun(cfg, device, build=loaders.build)
    run.clock.stop()
    stream = None
    if is_gpu(device):
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
    return _Turns(index, run, train_in_folder(run, stop), stream)


def _turn(turns: _Turns, around: Around) -> dict[str, Any] | Exception | None:
    """Let a run do its next step; return its record, or its error, where it has ended."""
    before = turns.iteration()
    try:
        with around(turns.index), torch.cuda.stream(turns.stream):
            turns.run.clock.go_on()
            try:
                next(turns.steps)
            except StopIteration as end:
                record: dict[str, Any] = end.value
                return record
            finally:
                turns.run.clock.stop()
    except Exception as error:
        # Its frames would keep the run's tensors.
        return error.with_traceback(None)
    turns.count = turns.count + 1 if turns.iteration() == before else 0
    return None


class _Loaders:
    """The loaders of the runs, one for each side."""

    def __init__(self) -> None:
        self._loaders: dict[tuple[str, bool], Loader] = {}

    def build(
        self,
        cfg: CfgNode,
        side: str,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        evaluate: bool = False,
    ) -> Loader:
        """Return the loader of a side, see :func:`pycls.core.loaders.build_loader`."""
        loader = self._loaders.get((side, evaluate))
        if loader is None:
            loader = build_loader(cfg, side, device, rank, world_size, evaluate, SharedLoader)
            self._loaders[side, evaluate] = loader
        return loader
