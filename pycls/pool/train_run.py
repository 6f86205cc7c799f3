"""The program of one of the processes that srun starts for a run: CFG [KEY VALUE ...].

Exit codes: 0 trained, 75 asked to stop and state saved, 2 a mistake in the configuration, 1 any
other failure. Signals that come while libraries are still being imported count, too.
"""

import os
import sys

from pycls.errors import run_tool
from pycls.pool.signals import EarlySignals


def main() -> None:
    """Train, or finish the training of, the network that the configuration describes."""
    from pycls.core.config.load import load_cfg
    from pycls.core.training_launch import started_as_one_of, train

    path, *overrides = sys.argv[1:]
    cfg = load_cfg(path, overrides)
    train(cfg, started_as_one_of(cfg))


if __name__ == "__main__":
    EarlySignals().take()
    try:
        run_tool(main)
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        # An interpreter that takes itself down can be killed by the signals again.
        os._exit(end.code if isinstance(end.code, int) else 1)
