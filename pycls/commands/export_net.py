"""Export a network to ONNX, torch.export, torchvision or timm, checked against ours.

Examples:
    python tools/export_net.py --cfg FILE --weights CHECKPOINT --format onnx --out net.onnx
    python tools/export_net.py --cfg FILE --format torch_export --out net.pt2 --batch-size 1
    python tools/export_net.py --cfg FILE --format torchvision --out net.pth
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from yacs.config import CfgNode

from pycls.core.cli import CommandParser, add_cfg_arguments
from pycls.core.config import load_cfg
from pycls.errors import ConfigError, PyclsError
from pycls.progress import Progress

if TYPE_CHECKING:
    from torch import nn

    from pycls.zoo.export import ExportCheck
    from pycls.zoo.export_counterparts import Spec

FORMATS = ("onnx", "torch_export", "torchvision", "timm")


def main() -> None:
    """Export the network that the command line describes."""
    args = _parse_args()
    cfg = load_cfg(args.cfg, args.overrides)
    _check_out(args.out)
    im_size = cfg.TRAIN.IM_SIZE if args.im_size is None else args.im_size

    spec = _spec(cfg, args.format) if args.format in ("torchvision", "timm") else None

    from pycls.models.builders import build_model

    model = build_model(cfg)
    _load_weights(model, cfg, args.weights or cfg.TEST.WEIGHTS)
    progress = Progress(sys.stderr if sys.stderr.isatty() else None)
    progress.show(f"exporting to {args.format}, and comparing its answers with ours ...")
    check = _export(model, spec, args, im_size)
    progress.clear()
    _print_check(check, args, spec)


def _parse_args() -> argparse.Namespace:
    parser = CommandParser("export_net", __doc__)
    add_cfg_arguments(parser)
    parser.add_argument(
        "--weights",
        metavar="FILE_OR_URL",
        help="checkpoint (default: TEST.WEIGHTS, or else freshly initialised)",
    )
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="file to write")
    batch = parser.add_mutually_exclusive_group()
    batch.add_argument("--batch-size", type=int, metavar="N", help="for N images at a time")
    batch.add_argument(
        "--dynamic-batch", action="store_true", help="for any number of images (the default)"
    )
    parser.add_argument(
        "--im-size", type=int, metavar="N", help="N x N pixels (default: TRAIN.IM_SIZE)"
    )
    parser.add_argument("--opset", type=int, metavar="N", help="ONNX operator set, from 18")
    args = parser.parse_with_keys()
    if args.opset is not None and args.format != "onnx":
        raise ConfigError(f"--opset belongs to --format onnx, not to {args.format}")
    if args.batch_size is not None and args.format not in ("onnx", "torch_export"):
        raise ConfigError(f"--batch-size: weights for {args.format} fit any number of images")
    return args


def _check_out(path: Path) -> None:
    """Refuse a file that cannot be written before minutes are spent on its content."""
    if path.is_dir():
        raise ConfigError(f"--out {path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise ConfigError(f"--out {path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise PyclsError(f"--out {path}: permission denied; choose another folder")


def _load_weights(model: "nn.Module", cfg: CfgNode, source: str) -> None:
    if not source:
        print("note: no weights are named; the network is freshly initialised")
        return
    from pycls.core.weights.weights import load_weights_into, read_weights

    weights = read_weights(source, cache_dir=cfg.DOWNLOAD_CACHE)
    print(". ".join((f"weights: {source}", *load_weights_into(model, weights))))


def _export(
    model: "nn.Module", spec: "Spec | None", args: argparse.Namespace, im_size: int
) -> "ExportCheck":
    from pycls.zoo.export import export_onnx, export_program, export_state

    if spec is not None:
        return export_state(model, args.out, im_size, spec, args.format)
    if args.format == "onnx":
        return export_onnx(model, args.out, im_size, batch_size=args.batch_size, opset=args.opset)
    return export_program(model, args.out, im_size, batch_size=args.batch_size)


def _spec(cfg: CfgNode, library: str) -> "Spec":
    """Return the architecture if the library has it too; refuse it before it is built."""
    from pycls.models.builders import network_spec
    from pycls.models.network_types import is_foreign
    from pycls.zoo.export_counterparts import SUPPORTED, Spec, find_counterpart

    if is_foreign(cfg):
        raise ConfigError(
            f"--format {library}: MODEL.TYPE is {cfg.MODEL.TYPE!r}, so that the weights have "
            f"{cfg.MODEL.TYPE}'s own names already; they are 'model_state' of the checkpoint"
        )
    spec = network_spec(cfg)
    if not isinstance(spec, Spec):
        raise ConfigError(
            f"MODEL.TYPE is {cfg.MODEL.TYPE!r}: it has no counterpart in {library}; {SUPPORTED}"
        )
    find_counterpart(spec, library)
    return spec


def _print_check(check: "ExportCheck", args: argparse.Namespace, spec: "Spec | None") -> None:
    size_mb = args.out.stat().st_size / 1e6
    if check.difference is None:
        compared = f"not compared with ours: {check.note}"
    else:
        compared = f"largest relative difference to our logits {check.difference:.1e}"
    print(f"{args.out}: {args.format}, {size_mb:.1f} MB; {compared}")
    if check.difference is not None and check.note:
        print(f"note: {check.note}")
    if spec is not None:
        from pycls.zoo.export_counterparts import find_counterpart

        print(f"to use it:\n\nimport torch\n{find_counterpart(spec, args.format).code()}")
        print(f"model.load_state_dict(torch.load({str(args.out)!r}))")
