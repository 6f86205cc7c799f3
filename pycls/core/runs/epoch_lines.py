"""A run for the reader at a terminal: a line an epoch, with the time that is left."""

import time
from collections.abc import Callable
from typing import Any, TextIO

from pycls.progress import Progress, format_duration
from pycls.schema import LOG_FILE


class EpochLines:
    """Shows a run's records as they come; how far the present epoch is gives way to its line.

    Args:
        stream: the terminal.
        clock: gives the time, in seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = Progress(stream, clock)
        self._clock = clock
        self._start = clock()
        self._epochs_here = 0
        self._train: dict[str, Any] = {}

    def __call__(self, record: dict[str, Any]) -> None:
        """Show a record of the log, where it is of a kind that is shown."""
        show = {
            "cfg": self._show_run,
            "train_iter": self._show_iteration,
            "train_epoch": self._take_training,
            "test_epoch": self._show_epoch,
            "test_ema_epoch": self._show_average,
        }.get(record["_type"])
        if show is not None:
            show(record)

    def close(self) -> None:
        """Take what gives way off the terminal."""
        self._progress.clear()

    def _show_run(self, cfg: dict[str, Any]) -> None:
        self._start = self._clock()
        self._progress.say(
            f"{cfg['MODEL']['TYPE']} on {cfg['TRAIN']['DATASET']}, "
            f"{cfg['OPTIM']['MAX_EPOCH']} epochs; log: {cfg['OUT_DIR']}/{LOG_FILE}"
        )

    def _show_iteration(self, record: dict[str, Any]) -> None:
        if self._progress.is_due():
            self._progress.show(
                f"epoch {record['epoch']}: iteration {record['iter']}, loss {record['loss']:.3f}, "
                f"training error {record['top1_err']:.2f} %"
            )

    def _take_training(self, record: dict[str, Any]) -> None:
        self._train = record

    def _show_epoch(self, record: dict[str, Any]) -> None:
        epoch, epochs = map(int, record["epoch"].split("/"))
        self._epochs_here += 1
        spent = self._clock() - self._start
        left = format_duration((epochs - epoch) * spent / self._epochs_here)
        end = f"{left} left" if epoch < epochs else f"{format_duration(spent)} in all"
        self._progress.say(
            f"epoch {record['epoch']:>7}  loss {self._train['loss']:6.3f}  "
            f"training error {self._train['top1_err']:6.2f} %  "
            f"{_tested(record)}  {end}"
        )

    def _show_average(self, record: dict[str, Any]) -> None:
        self._progress.say(f"{'moving average of the weights':>54}  {_tested(record)}")


def _tested(record: dict[str, Any]) -> str:
    return f"test error {record['top1_err']:6.2f} % (lowest {record['min_top1_err']:6.2f} %)"
