"""TensorBoard event files, for those who watch runs there (TENSORBOARD True)."""

import math
from pathlib import Path
from typing import Any

from pycls.errors import ConfigError

_NOT_CURVES = ("_type", "epoch", "iter", "eta")


class Events:
    """Writes the numbers of epoch records as curves over the epochs."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError(
                "TENSORBOARD is True, but the package tensorboard is not installed; install it "
                "(pip install tensorboard) or set TENSORBOARD False"
            ) from None
        self._writer = SummaryWriter(str(folder))

    def __call__(self, record: dict[str, Any]) -> None:
        """Add a record of the log; iteration records are passed over."""
        kind = record["_type"]
        if not kind.endswith("_epoch"):
            return
        epoch = int(str(record["epoch"]).partition("/")[0])
        for name, value in record.items():
            if name not in _NOT_CURVES and math.isfinite(value):
                self._writer.add_scalar(f"{kind.removesuffix('_epoch')}/{name}", value, epoch)

    def close(self) -> None:
        """Write what is left and close the file."""
        self._writer.close()
