#!/usr/bin/env python3
"""Time, memory and looks at the file system of setting up, launching and watching a large study.

500 architectures under 40 seeds of the digits of scikit-learn: 20,000 runs in 1,000 jobs. Each
command is a whole process. Slurm's commands are stand-ins that answer at once: what counts is what
this package does. Of the runs four fifths are done, with records and logs as long as those of 100
epochs, one in a hundred failed, some are being trained (this process holds their leases), and the
rest is in the queue. A watch's look is the time between two tables without the pause; its opens and
stats are counted by strace in another watch.

With --against CHECKOUT each command is that of another version, too, in turn, in its own folder.
Wall clock depends on what else the machine does; seconds of the processor are in brackets.

    python dev/bench_study.py --runs 20000 --against ../pycls-0.3.0
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from pycls.core.config import load_cfg
from pycls.core.config.load import cfg_to_dict, dump_cfg
from pycls.core.runs.lease import run_lease
from pycls.core.runs.log import RunLog
from pycls.core.runs.record import write_record

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "launch"))  # Slurm's stand-ins of the tests

from slurm_stand_in import SCRIPTS  # noqa: E402

ARCHS = 500
EPOCHS = 100
RUNS_OF_JOB = 20
LOGS = 20  # different ones, which the runs share
FIRST_JOB = 1000
PAUSE_S = 0.5
LOOKS = 4
STUDY = """
name: large
population: {{space: {{}}, size: {size}, flops: [360.0e+6, 400.0e+6]}}
datasets:
  digits: {{}}
  seeds: {{of: digits, control: repeats, seeds: {{count: {seeds}}}}}
launch: {{NUM_GPUS: 0, RUNS_PER_JOB: {per_job}, MAX_JOBS: 30000}}
"""
STAND_INS = {
    **SCRIPTS,
    "sbatch": f"""n=$(cat '{{folder}}/n')
echo $((n + 1)) > '{{folder}}/n'
echo $(({FIRST_JOB} + n))""",
}
# A line of the queue as each version asks squeue for it.
FORMAT = (
    "import importlib as i\n"
    "try: m = i.import_module('pycls.sweep.launch.slurm_records')  # version 0.3.0\n"
    "except ImportError: m = i.import_module('pycls.slurm.records')\n"
    "print(m.QUEUE_FORMAT)"
)
COUNTED = "open,openat,creat,stat,lstat,newfstatat,statx,fstat,access,readlink"


class Version:
    """A checkout, and the folder of its study.

    Args:
        name: what it is called in the table.
        checkout: where its tools are.
        folder: a new one.
        runs: of the study.
        prefix: words before each command that is timed.
    """

    def __init__(
        self, name: str, checkout: Path, folder: Path, runs: int, prefix: tuple[str, ...] = ()
    ) -> None:
        self.name, self._prefix = name, prefix
        self._tool = checkout / "tools" / "study.py"
        self._bin, self.study = folder / "bin", folder / "large.yaml"
        self._bin.mkdir(parents=True)
        seeds = runs // ARCHS - 1
        self.study.write_text(STUDY.format(size=ARCHS, seeds=seeds, per_job=RUNS_OF_JOB))
        for command, text in STAND_INS.items():
            path = self._bin / command
            path.write_text(f"#!/bin/sh\n{text.replace('{folder}', str(self._bin))}\n")
            path.chmod(0o755)
        (self._bin / "queue").touch()
        (self._bin / "n").write_text("0")
        path = f"{self._bin}:{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, "PYTHONPATH": str(checkout)}
        self.folder, self._data = folder / "out", folder / "data"
        prepare = str(checkout / "tools" / "prepare_data.py")
        words = [sys.executable, prepare, "prepare", "digits", "--out", str(self._data)]
        if self.start(words, stdout=subprocess.DEVNULL).wait():
            raise SystemExit(f"{checkout}: the digits cannot be prepared")

    def words(self, command: str, *more: str) -> list[str]:
        """Return a command line of the tool."""
        words = [sys.executable, str(self._tool), command, str(self.study)]
        return [*words, "--out", str(self.folder), "--data-dir", str(self._data), *more]

    def measure(self, what: str, command: str, *more: str) -> None:
        """Run a command, and print its seconds and its memory."""
        began = time.perf_counter()
        words = [*self._prefix, *self.words(command, *more)]
        process = self.start(words, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        if status:
            raise SystemExit(f"{self.name}: {command} failed: {process.stderr.read()}")
        cpu, mib = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
        self._print(what, f"{seconds:6.2f} s ({cpu:6.2f} s)   {mib:4.0f} MiB")

    def start(self, words: list[str], **given) -> subprocess.Popen:
        """Start a process with the stand-ins on its PATH."""
        return subprocess.Popen(
            words,
            env=self._environment,
            text=True,
            cwd=self.study.parent,
            stderr=subprocess.PIPE,
            **given,
        )

    def watch(self) -> None:
        """Print the time of a watch's later looks, its memory, and its opens and stats."""
        words = self.words("status", "--watch", str(PAUSE_S))
        gaps, mib = self._look([*self._prefix, *words])
        seconds = sorted(gap - PAUSE_S for gap in gaps[2:])
        with tempfile.NamedTemporaryFile("r") as file:
            trace = ["strace", "-f", "-q", "-e", f"trace={COUNTED},write", "-o", file.name]
            self._look([*trace, *words])
            calls = re.split(r"\bwrite\(1, ", file.read())[-2]
        opens = len(re.findall(r"\b(?:open|openat|creat)\(", calls))
        looks = len(re.findall(r"\b\w+\(", calls))
        text = f"{seconds[len(seconds) // 2]:6.2f} s              {mib:4.0f} MiB"
        self._print("a look", f"{text}   {opens:,} opens, {looks - opens:,} stats")

    def _look(self, words: list[str]) -> tuple[list[float], float]:
        """Return the seconds between looks of a watch, and the memory after them."""
        process = self.start(words, stdout=subprocess.PIPE, start_new_session=True)
        times = []
        for line in process.stdout:
            if line.startswith("large"):  # a table begins
                times.append(time.perf_counter())
            if len(times) == LOOKS + 2:
                break
        status = Path(f"/proc/{process.pid}/status").read_text()
        os.killpg(process.pid, signal.SIGKILL)  # of strace, what it watches too
        process.communicate()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
        return [b - a for a, b in pairwise(times)], peak

    def _print(self, what: str, text: str) -> None:
        print(f"{what:14} {self.name:10} {text}", flush=True)

    def fill(self, logs: list[Path], running: int, stack: ExitStack) -> None:
        """Leave what the runs of a study leave that is four fifths done."""
        cfg = dump_cfg(load_cfg(None, ["OPTIM.MAX_EPOCH", EPOCHS]))
        seeds = max(1, len(list(self.folder.glob("seeds/cfgs/*.yaml"))) // ARCHS)
        # In the order in which jobs have them: architecture by architecture, in each sweep.
        paths = sorted(
            self.folder.glob("*/cfgs/*.yaml"),
            key=lambda p: (int(p.stem) // (seeds if p.parts[-3] == "seeds" else 1), str(p)),
        )
        begun = len(paths) * 4 // 5
        for i, path in enumerate(paths[: begun + running]):
            status = "running" if i >= begun else "failed" if i % 100 == 0 else "done"
            out_dir = path.parents[1] / "logs" / path.stem
            out_dir.mkdir(parents=True)
            record = describe(status)
            if status == "failed":
                failure = {"reason": "the loss is nan", "ended": "", "host": "node1", "job": "1_2"}
                record.update(reason="the loss is nan", failures=[failure] * 4)
            write_record(out_dir, record)
            (out_dir / "config.yaml").write_text(cfg)
            os.link(logs[i % len(logs)], out_dir / "stdout.log")
            if status == "running":
                stack.enter_context(run_lease(out_dir))
        self._write_queue(len(paths) // RUNS_OF_JOB, begun // RUNS_OF_JOB, running // RUNS_OF_JOB)

    def _write_queue(self, jobs: int, ended: int, running: int) -> None:
        format_ = self.start([sys.executable, "-c", FORMAT], stdout=subprocess.PIPE).communicate()[
            0
        ]
        names = re.findall(r"--job-name=(\S+)", (self.folder / "launch/0001/script.sh").read_text())
        fields = {"%F": str(FIRST_JOB), "%j": names[0], "%r": "Priority", "%P": "debug"}
        lines = []
        for i in range(ended, jobs):
            state = "RUNNING" if i < ended + running else "PENDING"
            own = {**fields, "%K": str(i), "%A": str(FIRST_JOB + i), "%T": state}
            line = re.sub(r"%[A-Za-z]", lambda found, own=own: own.get(found[0], ""), format_)
            lines.append(line.strip("\n") + "\n")
        (self._bin / "queue").write_text("".join(lines))


def write_log(path: Path) -> None:
    """Write the log of a run, with iteration records in each epoch."""
    with RunLog(path) as log:
        log.config(cfg_to_dict(load_cfg(None, ["OPTIM.MAX_EPOCH", EPOCHS])))
        for epoch in range(1, EPOCHS + 1):
            shared = {
                "epoch": f"{epoch}/{EPOCHS}", "mem": 1234, "lr": 0.05, "time_avg": 0.05,
                "eta": "00,01:04:28", "loss": 1.5, "top1_err": 50.0, "top5_err": 20.0,
            }  # fmt: skip
            for i in range(5):
                log.stats({**shared, "iter": f"{i + 1}/5"}, "train_iter")
            log.stats({**shared, "time_epoch": 20.0}, "train_epoch")
            log.stats({**shared, "time_epoch": 2.0, "min_top1_err": 50.0}, "test_epoch")


def describe(status: str) -> dict:
    """Return a record as long as that of a real run."""
    each = {"data": 0.123, "step": 19.456, "evaluation": 2.345, "checkpoint": 0.123}
    count = EPOCHS if status == "done" else EPOCHS // 2
    return {
        "status": status, "started": "2026-01-02T03:04:05+00:00", "config_hash": "c" * 64,
        "environment": {"host": "node", "device": "x" * 300}, "seconds": 2200.0,
        "epochs": [{"epoch": i + 1, **each} for i in range(count)],
        "trained_seconds": count * sum(each.values()),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000, help=f"a multiple of {ARCHS}")
    parser.add_argument("--running", type=int, default=200, help="runs that go on")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="of another version")
    parser.add_argument("--prefix", default="", help="of timed commands, such as 'chrt -f 1'")
    args = parser.parse_args()
    prefix = tuple(args.prefix.split())
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        versions = [Version("this", ROOT, folder / "this", args.runs, prefix)]
        if args.against:
            other = args.against.resolve()
            versions.append(Version("other", other, folder / "other", args.runs, prefix))
        print(f"{args.runs:,} runs; seconds of wall clock (of the processor), peak memory")
        for what, *words in (
            ("plan", "plan"), ("setup", "setup"), ("setup again", "setup"),
            ("launch", "launch", "--yes"),
        ):  # fmt: skip
            for version in versions:
                version.measure(what, *words)
        logs = [folder / f"{i}.log" for i in range(LOGS)]
        for path in logs:
            write_log(path)
        for version in versions:
            version.fill(logs, args.running, stack)
        for version in versions:
            version.measure("first status", "status")
        for version in versions:
            version.watch()
        versions[0].measure("pack", "pack")
        versions[0].measure("status, packed", "status")


if __name__ == "__main__":
    main()
