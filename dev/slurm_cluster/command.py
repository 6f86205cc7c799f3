"""The command line: start, stop, status, env."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from pycls.errors import ConfigError
from slurm_cluster import processes
from slurm_cluster.cluster import SlurmCluster
from slurm_cluster.settings import ClusterOptions

_DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / ".slurm_cluster"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    args = _parser().parse_args(arguments)
    if args.command == "start":
        return _start(args)
    if args.command == "stop":
        if args.when_input_ends:
            sys.stdin.read()
        SlurmCluster(args.dir).stop(wipe=args.wipe)
        return 0
    cluster = SlurmCluster.at(args.dir)
    if args.command == "env":
        for name, value in cluster.environment().items():
            print(f"export {name}={shlex.quote(value)}")
        return 0
    return _status(cluster)


def _start(args: argparse.Namespace) -> int:
    options = ClusterOptions(
        nodes=args.nodes,
        cpus=args.cpus,
        gpus=args.gpus,
        gpu_type=args.gpu_type,
        memory_mb=args.memory,
        accounting=args.accounting,
        memory_limits=args.memory_limits,
        settings=dict(_pair(text, "=", "--option") for text in args.option),
        partitions=dict(_pair(text, ":", "--partition") for text in args.partition),
    )
    cluster = SlurmCluster(args.dir, options)
    cluster.start()
    print(f"Slurm runs in {cluster.folder}; for its commands in this shell:")
    for name, value in cluster.environment().items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _status(cluster: SlurmCluster) -> int:
    if not cluster.is_running():
        print(f"the cluster in {cluster.folder} does not run")
        return 1
    for pid, program in sorted(processes.daemons(cluster.folder).items()):
        print(f"{program:12s} {pid}")
    print(cluster.run("sinfo"), end="")
    print(cluster.run("squeue"), end="")
    return 0


def _pair(text: str, separator: str, option: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found or not name:
        raise ConfigError(f"{option} {text}: expected NAME{separator}VALUE")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slurm_cluster", description="A real Slurm on this machine, below one folder."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    defaults = ClusterOptions()
    start = commands.add_parser("start", help="start it; returns when all nodes are there")
    start.add_argument("--nodes", type=int, default=defaults.nodes, help="nodes (%(default)s)")
    start.add_argument("--cpus", type=int, default=defaults.cpus, help="of a node (%(default)s)")
    start.add_argument(
        "--gpus", type=int, default=defaults.gpus, help="fake GPUs of a node (%(default)s)"
    )
    start.add_argument("--gpu-type", default="", help="their type and the nodes' feature")
    start.add_argument(
        "--memory", type=int, default=defaults.memory_mb, help="of a node, in MB (%(default)s)"
    )
    start.add_argument(
        "--accounting", action=argparse.BooleanOptionalAction, default=False,
        help="with a database, so that sacct answers",
    )  # fmt: skip
    start.add_argument(
        "--memory-limits", action="store_true", help="kill jobs that use more than they asked for"
    )
    start.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="a key of slurm.conf"
    )
    start.add_argument(
        "--partition", action="append", default=[], metavar="NAME:SETTINGS",
        help='a further partition, or other settings of one ("debug:Default=YES MaxTime=5")',
    )  # fmt: skip
    stop = commands.add_parser("stop", help="end it, and every job on it")
    stop.add_argument("--wipe", action="store_true", help="remove the folder too")
    stop.add_argument("--when-input-ends", action="store_true", help=argparse.SUPPRESS)
    commands.add_parser("status", help="show daemons, nodes and queue")
    commands.add_parser("env", help="print what to 'eval' in a shell")
    for command in commands.choices.values():
        command.add_argument(
            "--dir", type=Path, default=_DEFAULT_FOLDER, help="its folder (%(default)s)"
        )
    return parser
