"""Parses the arguments that the command lines of the tools share."""

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pycls import __version__
from pycls.command_names import as_typed, command_name
from pycls.errors import ConfigError
from pycls.files import expand_home

if TYPE_CHECKING:
    from yacs.config import CfgNode


class _Parser(argparse.ArgumentParser):
    """A parser to which ~ at the beginning of a value is the home folder, as in the shell.

    The shell itself leaves it as it is in `--out=~/x` and in quotes.
    """

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        return super()._get_value(action, expand_home(arg_string))


class CommandParser(_Parser):
    """The parser of a tool: its name as the user starts it, examples as written, --version.

    Args:
        tool: its name in `pycls.command_names.TOOLS`.
        description: what it does, on lines that are kept; names of tools become what is typed.
    """

    def __init__(self, tool: str, description: str | None, **options: Any) -> None:
        super().__init__(
            prog=command_name(tool),
            description=as_typed(description or ""),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )
        # Values such as -1e-5 and -.5 are numbers, not options.
        self._negative_number_matcher = re.compile(r"-\.?\d")
        _add_version(self)

    def add_subparsers(self, **options: Any) -> Any:
        """Add commands, whose parsers are plain ones with --version."""
        return super().add_subparsers(parser_class=_Subparser, **options)

    def parse_with_keys(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """Parse options and KEY VALUE pairs (`overrides`) in any order."""
        return self.parse_intermixed_args(arguments)


class _Subparser(_Parser):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        _add_version(self)


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="version", version=f"pycls-studies {__version__}")


def load_tool_cfg(tool: str, description: str, *, makes_run: bool = False) -> "CfgNode":
    """Parse ``--cfg FILE [KEY VALUE ...]`` and return the configuration.

    Args:
        tool: its name.
        description: what it does.
        makes_run: whether it writes a run to OUT_DIR, which must be named then.

    Raises:
        ConfigError: the configuration is not usable.
    """
    from pycls.core.config.load import load_cfg, names_key

    parser = CommandParser(tool, description)
    add_cfg_arguments(parser)
    args = parser.parse_with_keys()
    cfg = load_cfg(args.cfg, args.overrides)
    if makes_run:
        found = "" if cfg.OUT_DIR.strip() else "is empty"
        if not names_key("OUT_DIR", args.cfg, args.overrides):
            found = f"is not named (pycls's default, {cfg.OUT_DIR}, would be all runs')"
        if found:
            raise ConfigError(f"OUT_DIR {found}; name a folder for each run: OUT_DIR runs/NAME")
    return cfg


def add_cfg_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg FILE`` and ``[KEY VALUE ...]`` (`overrides`)."""
    parser.add_argument("--cfg", required=True, metavar="FILE", help="configuration (YAML)")
    # What torch.distributed.launch adds; the variable LOCAL_RANK, which it sets too, says the same.
    parser.add_argument("--local-rank", "--local_rank", type=int, help=argparse.SUPPRESS)
    add_keys(parser, "configuration keys and the values", "OPTIM.BASE_LR 0.05")


def add_keys(parser: argparse.ArgumentParser, what: str, example: str) -> None:
    """Add ``[KEY VALUE ...]`` (`overrides`), with an example of them."""
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY VALUE",
        help=f"{what} to use instead, for example {example} (or KEY=VALUE)",
    )  # fmt: skip


def positive_int(text: str) -> int:
    """Return a command-line word as a whole number of 1 or more (an argparse type)."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return value
