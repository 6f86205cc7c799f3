#!/usr/bin/env python3
"""What one job asks of the file system: metadata operations at its start and while it trains.

A study of one run of the digits of scikit-learn is launched with stand-ins for Slurm's commands,
and the batch script that it would have submitted is run under strace. The training is held up so
that an epoch takes ten seconds. Counted are open, stat, create, rename, link, unlink, mkdir and
rmdir, by path: below the environment (sys.prefix and that of its base), the copy of the code, the
study. The rate is that of the epochs but the first two, times a thousand: what as many such jobs at
a time ask of a file server, caches of its clients left aside.

    python dev/bench_metadata.py --against ../pycls-0.3.0
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench_study import STAND_INS

ROOT = Path(__file__).resolve().parents[1]
JOBS = 1000
EPOCH_S = 10.0
STUDY = """
name: one
population: {{space: {{num_stages: 2, strides: [1, 2], stem_type: res_stem_cifar, stem_w: 8,
  depth: [1, 2], width: [8, 32], group_w: [4, 8], resolution: 8, num_classes: 10}},
  size: 1, seed: 3}}
datasets: {{digits: {{}}}}
config: {{OPTIM: {{MAX_EPOCH: {epochs}}}, TRAIN: {{BATCH_SIZE: 64}}, PREC_TIME: {{NUM_ITER: 0}},
  BN: {{USE_PRECISE_STATS: False}}, DATA: {{PAD: 1}}, DEVICE: cpu}}
launch: {{NUM_GPUS: 0, CPUS_PER_GPU: 1, FOLLOW_UP: False}}
"""
# In every process of a job: the step of a training waits.
SLOW = """
import sys, time, importlib.abc, importlib.machinery
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "pycls.core.step":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            call = module.TrainStep.__call__
            def slowly(self, *given):
                time.sleep({pause})
                return call(self, *given)
            module.TrainStep.__call__ = slowly
        spec.loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, Finder())
"""
ITERATIONS = 22  # 1,437 images in batches of 64
OPENS = "open|openat|creat"
STATS = "stat|lstat|newfstatat|statx|fstat|access|readlink|statfs"
CHANGES = "rename|renameat|renameat2|link|linkat|unlink|unlinkat|mkdir|rmdir|symlink|utimensat"
COUNTED = f"{OPENS}|{STATS}|{CHANGES}"
_CALL = re.compile(rf"^\d+ +(\d+\.\d+) (?:{COUNTED})\((.*)$", re.MULTILINE)


def trace(checkout: Path, folder: Path, epochs: int, packed: Path | None) -> tuple[Path, Path]:
    """Run the job of a study of one run under strace; return the study's folder and the trace."""
    tools, data, out = checkout / "tools", folder / "data", folder / "out"
    (folder / "bin").mkdir(parents=True)
    (folder / "slow").mkdir()
    (folder / "slow" / "sitecustomize.py").write_text(SLOW.format(pause=EPOCH_S / ITERATIONS))
    for command, text in {**STAND_INS, "sinfo": ":"}.items():
        path = folder / "bin" / command
        path.write_text(f"#!/bin/sh\n{text.replace('{folder}', str(folder / 'bin'))}\n")
        path.chmod(0o755)
    (folder / "bin" / "queue").touch()
    (folder / "bin" / "n").write_text("0")
    (folder / "one.yaml").write_text(STUDY.format(epochs=epochs))
    environment = {
        **os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(checkout), "PYCLS_LOCAL": str(folder / "local"),
    }  # fmt: skip
    (folder / "local").mkdir()
    keys = ["LAUNCH.ENVIRONMENT", str(packed)] if packed else []
    for words in (
        [tools / "prepare_data.py", "prepare", "digits", "--out", data],
        [
            tools / "study.py",
            "launch",
            "one.yaml",
            "--out",
            out,
            "--data-dir",
            data,
            "--yes",
            *keys,
        ],
    ):
        command = [sys.executable, *map(str, words)]
        subprocess.run(command, env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    job = {"SLURM_ARRAY_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_ID": "1"}
    environment |= {**job, "PYTHONPATH": str(folder / "slow")}
    script, file = str(out / "launch/0001/script.sh"), folder / "trace"
    if packed:  # the first job of a node unpacks, all others find it
        first = {**environment, "SLURM_ARRAY_TASK_ID": "9"}
        subprocess.run(["bash", script], env=first, cwd=folder, capture_output=True, check=False)
    command = ["strace", "-f", "-q", "-ttt", "-s", "300", "-o", str(file), "bash", script]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{checkout}: the job ended with {done.returncode}: {done.stderr!r}")
    return out, file


def report(name: str, out: Path, file: Path) -> None:
    """Print what a trace counts."""
    calls = [(float(m[1]), m[2]) for m in _CALL.finditer(file.read_text(errors="replace"))]
    tests = re.findall(r"^\d+ +(\d+\.\d+) write\(\d+, .*test_epoch", file.read_text(), re.MULTILINE)
    begin, end = float(tests[1]), float(tests[-1])
    places = {
        "the copy of the code": str(out / "launch" / "code"), "the study": str(out),
        "the node's own disk": str(out.parent / "local"),
    }  # fmt: skip
    prefixes = dict.fromkeys((sys.prefix, sys.base_prefix))
    counts, paths = {}, {}
    for when, arguments in calls:
        if when >= begin:
            continue
        found = re.search(r'"(/[^"]*)"', arguments)
        path = found[1] if found else ""
        place = next((what for what, top in places.items() if path.startswith(top)), "")
        if not place:
            known = any(path.startswith(top) for top in prefixes)
            place = "the environment" if known else "elsewhere, or by descriptor"
        counts[place] = counts.get(place, 0) + 1
        paths.setdefault(place, set()).add(path)
    print(f"{name}: to the end of the second epoch {sum(counts.values()):,}, of these:")
    for place, number in sorted(counts.items()):
        print(f"  {place}: {number:,} on {len(paths[place]):,} paths")
    steady = sum(begin <= when < end for when, _ in calls)
    rate = steady / (end - begin)
    print(
        f"  then {steady} in {end - begin:.0f} s and {len(tests) - 2} epochs: {JOBS * rate:,.0f} a "
        f"second of {JOBS:,} jobs"
    )
    (run,) = out.glob("digits/logs/0*")
    left = [run, *run.rglob("*"), *out.glob("digits/cfgs/*")]
    inodes = {path.stat().st_ino: path.stat().st_size for path in left}
    print(
        f"  a finished run: {len(inodes)} inodes, {sum(inodes.values()) / 1000:.0f} kB", flush=True
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=13, help="of ten seconds (13)")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="of another version")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.against:
            report("other", *trace(args.against.resolve(), folder / "other", args.epochs, None))
        report("this", *trace(ROOT, folder / "this", args.epochs, None))
        packed = folder / "environment.tar"
        subprocess.run(["tar", "-cf", packed, "-C", sys.prefix, "."], check=True)
        report("this, packed environment", *trace(ROOT, folder / "packed", args.epochs, packed))
        words = ["pack", "one.yaml", "--out", "out", "--data-dir", "data"]
        command = [sys.executable, str(ROOT / "tools" / "study.py"), *words]
        subprocess.run(command, cwd=folder / "this", check=True)
        logs = folder / "this" / "out" / "digits" / "logs"
        left = [p for p in logs.rglob("*") if ".packed" not in str(p)]
        size = sum(p.stat().st_size for p in (logs / ".packed").rglob("*.zip"))
        print(f"packed: {len(left) + 1} inodes with its configuration, {size / 1000:.0f} kB in zip")


if __name__ == "__main__":
    main()
