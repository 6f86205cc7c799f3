"""Facts about a data set or view for planning, before it is prepared and afterwards."""

import math
import os
from dataclasses import dataclass, replace

from pycls.datasets.catalog.catalog import CATALOG
from pycls.datasets.catalog.entry import CatalogEntry
from pycls.datasets.catalog.views import VIEWS_FILE, ViewSpec, list_views
from pycls.datasets.opening.dataset import Dataset
from pycls.datasets.opening.locate import resolve_data_dir
from pycls.datasets.opening.subsets import draw_classes
from pycls.errors import ConfigError
from pycls.yaml_sections import near_miss

# Crustose coralline algae are "about half" of the pieces; that the second class is a quarter of
# the rest is a guess. The rest is taken to be even.
_ESTIMATED_SHARES = {"mlc2008": (0.5, 0.125, *[0.375 / 7] * 7)}


@dataclass(frozen=True)
class ExpectedFacts:
    """What is known of a set or view, without its images or by them.

    Attributes:
        num_classes: number of classes.
        train_images: size of the train side.
        test_images: size of the test side.
        im_size: side of the stored images in pixels, at the default options.
        error_metric: "top1" or "top5".
        epochs: training length in the study (paper, Table 2); None: not in the study.
        title: name in reports.
        exact: whether the two sizes are counts, and not estimates.
    """

    num_classes: int
    train_images: int
    test_images: int
    im_size: int
    error_metric: str
    epochs: int | None
    title: str
    exact: bool


def counted_facts(train: Dataset, test: Dataset) -> ExpectedFacts:
    """Return what the two sides of a prepared set or view hold."""
    return ExpectedFacts(
        title=train.title,
        num_classes=train.num_classes,
        train_images=len(train),
        test_images=len(test),
        im_size=min(train.im_size),
        error_metric=train.error_metric,
        epochs=None,
        exact=True,
    )


@dataclass(frozen=True)
class _Class:
    """One class: its name where it is known, and its (mean) number of images a side."""

    name: str
    train: float
    test: float


def expected_facts(name: str, data_dir: str | os.PathLike[str] | None = None) -> ExpectedFacts:
    """Return what a set of the catalogue or a view of it will hold.

    Args:
        name: a set, a view of the catalogue, or one of the data folder's `views.yaml`.
        data_dir: the data folder; by default PYCLS_DATA, or else `data`.

    Raises:
        ConfigError: there is none of that name (says which are nearest), a set of the user's
            own, of which nothing is known before it is prepared, or an impossible view.
    """
    views = list_views(resolve_data_dir(data_dir))
    return _describe(name, views, ())[0]


def expected_view_facts(
    spec: ViewSpec, data_dir: str | os.PathLike[str] | None = None
) -> ExpectedFacts:
    """Return what a view will hold; as :func:`expected_facts`, for a view without a name."""
    views = list_views(resolve_data_dir(data_dir))
    return _apply(spec, *_describe(spec.of, views, ()))[0]


def _describe(
    name: str, views: dict[str, ViewSpec], above: tuple[str, ...]
) -> tuple[ExpectedFacts, list[_Class]]:
    if name in above:
        way = " of ".join(f"'{part}'" for part in (*above, name))
        raise ConfigError(f"{VIEWS_FILE}: a view is a part of itself: {way}")
    if name in CATALOG:
        return _describe_entry(CATALOG[name])
    if name not in views:
        known = [*CATALOG, *views]
        raise ConfigError(
            f"unknown data set '{name}'; {near_miss(name, known)}known are {', '.join(known)}"
        )
    spec = views[name]
    base = _describe(spec.of, views, (*above, name))
    try:
        return _apply(spec, *base)
    except ConfigError as error:
        raise ConfigError(f"view '{name}' of '{spec.of}': {error}") from None


def _describe_entry(entry: CatalogEntry) -> tuple[ExpectedFacts, list[_Class]]:
    if entry.images is None:
        raise ConfigError(
            f"nothing is known of '{entry.key}' before it is prepared; prepare it under a name of "
            "its own and give that name"
        )
    facts = ExpectedFacts(
        num_classes=entry.num_classes,
        train_images=entry.images[0],
        test_images=entry.images[1],
        im_size=entry.im_size,
        error_metric=entry.error_metric,
        epochs=entry.epochs,
        title=entry.title,
        exact=entry.exact,
    )
    total = sum(entry.class_counts.values())
    shares = {name: count / total for name, count in entry.class_counts.items()}
    if not shares:
        even = (1 / entry.num_classes,) * entry.num_classes
        estimated = _ESTIMATED_SHARES.get(entry.key, even)
        shares = {f"#{label}": share for label, share in enumerate(estimated)}
    train, test = entry.images
    return facts, [_Class(name, share * train, share * test) for name, share in shares.items()]


def _apply(
    spec: ViewSpec, facts: ExpectedFacts, classes: list[_Class]
) -> tuple[ExpectedFacts, list[_Class]]:
    """Do to the expected classes what a view does to the images."""
    exact = facts.exact
    if spec.is_subset:
        classes, exact = _choose(spec, classes), False
    if spec.balance:
        classes, exact = _balance(classes), False
    if spec.per_class is not None:
        # A cap far below the mean size is reached by every class.
        exact = exact and all(2 * spec.per_class <= each.train for each in classes)
        classes = [replace(each, train=min(each.train, spec.per_class)) for each in classes]
    facts = replace(
        facts,
        num_classes=len(classes),
        train_images=round(math.fsum(each.train for each in classes)),
        test_images=round(math.fsum(each.test for each in classes)),
        error_metric=spec.metric or facts.error_metric,
        epochs=spec.epochs or facts.epochs,
        title=spec.make_title(facts.title, len(classes)),
        exact=exact,
    )
    return facts, classes


def _choose(spec: ViewSpec, classes: list[_Class]) -> list[_Class]:
    by_name = {each.name: each for each in classes}
    if spec.num_classes is not None:
        drawn = set(draw_classes(list(by_name), spec.num_classes, spec.seed))
        return [each for each in classes if each.name in drawn]
    if len(spec.classes) > len(classes):
        raise ConfigError(f"{len(spec.classes)} classes named, there are {len(classes)}")
    named = [by_name[name] for name in spec.classes if name in by_name]
    if len(named) == len(spec.classes):
        return named
    # The names are not known before the set is prepared: classes of mean size.
    train = math.fsum(each.train for each in classes) / len(classes)
    test = math.fsum(each.test for each in classes) / len(classes)
    return [_Class(name, train, test) for name in spec.classes]


def _balance(classes: list[_Class]) -> list[_Class]:
    train = sorted(each.train for each in classes)[-2]
    test = sorted(each.test for each in classes)[-2]
    return [replace(e, train=min(e.train, train), test=min(e.test, test)) for e in classes]
