"""Analyse a sweep: errors, metrics, complexity, curves and networks on one HTML page.

Reads sweep.json of the sweep and of ANALYZE.EXTRA_SWEEP_NAMES, which tools/sweep_collect.py
writes, and shows what the sweep file's ANALYZE section asks for.

Example: python tools/sweep_analyze.py --sweep-cfg configs/sweeps/cifar/cifar_regnet.yaml
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycls.analysis.sweep.sweep_json import DEFAULT_ERROR, ERRORS, SweepRuns, load_sweep
from pycls.core.cli import CommandParser
from pycls.errors import ConfigError
from pycls.schema import ANALYSIS_HTML, SWEEP_JSON
from pycls.strict_yaml import dump_yaml
from pycls.sweep.file import SweepCfg, add_overrides, add_sweep, load_named_sweep
from pycls.sweep.folder import SweepFolder, run_name

if TYPE_CHECKING:
    from pycls.analysis.sweep.networks import SweepNetwork
PAGE = ANALYSIS_HTML


def main(arguments: Sequence[str] | None = None) -> int:
    """Load, analyse, write the page and say what was left out.

    Returns:
        The exit code.
    """
    args = _parse_arguments(arguments)
    sweep = load_named_sweep(args)
    out = args.out or sweep.folder / PAGE
    if out.is_dir() or (args.out is not None and not out.parent.is_dir()):
        raise ConfigError(f"--out {out}: expected a file in a folder that is there")
    sweeps = _load(sweep, args.error)

    from pycls.analysis.sweep.page import write_analysis

    try:
        notes = write_analysis(
            out,
            sweeps,
            sweep.values["ANALYZE"],
            describe_network,
            title=sweep.name,
            description=sweep.values["DESC"],
            error=args.error,
            texts=[
                (f"Sweep file: {sweep.path.name}", sweep.text),
                ("All settings of the sweep", dump_yaml(sweep.values)),
            ],
        )
    except ConfigError as error:
        raise ConfigError(f"{sweep.where('ANALYZE')}: {error}") from None
    for note in notes:
        print(note)
    print(f"{out}: {sum(len(each.runs) for each in sweeps):,} runs of {len(sweeps)} sweep(s)")
    return 0


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("sweep_analyze", __doc__)
    add_sweep(parser)
    parser.add_argument(
        "--error",
        choices=ERRORS,
        default=DEFAULT_ERROR,
        help="a run's error: top-1 on the test images at the last epoch (final) or the lowest of "
        "all epochs (min), of the network or of its moving average (ema_...); pycls takes "
        "ema_min (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, metavar="HTML", help=f"instead of the sweep's {PAGE}")
    add_overrides(parser, "ANALYZE.PLOT_CURVES_BEST 5")
    return parser.parse_with_keys(arguments)


def _load(sweep: SweepCfg, error: str) -> list[SweepRuns]:
    """Read the sweep and those to compare it with."""
    names = [sweep.name, *sweep.values["ANALYZE"]["EXTRA_SWEEP_NAMES"]]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"{sweep.where('ANALYZE', 'EXTRA_SWEEP_NAMES')}: a sweep occurs twice among "
            f"{', '.join(names)}; name each once"
        )
    short = [name.rpartition("/")[2] for name in names]
    shown = short if len(set(short)) == len(short) else names
    root = Path(sweep.values["ROOT_DIR"])
    sweeps = []
    for name, title in zip(names, shown, strict=True):
        planned = [run_name(run) for run in SweepFolder(root / name).runs()]
        sweeps.append(load_sweep(root / name / SWEEP_JSON, title, error, planned))
    return sweeps


def describe_network(cfg: Mapping[str, Any]) -> "SweepNetwork":
    """Return the stages of a run's network, as far as its kind has any."""
    from pycls.analysis.figures.networks import NetworkStages
    from pycls.analysis.sweep.networks import SweepNetwork

    kind = str((cfg.get("MODEL") or {}).get("TYPE", "network"))
    try:
        if kind == "anynet":
            net = cfg["ANYNET"]
            ratios = [1 / b for b in net.get("BOT_MULS", ())]
            groups = net.get("GROUP_WS", ())
            return SweepNetwork(
                NetworkStages("", net["DEPTHS"], net["WIDTHS"], ratios, groups), kind
            )
        if kind == "effnet":
            net = cfg["EN"]
            lists = (net["DEPTHS"], net["WIDTHS"])
            stages = NetworkStages(
                "", *lists, expansion_ratios=net["EXP_RATIOS"], kernels=net["KERNELS"]
            )
            return SweepNetwork(stages, kind)
        if kind == "regnet":
            return _describe_regnet(cfg["REGNET"])
    except (KeyError, TypeError, ZeroDivisionError, ConfigError):
        return SweepNetwork(None, kind)  # the panel says so; the page goes on
    return SweepNetwork(None, kind)


def _describe_regnet(net: Mapping[str, Any]) -> "SweepNetwork":
    from pycls.analysis.figures.networks import NetworkStages
    from pycls.analysis.sweep.networks import SweepNetwork
    from pycls.models.widths import regnet_layout

    w_a, w_0, w_m, depth = net["WA"], net["W0"], net["WM"], net["DEPTH"]
    bot_mul = net.get("BOT_MUL", 1.0)
    widths, depths, groups = regnet_layout(w_a, w_0, w_m, depth, bot_mul, net["GROUP_W"])
    stages = NetworkStages("", depths, widths, [1 / bot_mul] * len(widths), groups)
    linear = [w_0 + w_a * block for block in range(depth)]
    return SweepNetwork(stages, "regnet", linear, f"w_a {w_a:g}, w_0 {w_0:g}, w_m {w_m:g}")
