"""Exports networks to other tools: ONNX, torch.export, torchvision and timm.

What is written computes the logits of a network in evaluation mode, on N x 3 x H x W images
(RGB, scaled and normalised as in its training). Each file is read back and compared with the
network on random images before it takes its place: a file that is there is a right one.
"""

import copy
import importlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from pycls.errors import ConfigError, PyclsError
from pycls.files import atomic_path
from pycls.zoo.export_counterparts import Counterpart, Spec, find_counterpart, import_library
from pycls.zoo.key_names import to_other

TOLERANCE = 1e-4
LOWEST_OPSET = 18  # the exporter's own; below it converts, mostly in vain
INPUT_NAME, OUTPUT_NAME = "images", "logits"

# An ONNX file is one protobuf message, which ends at 2 GiB; the rest is left for the graph.
_ONNX_WEIGHT_BYTES = 2**31 - 2**24


@dataclass(frozen=True)
class ExportCheck:
    """How an exported network compares with ours.

    Attributes:
        difference: the largest difference of a logit, relative to the largest logit; None:
            not compared.
        note: what restricts the comparison; may be empty.
    """

    difference: float | None
    note: str = ""


def export_onnx(
    model: nn.Module,
    path: str | os.PathLike[str],
    im_size: int,
    *,
    batch_size: int | None = None,
    opset: int | None = None,
) -> ExportCheck:
    """Write a network as an ONNX file, checked with onnxruntime.

    The input is `images`, N x 3 x im_size x im_size, the output `logits`, N x classes.

    Args:
        model: one of our networks; left as it is.
        path: the file to write, weights included.
        im_size: height and width of the images in pixels.
        batch_size: N; None: any.
        opset: ONNX operator set, from 18; None: as the exporter chooses.

    Raises:
        ConfigError: an argument that cannot be used.
        PyclsError: a package is missing, the network is too large for one file, or the
            logits differ; nothing is written.
    """
    if opset is not None and opset < LOWEST_OPSET:
        raise ConfigError(f"opset {opset}: the exporter writes {LOWEST_OPSET} and above")
    _require("ONNX", "onnx", "onnxruntime", "onnxscript")
    model = _prepared(model, im_size, batch_size)
    size = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    if size > _ONNX_WEIGHT_BYTES:
        raise PyclsError(
            f"the network's weights are {size / 2**30:.1f} GiB, and an ONNX file holds less than "
            "2 GiB; export it in the format torch_export"
        )
    program = _trace(model, im_size, batch_size)
    with _quiet():
        converted = torch.onnx.export(
            program,
            dynamo=True,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=None if batch_size is not None else {INPUT_NAME: {0: "batch"}},
            opset_version=opset,
            verbose=False,
        )
    proto = converted.model_proto  # type: ignore[union-attr]
    written = next(entry.version for entry in proto.opset_import if entry.domain == "")
    if opset not in (None, written):
        raise ConfigError(f"opset {opset}: the installed exporter does not write it ({written})")
    with atomic_path(path) as temporary:
        temporary.write_bytes(proto.SerializeToString())
        return _compare(model, _onnx_runner(temporary), im_size, _batches(batch_size))


def export_program(
    model: nn.Module,
    path: str | os.PathLike[str],
    im_size: int,
    *,
    batch_size: int | None = None,
) -> ExportCheck:
    """Write a network as a program of torch.export, for torch.export.load.

    Args:
        model: one of our networks; left as it is.
        path: the file to write.
        im_size: height and width of the images in pixels.
        batch_size: number of images; None: any.

    Raises:
        ConfigError: an argument that cannot be used.
        PyclsError: the logits differ; nothing is written.
    """
    model = _prepared(model, im_size, batch_size)
    program = _trace(model, im_size, batch_size)
    with _quiet():
        # Through memory: PyTorch's own file writer hides a full disk in an error of its own.
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
        with _quiet(), temporary.open("rb") as file:
            loaded = torch.export.load(file).module()
        return _compare(model, loaded, im_size, _batches(batch_size))


def export_state(
    model: nn.Module, path: str | os.PathLike[str], im_size: int, spec: Spec, library: str
) -> ExportCheck:
    """Write a network's weights as a state dict of torchvision's or timm's network.

    ``find_counterpart(spec, library).code()`` is the code that builds theirs; it takes the
    file with ``model.load_state_dict(torch.load(path))``.

    Args:
        model: our network; left as it is.
        path: the file to write.
        im_size: height and width in pixels of the images to compare on.
        spec: the architecture of `model`.
        library: torchvision or timm; where it is not installed nothing is compared.

    Raises:
        ConfigError: the library has no such network.
        PyclsError: the logits differ; nothing is written.
    """
    counterpart = find_counterpart(spec, library)
    model = _prepared(model, im_size, None)
    buffer = io.BytesIO()
    torch.save(to_other(model.state_dict(), library, counterpart.family), buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
        try:
            import_library(library)
        except PyclsError as error:
            return ExportCheck(None, str(error))
        theirs = _load_counterpart(counterpart, temporary)
        return _compare(model, theirs, im_size, _batches(None))


def _require(what: str, *packages: str) -> None:
    """Check that packages can be imported, before seconds of work need them."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise PyclsError(
                f"exporting to {what} needs the package {package} ({error}); install it: "
                f"pip install {' '.join(packages)}"
            ) from None


def _prepared(model: nn.Module, im_size: int, batch_size: int | None) -> nn.Module:
    """Return a copy of the network to export: float32 on the CPU, in evaluation mode."""
    for name, value in (("im_size", im_size), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}; expected a number of at least 1")
    model = copy.deepcopy(model).cpu().float().eval()
    try:
        logits = _run(model, _images(1, im_size))
    except RuntimeError as error:
        raise ConfigError(
            f"the network does not take images of {im_size} x {im_size} pixels ({error})"
        ) from None
    if not logits.isfinite().all():
        raise PyclsError("the network's logits are not finite; check its weights")
    return model


def _load_counterpart(counterpart: Counterpart, path: Path) -> nn.Module:
    state = torch.load(path, weights_only=True)
    with torch.device("meta"):  # neither memory nor random numbers for weights to be replaced
        theirs = counterpart.build()
    try:
        theirs.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{counterpart.library} builds another network from the same description ({reason})"
        ) from None
    return theirs.eval()


def _trace(model: nn.Module, im_size: int, batch_size: int | None) -> torch.export.ExportedProgram:
    """Return the network as a program of one input, for a fixed number of images or any."""
    # Not 1, which would be taken for a constant.
    example = _images(2 if batch_size is None else batch_size, im_size)
    dynamic_shapes = None if batch_size is not None else ({0: torch.export.Dim("batch", min=1)},)
    # Strict: reads the code, and so also where it asks for len(images), which would otherwise
    # turn the number of images into a constant.
    with _quiet():
        program = torch.export.export(model, (example,), dynamic_shapes=dynamic_shapes, strict=True)
    for node in program.graph.nodes:  # paths of this machine, of no use elsewhere
        node.meta.pop("stack_trace", None)
    return program


def _batches(batch_size: int | None) -> tuple[int, ...]:
    return (1, 3) if batch_size is None else (batch_size,)


def _images(count: int, im_size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, 3, im_size, im_size, generator=generator)


def _run(network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network(images)


def _onnx_runner(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers = ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # it has no common base for its own
        raise PyclsError(
            f"the installed onnxruntime does not read the exported network ({error}); a newer "
            "one, or a lower opset, may help; nothing was written"
        ) from error
    return lambda images: torch.from_numpy(
        session.run([OUTPUT_NAME], {INPUT_NAME: images.numpy()})[0]
    )


def _compare(
    ours: nn.Module,
    theirs: Callable[[torch.Tensor], torch.Tensor],
    im_size: int,
    batches: Sequence[int],
) -> ExportCheck:
    largest, scale = 0.0, 0.0
    for count in batches:
        expected, found = (_run(network, _images(count, im_size)) for network in (ours, theirs))
        if expected.shape != found.shape:
            raise PyclsError(
                f"the exported network gives logits of shape {tuple(found.shape)} instead of "
                f"{tuple(expected.shape)}; nothing was written"
            )
        top, difference = expected.abs().max().item(), (expected - found).abs().max().item()
        scale = max(scale, top)
        # A NaN compares as false: it must end here, not pass as the smaller one.
        if not difference <= TOLERANCE * top:
            raise PyclsError(
                f"the logits of the exported network differ by {difference:.2e} from ours, of "
                f"which the largest is {top:.2e} (batch size {count}); "
                "nothing was written"
            )
        largest = max(largest, difference / (top or 1.0))
    if scale == 0.0:
        return ExportCheck(largest, "all logits are zero (a classifier that is not trained)")
    return ExportCheck(largest)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' remarks about themselves off the screen."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
