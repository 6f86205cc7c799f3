"""What LAUNCH.MODE asks for of a single training or test."""

from yacs.config import CfgNode

# LAUNCH.MODE -> submitit's name of the executor. "local" is this process, without submitit.
EXECUTORS = {"slurm": "slurm", "submitit_local": "local", "submitit_debug": "debug"}


def is_submitted(cfg: CfgNode) -> bool:
    """Say whether a configuration asks for a job, and not for work in this process."""
    return cfg.LAUNCH.MODE in EXECUTORS
