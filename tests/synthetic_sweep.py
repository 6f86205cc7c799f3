"""Collected sweeps with known errors: what pycls's collector writes, without the training."""

import json
import math
from pathlib import Path

import numpy as np
import yaml

from pycls.analysis.figures.networks import NetworkStages
from pycls.analysis.sweep.networks import SweepNetwork


def record(name, cfg, errors, *, planned=None, complexity=None, ema=None, err="", root="logs"):
    """Return a run of sweep.json whose test error by epoch is `errors` (percent)."""
    planned = planned or len(errors)
    epochs = {
        "epoch_ind": list(range(1, len(errors) + 1)),
        "epoch_max": [planned] * len(errors),
        "mem": [2000 + len(name)] * len(errors),
        "time_avg": [0.1] * len(errors),
        "time_epoch": [4.0 + epoch / 10 for epoch in range(len(errors))],
    }

    def by_epoch(values):
        lowest = np.fmin.accumulate(values).tolist() if len(values) else []
        return {**epochs, "top1_err": list(values), "min_top1_err": lowest}

    run = {
        "cfg": cfg,
        "complexity": complexity or {"flops": 10**9, "params": 2 * 10**6, "acts": 3 * 10**6},
        "iter_times": {"train_fw_bw_time": 0.1},
        "epoch_times": {"train_fw_bw_time": 12.5, "train_loader_time": 1.0},
        "log_file": f"{root}/{name}/stdout.log",
        "err_file": f"{root}/{name}/stderr.log",
        "err": err,
    }
    if len(errors):
        run["train_epoch"] = {**by_epoch([min(100, e + 4) for e in errors]), "loss": list(errors)}
        run["test_epoch"] = by_epoch(errors)
        run["test_ema_epoch"] = by_epoch([e - 0.5 for e in errors] if ema is None else ema)
    return run


def curve(final, epochs=6, start=60.0):
    """Return errors that fall to `final`."""
    steps = np.arange(1, epochs + 1) / epochs
    return [round(float(final + (start - final) * (1 - s) ** 2), 4) for s in steps]


def rates_cfg(lr, wd=1e-4, epochs=6, **anynet):
    """Return the configuration of a run that pycls would have."""
    net = {"DEPTHS": [1, 2], "WIDTHS": [16, 32], "BOT_MULS": [1.0, 0.5], "GROUP_WS": [8, 8]}
    return {
        "DESC": f"lr {lr:g}",
        "MODEL": {"TYPE": "anynet"},
        "ANYNET": {**net, **anynet},
        "OPTIM": {"BASE_LR": lr, "WEIGHT_DECAY": wd, "MAX_EPOCH": epochs},
        "TRAIN": {"DATASET": "digits", "IM_SIZE": 8},
    }


def rate_runs(count=40, seed=0):
    """Return runs whose error is lowest at a learning rate of 0.1 and has nothing to do with wd."""
    rng = np.random.default_rng(seed)
    runs = []
    for place in range(count):
        lr, wd = 10 ** float(rng.uniform(-3, 1)), 10 ** float(rng.uniform(-5, -3))
        final = 5 + 3 * abs(math.log10(lr) + 1) + rng.normal(0, 0.1)
        depths = [int(rng.integers(1, 5)), int(rng.integers(1, 5))]
        flops = {"flops": int(10**9 * rng.uniform(0.5, 2)), "params": 2 * 10**6, "acts": 10**6}
        cfg = rates_cfg(lr, wd, DEPTHS=depths)
        runs.append(record(f"{place:06d}", cfg, curve(final), complexity=flops))
    return runs


def write_sweep_json(folder, runs):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps(runs))
    return folder / "sweep.json"


def collect_simulated(folder: Path, epochs=None):
    """Write sweep.json of a sweep that was set up, as if all its runs had been trained."""
    summary = yaml.safe_load((folder / "cfgs_summary.yaml").read_text())
    rng = np.random.default_rng(len(summary))
    runs = []
    for path in sorted((folder / "cfgs").glob("*.yaml")):
        cfg = yaml.safe_load(path.read_text())
        planned = epochs or cfg["OPTIM"]["MAX_EPOCH"]
        final = 5 + rng.gamma(2.0) + 20 / planned + abs(math.log10(cfg["OPTIM"]["BASE_LR"]))
        cost = {"flops": 125_000_000 + len(runs), "params": 10**6, "acts": 9 * 10**5}
        errors = curve(final, planned)
        runs.append(record(path.stem, cfg, errors, complexity=cost, root=folder / "logs"))
    return write_sweep_json(folder, runs)


def describe(cfg):
    """Return the network of a configuration that `rates_cfg` made."""
    net = cfg["ANYNET"]
    return SweepNetwork(NetworkStages("", net["DEPTHS"], net["WIDTHS"]), "anynet")
