"""Draw a population of architectures from a design space into a CSV file, one row each.

Examples:
  python tools/sample_population.py --out population.csv -n 500 --seed 0 --flops 360e6 400e6
  python tools/sample_population.py --out e.csv -n 100 --space E --where "depth.sum() <= 20"
  python tools/sample_population.py --out regnets.csv -n 100 --space RegNetX --describe space.png
"""

import argparse
import inspect
import re
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pycls.core.cli import CommandParser
from pycls.errors import ConfigError
from pycls.progress import draw_progress
from pycls.schema import MOST_NETWORKS
from pycls.spaces.by_name import SPACES, find_space, make_space
from pycls.spaces.design_space import DesignSpace
from pycls.spaces.population import Population

_FIGURE_FORMATS = (".png", ".svg", ".pdf")
_STAGES = "num_stages"  # given by --stages, to the space or to its sampling


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, write and report.

    Returns:
        The exit code.
    """
    args = _parse_arguments(arguments)
    _check_out("--out", args.out)
    if args.describe:
        _check_out("--describe", args.describe)
        if args.describe.suffix not in _FIGURE_FORMATS:
            raise ConfigError(
                f"--describe {args.describe}: expected a name in {', '.join(_FIGURE_FORMATS)}"
            )
    if args.n > MOST_NETWORKS:
        raise ConfigError(f"-n is {args.n:,}; expected at most {MOST_NETWORKS:,}")
    space = _make_space(args)
    stages: dict[str, Any] = {}
    if space.num_stages is None and args.stages is not None:
        stages["num_stages"] = (args.stages, args.stages)
    start = time.perf_counter()
    population = space.sample(
        args.n,
        args.seed,
        flops=args.flops,
        params=args.params,
        acts=args.acts,
        where=args.where,
        max_draws=args.max_draws,
        progress=draw_progress(args.n, "architectures"),
        **stages,
    )
    seconds = time.perf_counter() - start
    population.to_csv(args.out)
    drawn = population.provenance
    assert drawn is not None
    print(
        f"drew {drawn.drawn:,} architectures of {space.size():.3g}, "
        f"{drawn.accepted:,} within the bounds ({100 * drawn.accepted / drawn.drawn:.2f} %), "
        f"{drawn.duplicates:,} of them repeated\n"
        f"sampling took {seconds:.2f} s ({drawn.drawn / seconds:,.0f} a second)\n"
        f"wrote {len(population):,} rows to {args.out}"
    )
    if args.describe:
        _describe(space, population, args.describe)
    return 0


def _make_space(args: argparse.Namespace) -> DesignSpace:
    """Return the space with the arguments that were given."""
    name = f"AnyNetX{args.space}" if f"AnyNetX{args.space}" in SPACES else args.space
    given: dict[str, Any] = {}
    for option in _space_arguments():
        value = getattr(args, option)
        if value is not None:
            given[option] = tuple(value) if isinstance(value, list) else value
    if _STAGES in (field.name for field in fields(find_space(name)[0])):
        if args.stages is not None:
            given[_STAGES] = args.stages
        elif "strides" in given:
            given[_STAGES] = len(given["strides"])
    return make_space(name, **given)


def _describe(space: DesignSpace, population: Population, path: Path) -> None:
    """Print what the space holds; draw it, and what was drawn from it beside it."""
    # Here, since most calls draw no figure and need not wait for matplotlib.
    from pycls.analysis.figures.spaces import population_figure, space_figure
    from pycls.analysis.figures.style import save_figure
    from pycls.spaces.describe import describe_space

    description = describe_space(space)
    print(description.to_text())
    parameters = {each.name: (each.values, each.probabilities) for each in description.parameters}
    title = f"{description.name}: {description.size:.3g} combinations"
    drawn = f"{len(population):,} architectures drawn from {description.name}"
    columns = space.drawn_parameters(population)
    for figure, suffix in (
        (space_figure(title, parameters), ""),
        (population_figure(drawn, parameters, columns), "_drawn"),
    ):
        base = path.with_name(path.stem + suffix)
        print(f"wrote {save_figure(figure, base, [path.suffix[1:]])[0]}")


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("sample_population", __doc__)
    parser.add_argument("--out", type=Path, required=True, help="CSV file to write")
    parser.add_argument("-n", type=int, required=True, help="number of architectures")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default 0)")
    for name in ("flops", "params", "acts"):
        parser.add_argument(
            f"--{name}",
            type=float,
            nargs=2,
            metavar=("LOW", "HIGH"),
            help=f"keep architectures with {name} in this range, bounds included",
        )
    parser.add_argument(
        "--space",
        default="A",
        help="A (AnyNetX, the default), B to E (AnyNetXB: one bottleneck multiplier for all "
        "stages; C: one group width too; D: widths do not decrease; E: nor depths), or one of "
        f"{', '.join(SPACES)}",
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="EXPRESSION",
        help='keep architectures for which it holds, such as "depth.sum() <= 20"; may be repeated',
    )
    parser.add_argument(
        "--describe", type=Path, metavar="PNG", help="draw the space's distributions"
    )
    parser.add_argument("--stages", type=int, help="number of stages (default: as strides, or 4)")
    _add_space_options(parser)
    parser.add_argument("--max-draws", type=int, help="give up after so many draws")
    return parser.parse_args(arguments)


def _add_space_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each argument of the spaces; those not given are left to the space."""
    for name, (default, meaning) in _space_arguments().items():
        options: dict[str, Any] = {}
        shown = str(default)
        if isinstance(default, tuple):
            shown = " ".join(map(str, default))
            options = {"nargs": 2, "metavar": ("LOW", "HIGH")}
            if len(default) != 2:
                options = {"nargs": "+"}
        kind = type(default[0] if isinstance(default, tuple) else default)
        text = f"{meaning} (default {shown})".replace("%", "%%")
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=text, **options)


def _space_arguments() -> dict[str, tuple[Any, str]]:
    """Return {argument: (default, meaning)} of all spaces, AnyNetX's where several have it."""
    arguments: dict[str, tuple[Any, str]] = {}
    for name in SPACES:
        kind, fixed = find_space(name)
        meanings = _meanings(DesignSpace) | _meanings(kind)
        for field in fields(kind):
            if field.name not in (*arguments, *fixed, _STAGES):
                owner = "" if kind is find_space("AnyNetX")[0] else f"{name}: "
                meaning = owner + meanings.get(field.name, "").rstrip(".")
                arguments[field.name] = (field.default, meaning)
    return arguments


def _meanings(kind: type) -> dict[str, str]:
    """Return {attribute: what it is}, as a class's docstring says."""
    _, _, text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.+(?:\n      .+)*)", text, re.M)
    return {name: " ".join(meaning.replace("`", "").split()) for name, meaning in entries}


def _check_out(option: str, out: Path) -> None:
    """Refuse a place that cannot be written, before anything is drawn."""
    if out.is_dir():
        raise ConfigError(f"{option} {out}: is a folder; give the name of a file in it")
    if not out.parent.is_dir():
        raise ConfigError(f"{option} {out}: there is no folder {out.parent}; make it first")
