"""Measuring must not change what is measured, and says what pycls says."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from pycls.core.allocator import (
    _OWN_SETTINGS,
    keep_freed_memory,
    refuse_beyond_available,
    release_freed_memory,
)
from pycls.core.benchmark import (
    MemoryUse,
    Timing,
    epoch_times,
    measure_iteration,
    measure_network,
    repeat,
)
from pycls.core.config import load_cfg
from pycls.core.loaders import build_loader
from pycls.models.builders import build_model

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
FIELDS = ["test_fw_time", "train_fw_time", "train_bw_time", "train_fw_bw_time"]
EFFNET = [
    "MODEL.TYPE", "effnet", "MODEL.NUM_CLASSES", 4, "EN.DEPTHS", [1], "EN.WIDTHS", [8],
    "EN.EXP_RATIOS", [2], "EN.STRIDES", [1], "EN.KERNELS", [3], "EN.STEM_W", 8, "EN.HEAD_W", 16,
    "EN.DROPOUT_RATIO", 0.5, "TRAIN.IM_SIZE", 16, "TRAIN.BATCH_SIZE", 8, "TEST.BATCH_SIZE", 12,
    "PREC_TIME.NUM_ITER", 2, "PREC_TIME.WARMUP_ITER", 1,
]  # fmt: skip


@pytest.fixture
def effnet_cfg():
    """Return a function (*overrides) -> configuration of a network that draws random numbers."""
    return lambda *overrides: load_cfg(None, [*EFFNET, *overrides])


@pytest.mark.parametrize("precision", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_network_and_random_state_are_left_as_they_were(effnet_cfg, precision, training):
    cfg = effnet_cfg("TRAIN.MIXED_PRECISION", precision, "TRAIN.ACCUMULATE", 2)
    model = build_model(cfg).to(memory_format=torch.channels_last).train(training)
    odd_one_out = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    odd_one_out.train(not training)  # as where some statistics are frozen
    parameters = list(model.parameters())
    parameters[0].grad = torch.full_like(parameters[0], 3.0)
    parameters[1].requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    strides = [value.stride() for value in model.state_dict().values()]
    random_state = torch.get_rng_state()

    measure_iteration(model, cfg, CPU)

    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert [module.training for module in model.modules()] == modes
    assert [value.stride() for value in after.values()] == strides
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(parameters[0].grad, torch.full_like(parameters[0], 3.0))
    assert all(parameter.grad is None for parameter in parameters[1:])
    assert [parameter.requires_grad for parameter in parameters[:3]] == [True, False, True]


def test_network_is_left_as_it_was_when_it_fails(effnet_cfg):
    cfg = effnet_cfg("MODEL.NUM_CLASSES", 7)
    model = build_model(effnet_cfg())  # fewer classes than the labels have
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(IndexError):
        measure_iteration(model, cfg, CPU)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_batches_are_the_shares_of_a_process(effnet_cfg):
    cfg = effnet_cfg("NUM_GPUS", 2, "TRAIN.ACCUMULATE", 2, "PREC_TIME.WARMUP_ITER", 0)
    model = build_model(cfg)
    seen = []
    model.register_forward_pre_hook(
        lambda module, inputs: seen.append((module.training, tuple(inputs[0].shape)))
    )
    measure_iteration(model, cfg, CPU)
    test = (False, (6, 3, 16, 16))
    part = (True, (2, 3, 16, 16))
    assert seen == [test] * 2 + [part] * 4


def test_fields_are_those_of_pycls(digits_cfg):
    cfg = digits_cfg("PREC_TIME.NUM_ITER", 2)
    model = build_model(cfg)
    times = measure_iteration(model, cfg, CPU)
    assert list(times) == FIELDS
    assert times["train_fw_bw_time"] == times["train_fw_time"] + times["train_bw_time"]
    assert all(seconds > 0 for seconds in times.values())
    loader = build_loader(cfg, "TRAIN", CPU)
    assert list(measure_iteration(model, cfg, CPU, loader)) == [*FIELDS, "train_loader_time"]


@pytest.mark.parametrize(("iterations", "taken"), [(2, 5), (6, 8), (500, 8)])
def test_loader_is_measured_for_an_epoch_at_most(digits_cfg, iterations, taken):
    cfg = digits_cfg("PREC_TIME.NUM_ITER", iterations)
    loader = build_loader(cfg, "TRAIN", CPU)
    assert len(loader) == 8

    class Counted:
        count = 0

        def __len__(self):
            return len(loader)

        def epoch(self, number):
            for batch in loader.epoch(number):
                self.count += 1
                yield batch

    counted = Counted()
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 10))
    assert measure_iteration(model, cfg, CPU, counted)["train_loader_time"] > 0
    assert counted.count == taken


def test_epoch_times():
    times = {"test_fw_time": 2.0, "train_fw_time": 3.0, "train_loader_time": 0.5}
    assert epoch_times(times, 10, 4) == {
        "test_fw_time": 8.0, "train_fw_time": 30.0, "train_loader_time": 5.0,
    }  # fmt: skip


def test_timing_summarises():
    assert Timing.of([4.0]) == Timing(4.0, 0.0, 1)
    assert Timing.of([5.0, 1.0, 3.0, 2.0, 4.0]) == Timing(3.0, 1.0, 5)


def test_repeat_does_it_three_times_at_least_after_warming_up():
    done = []
    assert repeat(lambda: done.append(1), CPU, 0.0).count == 3
    assert len(done) == 5


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_measure_network_with_and_without_data(digits_cfg, layout):
    cfg = digits_cfg("MEMORY_FORMAT", layout, "TRAIN.MIXUP_ALPHA", 0.2, "TRAIN.CUTMIX_ALPHA", 0.2)
    loader = build_loader(cfg, "TRAIN", CPU)
    measured = measure_network(cfg, CPU, loader, 0.0)
    assert set(measured) == {"forward", "forward_backward", "step", "loader", "memory"}
    assert measured["loader"].count >= len(loader)
    assert measured["memory"]["resident"] >= 0
    assert measure_network(cfg, CPU, None, 0.0)["loader"] is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel of Linux counts it")
def test_memory_counts_what_came_and_went():
    torch.ones(16 << 20)  # 64 MiB that are gone before
    use = MemoryUse(CPU)
    torch.ones(8 << 20)
    assert 24 << 20 < use.take()["resident"] < 56 << 20


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_measures_on_a_gpu(effnet_cfg):
    device = torch.device("cuda")
    cfg = effnet_cfg("TRAIN.MIXED_PRECISION", True)
    model = build_model(cfg).to(device)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.cuda.get_rng_state(device)
    assert list(measure_iteration(model, cfg, device)) == FIELDS
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.cuda.get_rng_state(device), state)
    memory = measure_network(cfg, device, None, 0.0)["memory"]
    assert 0 < memory["allocated"] <= memory["reserved"]


# ------------------------------------------------------------------ allocator

# In a process each, forked when PyTorch has been imported. Huge pages, where a machine has them
# always, would make the faults of either too few to compare.
_FAULTS = """
import ctypes, os, resource, torch
from pycls.core.allocator import keep_freed_memory
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    # 40 MB each: more than any that glibc keeps by itself.
    blocks = [torch.ones(10 * 1000000) for _ in range(8)]
    while blocks:
        blocks.pop()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def say_faults(prepare):
    if os.fork() == 0:
        prepare()
        # Aligned blocks split the heap: in some processes it takes seven rounds to fit them in.
        print([faults() for _ in range(12)][-1], flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
say_faults(lambda: None)
say_faults(keep_freed_memory)
"""


def run_python(code, **environment):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    process = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return process.stdout.strip()


def glibc_version():
    name, version = platform.libc_ver()
    return tuple(map(int, version.split(".")[:2])) if name == "glibc" else (0, 0)


@pytest.mark.skipif(glibc_version() < (2, 36), reason="older ones map blocks above 32 MiB anew")
def test_freed_memory_is_kept():
    plain, kept = map(int, run_python(_FAULTS).split())
    assert kept < plain / 10


def test_settings_of_the_user_are_left_alone():
    code = "from pycls.core.allocator import keep_freed_memory; print(keep_freed_memory())"
    said = run_python(code, MALLOC_TRIM_THRESHOLD_="1000000")
    assert said == "Memory is allocated as MALLOC_TRIM_THRESHOLD_ says"


@pytest.mark.parametrize("broken", ["no glibc", "no library", "refused"])
def test_another_c_library_is_said(monkeypatch, broken):
    for name in [*_OWN_SETTINGS, "LD_PRELOAD", "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name, raising=False)

    def fail(name):
        raise OSError("no such library")

    if broken == "no glibc":
        monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    elif broken == "no library":
        monkeypatch.setattr("ctypes.CDLL", fail)
    else:
        monkeypatch.setattr("pycls.core.allocator._set", lambda library, parameter, values: False)
    said = keep_freed_memory()
    assert said.startswith("Freed memory is kept or not as the C library sees fit: it")
    assert release_freed_memory() is (broken == "refused")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel of Linux limits it")
def test_allocations_beyond_the_memory_fail_instead_of_ending_the_process():
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with refuse_beyond_available():
        limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
        with pytest.raises(RuntimeError, match="allocate memory"):
            torch.empty(limit, dtype=torch.uint8)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
