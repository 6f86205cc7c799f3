"""Batches made by replaying a captured batch: the same ones, out of one place in memory."""

import numpy as np
import pytest
import recomputed_graphs
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.datasets.loading import crops, fixed_ops
from pycls.datasets.loading.augment import Draws, apply_draws
from pycls.datasets.loading.held import HeldImages
from pycls.datasets.loading.image_ops import NAMES
from pycls.datasets.loading.loader import Loader
from pycls.datasets.loading.shared import SharedLoader
from pycls.datasets.loading.streamed import StreamedImages
from pycls.datasets.opening.dataset import open_dataset
from pycls.kernels import gpu_graph

OPTIONS = {"batch_size": 5, "im_size": 6, "seed": 3, "train": True, "captured": True}


@pytest.fixture(autouse=True)
def graphs(monkeypatch):
    """Return the graphs that are captured."""
    made = []

    def capture(work, before=lambda: None):
        graph, results = recomputed_graphs.capture(work, before)
        made.append(graph)
        return graph, results

    monkeypatch.setattr(gpu_graph, "capture", capture)
    return made


@pytest.mark.parametrize("held", [True, False], ids=["held", "streamed"])
@pytest.mark.parametrize(
    "options",
    [
        {"pad": 2, "lighting": 0.5},
        {"pad": 2, "flip": False, "channels_last": False},
        {"pad": 0, "lighting": 0.5},
        {"pad": 0},
    ],
)
def test_padded_batches_have_the_bits_of_single_operations(make_store, graphs, held, options):
    dataset = open_dataset(make_store(size=(7, 9)), "train")
    options = {**OPTIONS, "max_resident_bytes": None if held else 0, **options}
    loader = Loader(dataset, **options)
    assert isinstance(loader._images, HeldImages if held else StreamedImages)
    plain = Loader(dataset, **{**options, "captured": False})
    number = 0
    for epoch, start in ((0, 0), (1, 2), (0, 0)):
        # All are asked for before one is looked at: each is its own.
        found, expected = (list(each.epoch(epoch, start)) for each in (loader, plain))
        for (images, labels), (same_images, same_labels) in zip(found, expected, strict=True):
            assert torch.equal(images, same_images)
            assert images.stride() == same_images.stride()
            assert torch.equal(labels, same_labels)
            number += 1
    (graph,) = graphs
    assert graph.replays == number == 10


@pytest.mark.parametrize("light", [0.0, 0.5])
def test_resized_batches_have_the_bits_of_single_operations(make_store, graphs, light):
    dataset = open_dataset(make_store(size=(7, 9)), "train")
    loader = Loader(dataset, crop="resized", lighting=light, **OPTIONS)
    found = [images for images, _ in loader.epoch(1)]
    plan = loader._plan_epoch(1, 0)
    images = torch.from_numpy(dataset.images[plan.positions])
    boxes, flips = torch.from_numpy(plan.boxes), torch.from_numpy(plan.flips)
    squares = crops.cut_boxes_on_device(images, torch.arange(len(images)), boxes, flips, 6)
    lit = None if plan.light is None else torch.from_numpy(plan.light)
    expected = loader._normalised(squares, lit)
    assert torch.equal(torch.cat(found), expected)
    assert len(graphs) == 1
    assert len(found) > 3


@pytest.mark.parametrize("augment", ["AutoAugment", "RandAugment_N3_M0.7"])
@pytest.mark.parametrize("options", [{}, {"max_resident_bytes": 0, "lighting": 0.5}])
def test_augmented_batches_have_the_bits_of_single_operations(make_store, graphs, augment, options):
    dataset = open_dataset(make_store(per_class=60), "train")
    options = {**OPTIONS, "pad": 2, "augment": augment, **options}
    loaders = [Loader(dataset, **{**options, "captured": on}) for on in (True, False)]
    drawn = set()
    for epoch in range(2):
        batches = zip(*(list(each.epoch(epoch)) for each in loaders), strict=True)
        for (images, labels), (expected, same_labels) in batches:
            assert torch.equal(images, expected)
            assert torch.equal(labels, same_labels)
        drawn |= set(loaders[0]._plan_epoch(epoch, 0).draws.operations.ravel())
    assert len(graphs) == 1
    assert len(drawn) > 9


def test_of_images_that_are_augmented_large_ones_have_no_graph(make_store, graphs):
    options = {**OPTIONS, "pad": 40, "augment": "AutoAugment"}
    dataset = open_dataset(make_store(), "train")
    for size, count in ((64, 1), (65, 1)):
        next(Loader(dataset, **{**options, "im_size": size}).epoch(0))
        assert len(graphs) == count


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([1, 2, 5, 16, 33]))
def test_fixed_operations_equal_those_that_are_drawn(seed, count, size):
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8))
    operations = rng.integers(-1, len(NAMES), (count, 2))
    ranges = {
        "posterize": (1, 5),
        "rotate": (-40, 40),
        "solarize": (0, 257),
        "solarize_add": (0, 111),
    }
    bounds = np.array([*(ranges.get(name, (-0.5, 2)) for name in NAMES), (0, 1)])[operations]
    arguments = rng.uniform(bounds[..., 0], bounds[..., 1])
    whole = operations == NAMES.index("posterize")
    arguments[whole] = np.floor(arguments[whole])
    draws = Draws(operations, arguments)
    numbers = torch.from_numpy(fixed_ops.tabulate_draws(draws, size))
    found = fixed_ops.apply_numbers(images, numbers)
    apply_draws(images, draws)
    assert torch.equal(found, images)


def test_epochs_that_are_gone_through_at_once_do_not_mix(make_store):
    """Networks that share a loader may be in two epochs at a time."""
    dataset = open_dataset(make_store(), "train")
    options = {**OPTIONS, "pad": 2, "max_resident_bytes": 0}
    shared = SharedLoader(dataset, **options)
    plain = Loader(dataset, **{**options, "captured": False})
    for both in zip(shared.epoch(0), shared.epoch(1), plain.epoch(0), plain.epoch(1), strict=True):
        first, second, *expected = (images for images, _ in both)
        assert torch.equal(first, expected[0])
        assert torch.equal(second, expected[1])
