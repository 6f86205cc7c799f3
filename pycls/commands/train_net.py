"""Train one network: tools/train_net.py --cfg FILE [KEY VALUE ...].

With NUM_GPUS above 1 it starts as many processes on this machine, or is one of those that
torchrun or srun started. Exit codes: 0 trained, 75 asked to stop and state saved (give the same
command again), 2 a mistake in the configuration, 1 any other failure.
"""

from yacs.config import CfgNode

from pycls.core.cli import load_tool_cfg
from pycls.core.config.defaults import default_cfg
from pycls.core.training_launch import started_as_one_of, train
from pycls.errors import ConfigError


def main() -> None:
    """Train, or finish the training of, the network that the configuration describes."""
    cfg = load_tool_cfg("train_net", __doc__)
    _check_out_dir(cfg)
    world = started_as_one_of(cfg)
    result = train(cfg, world)["result"]
    if world is not None and not world.is_main:
        return
    print(
        f"done: test error {result['final_top1_err']:.2f} % top-1, "
        f"{result['final_topk_err']:.2f} % top-{result['topk']} "
        f"(lowest over the epochs {result['min_top1_err']:.2f} %, "
        f"{result['min_topk_err']:.2f} %); {cfg.OUT_DIR}"
    )


def _check_out_dir(cfg: CfgNode) -> None:
    """Refuse folders that runs would share: the working one, and pycls's default."""
    if not cfg.OUT_DIR.strip():
        found = "is empty"
    elif cfg.OUT_DIR == default_cfg().OUT_DIR:
        found = f"is {cfg.OUT_DIR}, pycls's default, which all runs would share"
    else:
        return
    raise ConfigError(f"OUT_DIR {found}; name a folder for each run: OUT_DIR runs/NAME")
