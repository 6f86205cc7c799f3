"""A simulated study of control experiments beside a simulated base, ranks known."""

import copy
import csv
import json

import numpy as np
from synthetic_study import COLUMNS, Plan, write_csv, write_json, write_study

EPOCHS = 20  # of the base's runs
LONG = 60
CURVE_COLUMNS = [
    *("run", "sweep", "arch", "seed", "epoch"),
    *("test_top1_err", "test_topk_err", "train_top1_err", "train_topk_err"),
]
# sweep -> (control, of, data set, epochs, factor on the base's error, noise in points)
SWEEPS = {
    "photographs_stem": ("stem", "photographs", "photographs_stem", EPOCHS, 0.5, 0.05),
    "photographs_long": ("duration", "photographs", "photographs_long", LONG, 0.4, 0.05),
    "textures_balanced": ("balanced", "textures", "textures_balanced", EPOCHS, 1.1, 0.3),
    "photographs_pretrained": ("pretrained", "photographs", "photographs", EPOCHS, 0.7, 0.3),
    "faces_pretrained": ("pretrained", "faces", "faces", EPOCHS, 0.0, 0.0),
}
NETWORKS = {"R-56": 5.5, "AnyNet-110": 5.1, "Mine": 7.0}


def write_pair(folder, plan=None):
    """Write a base study and its control experiments; return the latter's folder."""
    base = write_study(folder / "base", plan or Plan(topk=True))
    return write_appendix(folder / "appendix", base)


def write_appendix(folder, base):
    """Write results.csv, curves.csv and study.json of all kinds of control experiments.

    A control's errors are the base's times a factor, with a little noise, so that it ranks
    like the base; pretrained faces follow the reference instead.
    """
    folder.mkdir()
    rng = np.random.default_rng(5)
    with (base / "results.csv").open() as file:
        known = [row for row in csv.DictReader(file) if row["sweep"] != "repeats"]
    of_base = {(row["sweep"], row["arch"]): row for row in known}
    archs = sorted({row["arch"] for row in known})
    rows, curves, curves_of_base = [], [], []

    def add(sweep, dataset, like, error, epochs, seed=1, **changes):
        row = {**like, "run": f"{sweep}/{len(rows):06d}", "sweep": sweep, "dataset": dataset}
        text = f"{error:.4f}"
        row |= {"error": text, "final_top1_err": text, "min_top1_err": text}
        rows.append(row | {"status": "done", "epochs": epochs, "seed": seed, **changes})

    def add_curve(curves, sweep, arch, errors):
        for epoch, error in enumerate(errors, 1):
            values = (f"{sweep}/x", sweep, arch, 1, epoch, f"{error:.4f}", "0", "1.5", "0")
            curves.append(dict(zip(CURVE_COLUMNS, values, strict=True)))

    for sweep, (_, of, dataset, epochs, factor, noise) in SWEEPS.items():
        for arch in archs:
            like = of_base[of, arch]
            error = factor * float(like["error"] or 10) + noise * rng.standard_normal()
            if sweep == "faces_pretrained":
                error = 0.1 * float(of_base["digits", arch]["error"])
            add(sweep, dataset, like, error, epochs)
            if sweep == "photographs_long":
                add_curve(curves, sweep, arch, error + 20 * np.exp(-np.arange(1, epochs + 1) / 8))
    by_error = sorted(archs, key=lambda arch: float(of_base["faces", arch]["error"]))
    for arch in dict.fromkeys(by_error[:5] + by_error[-5:]):
        like = of_base["faces", arch]
        before = float(like["error"])
        error = before - 4 * (arch in by_error[-5:])
        add("faces_continued", "faces", like, error, 4 * EPOCHS)
        regular = before + 10 * np.exp(-np.arange(1, EPOCHS + 1) / 4)
        add_curve(curves_of_base, "faces", arch, regular)
        add_curve(curves, "faces_continued", arch, np.linspace(before, error, 4 * EPOCHS))
    for arch in archs[:2]:
        like = of_base["digits", arch]
        for seed in range(1, 7):
            error = float(like["error"]) + 0.1 * rng.standard_normal()
            add("digits_repeats", "digits", like, error, EPOCHS, seed)
    nothing = {name: "" for name in COLUMNS if name[-1].isdigit() or name.startswith("cum_")}
    for name, error in NETWORKS.items():
        add("networks", "cifar10", known[0] | nothing, error, 200, arch=name)
    write_csv(folder / "results.csv", COLUMNS, rows)
    write_csv(folder / "curves.csv", CURVE_COLUMNS, curves)
    write_csv(base / "curves.csv", CURVE_COLUMNS, curves_of_base)
    described = json.loads((base / "study.json").read_text())
    described["datasets"]["textures"]["class_counts"] = {
        "train": {"brick": 90, "sand": 30, "bark": 20}, "test": {"brick": 9}
    }  # fmt: skip
    write_json(base / "study.json", described)
    write_json(folder / "study.json", _study(described, rows))
    return folder


def _study(base, rows):
    sweeps = {
        name: {"dataset": dataset, "control": control, "of": of, "epochs": epochs}
        for name, (control, of, dataset, epochs, *_) in SWEEPS.items()
    }
    sweeps["faces_continued"] = {
        "dataset": "faces", "control": "continued", "of": "faces", "epochs": 4 * EPOCHS
    }  # fmt: skip
    sweeps["digits_repeats"] = {
        "dataset": "digits", "control": "repeats", "of": "digits", "epochs": EPOCHS
    }  # fmt: skip
    sweeps["networks"] = {"dataset": "cifar10", "control": "networks", "epochs": 200}
    counts = [row["sweep"] for row in rows]
    for name, sweep in sweeps.items():
        sweep |= {"role": "control", "regime": "short", "runs": counts.count(name)}
    known = {**base["datasets"], "cifar10": base["datasets"]["digits"] | {"title": "Cifar10"}}
    datasets = {}
    for sweep in sweeps.values():
        like = known.get(sweep.get("of"), known["cifar10"])
        datasets[sweep["dataset"]] = copy.deepcopy(like)
    datasets["textures_balanced"] |= {
        "title": "Textures-balanced",
        "class_counts": {"train": {"brick": 30, "sand": 30, "bark": 20}, "test": {"brick": 9}},
    }
    return {
        "name": "appendix",
        "title": "Control experiments in small",
        "description": "What if the base had been trained otherwise?",
        "reference": None,
        "family": [],
        "targets": [],
        "sweeps": sweeps,
        "datasets": datasets,
        "regimes": base["regimes"],
        "population": base["population"],
        "versions": base["versions"],
        "commit": base["commit"],
        "base": {"name": base["name"], "folder": "../base", "study": base},
    }
