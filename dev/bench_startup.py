"""Seconds from the start of a training's process to its first finished step, and what they go to.

    python dev/bench_startup.py [--repeats 5]

A small network on the digits of scikit-learn (prepared in a temporary folder), as
tools/train_net.py runs it; beside it the seconds to import PyTorch alone.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "embedded" / "digits_anynet.yaml"


def main() -> None:
    """Start a training a few times and print the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="median of (%(default)s)")
    args = parser.parse_args()
    from pycls.datasets.preparation.prepare import prepare

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare("digits", folder)
        figures = [_measure(folder, number) for number in range(args.repeats)]
    for what in figures[0]:
        values = [figure[what] for figure in figures]
        spread = f"({min(values):.2f} to {max(values):.2f})"
        print(f"{what:28s} {statistics.median(values):5.2f} s  {spread}")


def _measure(folder: Path, number: int) -> dict[str, float]:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    torch_s = time.perf_counter() - start
    out_dir = folder / f"run{number}"
    command = [
        sys.executable, str(ROOT / "tools" / "train_net.py"), "--cfg", str(CONFIG),
        "DATA.DIR", str(folder), "OUT_DIR", str(out_dir), "LOG_DEST", "stdout", "LOG_PERIOD", "1",
        "OPTIM.MAX_EPOCH", "1", "DEVICE", "cpu",
    ]  # fmt: skip
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None:
            raise RuntimeError("no output to read")
        first = next(line for line in process.stdout if '"train_iter"' in line)
        first_step_s = time.perf_counter() - start
        process.stdout.read()
    step_s = json.loads(first.split("json_stats: ")[1])["time_diff"]
    return {
        "import of PyTorch alone": torch_s,
        "start to first step done": first_step_s,
        "of it the first step": step_s,
    }


if __name__ == "__main__":
    main()
