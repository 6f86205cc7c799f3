#!/usr/bin/env python3
"""Draw a population of AnyNetX architectures into a CSV file, one row each.

Example: python tools/sample_population.py --out population.csv -n 500 --seed 0 --flops 360e6 400e6
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pycls.errors import ConfigError, run_tool
from pycls.sweep.design_space import AnyNetX


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, write and report.

    Returns:
        The exit code.
    """
    args = _parse_arguments(arguments)
    _check_out(args.out)
    space = AnyNetX(
        num_stages=len(args.strides) if args.stages is None else args.stages,
        strides=tuple(args.strides),
        stem_type=args.stem_type,
        stem_w=args.stem_w,
        block_type=args.block_type,
        depth=tuple(args.depth),
        width=tuple(args.width),
        width_quantum=args.width_quantum,
        bot_mul=tuple(args.bot_mul),
        group_w=tuple(args.group_w),
        resolution=args.resolution,
        num_classes=args.num_classes,
        head_w=args.head_w,
    )
    start = time.perf_counter()
    population = space.sample(
        args.n,
        args.seed,
        flops=args.flops,
        params=args.params,
        acts=args.acts,
        max_draws=args.max_draws,
        progress=_make_progress(args.n),
    )
    seconds = time.perf_counter() - start
    population.to_csv(args.out)
    drawn = population.provenance
    assert drawn is not None
    print(
        f"drew {drawn.drawn:,} architectures of {space.size():.3g}, "
        f"{drawn.accepted:,} in the regime ({100 * drawn.accepted / drawn.drawn:.2f} %), "
        f"{drawn.duplicates:,} of them repeated\n"
        f"sampling took {seconds:.2f} s ({drawn.drawn / seconds:,.0f} a second)\n"
        f"wrote {len(population):,} rows to {args.out}"
    )
    return 0


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    default = AnyNetX()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    parser.add_argument("--stages", type=int, help="number of stages (default: as strides)")
    for name, meaning in _SPACE_PAIRS.items():
        value = getattr(default, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(value[0]),
            nargs=2,
            metavar=("LOW", "HIGH"),
            default=value,
            help=f"{meaning} (default {value[0]} {value[1]})",
        )
    parser.add_argument(
        "--strides",
        type=int,
        nargs="+",
        default=default.strides,
        help=f"stride of each stage (default {' '.join(map(str, default.strides))})",
    )
    for name, meaning in _SPACE_VALUES.items():
        value = getattr(default, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(value),
            default=value,
            help=f"{meaning} (default {value})",
        )
    parser.add_argument("--max-draws", type=int, help="give up after so many draws")
    return parser.parse_args(arguments)


_SPACE_PAIRS = {
    "depth": "fewest and most blocks of a stage",
    "width": "least and largest width of a stage",
    "bot_mul": "smallest and largest bottleneck multiplier, powers of two",
    "group_w": "smallest and largest group width, powers of two",
}
_SPACE_VALUES = {
    "width_quantum": "widths are multiples of it",
    "stem_type": "res_stem_in, simple_stem_in or res_stem_cifar",
    "stem_w": "width of the stem",
    "block_type": "type of the blocks",
    "head_w": "width of the head's convolution, 0 for none",
    "resolution": "height and width of the input in pixels",
    "num_classes": "number of classes",
}


def _make_progress(n: int) -> Callable[[int, int], None]:
    """Return a function that says, every two seconds, how far the draws are."""
    last = time.perf_counter()

    def show(found: int, drawn: int) -> None:
        nonlocal last
        if time.perf_counter() - last > 2:
            last = time.perf_counter()
            print(f"{found:,} of {n:,} found in {drawn:,} draws", file=sys.stderr, flush=True)

    return show


def _check_out(out: Path) -> None:
    """Refuse a place that cannot be written, before anything is drawn."""
    if out.is_dir():
        raise ConfigError(f"--out {out}: is a folder; give the name of a file in it")
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}; make it first")


if __name__ == "__main__":
    run_tool(main)
