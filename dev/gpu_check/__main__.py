"""Check and measure the project on a GPU: python dev/gpu_check [--half 1|2] [--wheels FOLDER]."""

import sys
from pathlib import Path

DEV = Path(__file__).resolve().parents[1]
# Nothing needs to be installed; this folder, the first, would hide modules of the same names.
sys.path[:1] = [str(DEV), str(DEV.parent)]

from gpu_check.command import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
