"""Parses the arguments that the command lines of the tools share."""

import argparse

from yacs.config import CfgNode

from pycls.core.config.load import load_cfg


def load_tool_cfg(description: str) -> CfgNode:
    """Parse ``--cfg FILE [KEY VALUE ...]`` and return the configuration.

    Raises:
        ConfigError: the configuration is not usable.
    """
    parser = argparse.ArgumentParser(description=description)
    add_cfg_arguments(parser)
    args = parser.parse_args()
    return load_cfg(args.cfg, args.overrides)


def add_cfg_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg FILE`` and, after all else, ``[KEY VALUE ...]`` (`overrides`)."""
    parser.add_argument("--cfg", required=True, metavar="FILE", help="configuration (YAML)")
    parser.add_argument(
        "overrides",
        nargs=argparse.REMAINDER,
        metavar="KEY VALUE",
        help="configuration keys and the values to use instead, for example OPTIM.BASE_LR 0.05",
    )


def positive_int(text: str) -> int:
    """Return a command-line word as a whole number of 1 or more (an argparse type)."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return value
