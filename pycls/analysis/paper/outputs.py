"""The list of the paper's figures and tables: what each shows, needs, and is made by."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from pycls.analysis.figures.catalog import PAPER, Entry
from pycls.analysis.figures.layout import COLUMN
from pycls.analysis.figures.style import DataFigure
from pycls.analysis.inputs.collection import Collection
from pycls.analysis.paper import tables


@dataclass(frozen=True)
class Output:
    """One figure or table of the paper.

    Attributes:
        key: short name, and that of its files, such as "fig3" or "table_a1".
        title: as the paper numbers it, with what it shows.
        caption: what it shows, in sentences; {reference} stands for the reference's name,
            {n} for the number of architectures, {coloured} for how many stand out.
        kind: "figure" or "table".
        make: from the collection to the figure or table; raises MissingRuns.
        needs: the runs it is made from, in words.
        texts: of a table, from its numbers to the texts that are printed.
    """

    key: str
    title: str
    caption: str
    kind: str
    make: Callable[[Collection], DataFigure | pd.DataFrame]
    needs: str
    texts: Callable[[pd.DataFrame], pd.DataFrame] | None = None

    def numbers(self, collection: Collection) -> Mapping[str, pd.DataFrame]:
        """Return what a figure shows, or a table, as tables by name."""
        made = self.make(collection)
        return made.numbers() if isinstance(made, DataFigure) else {"data": made}


def _figure(entry: Entry) -> Output:
    def make(collection: Collection) -> DataFigure:
        entry.is_possible(collection)  # else says which runs are missing
        return entry.make(collection, COLUMN)

    return Output(entry.key, entry.title, entry.caption, "figure", make, entry.words)


# fmt: off
# Figure that each stands behind -> key, title, caption, function, needs, texts.
_TABLES = (
    ("fig1", "table1", "Table 1: the data sets",
     "Meta data of the data sets: images of both sides, and the size of the stored images.",
     tables.dataset_facts, "a study", tables.facts_texts),
    ("fig1", "table2", "Table 2: settings of the data sets",
     "Training epochs, error metric, and architectures whose training has finished.",
     tables.dataset_settings, "a study", tables.settings_texts),
    ("fig5", "table3",
     "Table 3: rho of the targets with the reference and the closest class subset",
     "Spearman's rho of the errors on each target with those on {reference} and on its "
     "class subset closest in the number of classes, their difference, and 95 % intervals.",
     tables.correlation_table,
     "the reference and the targets; the class subsets for the second column",
     tables.correlation_texts),
    ("fig7b", "table4", "Table 4: rho of errors with cumulative depth and width",
     "Spearman's rho of the errors on {reference} and its class subsets with cumulative "
     "depth and width, with 95 % intervals. Negative: the more of it, the lower the error.",
     tables.structure_table, "the reference and its class subsets", tables.structure_texts),
    ("fig_a1", "table_a1", "Table A1: known networks",
     "Test errors of known networks under their own training.",
     tables.network_table, "control experiments of kind networks", tables.network_texts),
)
# fmt: on


def _list_outputs() -> Iterator[Output]:
    for entry in PAPER:
        yield _figure(entry)
        for place, key, title, caption, make, needs, texts in _TABLES:
            if place == entry.key:
                yield Output(key, title, caption, "table", make, needs, texts)


OUTPUTS: dict[str, Output] = {output.key: output for output in _list_outputs()}
