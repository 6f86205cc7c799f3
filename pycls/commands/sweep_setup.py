"""Set up a sweep: draw its configurations and write one file a run.

Example: python tools/sweep_setup.py --sweep-cfg configs/sweeps/cifar/cifar_regnet.yaml
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pycls.core.cli import CommandParser
from pycls.errors import ConfigError
from pycls.launch.commands import require_no_jobs
from pycls.progress import draw_progress
from pycls.sweep.file import add_overrides, add_root_dir, load_sweep_cfg
from pycls.sweep.folder import FIGURE
from pycls.sweep.setup import SweepSetup, check_target, plan_sweep, write_sweep

FORMATS = ("svg", "png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, check, write and report.

    Returns:
        The exit code.
    """
    args = _parse_arguments(arguments)
    _check_out(args.population_out)
    sweep = load_sweep_cfg(args.sweep_cfg, args.overrides, args.root_dir)
    if args.replace:
        require_no_jobs(sweep.folder)
    check_target(sweep, may_replace=args.replace)
    plan = plan_sweep(sweep, draw_progress(sweep.setup["NUM_CONFIGS"], "configurations"))
    population = None
    if args.population_out is not None:
        from pycls.sweep.as_population import to_population

        population = to_population(plan)
    is_new = write_sweep(plan, lambda path: _draw_figure(plan, path), may_replace=args.replace)
    if population is not None:
        population.to_csv(args.population_out)
    _report(plan, is_new)
    if population is not None:
        print(f"wrote the population to {args.population_out}")
    return 0


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("sweep_setup", __doc__)
    parser.add_argument("--sweep-cfg", required=True, type=Path, metavar="FILE", help="sweep file")
    add_root_dir(parser)
    parser.add_argument(
        "--population-out", type=Path, metavar="CSV", help="write the networks as a population too"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="replace a set-up with other settings of which no run has finished an epoch",
    )
    add_overrides(parser, "SETUP.NUM_CONFIGS 8 SETUP.BASE_CFG.OPTIM.MAX_EPOCH 10")
    return parser.parse_with_keys(arguments)


def _check_out(out: Path | None) -> None:
    """Refuse a place that cannot be written, before anything is drawn."""
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"--population-out {out}: expected a file in a folder that is there")


def _draw_figure(plan: SweepSetup, path: Path) -> None:
    from pycls.analysis.figures.style import save_figure
    from pycls.analysis.sweep.drawn import Drawn, sweep_figure

    rows = plan.draws.rows
    parameters = [Drawn(key, [row[key] for row in rows]) for key in rows[0]]
    complexity = [Drawn(name, count.tolist()) for name, count in plan.draws.counts.items()]
    save_figure(sweep_figure(parameters, complexity), path, FORMATS)


def _report(plan: SweepSetup, is_new: bool) -> None:
    draws, folder = plan.draws, plan.folder.path
    state = "set up" if is_new else "was set up before with the same settings, nothing changed"
    print(f"sweep {plan.sweep.name}: {len(plan):,} configurations in {folder}, {state}")
    print(
        f"  {draws.drawn:,} drawn, {draws.accepted:,} within the constraints "
        f"({100 * draws.accepted / draws.drawn:.3g} %), {draws.duplicates:,} of them repeated"
    )
    ranges = {key: _range([row[key] for row in draws.rows]) for key in draws.rows[0]}
    ranges |= {name: _range(count.tolist()) for name, count in draws.counts.items()}
    width = max(map(len, ranges))
    for name, text in ranges.items():
        print(f"  {name:{width}}  {text}")
    print(f"  figure: {', '.join(str(folder / f'{FIGURE}.{suffix}') for suffix in FORMATS)}")


def _range(values: Sequence) -> str:
    """Return the smallest and the largest value, or how many different ones there are."""
    items = [x for v in values for x in (v if isinstance(v, list) else [v])]
    if all(isinstance(x, int | float) and not isinstance(x, bool) for x in items):
        ends = dict.fromkeys((min(items), max(items)))
        return " to ".join(f"{x:,}" if isinstance(x, int) else f"{x:.6g}" for x in ends)
    different = sorted({str(value) for value in values})
    return ", ".join(different) if len(different) <= 4 else f"{len(different)} different values"
