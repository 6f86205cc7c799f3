"""Say what networks are made of and what they cost: flops, parameters, activations, stages.

Example: python tools/model_info.py configs/dds_baselines/regnetx/RegNetX-400MF_dds_8gpu.yaml
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from pycls.core.cli import CommandParser
from pycls.core.config import load_cfg
from pycls.core.config.load import parse_cfg
from pycls.errors import ConfigError
from pycls.files import write_text
from pycls.models.scaler import scale_cfg
from pycls.shipped import or_shipped
from pycls.strict_yaml import load_yaml
from pycls.zoo import info_text
from pycls.zoo.info import NetworkInfo, network_info, short_cfg_text

_FIGURE_FORMATS = (".svg", ".pdf", ".png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, print and write what the command line asks for.

    Returns:
        The exit code: 1 where a file of a folder could not be used.
    """
    args = _parse_arguments(arguments)
    _check_places(args)
    found = _find_files(args.configs)
    infos, failures = [], []
    for path, is_named in found:
        try:
            info = _look_at(path, is_named, args)
        except ConfigError as error:
            if is_named:
                raise
            failures.append(str(error))
        else:
            infos += [info] if info else []
    failures = list(dict.fromkeys(failures))  # a mistake of the command line is every file's
    if not infos:
        reason = "no configuration of a network found"
        raise ConfigError("\n".join(failures) or f"{', '.join(args.configs)}: {reason}")
    if args.figure:
        _draw(infos, args.figure)
    _show(infos, args, is_single=len(found) == 1 and found[0][1])
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("model_info", __doc__)
    parser.add_argument(
        "configs", nargs="+", metavar="CONFIG_OR_FOLDER", help="configurations, or folders of them"
    )
    parser.add_argument("--csv", metavar="FILE", help="write a CSV table there; -: print it")
    parser.add_argument(
        "--stages", action="store_true", help="every stage, of several configurations too"
    )
    parser.add_argument(
        "--figure", type=Path, metavar="FILE",
        help="draw the stages (d, w, b, g) of up to 6 networks; .svg, .pdf or .png",
    )  # fmt: skip
    parser.add_argument(
        "--scale", nargs=2, metavar=("TYPE", "FACTOR"),
        help="scale to FACTOR times the flops first, for example d1_w8_g8_r1 4 "
        "(default: MODEL.SCALING_TYPE and SCALING_FACTOR, where set)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the scaled configuration there (YAML)"
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], dest="overrides", metavar="KEY VALUE",
        help="keys and the values to use instead, for example MODEL.NUM_CLASSES 10",
    )  # fmt: skip
    return parser.parse_args(arguments)


def _check_places(args: argparse.Namespace) -> None:
    """Refuse what cannot be written, before anything is counted."""
    csv_file = Path(args.csv) if args.csv and args.csv != "-" else None
    for flag, path in (("--csv", csv_file), ("--figure", args.figure), ("--out", args.out)):
        if path is None:
            continue
        if path.is_dir():
            raise ConfigError(f"{flag} {path}: is a folder; give the name of a file in it")
        if not path.parent.is_dir():
            raise ConfigError(f"{flag} {path}: there is no folder {path.parent}; make it first")
        if any(path.resolve() == Path(config).resolve() for config in args.configs):
            raise ConfigError(f"{flag} {path}: is the configuration itself; choose another name")
    if args.figure and args.figure.suffix not in _FIGURE_FORMATS:
        raise ConfigError(
            f"--figure {args.figure}: expected a name that ends in {', '.join(_FIGURE_FORMATS)}"
        )
    if args.out and (len(args.configs) != 1 or Path(args.configs[0]).is_dir()):
        raise ConfigError("--out is for one configuration; name it alone")
    if args.scale and not args.scale[0]:
        raise ConfigError("--scale has an empty TYPE; expected one such as d1_w8_g8_r1")


def _find_files(names: Sequence[str]) -> list[tuple[Path, bool]]:
    """Return the files to look at, sorted, and whether each was named itself.

    Raises:
        ConfigError: a folder without YAML files.
    """
    found: dict[Path, bool] = {}
    for name in map(or_shipped, names):
        if not name.is_dir():
            found[name] = True
            continue
        inside = [
            path
            for path in name.rglob("*")
            if path.suffix in (".yaml", ".yml")
            and path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(name).parts)
        ]
        if not inside:
            raise ConfigError(f"{name}: no YAML files in this folder; name one with configurations")
        for path in inside:
            found.setdefault(path, False)
    return sorted(found.items())


def _look_at(path: Path, is_named: bool, args: argparse.Namespace) -> NetworkInfo | None:
    """Return what a file's network is, scaled where asked; None for a file of another kind.

    Raises:
        ConfigError: the file is broken, or it is named itself and of another kind.
    """
    problem = _find_other_kind(load_yaml(path))
    if problem and not is_named:
        warnings.warn(f"{path}: {problem}, skipped", stacklevel=2)
        return None
    if problem:
        raise ConfigError(f"{path}: {problem}; expected a configuration of a network")
    overrides = list(args.overrides)
    if args.scale:
        overrides += ["MODEL.SCALING_TYPE", args.scale[0], "MODEL.SCALING_FACTOR", args.scale[1]]
    cfg = load_cfg(path, overrides)
    try:
        info = network_info(cfg, str(path))
        if not cfg.MODEL.SCALING_TYPE:
            if args.out:
                raise ConfigError(
                    "nothing to write to --out; say how to scale: --scale TYPE FACTOR"
                )
            return info
        scaled = scale_cfg(cfg)
        text = short_cfg_text(scaled)
        # As the file will be read: a scaled network can be an impossible one.
        info = network_info(parse_cfg(text, "the scaled network"), str(path), scaled_from=info)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if args.out:
        write_text(args.out, f"{_comment(path, cfg, info)}\n{text}")
    return info


def _find_other_kind(values: Any) -> str:
    """Say why what a file holds describes no network; "" where it may describe one."""
    if not isinstance(values, dict):
        return "holds no keys"
    if "MODEL" not in values:
        keys = [*map(str, values)]
        shown = [*keys[:5], "..."] if len(keys) > 5 else keys
        return f"has no MODEL section but {', '.join(shown) or 'no keys'}"
    return ""


def _comment(path: Path, cfg: CfgNode, info: NetworkInfo) -> str:
    """Return the line that opens a scaled configuration: from what, how, to what."""
    name = " ".join(path.name.split())  # a line end in a file's name would end the comment
    before = info_text.human(info.scaled_from.flops, "F") if info.scaled_from else ""
    return (
        f"# {name} scaled as {cfg.MODEL.SCALING_TYPE} by a factor of {cfg.MODEL.SCALING_FACTOR:g}: "
        f"from {before} to {info_text.human(info.flops, 'F')} at {info.im_size} x {info.im_size}."
    )


def _show(infos: Sequence[NetworkInfo], args: argparse.Namespace, is_single: bool) -> None:
    if args.csv:
        table = info_text.stages_csv if args.stages else info_text.overview_csv
        if args.csv == "-":
            sys.stdout.write(table(infos))
            return
        write_text(args.csv, table(infos))
    elif args.stages or is_single:
        print("\n\n".join(info_text.describe(info) for info in infos))
    else:
        print(info_text.overview(infos))
    for path in (args.csv, args.figure, args.out):
        if path:
            print(f"wrote {path}")


def _draw(infos: Sequence[NetworkInfo], path: Path) -> None:
    """Draw the stages of all networks, and of those that they were scaled from."""
    from pycls.analysis.figures.networks import NetworkStages, network_figure
    from pycls.analysis.figures.style import save_figure

    stems = [Path(info.name).stem for info in infos]
    networks = []
    for info, stem in zip(infos, stems, strict=True):
        if info.family == "vit":
            raise ConfigError(
                f"{info.name}: a vision transformer has no stages to draw; leave it out of --figure"
            )
        name = stem if stems.count(stem) == 1 else info.name
        if info.scaled_from:
            networks.append(NetworkStages(name, **_stage_values(info.scaled_from)))
            name = f"{name}, scaled"
        networks.append(NetworkStages(name, **_stage_values(info)))
    save_figure(network_figure(networks), path.with_suffix(""), [path.suffix.removeprefix(".")])


def _stage_values(info: NetworkInfo) -> dict[str, list[Any]]:
    """Return the figure's parameters, each one value a stage; those that do not apply empty."""
    attributes = {
        "depths": "depth",
        "widths": "width",
        "bottleneck_ratios": "bottleneck_ratio",
        "group_widths": "group_w",
        "expansion_ratios": "exp_ratio",
        "kernels": "kernel",
    }
    return {
        field: [value for part in info.blocks if (value := getattr(part, name)) is not None]
        for field, name in attributes.items()
    }
