"""Start and stop a real Slurm on this machine: docs/slurm_cluster.md.

python dev/slurm_cluster start
eval "$(python dev/slurm_cluster env)"
sbatch --wrap hostname
python dev/slurm_cluster stop --wipe
"""

import sys
from pathlib import Path

DEV = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(DEV), str(DEV.parent)]  # so that nothing needs to be installed

from pycls.errors import run_tool  # noqa: E402
from slurm_cluster.command import main  # noqa: E402

run_tool(main)
