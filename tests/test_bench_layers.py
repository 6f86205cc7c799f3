"""What the benchmark of layers measures, in smallest sizes on the CPU, and by which clock."""

import csv
import sys
import types
from pathlib import Path

import pytest
import recomputed_graphs
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))

import bench_layers

from pycls import gpu_devices
from pycls.kernels import forms, gpu_graph

CPU = torch.device("cpu")


@pytest.mark.skipif(forms.why_unavailable() is not None, reason="kernels cannot be compiled here")
def test_rows_of_the_kind_are_measured_anew_and_others_stay(tmp_path, monkeypatch):
    table = tmp_path / "forms.csv"
    kind = forms.own_table().instruction_set
    old = "device,instruction_set,layer,taps,groups,w_in,w_out,stride,side,library_ms,form"
    table.write_text(f"{old}\ncpu,{kind},norm,0,0,0,4,1,1,5,library\n"
                     "cpu,riscv64,norm,0,0,0,4,1,1,5,library\n")  # fmt: skip
    keys = [("convolution", 9, 4, 2, 2, 2, 4), ("convolution", 1, 1, 8, 4, 1, 2),
            ("norm", 0, 0, 0, 8, 1, 2)]  # fmt: skip
    monkeypatch.setattr(bench_layers, "TABLE", table)
    monkeypatch.setattr(bench_layers, "BATCH", 4)
    monkeypatch.setattr(bench_layers, "_grid", lambda: iter(keys))
    bench_layers.write_table(CPU)
    with table.open(newline="") as file:
        other, *rows = csv.DictReader(file)
    assert other["instruction_set"] == "riscv64"
    assert other["library_ms"] == "5"
    assert [row["layer"] for row in rows] == ["convolution", "convolution", "norm"]
    measured = [
        {name.removesuffix("_ms") for name, value in row.items() if name.endswith("_ms") and value}
        for row in rows
    ]
    assert measured == [{"library", "contiguous", "direct"},
                        {"library", "contiguous", "direct", "matrices"},
                        {"library", "fused"}]  # fmt: skip
    for row, found in zip(rows, measured, strict=True):
        assert all(float(row[f"{name}_ms"]) > 0 for name in found)
        assert row["form"] in found


def test_layers_take_the_form_that_is_measured(monkeypatch):
    taken = []
    own = bench_layers._backward
    monkeypatch.setattr(bench_layers, "BATCH", 4)
    monkeypatch.setattr(
        bench_layers,
        "_backward",
        lambda outputs, inputs: taken.append(outputs) or own(outputs, inputs),
    )
    for form in ("library", "contiguous"):
        bench_layers._convolution_step(8, 8, 4, 3, 4, 2, form, CPU)()
        (cell,) = (c for c in taken.pop().__closure__ if hasattr(c.cell_contents, "form"))
        assert cell.cell_contents.form == form


def test_all_that_a_gpu_has_a_form_for_is_in_its_grid():
    keys = list(bench_layers._gpu_grid())
    assert len(keys) == len(set(keys))
    assert {key[0] for key in keys} == {"convolution", "norm", "pool"}
    own = forms._own_forms("cuda")
    for layer, taps, groups, w_in, w_out, stride, side in keys:
        if layer == "convolution":
            assert own.of_convolution(taps, groups, w_in, w_out, stride, side * side) == "packed"
            assert w_in == w_out <= 32  # wider groups are the library's
    assert {key[5] for key in keys if key[0] == "convolution"} == {1, 2}


def test_a_gpus_steps_are_timed_by_its_own_clock(monkeypatch):
    """A replayed graph of several steps, between events that are read when all is done."""
    clock = types.SimpleNamespace(now=0.0, done=-1.0)

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at = clock.now

        def elapsed_time(self, end):
            assert clock.done >= end.at, "read before the device was waited for"
            return end.at - self.at

    def synchronize(device):
        clock.done = clock.now

    def step():
        clock.now += 3.0

    captured = []

    def capture(work):
        captured.append(work)
        return recomputed_graphs.RecomputedGraph(lambda: work() and (), ()), None

    monkeypatch.setattr(gpu_devices, "GPU_TYPES", {"cuda"})
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(gpu_graph, "capture", capture)
    assert bench_layers.time_step(step, torch.device("cuda")) == pytest.approx(3.0)
    assert len(captured) == 1


def test_a_step_on_the_cpu_is_timed_by_itself(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(bench_layers.time, "perf_counter", lambda: now[0])

    def step():
        now[0] += 0.002

    assert bench_layers.time_step(step, CPU) == pytest.approx(2.0)
