"""A program that trains on a device that stands for a GPU, and says where it would have waited.

Tensors have shapes and a device, but no values: whatever asks for one, reads it from the device, or
brings tensors of two devices together, fails. It is a program of its own because a device is
registered for the whole of a process. Prints {case: null or what went wrong} as JSON.
"""

import contextlib
import json
import sys
import types
from pathlib import Path

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from pycls import gpu_devices
from pycls.core import gpu
from pycls.core.config import load_cfg
from pycls.core.cuda_graph import GraphedEma, GraphedForward, GraphedStep
from pycls.core.ema import Ema
from pycls.core.env import move_model
from pycls.core.loaders import build_loader
from pycls.core.meters import Meter
from pycls.core.optimizer import build_optimizer
from pycls.core.precise_bn import update_bn_stats
from pycls.core.precision import Precision
from pycls.core.runs.log import RunLog
from pycls.core.step import TrainStep
from pycls.core.tester import evaluate
from pycls.datasets.loading.held import HeldImages
from pycls.datasets.loading.loader import Loader
from pycls.datasets.loading.streamed import StreamedImages
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.store.writer import SetFacts, write_store
from pycls.kernels.gpu_launch import has_triton
from pycls.models.builders import build_model

NAME = "standingpu"
ITERATIONS = 3
PINNED: set[int] = set()  # tensors, by id
_STREAM = types.SimpleNamespace(wait_stream=lambda other: None, wait_event=lambda event: None)
STREAMS = [_STREAM]  # the present one last
LAUNCHED: list[str] = []  # what has kernels, of the present iteration
WAYS = ("forward", "backward")
NO_KERNELS = ("empty", "empty_strided", "detach", "device")


class NoValues(FakeTensorMode):
    """Copies no numbers with the device's own kernels, either, for it has none."""

    avoid_device_init = True


class Watch(TorchDispatchMode):
    """Refuses copies between host and device that wait, once it is told to."""

    hot = False

    def __torch_dispatch__(self, func, kinds, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if self.hot and not func.is_view and name not in NO_KERNELS:
            LAUNCHED.append(name)
        if self.hot and name in ("_to_copy", "copy_"):
            source = args[1] if name == "copy_" else args[0]
            target = args[0] if name == "copy_" else out
            if source.device.type != target.device.type:
                at_once = kwargs.get("non_blocking", len(args) > 2 and args[2])
                if not at_once:
                    raise RuntimeError(f"{name} from {source.device} to {target.device} waits")
                if source.device.type == "cpu" and id(source) not in PINNED:
                    raise RuntimeError(f"{name} of memory that is not pinned waits")
                if source.dtype == torch.uint8 and source.dim() == 4 and len(STREAMS) == 1:
                    raise RuntimeError("images are copied on the stream that computes")
        return out


@contextlib.contextmanager
def on_stream(stream):
    """Stand for torch.cuda.stream."""
    STREAMS.append(stream)
    try:
        yield
    finally:
        STREAMS.pop()


def stand_in():
    """Register the device, and what of torch.cuda the training asks for."""
    module = types.ModuleType(NAME)
    module.is_available = lambda: True
    module.current_device = lambda: 0
    module.device_count = lambda: 1
    module.is_initialized = lambda: True
    module._is_in_bad_fork = lambda: False
    module.manual_seed_all = lambda seed: None
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    _setup_privateuseone_for_python_backend(NAME, module)
    gpu_devices.GPU_TYPES.add(NAME)
    others = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")
    others.fallback(torch.library.fallthrough_kernel)
    casts = torch.library.Library("aten", "IMPL", "AutocastPrivateUse1")
    kept = [casts, others]

    def pin(tensor, *args):
        kept.append(tensor)  # or another may have its number
        PINNED.add(id(tensor))
        return tensor

    empty = torch.empty

    def empty_pinned(*args, pin_memory=False, **kwargs):
        tensor = empty(*args, **kwargs)
        return pin(tensor) if pin_memory else tensor

    def fused_sgd(weights, gradients, momenta, *, lr, **options):
        for weight, gradient, momentum in zip(weights, gradients, momenta, strict=True):
            weight.add_(momentum.add_(gradient) * lr)

    def cast_first(op):
        def cast(*args):
            kind = torch.get_autocast_dtype(NAME)
            with torch.autocast(NAME, enabled=False):
                return op(*(a.to(kind) if isinstance(a, torch.Tensor) else a for a in args))

        return cast

    for name in ("conv2d", "linear"):
        casts.impl(name, cast_first(getattr(torch.ops.aten, name)))
    # Its kernels are of each device; a sum of the same tensors has their devices at least.
    torch._fused_sgd_ = fused_sgd
    torch.Tensor.pin_memory = pin
    torch.empty = empty_pinned
    torch.cuda.max_memory_allocated = lambda device=None: 0
    torch.cuda.get_device_properties = lambda device: types.SimpleNamespace(total_memory=1 << 30)
    torch.cuda.get_device_capability = lambda device: (9, 0)
    torch.cuda.manual_seed_all = lambda seed: None
    torch.cuda.Stream = lambda *args: STREAMS[0]
    torch.cuda.Event = lambda: types.SimpleNamespace(record=lambda stream: None)
    torch.cuda.current_stream = lambda *args: STREAMS[-1]
    torch.cuda.stream = on_stream
    torch.Tensor.record_stream = lambda tensor, stream: None
    torch.cuda.CUDAGraph = lambda: types.SimpleNamespace(replay=lambda: LAUNCHED.append("replay"))
    torch.cuda.graph = lambda graph, **options: contextlib.nullcontext()
    return torch.device(NAME, 0)


@contextlib.contextmanager
def no_values():
    """Compute without values; yield what watches the copies."""
    with NoValues(allow_non_fake_inputs=True), Watch() as watch:
        try:
            yield watch
        finally:
            watch.hot = Watch.hot = False


def make_set(folder, size):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, size, size, 3), dtype=np.uint8)
    split = (np.arange(60) % 3 == 2).astype(np.uint8)
    facts = SetFacts("s", "S", "random pixels", "a generator", "none", "every third")
    return write_store(folder / f"s{size}", images, np.arange(60) % 2, split, ("a", "b"), facts)


ARCHITECTURE = (
    "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1, 1], "ANYNET.WIDTHS", [8, 8], "ANYNET.STEM_W", 8,
    "ANYNET.STRIDES", [1, 2], "ANYNET.BOT_MULS", [1.0, 1.0], "ANYNET.GROUP_WS", [4, 4],
    "MODEL.NUM_CLASSES", 2, "TRAIN.BATCH_SIZE", 8, "TRAIN.IM_SIZE", 16, "TEST.IM_SIZE", 16,
)  # fmt: skip


class Training:
    """What a run builds, on the device, without the files."""

    def __init__(self, device, cfg, model):
        self.cfg = cfg
        self.model = move_model(model, cfg, device)
        self.ema = Ema(self.model)
        self.precision = Precision(self.cfg, device)
        optimizer = build_optimizer(self.model, self.cfg)
        step = TrainStep(self.model, optimizer, self.precision, self.cfg, 2)
        self.step, self.optimizer = step, optimizer
        self.meter = Meter(ITERATIONS, 1, 100, device)

    def iteration(self, batch, number):
        images, labels = batch
        result = self.step(images, labels, 0.1, 0, number)
        if number % 2 == 0:
            if isinstance(self.step, GraphedStep):
                self.graphed_ema.update(0.5)
            else:
                self.ema.update(self.model, 0.5)
        assert self.optimizer.param_groups[0]["params"][0].grad.device.type == NAME
        self.meter.update_row(result.row, len(labels))


def train(device, *words, change=lambda training: None):
    """Do a few iterations; the first may wait, as copies of tables do.

    Returns what the second launched, in which the average is not updated, and the third.
    """
    cfg = load_cfg(None, [*ARCHITECTURE, *words])
    model = build_model(cfg)
    launched = []
    with no_values() as watch:
        training = Training(device, cfg, model)
        change(training)
        for number in range(ITERATIONS):
            images = torch.empty(8, 3, 16, 16, device=device).to(memory_format=torch.channels_last)
            labels = torch.empty(8, dtype=torch.int64, device=device)
            watch.hot = number > 0
            LAUNCHED.clear()
            training.iteration((images, labels), number)
            launched.append(list(LAUNCHED))
        for name, value in training.model.state_dict().items():
            assert value.device.type == NAME, name
        for state in training.optimizer.state.values():
            assert state["momentum_buffer"].device.type == NAME
    return launched[1:]


def load(device, path, held, side="train", **options):
    """Go through batches of a set; from the second on nothing may wait."""
    dataset = open_dataset(path, side)
    with no_values() as watch:
        options = {"batch_size": 8, "im_size": 16, "seed": 1, "threads": 1, **options}
        loader = Loader(
            dataset, train=side == "train", device=device,
            max_resident_bytes=None if held else 0, **options,
        )  # fmt: skip
        assert isinstance(loader._images, HeldImages if held else StreamedImages)
        for images, labels in loader.epoch(0):
            assert images.device.type == labels.device.type == NAME
            assert images.shape[1:] == (3, 16, 16)
            watch.hot = True
    return loader


def evaluated(device, path, *words, replays=False):
    """Precise statistics and a test of every image, both halves counted.

    Returns what the last batch of each launched.
    """
    launched = []
    cfg = load_cfg(None, [*ARCHITECTURE, *words])
    model = build_model(cfg)
    with no_values() as watch:
        training = Training(device, cfg, model)
        train_loader, test_loader = (
            Loader(open_dataset(path, side), batch_size=8, im_size=16, train=side == "train",
                   seed=1, device=device)
            for side in ("train", "test")
        )  # fmt: skip
        computes = [
            GraphedForward(training.model, training.precision) if replays else None
            for _ in range(2)
        ]
        batches = list(train_loader.epoch(0))
        watch.hot = True
        for _ in update_bn_stats(
            training.model, batches, len(batches), precision=training.precision, compute=computes[0]
        ):
            launched[:1] = [list(LAUNCHED)]
            LAUNCHED.clear()
        watch.hot = False
        batches = list(test_loader.epoch(0))
        source = types.SimpleNamespace(epoch=lambda epoch: iter(batches))
        meter = Meter(len(batches), 1, 100, device)
        with RunLog("/dev/null") as log:
            tested = evaluate(
                source, training.model, meter, log, 0, 2, {}, halves=True,
                precision=training.precision, compute=computes[1],
            )  # fmt: skip
            watch.hot = True
            for _ in batches:
                LAUNCHED.clear()
                next(tested)
            watch.hot = False
            launched.append(list(LAUNCHED))
        assert 0 < len(batches[-1][0]) < len(batches[0][0])
    return launched


def evaluated_by_graphs(device, path, *words):
    """Say what is wrong with what the host launches in a test and in statistics that replay."""
    evaluated(device, path, *words)
    statistics, test = evaluated(device, path, *words, replays=True)
    for launched in (statistics, test):
        assert not [name for name in launched if "conv" in name or "batch_norm" in name], launched
    assert len(statistics) < 8, statistics
    assert len(test) < 30, test


def capture(training):
    # Not by the configuration: the optimizer asks a rate on the device whether it is below zero.
    rate = torch.empty((), device=training.meter._device)
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    training.step = GraphedStep(training.step)
    training.graphed_ema = GraphedEma(training.ema, training.model)


def captured(device, *words, most):
    """Say what is wrong with what the host launches in captured steps.

    In the second of the two the average is updated, which is a launch more.
    """
    numbers = [len(launched) for launched in train(device, *words, change=capture)]
    assert numbers == [most - 1, most], numbers


def whole_iterations(device, path, held, most, **options):
    """Say what is wrong with what the host launches to make a batch and train by it, by graphs."""
    words = ("TRAIN.MIXUP_ALPHA", 0.2, "TRAIN.CUTMIX_ALPHA", 1.0, "TRAIN.MIXED_PRECISION", True)
    cfg = load_cfg(None, [*ARCHITECTURE, *words])
    model = build_model(cfg)
    numbers = []
    with no_values() as watch:
        training = Training(device, cfg, model)
        capture(training)
        loader = Loader(
            open_dataset(path, "train"), train=True, device=device, captured=True, batch_size=8,
            im_size=16, seed=1, max_resident_bytes=None if held else 0, **options,
        )  # fmt: skip
        for number, batch in enumerate(loader.epoch(0)):
            training.iteration(batch, number)
            numbers.append(len(LAUNCHED))
            watch.hot = True
            LAUNCHED.clear()
        watch.hot = False
    assert len(numbers) == 5
    assert numbers[1:] == [most - 1, most, most - 1, most], numbers


def captured_loader(device, path):
    """Say whether a configuration's batches are captured where its steps are."""
    for forms, graph, side, expected in (
        ("auto", "auto", "TRAIN", True), ("auto", False, "TRAIN", False),
        ("auto", "auto", "TEST", False), ("own", "auto", "TRAIN", not has_triton()),
    ):  # fmt: skip
        words = ("TRAIN.DATASET", str(path), "TEST.DATASET", str(path), "LAYER_FORMS", forms)
        with no_values():
            cfg = load_cfg(None, [*ARCHITECTURE, *words, "TRAIN.CUDA_GRAPH", graph])
            loader = build_loader(cfg, side, device)
        assert (loader._captured is not None) == expected, (forms, graph, side)


def note_launch(kernel, grid, *args, **options):
    """Run none of our own kernels: there are no values."""
    for value in args:
        assert not isinstance(value, torch.Tensor) or value.device.type == NAME, kernel
    LAUNCHED.append(kernel.__name__)


def own_batches(device, small, large):
    """Say what is wrong with batches that our own kernel makes: one launch each."""
    if not has_triton():
        return
    from pycls.kernels import gpu_crop

    gpu_crop.launch = note_launch
    options = {"own_kernel": True, "lighting": 0.1}
    for path, held, kind in (
        (small, True, {"pad": 2}), (small, False, {"pad": 2}),
        (large, True, {"crop": "resized"}), (large, False, {"crop": "resized"}),
    ):  # fmt: skip
        LAUNCHED.clear()
        batches = len(load(device, path, held, **kind, **options))
        copies = [] if held else ["_to_copy"] * (batches - 1)
        assert sorted(LAUNCHED) == sorted([*copies, *["make_batch"] * batches]), LAUNCHED
    for forms, is_own in (("own", True), ("auto", False)):
        words = ("TRAIN.DATASET", str(small), "LAYER_FORMS", forms)
        with no_values():
            loader = build_loader(load_cfg(None, [*ARCHITECTURE, *words]), "TRAIN", device)
        assert (loader._kernel is not None) == is_own, forms


def own_layers(device):
    """Say what is wrong with a step of our own kernels, which are not run: they have no values."""
    if not has_triton():
        return

    from pycls.kernels import gpu_convolution, gpu_norm, gpu_pool

    for module in (gpu_norm, gpu_pool, gpu_convolution):
        module.launch = note_launch
    stem = ("ANYNET.STEM_TYPE", "res_stem_in", "TRAIN.MIXED_PRECISION", True)
    launched, _ = train(device, *stem, "LAYER_FORMS", "own")
    # Norms of the stem and of two blocks, of which one projects; a grouped convolution in each.
    expected = {
        **{f"{part}_{way}": 8 for part in ("sum", "finish", "apply") for way in WAYS},
        **{f"pool_{way}": 1 for way in WAYS}, "convolve": 4, "sum_weights": 2,
    }  # fmt: skip
    assert {name: launched.count(name) for name in expected} == expected
    # What the library would have for them.
    assert not {name for name in launched if "batch_norm" in name or "relu" in name}, launched


def cast_once(device):
    """Say what is wrong with the casts of a step in mixed precision: two of all weights at once."""
    convolutions = 8
    plain, half = (train(device, "TRAIN.MIXED_PRECISION", on)[0] for on in (False, True))
    assert half.count("_foreach_copy_") == 2, half
    # Of the images, the loss's own, and the result of the head.
    casts = half.count("_to_copy") - plain.count("_to_copy")
    assert casts < convolutions, half


def waits_for_a_value(training):
    own = training.step.forward_backward

    def waiting(images, targets):
        result = own(images, targets)
        if result.loss.item() > 1e9:
            raise RuntimeError("diverged")
        return result

    training.step.forward_backward = waiting


def copies_and_waits(training):
    own = training.step.forward_backward
    training.step.forward_backward = lambda images, targets: own(
        images + torch.ones(3, 1, 1).to(images.device), targets
    )


def on_the_host(training):
    own = training.step.forward_backward
    training.step.forward_backward = lambda images, targets: own(
        images + torch.ones(3, 1, 1), targets
    )


def main():
    folder = Path(sys.argv[1])
    small, large = make_set(folder, 16), make_set(folder, 24)
    device = stand_in()
    assert gpu.has_bfloat16(device)
    mixed = ("TRAIN.MIXED_PRECISION", True)
    cases = {
        "step": lambda: train(device),
        "step, bfloat16": lambda: train(device, *mixed),
        "step, mixup": lambda: train(device, *mixed, "TRAIN.MIXUP_ALPHA", 0.2),
        "step, cutmix": lambda: train(device, *mixed, "TRAIN.CUTMIX_ALPHA", 1.0),
        "step, clipped": lambda: train(device, "OPTIM.CLIP_GRAD_NORM", 1.0),
        "step, own layers": lambda: own_layers(device),
        "step, casts": lambda: cast_once(device),
        "step, captured": lambda: captured(device, *mixed, most=6),
        "step, captured, mixup": lambda: captured(device, "TRAIN.MIXUP_ALPHA", 0.2, most=6),
        "step, captured, cutmix": lambda: captured(device, "TRAIN.CUTMIX_ALPHA", 1.0, most=6),
        "held, padded, all captured": lambda: whole_iterations(
            device, small, True, 9, pad=2, lighting=0.1
        ),
        "held, augmented, all captured": lambda: whole_iterations(
            device, small, True, 9, pad=2, lighting=0.1, augment="RandAugment_N2_M0.5"
        ),
        "held, resized, all captured": lambda: whole_iterations(
            device, large, True, 9, crop="resized", lighting=0.1
        ),
        "streamed, padded, all captured": lambda: whole_iterations(
            device, small, False, 10, pad=2, lighting=0.1
        ),
        "streamed, resized, all captured": lambda: whole_iterations(
            device, large, False, 10, crop="resized", lighting=0.1
        ),
        "captured batches": lambda: captured_loader(device, small),
        "step, two parts": lambda: train(device, "TRAIN.ACCUMULATE", 2),
        "test and statistics": lambda: evaluated(device, small),
        "test and statistics, bfloat16": lambda: evaluated(device, small, *mixed),
        "test and statistics, replayed": lambda: evaluated_by_graphs(device, small, *mixed),
        "held, padded": lambda: load(device, small, True, pad=2),
        "streamed, padded": lambda: load(device, small, False, pad=2),
        "held, resized": lambda: load(device, large, True, crop="resized"),
        "streamed, resized": lambda: load(device, large, False, crop="resized"),
        "held, lighting": lambda: load(device, large, True, crop="resized", lighting=0.1),
        "held, augmented": lambda: load(device, small, True, pad=2, augment="RandAugment_N1_M0.5"),
        "own batches": lambda: own_batches(device, small, large),
        "held, test": lambda: load(device, large, True, "test", test_im_size=18),
        "streamed, test": lambda: load(device, large, False, "test"),
        # What has to fail, or nothing above would show anything.
        "asks for a value": lambda: train(device, change=waits_for_a_value),
        "copies and waits": lambda: train(device, change=copies_and_waits),
        "tensor on the host": lambda: train(device, change=on_the_host),
    }
    found = {}
    for name, case in cases.items():
        try:
            case()
            found[name] = None
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"[:200]
            if "-v" in sys.argv:
                import traceback

                traceback.print_exc()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
