"""A results table without a study beside it: what study it is of, and its folder."""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pycls.analysis.inputs.results_csv import load_results
from pycls.errors import ConfigError
from pycls.files import csv_text, write_text
from pycls.schema import RESULTS, RESULTS_CSV, STUDY_JSON

_NEEDED = ("arch", "dataset", "num_classes", "error")


def adopt_results(
    place: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    reference: str | None = None,
    family: Sequence[str] = (),
    targets: Sequence[str] = (),
) -> Path:
    """Make a study's folder of a results table alone: results.csv, completed, and study.json.

    Args:
        place: a folder with a results.csv, or the table. It needs the columns arch, dataset,
            num_classes and error (percent); others of a study's are used where it has them.
        out_dir: of the study; made where there is none.
        reference: data set that the others are compared with.
        family: its class subsets. Without any, the data sets called as the reference and a
            number of classes, such as imagenet_100.
        targets: data sets to be predicted; all others without any.

    Returns:
        The study's folder, ready for :func:`pycls.analysis.report.report.write_report`.

    Raises:
        ConfigError: the table cannot be used, or a data set is not in it.
    """
    path = Path(place) / RESULTS_CSV if Path(place).is_dir() else Path(place)
    out = Path(out_dir)
    if out.resolve() == path.resolve().parent:
        raise ConfigError(f"{out}: holds the table itself; name another folder with --out")
    texts = _completed(path)
    record = _describe(texts, path, reference, family, targets)
    table = csv_text([list(texts), *texts.to_numpy().tolist()])
    with tempfile.TemporaryDirectory() as name:
        trial = Path(name) / path.name
        trial.write_text(table, encoding="utf-8")
        load_results(trial)  # refuses what is no number or occurs twice, with its line
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / RESULTS_CSV, table)
    write_text(out / STUDY_JSON, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return out


def _completed(path: Path) -> pd.DataFrame:
    """Return the table's texts with all columns of a study's, empty where they were not."""
    try:
        texts = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; expected a study's table of results") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a CSV table ({error})") from None
    missing = [name for name in _NEEDED if name not in texts]
    if missing:
        raise ConfigError(
            f"{path}: no column {', '.join(missing)}; expected a row per run with at least "
            f"{', '.join(_NEEDED)}. Tables of other forms are for tools/analyze.py"
        )
    done = ~texts["error"].str.strip().str.lower().isin(["", "nan"])
    defaults = {
        "seed": texts.groupby(["dataset", "arch"]).cumcount().astype(str),
        "sweep": texts["dataset"],
        "status": done.map({True: "done", False: "missing"}),
        "error_metric": pd.Series("top1", texts.index),
    }
    for name, values in defaults.items():
        if name not in texts:
            texts[name] = values
    if "run" not in texts:
        texts["run"] = texts["sweep"] + "/" + texts["arch"] + "/" + texts["seed"]
    for column in RESULTS:
        if column.name not in texts:
            texts[column.name] = ""
    return texts


def _describe(
    texts: pd.DataFrame,
    path: Path,
    reference: str | None,
    family: Sequence[str],
    targets: Sequence[str],
) -> dict[str, Any]:
    """Return what study.json says of the runs."""
    first = texts.drop_duplicates("dataset").set_index("dataset")
    keys = list(first.index)
    if reference is None:
        raise ConfigError(
            f"{path}: which data set are the others compared with? Name it with --reference (the "
            f"data sets are {', '.join(keys)})"
        )
    for key in (reference, *family, *targets):
        if key not in keys:
            raise ConfigError(f"{path}: no data set '{key}'; the data sets are {', '.join(keys)}")
    classes = {key: _classes(first.loc[key, "num_classes"], key, path) for key in keys}
    members = list(family) or [
        key for key in keys if key in (f"{reference}_{classes[key]}", f"{reference}-{classes[key]}")
    ]
    others = [key for key in keys if key not in (reference, *members)]
    return {
        "name": path.parent.resolve().name if path.name == RESULTS_CSV else path.stem,
        "title": f"Results of {path.name}",
        "description": "",
        "reference": reference,
        "family": members,
        "targets": list(targets) or others,
        "sweeps": _sweeps(texts),
        "datasets": {
            key: {
                "title": key,
                "num_classes": classes[key],
                "error_metric": first.loc[key, "error_metric"],
            }
            for key in keys
        },
    }


def _sweeps(texts: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the sweeps: of each data set the first with one run an architecture is the main one.

    In the others architectures are repeated.
    """
    sweeps: dict[str, dict[str, Any]] = {}
    with_main: set[str] = set()
    for name, runs in texts.groupby("sweep", sort=False):
        key = str(runs["dataset"].iloc[0])
        main = key not in with_main and not runs["arch"].duplicated().any()
        with_main |= {key} if main else set()
        role = "main" if main else "repeats"
        regime = str(runs["regime"].iloc[0])
        sweeps[str(name)] = {"dataset": key, "regime": regime, "role": role, "runs": len(runs)}
    return sweeps


def _classes(text: Any, key: str, path: Path) -> int:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if number < 2 or number != int(number):
        raise ConfigError(
            f"{path}: the data set '{key}' has num_classes '{text}'; expected a whole number from 2"
        )
    return int(number)
