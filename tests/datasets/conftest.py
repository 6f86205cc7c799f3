from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pycls.datasets.store.writer import SetFacts, write_store


def make_facts(name: str) -> SetFacts:
    return SetFacts(
        name=name,
        title=name.title(),
        description="random pixels",
        source="a generator",
        licence="none",
        split_rule="every third image is on the test side",
    )


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Path]:
    """Write a set of random images; every third image of each class is on the test side."""

    def make(
        name: str = "random",
        per_class: int = 12,
        classes: tuple[str, ...] = ("cat", "dog", "eel"),
        size: tuple[int, int] = (6, 6),
    ) -> Path:
        count = per_class * len(classes)
        images = np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)
        labels = np.arange(count) % len(classes)
        split = (np.arange(count) // len(classes) % 3 == 2).astype(np.uint8)
        return write_store(tmp_path / name, images, labels, split, classes, make_facts(name))

    return make
