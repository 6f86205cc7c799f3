"""Command-line arguments that the tools for sweeps share."""

import argparse


def add_root_dir(parser: argparse.ArgumentParser) -> None:
    """Add --root-dir."""
    parser.add_argument("--root-dir", metavar="DIR", help="folder of sweeps, instead of ROOT_DIR")


def add_overrides(parser: argparse.ArgumentParser, example: str) -> None:
    """Add keys and values of the sweep file, last on the command line.

    Args:
        parser: the tool's.
        example: some keys and values that suit the tool.
    """
    parser.add_argument(
        "overrides",
        nargs=argparse.REMAINDER,
        metavar="KEY VALUE",
        help="keys of the sweep file and the values to use instead, last on the command line, "
        f"for example {example}",
    )
