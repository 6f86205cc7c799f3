#!/usr/bin/env python3
"""Time of planning, setting up and watching a large study, each as a whole process.

500 architectures under 40 seeds of one data set that is not prepared: 20,000 runs. A part of them
is marked as finished and one in a hundred as failed, as `status` would find them.

Example: python dev/bench_study.py --runs 20000 --done 0.5
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STUDY = """
name: large
population:
  space: {{}}
  size: {size}
  flops: [360.0e+6, 400.0e+6]
datasets:
  cifar10: {{}}
  seeds: {{of: cifar10, control: repeats, seeds: {{count: {seeds}}}}}
"""


def main() -> None:
    """Run the commands one after another and print their times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000, help="a multiple of 500")
    parser.add_argument("--done", type=float, default=0.5, help="share that is finished")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = folder / "large.yaml"
        study.write_text(STUDY.format(size=500, seeds=args.runs // 500 - 1))
        for command in ("plan", "setup", "setup again"):
            report(command, study, folder)
        mark_finished(folder / "studies" / "large", args.done)
        report("status", study, folder)


def report(command: str, study: Path, folder: Path) -> None:
    """Run one command of tools/study.py and print how long it took."""
    words = [sys.executable, str(ROOT / "tools" / "study.py"), command.split()[0], str(study)]
    start = time.perf_counter()
    process = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    print(f"{command:12} {seconds:6.2f} s   {process.stdout.splitlines()[-1]}")


def mark_finished(folder: Path, share: float) -> None:
    """Leave the records that finished and failed runs leave."""
    paths = sorted(folder.glob("*/cfgs/*.yaml"))
    for i, path in enumerate(paths[: round(len(paths) * share)]):
        out_dir = path.parents[1] / "logs" / path.stem
        out_dir.mkdir(parents=True)
        status = "failed" if i % 100 == 0 else "done"
        record = {"status": status, "environment": {"host": "x" * 400}, "epochs": [{}] * 20}
        (out_dir / "run.json").write_text(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
