"""TensorBoard event files, for those who watch runs there (TENSORBOARD True)."""

import math
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from pycls.errors import ConfigError

_NOT_CURVES = ("epoch", "iter", "eta")


class Events:
    """Writes the numbers of epoch records as curves over the epochs."""

    def __init__(self, folder: Path, max_epoch: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError(
                "TENSORBOARD is True, but the package tensorboard is not installed; install it "
                "(pip install tensorboard) or set TENSORBOARD False"
            ) from None
        self._writer = SummaryWriter(str(folder))
        self._max_epoch = max_epoch

    def add(self, record: dict[str, Any], kind: str) -> None:
        """Add a record of the log; iteration records are passed over."""
        if not kind.endswith("_epoch"):
            return
        epoch = int(str(record["epoch"]).partition("/")[0])
        for name, value in record.items():
            if name not in _NOT_CURVES and math.isfinite(value):
                self._writer.add_scalar(f"{kind.removesuffix('_epoch')}/{name}", value, epoch)

    def close(self) -> None:
        """Write what is left and close the file."""
        self._writer.close()


def open_events(cfg: CfgNode) -> Events | None:
    """Return where a run's event records go; None where they are not asked for.

    Raises:
        ConfigError: TensorBoard's package is not installed.
    """
    if not cfg.TENSORBOARD:
        return None
    return Events(Path(cfg.OUT_DIR) / "tensorboard", cfg.OPTIM.MAX_EPOCH)
