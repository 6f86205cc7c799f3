"""Launch a sweep that is set up, and look after it: on Slurm, or on this machine.

tools/sweep_launch.py [launch|status|cancel|resume|retry] --sweep-cfg FILE [options] [KEY VALUE ...]

Example: python tools/sweep_launch.py --sweep-cfg configs/sweeps/cifar/cifar_regnet.yaml --dry-run
"""

import argparse
import sys
from collections.abc import Sequence

from pycls.core.cli import CommandParser
from pycls.errors import ConfigError
from pycls.launch.commands import LAUNCH_COMMANDS, add_launch_arguments, carry_out
from pycls.launch.work import sweep_work
from pycls.sweep.file import add_overrides, add_sweep, load_named_sweep
from pycls.yaml_sections import near_miss


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words.pop(0) if words and words[0][:1] != "-" else "launch"
    if command not in LAUNCH_COMMANDS:
        hint = near_miss(command, LAUNCH_COMMANDS)
        raise ConfigError(
            f"there is no command '{command}'; {hint}commands: {', '.join(LAUNCH_COMMANDS)}"
        )
    args = _parse_arguments(command, words)
    sweep = load_named_sweep(args)
    return carry_out(command, sweep_work(sweep), args)


def _parse_arguments(command: str, words: Sequence[str]) -> argparse.Namespace:
    commands = "\n".join(f"  {name:8}{text}" for name, text in LAUNCH_COMMANDS.items())
    parser = CommandParser(
        "sweep_launch",
        f"{__doc__}\ncommands:\n{commands}\n\n'{command}' takes these options:",
        usage=argparse.SUPPRESS,
    )
    add_sweep(parser)
    add_launch_arguments(parser, command)
    add_overrides(parser, "LAUNCH.PARTITION gpu LAUNCH.TIME_LIMIT 600")
    return parser.parse_with_keys(words)
