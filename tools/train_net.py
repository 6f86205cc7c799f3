#!/usr/bin/env python3
"""Train one network: tools/train_net.py --cfg FILE [KEY VALUE ...]."""

from pycls.core.cli import load_tool_cfg
from pycls.errors import run_tool


def main() -> None:
    """Train, or finish the training of, the network that the configuration describes."""
    cfg = load_tool_cfg("Train a network, or go on with its training where it was stopped.")
    from pycls.core.trainer import train_model

    record = train_model(cfg)
    result = record["result"]
    print(
        f"done: test error {result['final_top1_err']:.2f} % top-1, "
        f"{result['final_topk_err']:.2f} % top-{result['topk']} "
        f"(lowest over the epochs {result['min_top1_err']:.2f} %, "
        f"{result['min_topk_err']:.2f} %); {cfg.OUT_DIR}"
    )


if __name__ == "__main__":
    run_tool(main)
