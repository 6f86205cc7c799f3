"""The list of the paper's figures and tables: what each shows, needs, and is made by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from pycls.analysis.figures import columns as main
from pycls.analysis.figures import controls as controls
from pycls.analysis.figures import matrices as matrices
from pycls.analysis.figures import training as training
from pycls.analysis.figures.panels import Panel, panel_tables, scatter_panels
from pycls.analysis.inputs.collection import Collection
from pycls.analysis.paper import tables as tables


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
        numbers: of a figure, from the collection to its data as tables by name.
        texts: of a table, from its numbers to the texts that are printed.
    """

    key: str
    title: str
    caption: str
    kind: str
    make: Callable[[Collection], Figure | pd.DataFrame]
    needs: str
    numbers: Callable[[Collection], Mapping[str, pd.DataFrame]] | None = None
    texts: Callable[[pd.DataFrame], pd.DataFrame] | None = None


def _figure(
    key: str,
    title: str,
    make: Callable[[Collection], Figure],
    numbers: Callable[[Collection], Mapping[str, pd.DataFrame]],
    needs: str,
    caption: str,
) -> Output:
    return Output(key, title, caption, "figure", make, needs, numbers)


def _table(
    key: str,
    title: str,
    make: Callable[[Collection], pd.DataFrame],
    texts: Callable[[pd.DataFrame], pd.DataFrame],
    needs: str,
    caption: str,
) -> Output:
    return Output(key, title, caption, "table", make, needs, texts=texts)


def _tables_of(
    panels: Callable[[Collection], Sequence[Panel]],
) -> Callable[[Collection], Mapping[str, pd.DataFrame]]:
    return lambda collection: panel_tables(panels(collection))


def _scatter(
    panels: Callable[[Collection], Sequence[Panel]],
) -> Callable[[Collection], Figure]:
    return lambda collection: scatter_panels(panels(collection))


def _pretrained_tables(collection: Collection) -> Mapping[str, pd.DataFrame]:
    pairs = controls.pretrained_panels(collection)
    return panel_tables([panel for pair in pairs for panel in pair])


_COLOURS = (
    "The {coloured} lowest errors on the y-axis are orange (pointing down), the {coloured} "
    "highest red (pointing up)."
)
_depth = partial(main.structure_panels, column="cum_depth")
_width = partial(main.structure_panels, column="cum_width")

_ALL = (
    _figure(
        "fig1",
        "Figure 1: errors on three data sets against the reference",
        main.relative_figure,
        _tables_of(main.relative_panels),
        "the reference and two targets",
        "Test errors of {n} architectures on three data sets, each divided by the median error "
        "of its set, against the test error of the same architectures on {reference}. Lines: "
        "medians of eight groups of neighbours.",
    ),
    _table(
        "table1",
        "Table 1: the data sets",
        tables.dataset_facts,
        tables.facts_texts,
        "a study",
        "Meta data of the data sets: images of both sides, and the size of the stored images.",
    ),
    _table(
        "table2",
        "Table 2: settings of the data sets",
        tables.dataset_settings,
        tables.settings_texts,
        "a study",
        "Training epochs, error metric, and architectures whose training has finished.",
    ),
    _figure(
        "fig3",
        "Figure 3: errors on the targets against the reference",
        main.reference_figure,
        _tables_of(main.reference_panels),
        "the reference and the targets",
        "Test errors of {n} architectures on the targets (y-axis) against the test errors of "
        f"the same architectures on {{reference}} (x-axis). {_COLOURS}",
    ),
    _figure(
        "fig4",
        "Figure 4: errors on the class subsets against the reference",
        main.family_figure,
        _tables_of(main.family_panels),
        "the reference and its class subsets",
        "Test errors of {n} architectures on class subsets of {reference} (y-axis) against "
        f"those on {{reference}} (x-axis). {_COLOURS}",
    ),
    _figure(
        "fig5",
        "Figure 5: errors on the targets against the closest class subset",
        main.member_figure,
        _tables_of(main.member_panels),
        "the targets and the class subsets of the reference",
        "Test errors of {n} architectures on the targets (y-axis) against those on the class "
        "subset of {reference} that is closest in the number of classes (x-axis). "
        f"{_COLOURS}",
    ),
    _table(
        "table3",
        "Table 3: rho of the targets with the reference and the closest class subset",
        tables.correlation_table,
        tables.correlation_texts,
        "the reference and the targets; the class subsets for the second column",
        "Spearman's rho of the errors on each target with those on {reference} and on its "
        "class subset closest in the number of classes, their difference, and 95 % intervals.",
    ),
    _figure(
        "fig6",
        "Figure 6: fewer images and fewer classes of the reference",
        main.subsample_figure,
        _tables_of(main.subsample_panels),
        "three targets, the reference, a class subset, and all classes with fewer images",
        "Test errors of {n} architectures on three targets (columns) against those on "
        "{reference} (top), on all its classes with fewer images (middle) and on a class "
        f"subset (bottom). {_COLOURS}",
    ),
    _figure(
        "fig7a",
        "Figure 7A: cumulative depth",
        partial(main.structure_figure, column="cum_depth"),
        _tables_of(_depth),
        "the reference and the targets",
        "Cumulative depth (sum of the stages' blocks) of {n} architectures against their test "
        "errors.",
    ),
    _figure(
        "fig7b",
        "Figure 7B: cumulative width",
        partial(main.structure_figure, column="cum_width"),
        _tables_of(_width),
        "the reference and the targets",
        "Cumulative width (sum of the stages' channels) of {n} architectures against their test "
        "errors.",
    ),
    _table(
        "table4",
        "Table 4: rho of errors with cumulative depth and width",
        tables.structure_table,
        tables.structure_texts,
        "the reference and its class subsets",
        "Spearman's rho of the errors on {reference} and its class subsets with cumulative "
        "depth and width, with 95 % intervals. Negative: the more of it, the lower the error.",
    ),
    _figure(
        "fig_a1",
        "Figure A1: another stem and longer training",
        controls.variant_figure,
        _tables_of(controls.variant_panels),
        "control experiments of kind stem or duration",
        "Test errors with regular training, with another stem and with longer training, against "
        "those on the reference and on the closest class subset. The lowest errors on the "
        "y-axis are orange, the highest red.",
    ),
    _table(
        "table_a1",
        "Table A1: known networks",
        tables.network_table,
        tables.network_texts,
        "control experiments of kind networks",
        "Test errors of known networks under their own training.",
    ),
    _figure(
        "fig_a2a",
        "Figure A2A: errors during longer training",
        training.curve_figure,
        training.curve_tables,
        "control experiments of kind duration, with curves",
        "Test error by epoch of up to 20 architectures drawn at random: whole, and from the "
        "regular number of epochs (dotted) on. From orange, the lowest final error, to blue, "
        "the highest.",
    ),
    _figure(
        "fig_a2b",
        "Figure A2B: training continued",
        training.continued_figure,
        training.continued_tables,
        "control experiments of kind continued, with curves",
        "Test error by epoch of the architectures with the lowest and the highest errors, "
        "trained on after the regular end (dotted).",
    ),
    _figure(
        "fig_a3",
        "Figure A3: training noise",
        training.noise_figure,
        training.noise_tables,
        "repeats of single architectures",
        "Error densities of single architectures trained many times and of the population, "
        "each architecture once. Spread: 90th less 10th percentile.",
    ),
    _figure(
        "fig_a4a",
        "Figure A4A: top-1 and top-5 errors",
        _scatter(controls.topk_panels),
        _tables_of(controls.topk_panels),
        "data sets with more classes than the k of the top-k error",
        "Top-k against top-1 test error of the same runs.",
    ),
    _figure(
        "fig_a4b",
        "Figure A4B: training errors and depth",
        _scatter(controls.training_panels),
        _tables_of(controls.training_panels),
        "the targets, with training errors",
        "Cumulative depth against the training error: of the whole training side after the "
        "last epoch where that was measured, else the mean while training in it.",
    ),
    _figure(
        "fig_a5a",
        "Figure A5A: class distributions",
        training.class_figure,
        training.class_tables,
        "control experiments of kind balanced",
        "Training images of each class, as they are and with the most common class cut down to "
        "the size of the second.",
    ),
    _figure(
        "fig_a5b",
        "Figure A5B: errors with more even classes",
        controls.balanced_figure,
        _tables_of(controls.balanced_panels),
        "control experiments of kind balanced",
        "Test errors on the balanced sets (y-axis) against those on the sets they are cut from "
        "(x-axis). The lowest errors on the y-axis are orange, the highest red.",
    ),
    _figure(
        "fig_a6",
        "Figure A6: pretraining",
        controls.pretrained_figure,
        _pretrained_tables,
        "control experiments of kind pretrained",
        "Test errors of the same architectures trained from scratch and from pretrained weights, "
        "against their test errors on the reference.",
    ),
    _figure(
        "fig_a7",
        "Figure A7: the best architectures",
        matrices.top_figure,
        lambda collection: {"data": matrices.top_table(collection)},
        "the reference and the targets",
        "Parameters of the stages of the best architecture on each data set, and mean and "
        "standard deviation of the best ones.",
    ),
    _figure(
        "fig_a8",
        "Figure A8: all pairs of data sets",
        matrices.matrix_figure,
        _tables_of(matrices.matrix_panels),
        "the reference and the targets",
        "Test errors of {n} architectures on each pair of data sets: under the diagonal as "
        "scatter plots, the set of the column on the x-axis; above it Spearman's rho, the darker "
        "the larger, blue for positive and orange for negative ones.",
    ),
)
OUTPUTS: Mapping[str, Output] = {output.key: output for output in _ALL}
