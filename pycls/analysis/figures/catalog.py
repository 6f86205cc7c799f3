"""The figures of the report and of the paper: what each shows, needs, and is drawn by.

A new figure is a function in a module of this package, and an entry here for each place that it
belongs to.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from pycls.analysis.figures.layout import Layout
from pycls.analysis.figures.style import DataFigure
from pycls.analysis.wording import RHO
from pycls.registry import import_object


@dataclass(frozen=True)
class Entry:
    """A figure in one place.

    Attributes:
        key: short name, and that of its files.
        draw: "module:function", the module in this package.
        title: what it is called; words in braces are filled in.
        caption: what it shows, in sentences; {reference} stands for the reference's name, {n} for
            the number of architectures, {coloured} for how many stand out.
        needs: what of its source must be there, such as "reference targets"; of a control
            experiment's, the experiment's name.
        words: of the paper's, what it needs, in words.
        options: further arguments of the function.
    """

    key: str
    draw: str
    title: str
    caption: str
    needs: str = ""
    words: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def is_possible(self, source: object) -> bool:
        """Say whether a source has all that is needed; a collection raises MissingRuns."""
        return all(len(getattr(source, name)) for name in self.needs.split())

    def load(self) -> Callable[..., DataFigure]:
        """Return the function that draws it."""
        return import_object(f"pycls.analysis.figures.{self.draw}")

    def make(self, source: object, layout: Layout) -> DataFigure:
        """Return the figure, drawn from what the function's arguments name of a source.

        Args:
            source: a study's tables, or what the arguments "collection" and "source" are: a
                :class:`pycls.analysis.inputs.collection.Collection`, or a control experiment.
            layout: of the figure.
        """
        draw = self.load()
        given = {
            name: source if name in ("collection", "source") else getattr(source, name)
            for name, argument in signature(draw).parameters.items()
            if argument.default is argument.empty and name not in self.options
        }
        return draw(**given, **self.options, layout=layout)


_NUMBERS = f"Above each panel: Spearman's {RHO} with its 95 % interval, n architectures, p-value."
_COLOURS = (
    "The {coloured} lowest errors on the y-axis are orange (pointing down), the {coloured} "
    "highest red (pointing up)."
)
_DEPTH, _WIDTH = {"column": "cum_depth"}, {"column": "cum_width"}
_SETS = "the reference and the targets"

# fmt: off
ANSWER = (
    Entry(
        "forest", "forest:forest_figure", "What predicts each target",
        f"Spearman's {RHO} of the errors on each target with those on {{reference}}, with those on "
        "the family member closest in class count, and with those on {reference} given the "
        "architectures' cumulative depth and width; bars are 95 % intervals. Where architectures "
        f"were retrained, a tick marks the highest {RHO} that training noise leaves room for.",
        needs="reference targets"),
)
STRUCTURE = (
    Entry(
        "depth", "population:structure_figure", "Error and cumulative depth",
        "Test error against cumulative depth, the sum of the stages' depths, per data set. "
        + _NUMBERS, needs="structured", options=_DEPTH),
    Entry(
        "width", "population:structure_figure", "Error and cumulative width",
        "Test error against cumulative width, the sum of the stages' widths, per data set. "
        + _NUMBERS, needs="structured", options=_WIDTH),
)
ERRORS = (
    Entry(
        "edf", "population:edf_figure", "Error distributions",
        "Fraction of architectures whose test error is at most the value on the horizontal "
        "axis, per data set; the orange line marks the median. Scales differ; here and in the "
        "other figures, errors of which the largest is more than twice the 90th percentile "
        "have a logarithmic axis."),
)
CURVES = (
    Entry(
        "curves", "training:curves_figure", "Errors during training",
        "Median error of the population by epoch: on the test side after each epoch, with the "
        "10th to 90th percentile as a band, and on the training images while training.",
        needs="curves"),
)
NOISE = (
    Entry(
        "noise", "population:noise_figure", "Population and repeats",
        "Test errors of the population and of one architecture retrained under several seeds. "
        "Black: median and 10th to 90th percentile, whose difference is the spread.",
        needs="repeats"),
)
SPACES = (
    Entry(
        "edf", "spaces:space_edf_figure", "Error distributions of the design spaces",
        "Fraction of a space's architectures whose test error is at most the value on the "
        "horizontal axis: the further up and to the left, the better the space. Bands: 95 % "
        "bootstrap over architectures, for each error by itself."),
    Entry(
        "ranges", "spaces:ranges_figure", "Good parameters on {dataset}",
        "Where the architecture with the lowest error of a random quarter lies: median and "
        "2.5th to 97.5th percentile (point and thin line), with the same percentiles of all "
        "architectures of the space (broad and pale)."),
)
CONTROLS = (
    Entry(
        "variants", "controls:roles_figure", "{experiment}",
        "Test error of each variant (vertical) against the regular training, the reference "
        "and the closest family member. " + _NUMBERS, needs="variants"),
    Entry(
        "curves", "training:curve_figure", "{experiment}",
        "Test error by epoch of up to 20 architectures drawn at random, whole and from the "
        "regular number of epochs (dotted) on; from orange, the lowest final error, to blue, "
        "the highest.", needs="curves"),
    Entry(
        "continued", "training:continued_figure", "{experiment}",
        "Test error by epoch of the architectures with the lowest and the highest error, "
        "trained on after the regular end.", needs="continued"),
    Entry(
        "repeats", "training:repeats_figure", "{experiment}",
        "Test errors of the population, each architecture once, and of single architectures "
        "under several seeds. Black: median and 10th to 90th percentile, whose difference is "
        "the spread.", needs="repeats"),
    Entry(
        "topk", "controls:topk_figure", "{experiment}",
        "Top-1 against top-k test error of the same runs. " + _NUMBERS, needs="topk"),
    Entry(
        "training", "controls:training_figure", "{experiment}",
        "Training error against cumulative depth: of the whole training side after the last "
        "epoch where that was measured, else the mean while training in it. " + _NUMBERS,
        needs="training"),
    Entry(
        "classes", "controls:class_figure", "Class distributions",
        "Training images of each class, the 20 most frequent at most.", needs="balanced"),
    Entry(
        "balanced", "controls:balanced_figure", "{experiment}",
        "Test error on the balanced sets against the sets they are cut from. " + _NUMBERS,
        needs="balanced"),
    Entry(
        "pretrained", "controls:pretrained_figure", "{experiment}",
        "Test error against the reference's, from scratch and from pretrained weights, each "
        "architecture twice.", needs="pretrained"),
)
PAPER = (
    Entry(
        "fig1", "population:relative_figure",
        "Figure 1: errors on three data sets against the reference",
        "Test errors of {n} architectures on three data sets, each divided by the median "
        "error of its set, against the test error of the same architectures on {reference}. "
        "Lines: medians of eight groups of neighbours.", words="the reference and two targets"),
    Entry(
        "fig3", "population:reference_figure",
        "Figure 3: errors on the targets against the reference",
        "Test errors of {n} architectures on the targets (y-axis) against the test errors of "
        "the same architectures on {reference} (x-axis). " + _COLOURS,
        needs="reference targets", words=_SETS),
    Entry(
        "fig4", "population:family_figure",
        "Figure 4: errors on the class subsets against the reference",
        "Test errors of {n} architectures on class subsets of {reference} (y-axis) against "
        "those on {reference} (x-axis). " + _COLOURS,
        needs="reference members", words="the reference and its class subsets"),
    Entry(
        "fig5", "population:member_figure",
        "Figure 5: errors on the targets against the closest class subset",
        "Test errors of {n} architectures on the targets (y-axis) against those on the class "
        "subset of {reference} that is closest in the number of classes (x-axis). " + _COLOURS,
        needs="targets members", words="the targets and the class subsets of the reference"),
    Entry(
        "fig6", "population:subsample_figure",
        "Figure 6: fewer images and fewer classes of the reference",
        "Test errors of {n} architectures on three targets (columns) against those on "
        "{reference} (top), on all its classes with fewer images (middle) and on a class "
        "subset (bottom). " + _COLOURS,
        words="three targets, the reference, a class subset, and all classes with fewer images"),
    Entry(
        "fig7a", "population:published_structure_figure", "Figure 7A: cumulative depth",
        "Cumulative depth (sum of the stages' blocks) of {n} architectures against their test "
        "errors.", words=_SETS, options=_DEPTH),
    Entry(
        "fig7b", "population:published_structure_figure", "Figure 7B: cumulative width",
        "Cumulative width (sum of the stages' channels) of {n} architectures against their "
        "test errors.", words=_SETS, options=_WIDTH),
    Entry(
        "fig_a1", "controls:variant_figure", "Figure A1: another stem and longer training",
        "Test errors with regular training, with another stem and with longer training, "
        "against those on the reference and on the closest class subset. The lowest errors on "
        "the y-axis are orange, the highest red.",
        words="control experiments of kind stem or duration"),
    Entry(
        "fig_a2a", "training:curve_figure", "Figure A2A: errors during longer training",
        "Test error by epoch of up to 20 architectures drawn at random: whole, and from the "
        "regular number of epochs (dotted) on. From orange, the lowest final error, to blue, "
        "the highest.", words="control experiments of kind duration, with curves"),
    Entry(
        "fig_a2b", "training:continued_figure", "Figure A2B: training continued",
        "Test error by epoch of the architectures with the lowest and the highest errors, "
        "trained on after the regular end (dotted).",
        words="control experiments of kind continued, with curves"),
    Entry(
        "fig_a3", "training:density_figure", "Figure A3: training noise",
        "Error densities of single architectures trained many times and of the population, "
        "each architecture once. Spread: 90th less 10th percentile.",
        words="repeats of single architectures"),
    Entry(
        "fig_a4a", "controls:topk_figure", "Figure A4A: top-1 and top-5 errors",
        "Top-1 (y-axis) against top-k test error (x-axis) of the same runs.",
        words="data sets with more classes than the k of the top-k error"),
    Entry(
        "fig_a4b", "controls:training_figure", "Figure A4B: training errors and depth",
        "Cumulative depth against the training error: of the whole training side after the "
        "last epoch where that was measured, else the mean while training in it.",
        words="the targets, with training errors"),
    Entry(
        "fig_a5a", "controls:class_figure", "Figure A5A: class distributions",
        "Training images of each class, as they are and with the most common class cut down "
        "to the size of the second.", words="control experiments of kind balanced"),
    Entry(
        "fig_a5b", "controls:balanced_figure", "Figure A5B: errors with more even classes",
        "Test errors on the balanced sets (y-axis) against those on the sets they are cut "
        "from (x-axis). The lowest errors on the y-axis are orange, the highest red.",
        words="control experiments of kind balanced"),
    Entry(
        "fig_a6", "controls:pretrained_figure", "Figure A6: pretraining",
        "Test errors of the same architectures trained from scratch and from pretrained "
        "weights, against their test errors on the reference.",
        words="control experiments of kind pretrained"),
    Entry(
        "fig_a7", "matrices:top_figure", "Figure A7: the best architectures",
        "Parameters of the stages of the best architecture on each data set, and mean and "
        "standard deviation of the best ones.", words=_SETS),
    Entry(
        "fig_a8", "matrices:matrix_figure", "Figure A8: all pairs of data sets",
        "Test errors of {n} architectures on each pair of data sets: above the diagonal as "
        "scatter plots, the set of the row on the x-axis and that of the column on the y-axis, so "
        "that the first row is Figure 3, on its axes; under it Spearman's rho, the darker the "
        "larger, blue for positive and orange for negative ones.", words=_SETS),
)
CHOOSING = (
    Entry(
        "replay", "choosing:replay_figure", "Ways of choosing, replayed",
        "Mean regret on each target, over replays, by the share of the cost of training all {n} "
        "architectures: random search; training the best on {reference}, or by a zero-cost score; "
        "successive halving of architectures drawn at random.", needs="replayed targets"),
    Entry(
        "early", "choosing:early_figure", "How early is enough",
        f"Spearman's {RHO} of errors before the end with those at the end, by the share of the "
        "training's cost; bars are 95 % intervals. Under a schedule that falls to the end, such as "
        "a cosine, an epoch on the way is no training of that length.", needs="early"),
    Entry(
        "dependence", "choosing:dependence_figure", "Error by single parameters",
        "Partial dependence: the mean error on {reference} that the surrogate predicts where all "
        "architectures have that value, the others as they are; the most important parameters.",
        needs="dependence"),
)
# fmt: on
# Sections of the report whose figures are of the population.
POPULATION: Mapping[str, tuple[Entry, ...]] = {
    "answer": ANSWER,
    "choosing": CHOOSING,
    "structure": STRUCTURE,
    "errors": ERRORS,
    "curves": CURVES,
    "noise": NOISE,
}
