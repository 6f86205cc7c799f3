"""What is for GPUs only, as far as it can be seen without one."""

import contextlib
import types
from itertools import islice

import numpy as np
import pytest
import torch

from pycls import gpu_devices
from pycls.core import gpu
from pycls.core.benchmark import measure_iteration
from pycls.core.config import load_cfg
from pycls.core.config.load import layer_cfg
from pycls.core.config.trainable import captures_steps, check_trainable
from pycls.core.cuda_graph import GraphedStep
from pycls.core.env import move_model, run_settings
from pycls.core.precision import Precision, choose_format
from pycls.core.processes.faults import Fault, find_fault
from pycls.core.processes.group import _peers_explained
from pycls.core.processes.world import PeerLostError, World
from pycls.core.runs.paths import checkpoint_path
from pycls.core.trainer import train_model
from pycls.core.weights import checkpoint
from pycls.datasets.loading import device_copies
from pycls.datasets.loading.held import HeldImages
from pycls.datasets.loading.loader import Loader
from pycls.datasets.loading.streamed import StreamedImages
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.store.writer import SetFacts, write_store
from pycls.errors import ConfigError
from pycls.models.builders import build_model

GPU = torch.device("cuda", 0)
BUILT_FOR = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]


@pytest.fixture
def gpu_of(monkeypatch):
    """Have PyTorch say that it is built for some GPUs and sees one of a compute capability."""

    def stand_in(capability, built_for=BUILT_FOR):
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: list(built_for))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")

    return stand_in


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (8, 9), (9, 0), (12, 0), (12, 1), (13, 0)])
def test_gpus_that_the_wheel_has_code_for_are_used(gpu_of, capability):
    gpu_of(capability)
    gpu.check_supported(GPU)


@pytest.mark.parametrize(
    ("capability", "remedy"),
    [((7, 0), r"\+cu126"), ((6, 1), r"\+cu126"), ((11, 0), "newer wheel")],
)
def test_gpus_that_the_wheel_has_no_code_for_are_refused(gpu_of, capability, remedy):
    gpu_of(capability)
    text = f"Tesla V100 .*{capability[0]}.{capability[1]}.*sm_75, sm_80.*{remedy}.*DEVICE cpu"
    with pytest.raises(ConfigError, match=text):
        gpu.check_supported(GPU)


def test_code_for_one_gpu_alone_runs_on_no_later_one(gpu_of):
    gpu_of((9, 0), ["sm_90a"])
    gpu.check_supported(GPU)
    gpu_of((9, 1), ["sm_90a"])
    with pytest.raises(ConfigError):
        gpu.check_supported(GPU)


@pytest.mark.filterwarnings("ignore:.*GradScaler is enabled")
@pytest.mark.parametrize(
    ("capability", "name"), [((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_auto_is_bfloat16_where_the_gpu_has_it(gpu_of, capability, name):
    gpu_of(capability)
    precision = Precision(load_cfg(None, ["TRAIN.MIXED_PRECISION", True]), GPU)
    assert precision.name == name
    assert (precision.scaler is not None) == (name == "float16")


def test_auto_is_what_device_and_configuration_allow(gpu_of):
    gpu_of((9, 0))
    words = ["TRAIN.MIXED_PRECISION", "auto", "TRAIN.CUDA_GRAPH", "auto"]
    cfg, cpu = load_cfg(None, words), torch.device("cpu")
    assert choose_format(cfg, cpu) == "float32"
    assert choose_format(cfg, GPU) == "bfloat16"
    assert not captures_steps(cfg, cpu)
    assert captures_steps(cfg, GPU)
    check_trainable(cfg, cpu)
    assert not captures_steps(load_cfg(None, [*words, "TRAIN.ACCUMULATE", 2]), GPU)
    assert not captures_steps(load_cfg(None, [*words, "NUM_GPUS", 2]), GPU)
    gpu_of((7, 5))
    assert choose_format(cfg, GPU) == "float32"
    old = [*words[2:], "TRAIN.MIXED_PRECISION", True]
    assert not captures_steps(load_cfg(None, old), GPU)
    with pytest.raises(ConfigError, match=r"not go together with TRAIN.MIXED_DTYPE \(float16"):
        check_trainable(load_cfg(None, [*old, "TRAIN.CUDA_GRAPH", True]), GPU)
    # A file that says auto may be overridden as any other.
    again = ["TRAIN.MIXED_PRECISION", "True", "TRAIN.CUDA_GRAPH", False]
    assert load_cfg(None, [*words, *again]).TRAIN.MIXED_PRECISION is True
    assert load_cfg(None, [*words, *again]).TRAIN.CUDA_GRAPH is False
    layers = [("a", {"TRAIN": {"CUDA_GRAPH": "auto"}}), ("b", {"TRAIN": {"CUDA_GRAPH": False}})]
    assert layer_cfg(layers, []).TRAIN.CUDA_GRAPH is False
    for key in ("TRAIN.CUDA_GRAPH", "TRAIN.MIXED_PRECISION"):
        with pytest.raises(ConfigError, match="expected True or False, or auto"):
            load_cfg(None, [key, "often"])


def test_a_run_goes_on_in_no_other_precision(digits_cfg):
    cfg = digits_cfg("OPTIM.MAX_EPOCH", 1)
    assert train_model(cfg)["precision"] == "float32"
    path = checkpoint_path(cfg.OUT_DIR, 0)
    state = checkpoint.load_checkpoint(path)
    torch.save({**state, "precision": "bfloat16"}, path)
    told = r"MIXED_PRECISION False \(precision: bfloat16\), and .* float32"
    with pytest.raises(ConfigError, match=told):
        train_model(digits_cfg("OPTIM.MAX_EPOCH", 2))


def test_a_run_goes_on_with_batches_that_the_same_kernels_make(digits_cfg):
    cfg = digits_cfg("OPTIM.MAX_EPOCH", 1)
    assert train_model(cfg)["batches"] == "library"
    path = checkpoint_path(cfg.OUT_DIR, 0)
    state = checkpoint.load_checkpoint(path)
    assert state["batches"] == "library"
    own = state["cfg"].replace("LAYER_FORMS: auto", "LAYER_FORMS: own")
    torch.save({**state, "batches": "own", "cfg": own}, path)
    told = r"LAYER_FORMS 'own' \(batches: own\), and LAYER_FORMS 'auto' .* means library"
    with pytest.raises(ConfigError, match=told):
        train_model(digits_cfg("OPTIM.MAX_EPOCH", 2))


@pytest.mark.parametrize("dampening", [0.0, 0.5])
def test_a_first_step_that_overflows_leaves_no_momentum(dampening):
    def train(gradients):
        weight = torch.nn.Parameter(torch.linspace(0, 1, 4096))
        options = {"momentum": 0.9, "dampening": dampening, "fused": True}
        optimizer = torch.optim.SGD([weight], lr=0.1, **options)
        precision = Precision(load_cfg(None), torch.device("cpu"))
        precision.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        for gradient in gradients:
            optimizer.zero_grad()
            precision.backward((weight * gradient).sum())
            precision.step(optimizer, [weight], 0.0)
        return weight.detach()

    good = [torch.linspace(-1, 1, 4096), torch.linspace(2, 3, 4096)]
    overflows = torch.full((4096,), float("inf"))
    # Memory that SGD may take for its momentum.
    trash = [torch.full((4096,), float("nan")) for _ in range(64)]
    del trash
    assert torch.equal(train([overflows, overflows, *good]), train(good))


def test_the_capture_bears_with_threads_that_pin_memory(monkeypatch):
    class CapturedError(Exception):
        pass

    def capture(graph, **options):
        raise CapturedError(options)

    class Stream:
        def wait_stream(self, other):
            pass

    class Step:
        model = torch.nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(0.1))

        def draw_mixing(self, images, epoch, iteration, number):
            return None

        def forward_backward(self, images, targets):
            self.model(images).sum().backward()

        def update(self):
            self.optimizer.step()

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    with pytest.raises(CapturedError) as caught:
        GraphedStep(Step())(torch.ones(2, 1), torch.ones(2), 0.1, 0, 0)
    assert caught.value.args[0]["capture_error_mode"] == "thread_local"


@pytest.fixture
def as_gpu(monkeypatch):
    """Have the CPU taken for a GPU of 128 MB: what is done for one, computed for real."""
    empty = torch.empty
    monkeypatch.setattr(gpu_devices, "GPU_TYPES", {"cpu", "cuda"})
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch, "empty", lambda *a, pin_memory=False, **k: empty(*a, **k))
    facts = types.SimpleNamespace(total_memory=1 << 27)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: facts)


@pytest.fixture
def set_of_6_megabytes(tmp_path):
    """Return a set of 2,000 images, of which few are unlike."""
    images = np.random.default_rng(0).integers(0, 256, (50, 34, 33, 3), dtype=np.uint8)
    places = np.arange(2000)
    facts = SetFacts("s", "S", "random pixels", "a generator", "none", "every fourth")
    split = (places % 4 == 3).astype(np.uint8)
    made = (images[place % 50] for place in places)
    path = write_store(tmp_path / "s", made, places // 4 % 2, split, ("a", "b"), facts)
    return open_dataset(path, "train")


@pytest.mark.parametrize("crop", ["resized", "padded"])
def test_a_gpus_batches_do_not_depend_on_who_else_is_on_it(
    as_gpu, set_of_6_megabytes, monkeypatch, crop
):
    """Its memory decides only where the images lie."""
    monkeypatch.setattr(device_copies, "is_gpu", lambda device: False)  # there are no streams
    batches, kinds = [], []
    for runs in (1, 8):
        monkeypatch.setenv("PYCLS_RUNS_ON_GPU", str(runs))
        loader = Loader(
            set_of_6_megabytes, batch_size=16, im_size=24, train=True, seed=3, device="cpu",
            crop=crop, pad=2, gpu_share=0.1, threads=2,
        )  # fmt: skip
        kinds.append(type(loader._images))
        batches.append(torch.cat([pixels for pixels, _ in islice(loader.pixels(1), 3)]))
    assert kinds == [HeldImages, StreamedImages]
    assert torch.equal(*batches)


def test_the_peak_of_memory_is_the_runs_own(as_gpu, monkeypatch):
    forgotten = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_arch_list", list)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", forgotten.append)
    with run_settings(load_cfg(None, ["DEVICE", "cpu"])) as device:
        assert forgotten == [device]


def test_timing_computes_in_the_runs_format(digits_cfg):
    cfg = digits_cfg("TRAIN.MIXED_PRECISION", True, "PREC_TIME.NUM_ITER", 1, "TRAIN.BATCH_SIZE", 4,
                     "TEST.BATCH_SIZE", 4, "PREC_TIME.WARMUP_ITER", 0)  # fmt: skip
    model = move_model(build_model(cfg), cfg, torch.device("cpu"))
    seen = set()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(
                lambda module, inputs, output: seen.add((module.training, output.dtype))
            )
    measure_iteration(model, cfg, torch.device("cpu"))
    assert seen == {(True, torch.bfloat16), (False, torch.bfloat16)}


def _arithmetic():
    cudnn = torch.backends.cudnn
    return (
        cudnn.benchmark,
        cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


@pytest.mark.parametrize("deterministic", [True, False])
def test_arithmetic_is_set_for_the_run_alone(deterministic):
    before = _arithmetic()
    keys = {"BENCHMARK": False, "TF32": False, "DETERMINISTIC": deterministic}
    words = [word for key, value in keys.items() for word in (f"CUDNN.{key}", value)]
    with run_settings(load_cfg(None, ["DEVICE", "cpu", *words])):
        assert _arithmetic()[:4] == (False, False, False, deterministic)
        described = {"cudnn_benchmark": False, "tf32": False, "deterministic": deterministic}
        assert gpu.describe_arithmetic() == described
    assert _arithmetic() == before


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to get 2 GiB"), Fault.OUT_OF_MEMORY),
        (RuntimeError("NCCL error: unhandled cuda error, out of memory"), Fault.OUT_OF_MEMORY),
        (MemoryError(), Fault.OUT_OF_MEMORY),
        (
            torch.distributed.DistBackendError(
                "NCCL error in: ProcessGroupNCCL.cpp, invalid usage\nDuplicate GPU detected : rank "
                "0 and rank 1 both on CUDA device 1b000"
            ),
            Fault.DUPLICATE_GPU,
        ),
        (
            RuntimeError("CUDA error: no kernel image is available for execution on the device"),
            Fault.NO_KERNEL,
        ),
        (torch.distributed.DistBackendError("NCCL communicator was aborted"), Fault.PEER_LOST),
        (RuntimeError("Connection closed by peer [127.0.0.1]:34"), Fault.PEER_LOST),
        (PeerLostError("gone"), Fault.PEER_LOST),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (ValueError("nccl"), None),
    ],
)
def test_faults_are_told_apart(error, fault):
    assert find_fault(error) is fault


def test_two_processes_on_one_gpu_are_told_what_to_do():
    world = World(rank=1, size=2)
    with pytest.raises(ConfigError, match=r"process 1 of 2 .*NUM_GPUS"), _peers_explained(world):
        raise torch.distributed.DistBackendError("Duplicate GPU detected : rank 0 and rank 1")
    with pytest.raises(torch.OutOfMemoryError), _peers_explained(world):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_tests_and_statistics_compute_in_the_runs_format(digits_cfg):
    """Training and precise statistics (training mode) and testing, each in bfloat16."""
    seen = set()

    def note(module, inputs, output):
        if isinstance(module, torch.nn.Conv2d) and output.device.type != "meta":  # counting
            seen.add((module.training, torch.is_grad_enabled(), output.dtype))

    handle = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        train_model(
            # Small: processors that cannot compute in bfloat16 take a hundred times as long.
            digits_cfg("TRAIN.MIXED_PRECISION", True, "OPTIM.MAX_EPOCH", 1,
                       "BN.USE_PRECISE_STATS", True, "DATA.PER_CLASS", 1, "TRAIN.BATCH_SIZE", 8,
                       "ANYNET.STEM_W", 4, "ANYNET.DEPTHS", [1], "ANYNET.WIDTHS", [4],
                       "ANYNET.STRIDES", [4], "ANYNET.BOT_MULS", [1.0], "ANYNET.GROUP_WS", [4])
        )  # fmt: skip
    finally:
        handle.remove()
    passes = {(True, True), (True, False), (False, False)}
    assert seen == {(*which, torch.bfloat16) for which in passes}
