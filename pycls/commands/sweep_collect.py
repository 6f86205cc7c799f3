"""Collect the results of a sweep: sweep.json, results.csv and curves.csv in its folder.

Example: python tools/sweep_collect.py --sweep-cfg configs/sweeps/cifar/cifar_regnet.yaml
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from pycls.core.cli import CommandParser, positive_int
from pycls.cores import usable_cores
from pycls.errors import ConfigError
from pycls.results.collect_sweep import Collected, collect_sweep
from pycls.results.log_cache import damaged_text
from pycls.sweep.file import add_overrides, add_root_dir, load_sweep_cfg

_MOST_SHOWN = 10
_CHOICES = ("all", "last", "none")


def main(arguments: Sequence[str] | None = None) -> int:
    """Collect and report.

    Returns:
        The exit code.
    """
    args = _parse_arguments(arguments)
    start = time.perf_counter()
    folder, keep = _choose(args)
    processes = args.processes or usable_cores()
    collected = collect_sweep(folder, keep, args.out, processes, delete=args.delete_checkpoints)
    _report(folder, collected, time.perf_counter() - start)
    freed = collected.freed
    if freed.checkpoints:
        done = "removed" if args.delete_checkpoints else "not needed by CHECKPOINTS_KEEP"
        print(
            f"  {done}: {freed.checkpoints:,} checkpoints of {freed.runs:,} finished runs, "
            f"{freed.size / 1e6:,.1f} MB"
        )
        if not args.delete_checkpoints:
            print("  nothing was deleted; --delete-checkpoints does it")
    return 0


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("sweep_collect", __doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--sweep-cfg", type=Path, metavar="FILE", help="sweep file")
    source.add_argument(
        "--folder", type=Path, metavar="DIR", help="the sweep's folder, instead of its file"
    )
    add_root_dir(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the files go (default: the sweep's folder)"
    )
    parser.add_argument(
        "--checkpoints-keep",
        choices=_CHOICES,
        help="the checkpoints that finished runs need to keep (default: COLLECT.CHECKPOINTS_KEEP "
        "of the sweep file; with --folder: all)",
    )
    parser.add_argument(
        "--delete-checkpoints",
        action="store_true",
        help="delete the others, which are otherwise only counted",
    )
    parser.add_argument(
        "--processes",
        type=positive_int,
        metavar="N",
        help="processes that read (default: one a core)",
    )
    add_overrides(parser, "COLLECT.CHECKPOINTS_KEEP all")
    return parser.parse_with_keys(arguments)


def _choose(args: argparse.Namespace) -> tuple[Path, str]:
    """Return the sweep's folder and the checkpoints to keep."""
    if args.folder is not None:
        if args.overrides or args.root_dir is not None:
            raise ConfigError(
                "--folder: takes neither --root-dir nor KEY VALUE, which are for --sweep-cfg"
            )
        return args.folder, args.checkpoints_keep or "all"
    sweep = load_sweep_cfg(args.sweep_cfg, args.overrides, args.root_dir)
    return sweep.folder, args.checkpoints_keep or sweep.values["COLLECT"]["CHECKPOINTS_KEEP"]


def _report(folder: Path, collected: Collected, seconds: float) -> None:
    states = ", ".join(f"{count:,} {state}" for state, count in collected.counts.items())
    print(f"{folder}: {len(collected.statuses):,} runs: {states}")
    if not collected.paths:
        print("  no run has begun; nothing was written")
        return
    if collected.epochs:
        done, epochs = (sum(counts) for counts in zip(*collected.epochs.values(), strict=True))
        print(f"  {done:,} of {epochs:,} epochs of the runs that have a log")
    else:
        print("  no results: no run has a log with an epoch in it")
    for state in ("failed", "stopped"):
        _list_runs(collected, state)
    if collected.damaged:
        print(f"  {damaged_text(collected.damaged)}")
    reading = collected.reading
    print(
        f"  read {reading.size / 1e6:,.1f} MB of {reading.read:,} logs; {reading.unchanged:,} "
        f"unchanged since the last time ({seconds:.1f} s)"
    )
    for path in collected.paths:
        print(f"  {path}")


def _list_runs(collected: Collected, state: str) -> None:
    """Name the runs of a state, with the reasons."""
    found = [(run, s.reason) for run, s in collected.statuses.items() if s.state == state]
    for run, reason in found[:_MOST_SHOWN]:
        print(f"  {state}: {run}: {reason}")
    if len(found) > _MOST_SHOWN:
        print(f"  {state}: and {len(found) - _MOST_SHOWN:,} more; see results.csv")
