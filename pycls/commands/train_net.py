"""Train one network: tools/train_net.py --cfg FILE [KEY VALUE ...].

With NUM_GPUS above 1 it starts as many processes on this machine, or is one of those that
torchrun or srun started. LAUNCH.MODE slurm trains in a job of its own, see docs/training.md. Exit
codes: 0 trained or submitted, 75 asked to stop and state saved (give the same command again), 2 a
mistake in the configuration, 1 any other failure.
"""

from pycls.core.cli import load_tool_cfg
from pycls.core.training_launch import started_as_one_of, train
from pycls.single.modes import is_submitted


def main() -> None:
    """Train, or finish the training of, the network that the configuration describes."""
    cfg = load_tool_cfg("train_net", __doc__, makes_run=True)
    world = started_as_one_of(cfg)
    if world is None and is_submitted(cfg):
        from pycls.single.submit import submit

        record = submit(cfg, "train")
    else:
        record = train(cfg, world)
    if record is None or (world is not None and not world.is_main):
        return
    result = record["result"]
    print(
        f"done: test error {result['final_top1_err']:.2f} % top-1, "
        f"{result['final_topk_err']:.2f} % top-{result['topk']} "
        f"(lowest over the epochs {result['min_top1_err']:.2f} %, "
        f"{result['min_topk_err']:.2f} %); {cfg.OUT_DIR}"
    )
