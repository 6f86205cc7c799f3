"""A simulated study of design spaces, each space better than the one before."""

import csv
import json

import numpy as np
from synthetic_study import plan_of, write_csv, write_json, write_study

SPACES = ("AnyNetXA", "AnyNetXC", "RegNetX")


def write_spaces(folder, size=20, datasets=("digits",), unfinished=False):
    """Write a study of three spaces without a reference.

    Errors rise with cumulative depth, and space i has i points less than the first.
    """
    archs = size * len(SPACES)
    write_study(
        folder, plan_of(*datasets, archs=archs, repeats=0, failed=(), family=(), targets=())
    )
    rng = np.random.default_rng(2)
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = [f"{space}-{i:04d}" for space in SPACES for i in range(size)]
    for row in rows:
        place = int(row["arch"][1:])
        row["arch"] = names[place]
        error = 20 + 0.5 * int(row["cum_depth"]) - 2 * (place // size) + rng.normal(0, 0.5)
        row["error"] = row["final_top1_err"] = f"{error:.4f}"
        row["group_w_2"] = 2 ** (place % 5)
        if unfinished:
            row["status"], row["error"] = "missing", ""
    write_csv(folder / "results.csv", list(rows[0]), rows)
    study = json.loads((folder / "study.json").read_text())
    study["reference"] = None
    study["title"] = "Design spaces in small"
    study["population"]["spaces"] = {
        space: names[i * size : (i + 1) * size] for i, space in enumerate(SPACES)
    }
    write_json(folder / "study.json", study)
    return folder
