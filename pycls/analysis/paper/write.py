"""The files of the paper's figures and tables, written for a study that has the runs.

The paper: Tuggener, Schmidhuber and Stadelmann (2022), Is it enough to optimize CNN
architectures on ImageNet? `OUTPUTS` is the list; :func:`write_outputs` writes it to files.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pycls.analysis.figures.panels import highlighted
from pycls.analysis.figures.population import population_size
from pycls.analysis.figures.style import DataFigure, save_figure
from pycls.analysis.inputs.collection import Collection, MissingRuns, load_collection
from pycls.analysis.paper.latex import latex_table
from pycls.analysis.paper.outputs import OUTPUTS, Output
from pycls.analysis.tables.study_tables import AVERAGE, write_table
from pycls.errors import ConfigError
from pycls.files import write_text
from pycls.progress import tracked

FORMATS = ("svg", "pdf", "png")


@dataclass(frozen=True)
class Written:
    """What became of an output.

    Attributes:
        key: of the output.
        title: of the output.
        caption: of the output, for this study.
        paths: files written; none where runs are missing.
        reason: why there are none, in a sentence; empty where there are.
        printed: of a table, its rows as they are printed, the head first.
    """

    key: str
    title: str
    caption: str
    paths: tuple[Path, ...] = ()
    reason: str = ""
    printed: tuple[tuple[str, ...], ...] = ()


def write_outputs(
    folder: str | os.PathLike[str],
    out_dir: str | os.PathLike[str] | None = None,
    only: Iterable[str] = (),
    formats: Sequence[str] = FORMATS,
) -> list[Written]:
    """Write the figures and tables of the paper for a study.

    A figure is written in each format, with its data as CSV (KEY_data.csv, and KEY_rho.csv with
    intervals where there are rhos); a table as CSV and LaTeX. Files of an output that cannot
    be made any more are removed.

    Args:
        folder: the study's folder; control experiments are looked for beside it.
        out_dir: where to write; by default `paper` in the study's folder.
        only: keys of :data:`OUTPUTS`; all without any.
        formats: of the figures, any of "svg", "pdf", "png".

    Returns:
        One entry per output, in the order of :data:`OUTPUTS`.

    Raises:
        ConfigError: a key or format is unknown, or a file of the study missing or damaged.
        DataError: results of two populations are mixed up.
    """
    chosen = _choose(only)
    unknown = [each for each in formats if each not in FORMATS]
    if unknown:
        raise ConfigError(f"format '{unknown[0]}': expected some of {', '.join(FORMATS)}")
    collection = load_collection(folder)
    place = Path(out_dir) if out_dir is not None else Path(folder) / "paper"
    place.mkdir(parents=True, exist_ok=True)
    return [
        _write(OUTPUTS[key], collection, place, formats)
        for key in tracked(chosen, "figures and tables", "outputs")
    ]


def _choose(only: Iterable[str]) -> list[str]:
    asked = list(only)
    unknown = [key for key in asked if key not in OUTPUTS]
    if unknown:
        raise ConfigError(f"output '{unknown[0]}': expected some of {', '.join(OUTPUTS)}")
    return [key for key in OUTPUTS if not asked or key in asked]


def _write(output: Output, collection: Collection, place: Path, formats: Sequence[str]) -> Written:
    caption = output.caption.format(**_names(collection))
    paths: list[Path] = []
    reason = ""
    texts = pd.DataFrame()
    try:
        made = output.make(collection)
        if isinstance(made, DataFigure):
            paths += save_figure(made, place / output.key, formats)
            paths += [
                write_table(table, place / f"{output.key}_{name}.csv")
                for name, table in made.numbers().items()
            ]
        else:
            texts = output.texts(made) if output.texts else made.astype(str)
            paths += _write_table(output, made, texts, caption, place)
    except MissingRuns as error:
        reason = str(error)
    for path in place.glob(f"{output.key}[._]*"):
        if path not in paths and _is_own(path.name, output.key):
            path.unlink()  # of an earlier time, and no longer what the results say
    rows = [list(texts.columns), *texts.to_numpy().tolist()] if len(texts) else []
    printed = tuple(tuple(map(str, row)) for row in rows)
    return Written(output.key, output.title, caption, tuple(paths), reason, printed)


def _is_own(name: str, key: str) -> bool:
    stem, _, suffix = name.partition(".")
    names = [key, *(f"{key}_{name}" for name in ("data", "rho", "noise", "ends"))]
    return stem in names and suffix in (*FORMATS, "csv", "tex")


def _write_table(
    output: Output, table: pd.DataFrame, texts: pd.DataFrame, caption: str, place: Path
) -> list[Path]:
    last = len(table) - 1
    rules = (last,) if "target" in table and table["target"].iloc[last] == AVERAGE else ()
    label = f"tab:{output.key.removeprefix('table').strip('_')}"
    path = place / f"{output.key}.tex"
    csv = write_table(table, place / f"{output.key}.csv")
    write_text(path, latex_table(texts, caption, label, rules))
    return [csv, path]


def _names(collection: Collection) -> dict[str, Any]:
    study = collection.study
    return {
        "reference": study.dataset_title(study.reference) if study.reference else "the reference",
        "n": population_size(collection.errors),
        "coloured": highlighted(len(collection.errors)),
    }
