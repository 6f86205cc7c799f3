"""The published study, simulated: 500 architectures on all its sets, and its control experiments.

Errors are drawn by a Gaussian copula: a correlation matrix that has the published rhos where
there are some, normal scores whose sample correlations are exactly that matrix's, and each set's
own distribution of errors. Depth and width are those of the study's population. With `exact`, the
matrix is corrected until the rhos of Tables 3 and 4 are the published ones in this sample.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.stats import norm, spearmanr

from pycls.analysis.paper.published import TABLE_3, TABLE_4

POPULATION = Path(__file__).parents[2] / "sweeps" / "imagenet_as_basis" / "population.csv"
NAME = "imagenet_as_basis"
REFERENCE = "imagenet"
FAMILY = ("imagenet_100", "imagenet_10", "imagenet_5", "imagenet_2")
TARGETS = (
    *("concrete", "mlc2008", "ham10000", "powerline", "insects", "natural", "cifar10", "cifar100"),
)
# title, classes, train, test, pixels, epochs, metric; then the errors: lowest, scale, skew
SETS = {
    "concrete": ("Concrete", 2, 30000, 10000, 227, 20, "top1", 0.02, 0.12, 0.9),
    "mlc2008": ("MLC2008", 9, 34000, 9000, 312, 20, "top1", 16.0, 5.0, 0.45),
    "imagenet": ("ImageNet", 1000, 1281167, 50000, 256, 10, "top5", 12.0, 10.0, 0.55),
    "ham10000": ("HAM10000", 7, 8000, 2015, 296, 30, "top1", 20.0, 4.0, 0.35),
    "powerline": ("Powerline", 2, 6000, 2000, 128, 20, "top1", 3.0, 4.0, 0.6),
    "insects": ("Insects", 291, 50000, 13000, 296, 20, "top5", 9.0, 8.0, 0.6),
    "natural": ("Natural", 6, 14034, 3000, 150, 20, "top1", 8.0, 3.5, 0.45),
    "cifar10": ("Cifar10", 10, 50000, 10000, 32, 30, "top1", 16.0, 6.0, 0.5),
    "cifar100": ("Cifar100", 100, 50000, 10000, 32, 30, "top5", 16.0, 8.0, 0.4),
    "imagenet_100": ("ImageNet-100", 100, 128000, 5000, 256, 10, "top5", 22.0, 12.0, 0.45),
    "imagenet_10": ("ImageNet-10", 10, 13000, 500, 256, 40, "top1", 14.0, 9.0, 0.4),
    "imagenet_5": ("ImageNet-5", 5, 6500, 250, 256, 40, "top1", 9.0, 7.0, 0.45),
    "imagenet_2": ("ImageNet-2", 2, 2600, 100, 256, 40, "top1", 3.0, 5.0, 0.5),
    "imagenet_1000_10": ("ImageNet-1000-10", 1000, 10000, 50000, 256, 40, "top5", 80.0, 6.0, 0.3),
}
VIEWS = dict.fromkeys((*FAMILY, "imagenet_1000_10"), REFERENCE)
# rho with ImageNet, with the closest subset, with cumulative depth, with cumulative width
WANTED = {
    "imagenet": (1.0, None, -0.205, -0.511),
    "imagenet_100": (0.96, None, -0.022, -0.558),
    "imagenet_10": (0.7, None, 0.249, -0.457),
    "imagenet_5": (0.5, None, 0.51, -0.338),
    "imagenet_2": (0.3, None, 0.425, -0.179),
    "imagenet_1000_10": (0.88, None, None, None),
    "concrete": (0.001, 0.106, None, None),
    "mlc2008": (0.476, 0.811, None, None),
    "ham10000": (0.517, 0.608, 0.05, None),
    "powerline": (-0.436, 0.294, 0.6, 0.1),
    "insects": (0.967, 0.95, -0.15, -0.5),
    "natural": (-0.38, 0.186, 0.65, 0.1),
    "cifar10": (-0.104, 0.45, 0.5, None),
    "cifar100": (0.476, 0.595, 0.4, -0.3),
}
CLOSEST = {
    "concrete": "imagenet_2", "mlc2008": "imagenet_10", "ham10000": "imagenet_5",
    "powerline": "imagenet_2", "insects": "imagenet_100", "natural": "imagenet_5",
    "cifar10": "imagenet_10", "cifar100": "imagenet_100",
}  # fmt: skip
UNFINISHED = {("powerline", 7): "failed", ("cifar100", 11): "missing"}
NETWORKS = {"ResNet-56": 5.87, "ResNet-110": 5.31, "AnyNet-56": 5.72, "AnyNet-110": 5.44}
CLASS_COUNTS = {
    "ham10000": dict(zip(
        ("nv", "mel", "bkl", "bcc", "akiec", "vasc", "df"),
        (5364, 890, 879, 411, 262, 114, 80), strict=True,
    )),
    "mlc2008": dict(zip(
        ("CCA", "TA", "MA", "A", "B", "C", "D", "E", "F"),
        (20500, 4100, 3200, 2300, 1500, 1000, 700, 450, 250), strict=True,
    )),
}  # fmt: skip
_TOPK = 5
_SOFT = 0.03  # weight of rhos that are not asked for
_CORRECTIONS, _CLOSE = 60, 0.0018  # of the matrix, at most, until all rhos are so close
_STAGES = [f"{name}_{s}" for name in ("depth", "width", "bot_mul", "group_w") for s in (1, 2, 3, 4)]


def write_collection(folder, archs=500, seed=1):
    """Write the study and its control experiments under `folder`; return the study's folder."""
    return Simulation(archs, seed).write(Path(folder))


class Simulation:
    """Errors of the population on each set, and the folders that say so."""

    def __init__(self, archs, seed, exact=False):
        self.rng = np.random.default_rng(seed)
        self.population = pd.read_csv(POPULATION).iloc[:archs]
        self.archs = self.population["arch"].to_numpy()
        names, draw, between = _scores(self.population, self.rng)
        rhos = published_rhos() if exact else wanted_rhos()
        targets = dict(rhos)
        for _ in range(_CORRECTIONS if exact else 1):
            scores = draw(wanted_matrix(names, between, targets, soft=wanted_rhos()))
            self.scores = dict(zip(names, scores.T, strict=True))
            self.errors = {key: _errors(key, self.scores[key]) for key in SETS}
            missed = {pair: rho - self._rho(*pair) for pair, rho in rhos.items()}
            if max(map(abs, missed.values())) < _CLOSE:
                break
            # Half of it: a step changes the rhos of other pairs, too.
            targets = {pair: rho + missed[pair] / 2 for pair, rho in targets.items()}

    def _rho(self, key, other):
        """Return the sample's rho, without the runs that do not finish."""
        columns = {"depth": "cum_depth", "width": "cum_width"}
        values = self.population[columns[other]] if other in columns else self.errors[other]
        kept = np.ones(len(values), dtype=bool)
        kept[[place for name, place in UNFINISHED if name in (key, other)]] = False
        return spearmanr(self.errors[key][kept], np.asarray(values)[kept]).statistic

    def write_main(self, folder):
        """Write the main study; return its folder."""
        main = folder / NAME
        sweeps = {key: self.sweep(key, key, self.errors[key]) for key in SETS}
        for (key, place), status in UNFINISHED.items():
            if place < len(self.archs):
                rows = sweeps[key]
                rows.loc[place, "status"] = status
                rows.loc[place, [name for name in rows if name.endswith(("err", "error"))]] = np.nan
        self.main = sweeps
        curves = [self.curves(key, sweeps[key]) for key in SETS]
        roles = {key: {"dataset": key, "role": "main"} for key in SETS}
        _write_study(main, self._study(NAME, sweeps, roles, None), sweeps, curves)
        return main

    def write(self, folder):
        """Write all studies; return the main one's folder."""
        main = self.write_main(folder)
        self._write_training(folder)
        self._write_continued(folder)
        self._write_repeats(folder)
        for name, uses in (("a4a", ["imagenet", "cifar100", "insects"]),
                           ("a4b", ["powerline", "natural", "cifar100"])):  # fmt: skip
            study = self._study(f"{NAME}_{name}", {}, {}, NAME) | {"uses": uses}
            _write_study(folder / f"{NAME}_{name}", study, {}, [])
        self._write_variants(folder, "a5", "balanced", ("mlc2008", "ham10000"), 0.9, 1.2)
        without = [key for key in TARGETS if key != "concrete"]
        self._write_variants(folder, "a6", "pretrained", without, 0.6, 0.4)
        self._write_networks(folder)
        return main

    def sweep(self, name, key, errors, archs=None, epochs=None, seed=1):
        """Return the rows of results.csv of a sweep."""
        _, classes, _, _, _, regular, metric, *_ = SETS[key]
        rows = self.population if archs is None else self.population.iloc[archs]
        rows = rows[[*_STAGES, "arch", "flops", "params", "acts", "cum_depth", "cum_width"]]
        rows = rows.reset_index(drop=True)
        k = min(_TOPK, classes)
        top1, topk = errors, 0.15 * errors if classes > _TOPK else 0 * errors
        if metric == "top5":
            top1, topk = 100 * (errors / 100) ** 0.6, errors
        return rows.assign(
            run=[f"{name}/{place:06d}" for place in range(len(rows))],
            sweep=name, dataset=name if key != name and "_" in name else key, regime=key,
            seed=seed, status="done", num_classes=classes, epochs=epochs or regular,
            error_metric=metric, error=errors, topk=k, final_top1_err=top1, min_top1_err=top1,
            final_topk_err=topk, min_topk_err=topk,
            final_train_top1_err=0.85 * top1, final_train_topk_err=0.85 * topk,
        )  # fmt: skip

    def curves(self, name, rows):
        """Return the rows of curves.csv of a sweep: exponential falls to the final errors."""
        rows = rows[rows["status"] == "done"]
        epochs = int(rows["epochs"].iloc[0])
        chance = 100 * (1 - 1 / rows["num_classes"].to_numpy())[:, None]
        epoch = np.arange(1, epochs + 1)
        share = np.exp(-epoch / (0.08 * epochs)) - np.exp(-1 / 0.08)
        shape = (len(rows), epochs)
        wobble = 1 + 0.02 * self.rng.standard_normal(shape) * (epoch < epochs)
        columns = {"sweep": np.repeat(name, len(rows) * epochs)}
        for column in ("run", "arch", "seed"):
            columns[column] = np.repeat(rows[column].to_numpy(), epochs)
        columns["epoch"] = np.tile(epoch, len(rows))
        for column in ("test_top1_err", "test_topk_err", "train_top1_err", "train_topk_err"):
            source = column.replace("test", "final").replace("train", "final_train")
            last = rows[source].to_numpy()[:, None]
            values = np.clip((last + (0.9 * chance - last) * share) * wobble, 0, 100)
            columns[column] = values.ravel()
        return pd.DataFrame(columns)

    def _similar(self, key, rho, factor):
        """Return errors that rank about like those on a set: rho with them, times a factor."""
        noise = self.rng.standard_normal(len(self.archs))
        return factor * _errors(key, rho * self.scores[key] + np.sqrt(1 - rho**2) * noise)

    def _write_training(self, folder):
        stem, longer = (self._similar("cifar10", 0.95, factor) for factor in (0.62, 0.6))
        sweeps = {
            "cifar10_stem": self.sweep("cifar10_stem", "cifar10", stem),
            "cifar10_200": self.sweep("cifar10_200", "cifar10", longer, epochs=200),
        }
        self.long = sweeps["cifar10_200"]
        roles = {name: _control(name, kind, "cifar10") for name, kind in
                 (("cifar10_stem", "stem"), ("cifar10_200", "duration"))}  # fmt: skip
        study = self._study(f"{NAME}_a1", sweeps, roles, NAME)
        curves = [self.curves(name, rows) for name, rows in sweeps.items()]
        _write_study(folder / f"{NAME}_a1", study, sweeps, curves)

    def _write_continued(self, folder):
        sweeps, roles = {}, {}
        for key in ("powerline", "natural"):
            name = f"{key}_continued"
            order = np.argsort(self.main[key]["error"].to_numpy(), kind="stable")  # NaN last
            order = order[: self.main[key]["error"].notna().sum()]
            places = np.concatenate([order[:5], order[-5:]])
            errors = self.errors[key][places] - np.repeat([0.1, 1.5], 5)
            sweeps[name] = self.sweep(name, key, errors, places, epochs=80)
            roles[name] = _control(name, "continued", key)
        study = self._study(f"{NAME}_a2", sweeps, roles, NAME)
        curves = []
        for name, rows in sweeps.items():
            curve = self.curves(name, rows)
            last = curve["arch"].map(rows.set_index("arch")["error"])
            bump = (
                3 * np.exp(-curve["epoch"] / 15) * (1 + 0.2 * self.rng.standard_normal(len(curve)))
            )
            curve["test_top1_err"] = last + bump.where(curve["epoch"] < 80, 0)
            curves.append(curve)
        _write_study(folder / f"{NAME}_a2", study, sweeps, curves)

    def _write_repeats(self, folder):
        errors = self.long["error"].to_numpy()
        tables = []
        for quantile in (0.33, 0.67):
            place = int(np.argsort(errors)[int(quantile * (len(errors) - 1))])
            drawn = errors[place] + 0.22 * self.rng.standard_normal(250)
            tables.append(
                self.sweep("cifar10_repeats", "cifar10", drawn, np.repeat(place, 250), 200)
                .assign(seed=np.arange(1001, 1251))
            )  # fmt: skip
        rows = pd.concat(tables, ignore_index=True)
        rows["run"] = [f"cifar10_repeats/{place:06d}" for place in range(len(rows))]
        roles = {"cifar10_repeats": _control("cifar10_repeats", "repeats", "cifar10_200")}
        sweeps = {"cifar10_repeats": rows}
        study = self._study(f"{NAME}_a3", sweeps, roles, f"{NAME}_a1")
        _write_study(folder / f"{NAME}_a3", study, sweeps, [])

    def _write_variants(self, folder, suffix, kind, keys, rho, factor):
        sweeps, roles = {}, {}
        for key in keys:
            name = f"{key}_{kind}"
            sweeps[name] = self.sweep(name, key, self._similar(key, rho, factor))
            roles[name] = _control(name, kind, key)
        study = self._study(f"{NAME}_{suffix}", sweeps, roles, NAME)
        _write_study(folder / f"{NAME}_{suffix}", study, sweeps, [])

    def _write_networks(self, folder):
        name = "cifar10_networks"
        rows = self.sweep(name, "cifar10", np.array(list(NETWORKS.values())), range(4), 200)
        rows = rows.assign(arch=list(NETWORKS))
        rows[[*_STAGES, "cum_depth", "cum_width"]] = np.nan
        sweeps, roles = {name: rows}, {name: _control(name, "networks", "cifar10")}
        study = self._study(f"{NAME}_table_a1", sweeps, roles, NAME)
        _write_study(folder / f"{NAME}_table_a1", study, sweeps, [])

    def _study(self, name, sweeps, roles, base):
        for sweep, rows in sweeps.items():
            epochs = int(rows["epochs"].iloc[0])
            roles[sweep] |= {"regime": "simulated", "runs": len(rows), "epochs": epochs}
        keys = SETS if base is None else {rows["dataset"].iloc[0] for rows in sweeps.values()}
        is_main = base is None
        return {
            "name": name,
            "title": "ImageNet as a basis, simulated" if is_main else f"Control: {name}",
            "description": "Errors drawn with a known rank structure.",
            "reference": REFERENCE if is_main else None,
            "family": list(FAMILY) if is_main else [],
            "targets": list(TARGETS) if is_main else [],
            "sweeps": roles,
            "datasets": {key: _dataset(key) for key in keys},
            "regimes": {"simulated": {}},
            "population": {"size": len(self.archs), "seed": 1, "space": "AnyNetX", "stages": 4},
            "versions": {"python": "3.11"},
            "commit": None,
            "base": None if is_main else {"name": base, "folder": f"../{base}"},
            "uses": [],
        }


def _scores(population, rng):
    """Return the names of depth, width and all sets, and how scores with a matrix are drawn."""
    names = ["depth", "width", *WANTED]
    given = [norm.ppf((population[name].rank() - 0.5) / len(population))
             for name in ("cum_depth", "cum_width")]  # fmt: skip
    noise = rng.standard_normal((len(population), len(WANTED)))
    columns = np.column_stack([*given, noise])
    columns -= columns.mean(axis=0)
    basis, triangle = np.linalg.qr(columns)
    basis *= np.sign(np.diag(triangle)) * np.sqrt(len(population))
    between = np.corrcoef(columns[:, 0], columns[:, 1])[0, 1]
    return names, lambda matrix: basis @ np.linalg.cholesky(matrix).T, between


def wanted_rhos():
    """Return (set, set, "depth" or "width") -> rho, of all pairs in `WANTED`."""
    found = {}
    for key, (reference, member, depth, width) in WANTED.items():
        others = ((REFERENCE, reference), (CLOSEST.get(key), member))
        for other, rho in (*others, ("depth", depth), ("width", width)):
            if rho is not None and other != key:
                found[key, other] = rho
    return found


def published_rhos():
    """Return those of them that are in Tables 3 and 4."""
    found = {}
    for key, (reference, member) in TABLE_3.items():
        found |= {(key, REFERENCE): reference, (key, CLOSEST[key]): member}
    for key, (depth, width) in TABLE_4.items():
        found |= {(key, "depth"): depth, (key, "width"): width}
    return found


def wanted_matrix(names, depth_width, rhos, soft):
    """Return a correlation matrix of normal scores that has the rhos, as far as it can.

    `soft` are rhos that other pairs begin with.
    """
    matrix, fixed = np.eye(len(names)), np.eye(len(names), dtype=bool)
    for pairs, is_fixed in ((soft, False), (rhos, True)):
        for (a, b), rho in pairs.items():
            i, j = names.index(a), names.index(b)
            matrix[i, j] = matrix[j, i] = 2 * np.sin(np.pi * np.clip(rho, -1, 1) / 6)
            fixed[i, j] = fixed[j, i] = is_fixed
    i, j = names.index("depth"), names.index("width")
    matrix[i, j] = matrix[j, i] = depth_width
    fixed[i, j] = fixed[j, i] = True
    weights = np.where(fixed, 1.0, _SOFT * (matrix != 0)) * (1 - np.eye(len(names)))

    def loss(entries):
        rows = entries.reshape(matrix.shape)
        sizes = np.linalg.norm(rows, axis=1, keepdims=True)
        unit = rows / sizes
        missed = weights * (unit @ unit.T - matrix)
        slope = 4 * missed @ unit
        slope -= unit * np.sum(unit * slope, axis=1, keepdims=True)
        return np.sum(missed * (unit @ unit.T - matrix)), (slope / sizes).ravel()

    values, vectors = np.linalg.eigh(matrix)
    start = vectors * np.sqrt(np.maximum(values, 0.01))
    options = {"maxiter": 3000, "maxfun": 5000, "ftol": 1e-15, "gtol": 1e-9}
    rows = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options).x
    rows = rows.reshape(matrix.shape)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = (1 - 1e-6) * rows @ rows.T + 1e-6 * np.eye(len(names))
    found[i, j] = found[j, i] = depth_width
    return found


def _errors(key, scores):
    """Return test errors in percent, whole numbers of wrong images."""
    *_, test, _, _, _, lowest, scale, skew = SETS[key]
    errors = np.clip(lowest + scale * np.exp(skew * scores), 0, 95)
    return np.round(errors * test / 100) / test * 100


def _control(name, kind, of):
    return {"dataset": name, "role": "control", "control": kind, "of": of}


def _dataset(name):
    key = next(key for key in sorted(SETS, key=len, reverse=True) if name.startswith(key))
    title, classes, train, test, pixels, _, metric, *_ = SETS[key]
    balanced = name.endswith("_balanced")
    counts = CLASS_COUNTS.get(key)
    if counts and balanced:
        second = sorted(counts.values())[-2]
        counts = {label: min(images, second) for label, images in counts.items()}
    described = {
        "title": f"{title}-balanced" if balanced else title,
        "description": f"Simulated images of {classes} classes.",
        "num_classes": classes,
        "train_images": train,
        "test_images": test,
        "im_size": pixels,
        "error_metric": metric,
        "source": "a simulation",
        "licence": "none needed",
        "view_of": VIEWS.get(key),
        "classes": [str(index) for index in range(classes)],
    }
    return described | ({"class_counts": {"train": counts}} if counts else {})


def _write_study(folder, study, sweeps, curves):
    folder.mkdir(parents=True)
    columns = [
        *("run", "sweep", "dataset", "regime", "arch", "seed", "status", "num_classes", "epochs"),
        *("error_metric", "error", "topk", "final_top1_err", "min_top1_err", "final_topk_err"),
        *("min_topk_err", "final_train_top1_err", "final_train_topk_err"),
        *("flops", "params", "acts", "cum_depth", "cum_width", *_STAGES),
    ]
    rows = pd.concat(sweeps.values()) if sweeps else pd.DataFrame(columns=columns)
    counts = [name for name in _STAGES if "bot_mul" not in name] + ["cum_depth", "cum_width"]
    rows = rows[columns].astype(dict.fromkeys(counts, "Int64"))
    rows.to_csv(folder / "results.csv", index=False, float_format="%.4f", lineterminator="\n")
    if curves:
        order = ["run", "sweep", "arch", "seed", "epoch", "test_top1_err", "test_topk_err",
                 "train_top1_err", "train_topk_err"]  # fmt: skip
        table = pd.concat(curves)[order]
        table.to_csv(folder / "curves.csv", index=False, float_format="%.4f", lineterminator="\n")
    done = rows["status"] == "done"
    timings = pd.DataFrame({"run": rows["run"][done], "started": "", "seconds": 600.0})
    timings.to_csv(folder / "timings.csv", index=False, lineterminator="\n")
    failed = [{"run": run, "reason": "the loss is not finite", "log_tail": "loss nan"}
              for run in rows["run"][rows["status"] == "failed"]]  # fmt: skip
    missing = int((rows["status"] == "missing").sum())
    status = {"planned": len(rows), "done": int(done.sum()), "failed": failed, "missing": missing}
    for name, value in (("study.json", study), ("status.json", status)):
        (folder / name).write_text(json.dumps(value, indent=1) + "\n")
