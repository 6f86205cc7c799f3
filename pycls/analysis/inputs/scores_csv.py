"""The reader of a study's scores.csv: zero-cost scores of its architectures on its data sets."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from pycls.errors import ConfigError
from pycls.schema import SCORES, SCORES_CSV


def load_scores(folder: str | os.PathLike[str], architectures: pd.Index) -> dict[str, pd.DataFrame]:
    """Read `scores.csv` of a study.

    Args:
        folder: the study's folder.
        architectures: names, in the order of the rows wanted.

    Returns:
        Data set -> architectures x scores, more for better, NaN where one is undefined; empty where
        the file is absent.

    Raises:
        ConfigError: the file is no such table, or has two rows of an architecture and data set.
    """
    path = Path(folder) / SCORES_CSV
    if not path.exists():
        return {}
    names = ["dataset", "arch", *SCORES]
    types = {name: str if name in ("dataset", "arch") else float for name in names}
    try:
        table = pd.read_csv(
            path, usecols=names, dtype=types, keep_default_na=False,
            na_values={name: [""] for name in SCORES},
        )  # fmt: skip
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ConfigError(
            f"{path}: expected a CSV table with the columns {', '.join(names)} ({error}); "
            "remove it, and score the study again"
        ) from None
    twice = table[table.duplicated(["dataset", "arch"])]
    if len(twice):
        dataset, arch = twice.iloc[0][["dataset", "arch"]]
        raise ConfigError(f"{path}: two rows of {arch} on {dataset}; score the study again")
    scores = list(SCORES)
    return {
        str(key): rows.set_index("arch")[scores]
        .reindex(architectures)
        .replace([np.inf, -np.inf], np.nan)
        for key, rows in table.groupby("dataset", sort=False)
    }
