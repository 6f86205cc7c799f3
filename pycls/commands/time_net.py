"""Measure what networks cost on this machine: forward, backward, whole step, loader, memory.

Examples:
    python tools/time_net.py --cfg configs/embedded/digits_anynet.yaml
    python tools/time_net.py --cfg a.yaml b.yaml --batch-sizes 64,128 --precision float32,bfloat16
    python tools/time_net.py --population population.csv --first 10 --im-size 32 --json times.json
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yacs.config import CfgNode

from pycls.core.allocator import keep_freed_memory, refuse_beyond_available
from pycls.core.cli import CommandParser
from pycls.core.config import load_cfg
from pycls.core.config.load import cfg_to_dict, layer_cfg
from pycls.errors import OUT_OF_MEMORY, ConfigError, PyclsError
from pycls.files import atomic_path, write_json, write_text
from pycls.gpu_devices import is_gpu
from pycls.spaces.mixed import ForeignArchitecture, read_any_population

if TYPE_CHECKING:
    import torch

    from pycls.datasets.loading.loader import Loader

_PRECISIONS = ("float32", "bfloat16", "float16")
_LAYOUTS = ("channels_last", "contiguous")
_PARTS = ("forward", "forward_backward", "step", "loader")
_PROFILED_STEPS = 3


@dataclass(frozen=True)
class Case:
    """One network in one setting.

    Attributes:
        network: its name in the table.
        cfg: the configuration, complete.
        precision: float32, bfloat16 or float16.
    """

    network: str
    cfg: CfgNode
    precision: str

    def settings(self) -> dict[str, Any]:
        """Return what tells the case from others."""
        return {
            "network": self.network,
            "batch_size": self.cfg.TRAIN.BATCH_SIZE,
            "im_size": self.cfg.TRAIN.IM_SIZE,
            "precision": self.precision,
            "layout": self.cfg.MEMORY_FORMAT,
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print what the command line asks for.

    Returns:
        The exit code: 1 where nothing fitted into memory.
    """
    # Before PyTorch allocates: networks are then as fast as in a training.
    memory_note = keep_freed_memory()
    args = _parse_arguments(arguments)
    _check_places(args)
    cases = list(_make_cases(args))
    if args.profile and len(cases) > 1:
        raise ConfigError(
            f"--profile {args.profile} is for one network in one setting, but there are "
            f"{len(cases)} to measure; name one"
        )
    _check_cases(cases)
    print(f"{memory_note}.", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    for case in cases:
        row = _measure(case, args)
        if not rows:
            print(_header(row))
        rows.append(row)
        print(_line(row, max(len(c.network) for c in cases)), flush=True)
    for note in dict.fromkeys(row["loader_note"] for row in rows if row["loader_note"]):
        print(note)
    if args.json:
        write_json(args.json, {**_machine(rows), "memory_note": memory_note, "rows": rows})
        print(f"wrote {args.json}")
    if args.profile and rows[0]["status"] == "ok":
        print(f"wrote {args.profile} and {_trace_path(args.profile)}")
    return 0 if any(row["status"] == "ok" for row in rows) else 1


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("time_net", __doc__)
    parser.add_argument("--cfg", nargs="+", default=[], metavar="FILE", help="configurations")
    parser.add_argument(
        "--population", metavar="CSV",
        help="measure a population's networks; one --cfg may hold everything else",
    )  # fmt: skip
    parser.add_argument("--rows", metavar="I,J,...", help="only these of the population, from 0")
    parser.add_argument("--first", metavar="N", help="only its first N")
    parser.add_argument("--batch-sizes", metavar="N,...", help="default: a process's share")
    parser.add_argument("--im-size", metavar="S,...", help="default: TRAIN.IM_SIZE")
    parser.add_argument("--precision", metavar="P,...", help=f"any of {', '.join(_PRECISIONS)}")
    parser.add_argument("--layout", metavar="L,...", help=f"any of {', '.join(_LAYOUTS)}")
    parser.add_argument(
        "--seconds", type=float, default=0.3, help="to repeat each part for, at least (%(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument(
        "--profile", type=Path, metavar="FILE",
        help="write a table of the operations of a step there, and a trace for "
        "chrome://tracing or Perfetto beside it",
    )  # fmt: skip
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], dest="overrides", metavar="KEY VALUE",
        help="keys and the values to use instead, for example DEVICE cuda NUM_THREADS 2",
    )  # fmt: skip
    args = parser.parse_args(arguments)
    if not args.cfg and not args.population:
        raise ConfigError("nothing to measure; name --cfg FILE or --population CSV")
    if args.population and len(args.cfg) > 1:
        raise ConfigError("--population takes one --cfg, for what its rows leave open; name one")
    if (args.rows or args.first) and not args.population:
        raise ConfigError("--rows and --first choose from a --population; name one")
    if args.rows and args.first:
        raise ConfigError("--rows and --first both choose networks; give one of them")
    if not 0 <= args.seconds < 3600:
        raise ConfigError(f"--seconds {args.seconds}: expected 0 to 3600")
    return args


def _check_places(args: argparse.Namespace) -> None:
    """Refuse what cannot be written, before anything is measured."""
    for flag, path in (("--json", args.json), ("--profile", args.profile)):
        if path is not None and path.is_dir():
            raise ConfigError(f"{flag} {path}: is a folder; give the name of a file in it")
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"{flag} {path}: there is no folder {path.parent}; make it first")


# ------------------------------------------------------------------------ what


def _make_cases(args: argparse.Namespace) -> Iterator[Case]:
    """Yield every network in every setting."""
    for network, layers in _networks(args):
        base = layer_cfg(layers, args.overrides)
        own = _own_format(base)
        for im_size, batch_size, precision, layout in itertools.product(
            _numbers(args.im_size, "--im-size", base.TRAIN.IM_SIZE),
            _numbers(
                args.batch_sizes, "--batch-sizes", base.TRAIN.BATCH_SIZE // max(1, base.NUM_GPUS)
            ),
            _words(args.precision, "--precision", _PRECISIONS, own),
            _words(args.layout, "--layout", _LAYOUTS, base.MEMORY_FORMAT),
        ):
            settings = {
                "NUM_GPUS": 1,
                "TRAIN.BATCH_SIZE": batch_size,
                "TEST.BATCH_SIZE": batch_size,
                "TRAIN.IM_SIZE": im_size,
                "TEST.IM_SIZE": max(im_size, base.TEST.IM_SIZE),
                "TRAIN.MIXED_PRECISION": precision != "float32",
                "MEMORY_FORMAT": layout,
            }
            if precision != "float32":
                settings["TRAIN.MIXED_DTYPE"] = precision
            words = [word for pair in settings.items() for word in pair]
            yield Case(network, layer_cfg(layers, [*args.overrides, *words]), precision)


def _networks(args: argparse.Namespace) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Yield (name, layers of keys) of each network."""
    files = [(str(path), cfg_to_dict(load_cfg(path))) for path in args.cfg]
    if not args.population:
        for path, values in files:
            yield Path(path).stem if len(files) == 1 else path, [(path, values)]
        return
    population = read_any_population(Path(args.population))
    # Networks of other libraries are measured on what the AnyNets beside them are built for.
    frames = [row.frame for row in population if not isinstance(row, ForeignArchitecture)]
    for index in _choose_rows(args, len(population)):
        member = population.row(index)
        words = member.overrides()
        if frames and not files:
            words += ["TRAIN.IM_SIZE", frames[0].resolution]
            words += ["MODEL.NUM_CLASSES", frames[0].num_classes]
        where = f"{args.population}, {member.arch}"
        yield member.arch, [*files, (where, _nested(words))]


def _nested(words: Sequence[Any]) -> dict[str, Any]:
    """Return keys and values in turn as nested dicts."""
    nested: dict[str, Any] = {}
    for key, value in zip(words[::2], words[1::2], strict=True):
        section, leaf = key.split(".")
        nested.setdefault(section, {})[leaf] = value
    return nested


def _choose_rows(args: argparse.Namespace, count: int) -> Sequence[int]:
    if args.first:
        (number,) = _numbers(args.first, "--first", 1)[:1]
        return range(min(number, count))
    if not args.rows:
        return range(count)
    rows = _numbers(args.rows, "--rows", 0, lowest=0)
    for row in rows:
        if row >= count:
            raise ConfigError(
                f"--rows {row}: {args.population} has {count} networks, numbered 0 to {count - 1}"
            )
    return rows


def _numbers(text: str | None, flag: str, default: int, lowest: int = 1) -> list[int]:
    if text is None:
        return [default]
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) >= lowest for word in words):
        raise ConfigError(f"{flag} {text}: expected whole numbers from {lowest}, with commas")
    return list(dict.fromkeys(map(int, words)))


def _words(text: str | None, flag: str, known: Sequence[str], default: str) -> list[str]:
    if text is None:
        return [default]
    words = [word.strip() for word in text.split(",")]
    unknown = [word for word in words if word not in known]
    if unknown:
        raise ConfigError(f"{flag} {unknown[0]!r}: expected any of {', '.join(known)}, with commas")
    return list(dict.fromkeys(words))


def _own_format(cfg: CfgNode) -> str:
    """Return what TRAIN.MIXED_PRECISION means on the device of a configuration."""
    from pycls.core.env import select_device
    from pycls.core.precision import choose_format

    return choose_format(cfg, select_device(cfg.DEVICE))


def _check_cases(cases: Sequence[Case]) -> None:
    """Refuse what cannot be computed, before anything is measured."""
    from pycls.core.env import select_device
    from pycls.core.precision import Precision

    for case in cases:
        Precision(case.cfg, select_device(case.cfg.DEVICE))


# --------------------------------------------------------------------- measure


def _measure(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    """Return the row of one case."""
    from pycls.core.benchmark import measure_network
    from pycls.core.env import describe_environment, run_settings
    from pycls.models.counting import complexity

    row: dict[str, Any] = {**case.settings(), **complexity(case.cfg)}
    with run_settings(case.cfg) as device, refuse_beyond_available(not is_gpu(device)):
        environment = describe_environment(device)
        row |= {name: environment[name] for name in ("device", "threads", "torch", "host")}
        loader, row["loader_note"] = _find_data(case.cfg, device)
        try:
            measured = measure_network(case.cfg, device, loader, args.seconds)
            if args.profile:
                _profile(case.cfg, device, loader, args.profile)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            return {**row, "status": "out of memory", "memory": {}, **dict.fromkeys(_PARTS)}
    row |= {"status": "ok", "memory": measured["memory"]}
    for part in _PARTS:
        timing = measured[part]
        row[part] = timing and {
            "seconds": timing.median,
            "spread": timing.spread,
            "count": timing.count,
            "images_per_second": case.cfg.TRAIN.BATCH_SIZE / timing.median,
        }
    return row


def _find_data(cfg: CfgNode, device: "torch.device") -> tuple["Loader | None", str]:
    """Return the loader of the training data; or None, and a note why there is none."""
    from pycls.core.loaders import build_loader

    reason = "TRAIN.DATASET is empty"
    if cfg.TRAIN.DATASET:
        try:
            return build_loader(cfg, "TRAIN", device), ""
        except PyclsError as error:
            reason = str(error)
    return None, f"Random images, and no loader measured: {reason}"


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY)


def _profile(cfg: CfgNode, device: "torch.device", loader: "Loader | None", path: Path) -> None:
    """Write where the time of some steps goes, as a table and as a trace."""
    from torch.profiler import ProfilerActivity, profile

    from pycls.core.benchmark import prepare_network

    _, step, (images, labels) = prepare_network(cfg, device, loader)
    step(images, labels, 0.0, 0, 0)
    activities = [ProfilerActivity.CPU]
    if is_gpu(device):
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        for i in range(_PROFILED_STEPS):
            step(images, labels, 0.0, 0, i)
    order = "self_cuda_time_total" if is_gpu(device) else "self_cpu_time_total"
    table = profiler.key_averages().table(sort_by=order, row_limit=40)
    write_text(path, f"{_PROFILED_STEPS} training steps, operations by their own time\n{table}")
    with atomic_path(_trace_path(path)) as temporary:
        profiler.export_chrome_trace(str(temporary))


def _trace_path(path: Path) -> Path:
    return path.with_suffix(".trace.json")


# ------------------------------------------------------------------------ show


def _machine(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: rows[0][name] for name in ("device", "threads", "torch", "host")}


def _header(row: dict[str, Any]) -> str:
    machine = f"{row['device']}, {row['threads']} threads, PyTorch {row['torch']}"
    return (
        f"{machine}; milliseconds a batch (median, half the quartile distance), images a second\n"
        "batch size precision layout        "
        + " ".join(f"{part.replace('_', '+'):>24}" for part in _PARTS)
        + "     memory  network"
    )


def _line(row: dict[str, Any], width: int) -> str:
    start = f"{row['batch_size']:5d} {row['im_size']:4d} {row['precision']:9} {row['layout']:13} "
    if row["status"] != "ok":
        return f"{start}{row['status']:>110}  {row['network']:{width}}"
    return (
        start
        + " ".join(f"{_cell(row[part]):>24}" for part in _PARTS)
        + f" {_memory(row['memory']):>10}  {row['network']:{width}}"
    )


def _cell(timing: dict[str, Any] | None) -> str:
    if timing is None:
        return "-"
    seconds, spread = 1000 * timing["seconds"], 1000 * timing["spread"]
    return f"{seconds:.2f} ({spread:.2f}) {timing['images_per_second']:9.0f}"


def _memory(memory: dict[str, int]) -> str:
    return "/".join(f"{size / 2**20:.0f}" for size in memory.values()) + " MB" if memory else "-"
