"""The data sets of a study: opened where they are prepared, expected where they are not."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pycls.datasets.catalog.catalog import CATALOG
from pycls.datasets.catalog.views import ViewSpec, list_views
from pycls.datasets.opening.dataset import Dataset, open_dataset
from pycls.datasets.opening.expected import (
    ExpectedFacts,
    counted_facts,
    expected_facts,
    expected_view_facts,
)
from pycls.datasets.opening.locate import resolve_data_dir
from pycls.datasets.opening.subsets import draw_classes
from pycls.datasets.preparation.prepare import prepare
from pycls.errors import ConfigError, DataError
from pycls.study.spec import PARTS, DatasetSpec, StudySpec
from pycls.yaml_sections import near_miss


@dataclass(frozen=True)
class DataFacts(ExpectedFacts):
    """What a study needs to know of a data set to plan for it.

    Attributes:
        prepared: whether all was read from the prepared set, or is expected of it.
    """

    prepared: bool


class StudyData:
    """Opens the data sets of a study, each once.

    Attributes:
        tested_side: what its runs are tested on, "test" or "validation"; wherever a split is asked
            for, "test" stands for it.

    Args:
        spec: the study.
        data_dir: folder of the prepared sets; None: PYCLS_DATA, or else `data`.
    """

    def __init__(self, spec: StudySpec, data_dir: str | os.PathLike[str] | None = None) -> None:
        self.spec = spec
        self.data_dir, self.usual_dir = resolve_data_dir(data_dir), resolve_data_dir()
        self.tested_side = "validation" if spec.validation else "test"
        self._opened: dict[tuple[str, str], Dataset] = {}
        self._facts: dict[str, DataFacts] = {}

    def check(self, dataset: DatasetSpec) -> None:
        """Check that a data set is known and that its options are of use.

        Raises:
            ConfigError: neither prepared nor in the catalogue, or options for a set that is
                not prepared on the way.
        """
        embedded = list(filter(_is_embedded, CATALOG))
        if dataset.options and dataset.prepared not in embedded:
            raise ConfigError(
                f"{self._where(dataset, 'options')}: options are for sets that are prepared on the "
                f"way ({', '.join(embedded)}); this one has to be there as it is"
            )
        self.facts(dataset)

    def facts(self, dataset: DatasetSpec) -> DataFacts:
        """Return what is known of a data set, prepared or not."""
        if dataset.key not in self._facts:
            self._facts[dataset.key] = self._find_facts(dataset)
        return self._facts[dataset.key]

    def is_missing(self, dataset: DatasetSpec) -> bool:
        """Say whether a data set has to be prepared by its user before it can be trained on."""
        return not _is_embedded(dataset.prepared) and not self.facts(dataset).prepared

    def why_missing(self, dataset: DatasetSpec) -> list[str]:
        """Return why a data set that its user has to prepare cannot be read; [] if it can be."""
        if self.is_missing(dataset):
            try:
                for split in ("train", "test"):
                    self.open(dataset, split)
            except DataError as error:
                return [str(error)]
        return []

    def open(self, dataset: DatasetSpec, split: str) -> Dataset:
        """Open one side of a data set.

        Raises:
            ConfigError: the view cannot be made.
            DataError: the set is not prepared or damaged.
        """
        key = (dataset.key, split)
        if key not in self._opened:
            try:
                self._opened[key] = open_dataset(
                    dataset.prepared,
                    self.tested_side if split == "test" else split,
                    self.data_dir,
                    self.classes(dataset),
                    per_class=dataset.per_class or 0,
                    balance=dataset.balance,
                    view_seed=self.spec.class_seed,
                    validation_share=self.spec.validation,
                )
            except (DataError, ConfigError) as error:
                raise type(error)(f"{self._where(dataset)}: {error}") from None
        return self._opened[key]

    def require_classes(self, dataset: DatasetSpec) -> None:
        """Refuse to go on without the names that a study's own class draw is made from.

        Raises:
            DataError: the set whose classes are drawn is not prepared.
        """
        if dataset.num_classes is not None and not self.facts(dataset).prepared:
            self.open(dataset, "train")

    def classes(self, dataset: DatasetSpec) -> tuple[str, ...]:
        """Return the classes that a data set is restricted to; (): all of the prepared set's."""
        if dataset.classes or dataset.num_classes is None:
            return dataset.classes
        whole = open_dataset(dataset.prepared, "train", self.data_dir)
        return tuple(draw_classes(whole.class_names, dataset.num_classes, self.spec.class_seed))

    def prepare(self, datasets: Sequence[DatasetSpec] | None = None) -> Iterator[str]:
        """Prepare what comes inside packages and open all other sets; yield a line about each.

        Args:
            datasets: those that are trained on; None: all of the study.

        Raises:
            DataError: a set is missing or damaged.
        """
        wanted = list(self.spec.datasets.values()) if datasets is None else datasets
        for name, dataset in {each.prepared: each for each in wanted}.items():
            if _is_embedded(name):
                prepare(name, self.data_dir, **dataset.options)
        self._facts.clear()
        for dataset in wanted:
            train, test = self.open(dataset, "train"), self.open(dataset, "test")
            yield (
                f"{dataset.key}: {train.num_classes} classes, {len(train)} training and "
                f"{len(test)} {self.tested_side} images of {train.im_size[0]} x {train.im_size[1]} "
                "pixels"
            )

    def missing_bytes(self) -> dict[str, int]:
        """Return {set: bytes of its images} of the sets that have yet to be prepared."""
        missing, views = {}, list_views(self.data_dir)
        for dataset in self.spec.datasets.values():
            if self.is_missing(dataset):
                name = dataset.prepared
                while name in views:
                    name = views[name].of
                whole = expected_facts(name, self.data_dir)
                images = whole.train_images + whole.test_images
                missing[name] = images * whole.im_size**2 * 3
        return missing

    def _try_open(self, dataset: DatasetSpec, split: str) -> Dataset | None:
        try:
            return self.open(dataset, split)
        except DataError:
            return None

    def _find_facts(self, dataset: DatasetSpec) -> DataFacts:
        train, test = self._try_open(dataset, "train"), self._try_open(dataset, "test")
        if train is not None and test is not None:
            return DataFacts(**vars(counted_facts(train, test)), prepared=True)
        known = [*CATALOG, *list_views(self.data_dir)]
        if dataset.prepared not in known:
            raise ConfigError(
                f"{self._where(dataset)}: no data set '{dataset.prepared}' is known or prepared in "
                f"{self.data_dir}; {near_miss(dataset.prepared, known)}'tools/prepare_data.py "
                "list' shows the known sets, and its 'prepare folder' and 'prepare csv' make your "
                f"own (with --name {dataset.prepared})"
            )
        try:
            expected = self._expect(dataset)
        except ConfigError as error:
            raise ConfigError(f"{self._where(dataset)}: {error}") from None
        if self.spec.validation:
            held_out = round(expected.train_images * self.spec.validation)
            left = expected.train_images - held_out
            expected = replace(expected, train_images=left, test_images=held_out, exact=False)
        return DataFacts(**vars(expected), prepared=False)

    def _expect(self, dataset: DatasetSpec) -> ExpectedFacts:
        if not dataset.is_view:
            return _with_options(expected_facts(dataset.prepared, self.data_dir), dataset.options)
        part = {key: getattr(dataset, key) for key in PARTS}
        view = ViewSpec(of=dataset.prepared, **part, seed=self.spec.class_seed)
        return expected_view_facts(view, self.data_dir)

    def _where(self, dataset: DatasetSpec, *keys: str) -> str:
        return self.spec.where("datasets", dataset.key, *keys)


def _with_options(facts: ExpectedFacts, options: Mapping[str, Any]) -> ExpectedFacts:
    """Return what a set that comes inside packages will hold with options of its own.

    Counts of patches are those of each class; a share of the images is one of all.
    """
    images = facts.train_images + facts.test_images
    test = round(images * options["test_share"]) if "test_share" in options else facts.test_images
    train = images - test
    if "train" in options:
        train = options["train"] * facts.num_classes
    if "test" in options:
        test = options["test"] * facts.num_classes
    return replace(
        facts,
        train_images=train,
        test_images=test,
        im_size=options.get("size", facts.im_size),
        exact=facts.exact and not options,
    )


def _is_embedded(name: str) -> bool:
    """Say whether a set comes inside packages, and so can be prepared without its user."""
    return name in CATALOG and not CATALOG[name].raw
