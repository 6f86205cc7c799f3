"""A sweep file's settings: pycls's keys and defaults, checked, mistakes named with their line.

The keys are those of pycls's sweep configuration (read at 5719de6), so that its files are
used as they are; SETUP.POPULATION, SETUP.CONFIGS and SETUP.CONSTRAINTS.EXPRESSIONS are this
project's own. What LAUNCH, COLLECT and ANALYZE say is for the tools that run a sweep.
"""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycls.checked_keys import merge_given, merge_overrides
from pycls.core.cli import add_keys
from pycls.errors import ConfigError
from pycls.files import read_text
from pycls.shipped import or_shipped
from pycls.strict_yaml import parse_yaml
from pycls.sweep.folder import SweepFolder
from pycls.sweep.keys import FREE_SECTIONS, KEYS, defaults
from pycls.yaml_kinds import SWEEP, refuse_other_kind
from pycls.yaml_sections import Place

DEFAULT_ROOT = "studies"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+,-]{0,199}")
_WORD = re.compile(r"[A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)*")


@dataclass(frozen=True)
class SweepCfg:
    """A sweep's settings, complete.

    Attributes:
        path: the file they come from.
        text: what the file holds, for the lines in messages.
        values: all keys, nested as in the file.
        overridden: dotted keys that were given beside the file.
        given: those keys and their values in turn, as they were given.
        root_dir: what was given to stand in for ROOT_DIR; None: nothing.
    """

    path: Path
    text: str
    values: Mapping[str, Any]
    overridden: frozenset[str] = frozenset()
    given: tuple[Any, ...] = ()
    root_dir: str | None = None

    @property
    def name(self) -> str:
        """Return the sweep's name, which may hold slashes."""
        return self.values["NAME"]

    @property
    def folder(self) -> Path:
        """Return the sweep's folder, ROOT_DIR/NAME."""
        return Path(self.values["ROOT_DIR"]).expanduser() / self.name

    @property
    def setup(self) -> Mapping[str, Any]:
        """Return the SETUP section."""
        return self.values["SETUP"]

    def where(self, *keys: str | int) -> str:
        """Name a key's place for a message: the file with the line, or the command line."""
        place = Place(self.path, self.text, keys)
        for count in range(len(keys), 0, -1):
            if ".".join(map(str, keys[:count])) in self.overridden:
                return f"command line: {place.key}"
        return str(place)

    def where_named(self, message: str, values: Any, *keys: str | int) -> str:
        """Name the place of the key below `keys` that a message names.

        Args:
            message: a text that may hold dotted configuration keys.
            values: what stands at `keys`: nested configuration keys.
            keys: the way there.
        """
        for word in _WORD.findall(message):
            node, way = values, word.split(".")
            for part in way:
                node = node.get(part, ...) if isinstance(node, Mapping) else ...
            if node is not ...:
                return self.where(*keys, *way)
        return self.where(*keys)


def load_sweep_cfg(
    path: str | os.PathLike[str],
    overrides: Sequence[Any] = (),
    root_dir: str | os.PathLike[str] | None = None,
) -> SweepCfg:
    """Read a sweep file.

    Args:
        path: a YAML file with pycls's sweep keys.
        overrides: keys and values in turn, as words of a command line or Python values:
            ``["SETUP.NUM_CONFIGS", "8", "SETUP.BASE_CFG.OPTIM.MAX_EPOCH", 1]``.
        root_dir: stands in for ROOT_DIR.

    Raises:
        ConfigError: the file cannot be read, holds an unknown key or a value that cannot be
            used; the message names file, line, key, value and what is expected.
    """
    path = or_shipped(path)
    text = read_text(path, "YAML")
    given = parse_yaml(text, str(path))
    values = defaults()
    sweep = SweepCfg(path, text, values)
    if not isinstance(given, Mapping):
        raise ConfigError(f"{path}: expected keys and values such as NAME and SETUP")
    refuse_other_kind(given, str(path), SWEEP)
    merge_given(values, given, KEYS, sweep.where)
    overridden = merge_overrides(values, overrides, KEYS, FREE_SECTIONS)
    root_dir = None if root_dir is None else os.fspath(root_dir)
    if root_dir is not None:
        values["ROOT_DIR"] = root_dir
    values["ROOT_DIR"] = values["ROOT_DIR"] or DEFAULT_ROOT
    sweep = SweepCfg(path, text, values, overridden, tuple(overrides), root_dir)
    _check_name(sweep)
    _check_sources(sweep)
    return sweep


def _check_name(sweep: SweepCfg) -> None:
    """Refuse a name that cannot be a folder below ROOT_DIR."""
    if not sweep.name:
        raise ConfigError(
            f"{sweep.path}: NAME is missing; it names the sweep's folder (NAME: my_sweep)"
        )
    if not all(_PART.fullmatch(part) for part in sweep.name.split("/")):
        raise ConfigError(
            f"{sweep.where('NAME')} is {sweep.name!r}, which cannot name a folder; expected "
            "letters, digits and _ . = + , - (beginning with a letter, a digit or _), with '/' "
            "between folders, for example cifar/my_sweep"
        )


def _check_sources(sweep: SweepCfg) -> None:
    """Refuse settings that do not say what to set up."""
    setup = sweep.setup
    listed = [key for key in ("POPULATION", "CONFIGS") if setup[key]]
    if len(listed) == 2:
        raise ConfigError(
            f"{sweep.where('SETUP', 'CONFIGS')}: SETUP.POPULATION and SETUP.CONFIGS both list "
            "networks; keep one of them, and make a sweep of its own for the other"
        )
    if not listed and not setup["SAMPLERS"]:
        raise ConfigError(
            f"{sweep.where('SETUP')}: nothing to draw; give SETUP.SAMPLERS, SETUP.POPULATION (a "
            "CSV of architectures) or SETUP.CONFIGS (a list of configurations)"
        )
    if not listed and not setup["NUM_CONFIGS"]:
        raise ConfigError(
            f"{sweep.where('SETUP', 'NUM_CONFIGS')}: SETUP.NUM_CONFIGS is missing or 0; say how "
            "many configurations to draw"
        )


def add_root_dir(parser: argparse.ArgumentParser) -> None:
    """Add --root-dir."""
    parser.add_argument("--root-dir", metavar="DIR", help="folder of sweeps, instead of ROOT_DIR")


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Add what names a sweep that is set up: its file, with --root-dir, or its folder."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--sweep-cfg", type=Path, metavar="FILE", help="sweep file")
    source.add_argument(
        "--folder", type=Path, metavar="DIR", help="the sweep's folder, instead of its file"
    )
    add_root_dir(parser)


def load_named_sweep(args: argparse.Namespace) -> SweepCfg:
    """Return the sweep that the arguments of :func:`add_sweep` and `add_overrides` name.

    Raises:
        ConfigError: its file cannot be used, or the folder is no sweep's.
    """
    if args.folder is None:
        return load_sweep_cfg(args.sweep_cfg, args.overrides, args.root_dir)
    if args.root_dir is not None:
        raise ConfigError("--folder: takes no --root-dir, which is for --sweep-cfg")
    path = SweepFolder(args.folder).sweep_cfg
    if not path.is_file():
        raise ConfigError(f"{args.folder}: no sweep is set up there (it has no {path.name})")
    sweep = load_sweep_cfg(path, args.overrides)
    # The folder may have been moved, or made on another machine.
    parts = args.folder.absolute().parts
    name = tuple(sweep.name.split("/"))
    if parts[-len(name) :] != name:
        raise ConfigError(
            f"{args.folder}: is the folder of the sweep {sweep.name}; it must end in that name"
        )
    return load_sweep_cfg(path, args.overrides, Path(*parts[: -len(name)]))


def add_overrides(parser: argparse.ArgumentParser, example: str) -> None:
    """Add keys and values of the sweep file, with an example of them."""
    add_keys(parser, "keys of the sweep file and the values", example)
