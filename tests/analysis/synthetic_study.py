"""Study folders with a known rank structure, as the driver writes them."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

STAGES = 3
COLUMNS = [
    *("run", "sweep", "dataset", "regime", "arch", "seed", "status", "num_classes", "epochs"),
    *("error_metric", "error", "topk", "final_top1_err", "min_top1_err", "final_topk_err"),
    *("min_topk_err", "final_train_top1_err", "final_train_topk_err"),
    *("flops", "params", "acts", "cum_depth", "cum_width"),
    *(f"{name}_{s}" for name in ("depth", "width", "bot_mul", "group_w") for s in (1, 2, 3)),
]


@dataclass
class Plan:
    """What to simulate.

    `signal` is each data set's correlation with a latent quality of the architectures;
    errors are level + scale * latent. `failed` and `missing` hold (dataset, arch index).
    """

    archs: int = 32
    classes: dict[str, int] = field(
        default_factory=lambda: {
            "digits": 10,
            "digits_5": 5,
            "digits_2": 2,
            "photographs": 6,
            "textures": 3,
            "faces": 2,
        }
    )
    signal: dict[str, float] = field(
        default_factory=lambda: {
            "digits": 0.98,
            "digits_5": 0.9,
            "digits_2": 0.6,
            "photographs": 0.8,
            "textures": 0.0,
            "faces": -0.7,
        }
    )
    family: tuple[str, ...] = ("digits_5", "digits_2")
    targets: tuple[str, ...] = ("photographs", "textures", "faces")
    repeats: int = 5
    failed: tuple[tuple[str, int], ...] = (("textures", 7),)
    missing: tuple[tuple[str, int], ...] = ()
    seed: int = 0
    topk: bool = False  # top-k errors that rank like top-1; training errors that rise with depth


def plan_of(*keys, **changes):
    """Return a plan of some of the data sets: figures of fewer panels are drawn faster."""
    plan = Plan(**changes)
    plan.classes = {key: plan.classes[key] for key in keys}
    plan.signal = {key: plan.signal[key] for key in keys}
    plan.family = tuple(key for key in plan.family if key in keys)
    plan.targets = tuple(key for key in plan.targets if key in keys)
    return plan


TITLES = {
    "digits": "Digits",
    "digits_5": "Digits-5",
    "digits_2": "Digits-2",
    "photographs": "Photograph patches",
    "textures": "Textures",
    "faces": "Faces",
}


def write_study(folder: Path, plan: Plan | None = None) -> Path:
    """Write results.csv, study.json, status.json and timings.csv of a simulated study."""
    plan = plan or Plan()
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(plan.seed)
    latent = rng.standard_normal(plan.archs)
    depths = rng.integers(1, 9, (plan.archs, STAGES))
    widths = 8 * rng.integers(2, 40, (plan.archs, STAGES))
    errors = {}
    for index, (key, signal) in enumerate(plan.signal.items()):
        noise = rng.standard_normal(plan.archs)
        mixed = signal * latent + np.sqrt(1 - signal**2) * noise
        errors[key] = np.clip(8 + 5 * index + (1 + 0.5 * index) * mixed, 0, 100)
    rows, failed = [], []
    for key in plan.classes:
        for arch in range(plan.archs):
            status = "done"
            if (key, arch) in plan.failed:
                status = "failed"
                failed.append(
                    {
                        "run": f"{key}/{arch:06d}",
                        "reason": "the loss is <NaN> & the run was stopped",
                        "log_tail": "epoch 3\nloss nan <b>not bold</b>",
                    }
                )
            elif (key, arch) in plan.missing:
                status = "missing"
            rows.append(
                _row(plan, key, key, arch, arch, status, errors[key][arch], depths, widths, 1)
            )
    for seed in range(plan.repeats):
        error = float(np.clip(errors["digits"][0] + 0.15 * rng.standard_normal(), 0, 100))
        rows.append(
            _row(plan, "repeats", "digits", 0, seed, "done", error, depths, widths, seed + 1)
        )
    write_csv(folder / "results.csv", COLUMNS, rows)
    write_json(folder / "study.json", _study(plan))
    counts = [row["status"] for row in rows]
    status = {
        "planned": len(rows),
        "done": counts.count("done"),
        "failed": failed,
        "missing": counts.count("missing"),
    }
    write_json(folder / "status.json", status)
    timings = [
        {"run": row["run"], "started": "", "seconds": "2.5", "images_per_s": "900"}
        for row in rows
        if row["status"] == "done"
    ]
    write_csv(folder / "timings.csv", ["run", "started", "seconds", "images_per_s"], timings)
    return folder


def _row(plan, sweep, dataset, arch, number, status, error, depths, widths, seed):
    done = status == "done"
    text = f"{error:.4f}" if done else ""
    depth, width = depths[arch], widths[arch]
    row = {
        "run": f"{sweep}/{number:06d}",
        "sweep": sweep,
        "dataset": dataset,
        "regime": "short",
        "arch": f"a{arch:04d}",
        "seed": seed,
        "status": status,
        "num_classes": plan.classes[dataset],
        "epochs": 20,
        "error_metric": "top1",
        "error": text,
        "topk": min(5, plan.classes[dataset]),
        "final_top1_err": text,
        "min_top1_err": text,
        "final_topk_err": "0.0000" if done else "",
        "min_topk_err": "0.0000" if done else "",
        "final_train_top1_err": text,
        "final_train_topk_err": "0.0000" if done else "",
    }
    if plan.topk and done:
        row["final_topk_err"] = row["min_topk_err"] = f"{error**2 / 200:.4f}"
        row["final_train_top1_err"] = f"{int(depth.sum()):.4f}"
    return row | {
        "flops": 1_000_000 + arch,
        "params": 50_000 + arch,
        "acts": 20_000 + arch,
        "cum_depth": int(depth.sum()),
        "cum_width": int(width.sum()),
        **{f"depth_{stage + 1}": int(depth[stage]) for stage in range(STAGES)},
        **{f"width_{stage + 1}": int(width[stage]) for stage in range(STAGES)},
        **{f"bot_mul_{stage + 1}": "0.5" for stage in range(STAGES)},
        **{f"group_w_{stage + 1}": 8 for stage in range(STAGES)},
    }


def _study(plan):
    datasets = {
        key: {
            "title": TITLES.get(key, key.title()),
            "description": f"Simulated images of {classes} classes.",
            "num_classes": classes,
            "train_images": 1200,
            "test_images": 597,
            "im_size": 16,
            "error_metric": "top1",
            "source": "a simulation",
            "licence": "none needed",
            "view_of": "digits" if key.startswith("digits_") else None,
            "classes": [str(index) for index in range(classes)],
            "fingerprint": f"{index:016x}",
        }
        for index, (key, classes) in enumerate(plan.classes.items())
    }
    sweeps = {
        key: {"dataset": key, "regime": "short", "role": "main", "runs": plan.archs}
        for key in plan.classes
    }
    if plan.repeats:
        sweeps["repeats"] = {
            "dataset": "digits",
            "regime": "short",
            "role": "repeats",
            "runs": plan.repeats,
        }
    return {
        "name": "simulated",
        "title": "Simulated study",
        "description": "Errors drawn with a known rank structure.",
        "reference": "digits",
        "family": list(plan.family),
        "targets": list(plan.targets),
        "sweeps": sweeps,
        "datasets": datasets,
        "regimes": {
            "short": {"epochs": 20, "batch_size": 64, "base_lr": 0.1, "weight_decay": 5e-5}
        },
        "population": {
            "space": "AnyNetX",
            "size": plan.archs,
            "seed": 1,
            "drawn": 4000,
            "accepted": plan.archs,
            "stages": STAGES,
            "regime": "2 to 3 MF at 16 x 16",
        },
        "versions": {"python": "3.11", "torch": "2.13", "numpy": "2.4", "pycls": "0.1.0"},
        "commit": "0123456789abcdef",
    }


def write_csv(path, columns, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2))
