import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.core.config.defaults import default_cfg
from pycls.core.loaders import build_loader
from pycls.datasets.loading.augment import Augment, apply_draws, sample_lighting
from pycls.datasets.loading.loader import Loader
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.store.writer import SetFacts, write_store
from pycls.errors import ConfigError

OPTIONS = {"batch_size": 5, "im_size": 6, "seed": 3}


def batches(loader, epoch=0):
    return [(images.clone(), labels.clone()) for images, labels in loader.epoch(epoch)]


def by_position(dataset, epoch=0, **options):
    """Collect a training epoch's images by where they lie in the prepared set."""
    from pycls.datasets.randomness import epoch_order

    loader = Loader(dataset, train=True, **{**OPTIONS, **options})
    images = torch.cat([images for images, _ in loader.epoch(epoch)])
    order = epoch_order(loader.seed, epoch, dataset.indices)[: len(images)]
    return dict(zip(dataset.indices[order].tolist(), images, strict=True))


def test_an_epoch_that_is_gone_through_again_is_not_drawn_again(make_store, monkeypatch):
    """As in precise statistics, of a network and of its average."""
    from pycls.datasets.loading import loader as module

    drawn = []
    own = module.plan_epoch
    monkeypatch.setattr(module, "plan_epoch", lambda *args: drawn.append(args) or own(*args))
    loader = Loader(open_dataset(make_store(size=(6, 8)), "train"), train=True, **OPTIONS)
    first, again, other, then = (batches(loader, epoch) for epoch in (1, 1, 2, 1))
    assert len(drawn) == 3
    for pair in zip(first, again, then, strict=True):
        assert all(torch.equal(pair[0][0], images) for images, _ in pair[1:])
    assert not torch.equal(first[0][0], other[0][0])


def test_test_side_comes_in_order_whole_and_plain(make_store):
    dataset = open_dataset(make_store(size=(6, 8)), "test")
    loader = Loader(dataset, train=False, pad=2, **OPTIONS)
    found = batches(loader)
    assert len(loader) == len(found) == 3
    assert [len(labels) for _, labels in found] == [5, 5, 2]
    assert loader.num_images == 12
    images = torch.cat([images for images, _ in found])
    stored = dataset.images[dataset.indices][:, :, 1:7] / 255
    expected = ((stored - dataset.mean) / dataset.std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(images, expected, atol=1e-5)
    np.testing.assert_array_equal(torch.cat([labels for _, labels in found]), dataset.labels)
    for (a, _), (b, _) in zip(found, batches(loader, epoch=9), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("max_resident_bytes", [0, 1 << 30])
def test_batches_are_float32_channels_last(make_store, train, max_resident_bytes):
    dataset = open_dataset(make_store(size=(8, 8)), "train")
    loader = Loader(dataset, train=train, pad=1, max_resident_bytes=max_resident_bytes, **OPTIONS)
    for images, labels in loader.epoch(0):
        assert images.dtype == torch.float32
        assert images.shape[1:] == (3, 6, 6)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert labels.dtype == torch.int64


def test_training_goes_through_shuffled_images_and_drops_the_rest(make_store):
    dataset = open_dataset(make_store(), "train")
    loader = Loader(dataset, train=True, flip=False, **OPTIONS)
    assert len(loader) == len(batches(loader)) == 4
    assert loader.num_images == 20
    normalised = ((dataset.images[dataset.indices] / 255) - dataset.mean) / dataset.std
    seen = []
    for images, labels in batches(loader):
        for image, label in zip(images, labels, strict=True):
            distance = abs(normalised - image.permute(1, 2, 0).numpy()).max(axis=(1, 2, 3))
            assert distance.min() < 1e-5
            seen.append(int(distance.argmin()))
            assert label == dataset.labels[seen[-1]]
    assert len(set(seen)) == 20
    assert seen != sorted(seen)


def test_epochs_and_seeds_differ_and_repeat(make_store):
    dataset = open_dataset(make_store(), "train")
    first = Loader(dataset, train=True, pad=2, **OPTIONS)
    again = Loader(dataset, train=True, pad=2, **OPTIONS)
    other = Loader(dataset, train=True, pad=2, **{**OPTIONS, "seed": 4})
    batches(first, epoch=7)
    for (a, la), (b, lb) in zip(batches(first, 1), batches(again, 1), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(la, lb)
    assert not torch.equal(batches(first, 0)[0][0], batches(first, 1)[0][0])
    assert not torch.equal(batches(first, 0)[0][0], batches(other, 0)[0][0])


@pytest.mark.parametrize(("im_size", "pad"), [(6, 0), (6, 2), (4, 0), (4, 1), (8, 2)])
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("train", [True, False])
def test_resident_and_mapped_batches_are_identical(make_store, im_size, pad, flip, train):
    dataset = open_dataset(make_store(size=(6, 7)), "train")
    options = {**OPTIONS, "im_size": im_size, "pad": pad, "flip": flip, "train": train}
    if not train and im_size > 6:
        options["test_im_size"] = im_size
    resident = batches(Loader(dataset, **options), 2)
    mapped = batches(Loader(dataset, max_resident_bytes=0, **options), 2)
    for (a, la), (b, lb) in zip(resident, mapped, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(la, lb)


def test_an_image_is_augmented_alike_whatever_the_batch_size_and_the_view(make_store):
    path = make_store(per_class=30, classes=("cat", "dog", "eel", "fox"))
    whole = by_position(open_dataset(path, "train"), epoch=4, pad=2)
    large = by_position(open_dataset(path, "train"), epoch=4, pad=2, batch_size=16)
    view = by_position(open_dataset(path, "train", classes=["dog", "fox"]), epoch=4, pad=2)
    for others in (large, view):
        assert len(others) >= 40
        for position, image in others.items():
            assert torch.equal(image, whole[position])


def test_crops_and_flips_are_those_of_the_padded_image(make_store):
    dataset = open_dataset(make_store(per_class=60), "train")
    pad = 2
    places, flips = [], 0
    for position, image in by_position(dataset, pad=pad).items():
        stored = (dataset.images[position] / 255 - dataset.mean) / dataset.std
        padded = np.pad(stored, ((pad, pad), (pad, pad), (0, 0)))
        candidates = {
            (top, left, flipped): crop[:, ::-1] if flipped else crop
            for top in range(2 * pad + 1)
            for left in range(2 * pad + 1)
            for flipped in (False, True)
            for crop in (padded[top : top + 6, left : left + 6],)
        }
        found = image.permute(1, 2, 0).numpy()
        hits = [key for key, value in candidates.items() if np.allclose(found, value, atol=1e-5)]
        assert len(hits) == 1
        places.append(hits[0][:2])
        flips += hits[0][2]
    assert len(places) == 120
    # Every one of the 25 places has a probability of 0.7 % to be missed.
    assert len(set(places)) > 20
    assert {top for top, _ in places} == {left for _, left in places} == set(range(5))
    assert 35 < flips < 85


def test_test_images_are_resized_before_the_crop(make_store):
    dataset = open_dataset(make_store(size=(12, 12)), "test")
    loader = Loader(dataset, train=False, test_im_size=6, **OPTIONS)
    images = torch.cat([images for images, _ in loader.epoch()])
    assert images.shape == (12, 3, 6, 6)
    # A filter of unit weight keeps the mean; the plain images vary much more.
    stored = (dataset.images[dataset.indices] / 255 - dataset.mean) / dataset.std
    np.testing.assert_allclose(images.mean((2, 3)), stored.mean(axis=(1, 2)), atol=0.15)
    assert images.std() < 0.75 * stored.std()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"batch_size": 25},
            r"'random' \(train\) has 24 images, fewer than one batch of 25; .* 24",
        ),
        ({"batch_size": 0}, "batch size 0"),
        ({"pad": -1}, "padding -1"),
        ({"im_size": 9, "pad": 1}, "too small for crops of 9 with 1 .* at most 8"),
        ({"im_size": 9, "train": False}, "too small for centre crops of 9; set the test image"),
        ({"batch_size": 8, "world_size": 3}, "8 training images .* a multiple of 3"),
        ({"rank": 2, "world_size": 2}, "process 2 of 2: expected a number from 0 to 1"),
        ({"augment": "Auto"}, "augmentation 'Auto'; expected 'AutoAugment'"),
        ({"lighting": -0.1}, "lighting -0.1: expected a number of 0 or more"),
        ({"test_im_size": 5}, "test image size 5 is below the image size 6"),
    ],
)
def test_impossible_options_are_refused(make_store, options, message):
    dataset = open_dataset(make_store(), "train")
    with pytest.raises(ConfigError, match=message):
        Loader(dataset, **{**OPTIONS, "train": True, **options})


def test_test_side_may_be_smaller_than_a_batch(make_store):
    dataset = open_dataset(make_store(), "test")
    found = batches(Loader(dataset, train=False, **{**OPTIONS, "batch_size": 100}))
    assert [len(labels) for _, labels in found] == [12]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A set of 30 random images on the train side and 13 on the test side."""
    images = np.random.default_rng(0).integers(0, 256, (43, 6, 7, 3), dtype=np.uint8)
    labels = np.arange(43) % 3
    split = np.repeat(np.array([0, 1], dtype=np.uint8), [30, 13])
    facts = SetFacts("noise", "Noise", "random pixels", "a generator", "none", "the last 13")
    return write_store(
        tmp_path_factory.mktemp("sets") / "noise", images, labels, split, ("a", "b", "c"), facts
    )


AUGMENTS = st.sampled_from(["", "AutoAugment", "RandAugment_N2_M0.5"])
LIGHTINGS = st.sampled_from([0.0, 0.1])
RESIDENT = st.sampled_from([0, 1 << 30])


@settings(max_examples=40)
@given(
    world_size=st.integers(1, 5),
    share=st.integers(1, 6),
    pad=st.integers(0, 2),
    augment=AUGMENTS,
    lighting=LIGHTINGS,
    max_resident_bytes=RESIDENT,
    epoch=st.integers(0, 3),
)
def test_processes_train_on_what_one_would(path, world_size, share, epoch, **options):
    dataset = open_dataset(path, "train")
    common = {"im_size": 6, "seed": 3, "train": True, "batch_size": share * world_size, **options}
    whole = Loader(dataset, **common)
    loaders = [Loader(dataset, rank=rank, world_size=world_size, **common)
               for rank in range(world_size)]  # fmt: skip
    assert {len(loader) for loader in loaders} == {len(whole)}
    assert {loader.num_images for loader in loaders} == {len(whole) * share}
    assert {loader.total_images for loader in loaders} == {whole.total_images}
    assert whole.total_images == whole.num_images == len(whole) * share * world_size
    parts = zip(*(batches(loader, epoch) for loader in loaders), strict=True)
    for (images, labels), shares in zip(batches(whole, epoch), parts, strict=True):
        assert torch.equal(torch.cat([part for part, _ in shares]), images)
        assert torch.equal(torch.cat([part for _, part in shares]), labels)


@settings(max_examples=40)
@given(world_size=st.integers(1, 16), batch_size=st.integers(1, 20), max_resident_bytes=RESIDENT)
def test_processes_test_every_image_once(path, world_size, batch_size, max_resident_bytes):
    dataset = open_dataset(path, "test")
    common = {"im_size": 6, "seed": 3, "train": False, "batch_size": batch_size}
    images, labels = map(torch.cat, zip(*batches(Loader(dataset, **common)), strict=True))
    found = []
    for rank in range(world_size):
        loader = Loader(
            dataset,
            rank=rank,
            world_size=world_size,
            max_resident_bytes=max_resident_bytes,
            **common,
        )
        own = batches(loader)
        assert len(own) == len(loader)
        assert sum(len(part) for _, part in own) == loader.num_images
        assert loader.total_images == 13
        assert all(len(part) <= max(1, batch_size // world_size) for _, part in own)
        found += own
    assert torch.equal(torch.cat([part for part, _ in found]), images)
    assert torch.equal(torch.cat([part for _, part in found]), labels)


@settings(max_examples=40)
@given(
    start=st.integers(0, 7),
    pad=st.integers(0, 2),
    train=st.booleans(),
    augment=AUGMENTS,
    lighting=LIGHTINGS,
    max_resident_bytes=RESIDENT,
    rank=st.integers(0, 1),
)
def test_an_epoch_may_begin_inside(path, start, **options):
    loader = Loader(
        open_dataset(path, "train"), batch_size=4, im_size=6, seed=3, world_size=2, **options
    )
    whole = batches(loader, 2)
    rest = [(images.clone(), labels) for images, labels in loader.epoch(2, start)]
    assert len(rest) == len(whole) - start
    for (a, la), (b, lb) in zip(whole[start:], rest, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(la, lb)


def test_an_epoch_begins_nowhere_else(path):
    loader = Loader(open_dataset(path, "train"), train=True, **OPTIONS)
    for start in (-1, 7):
        with pytest.raises(ValueError, match=f"start is {start}; expected 0 to 6"):
            loader.epoch(0, start)


@settings(max_examples=20)
@given(batch_size=st.integers(1, 15), augment=AUGMENTS, lighting=LIGHTINGS)
def test_augmentation_does_not_depend_on_the_batch_size(path, batch_size, **options):
    dataset = open_dataset(path, "train")
    whole = by_position(dataset, epoch=1, pad=1, batch_size=30, **options)
    for position, image in by_position(
        dataset, epoch=1, pad=1, batch_size=batch_size, **options
    ).items():
        assert torch.equal(image, whole[position])


@pytest.mark.parametrize("augment", ["AutoAugment", "RandAugment_N2_M0.7"])
def test_images_are_augmented_between_flip_and_normalisation(path, augment):
    dataset = open_dataset(path, "train")
    mean, std = (torch.from_numpy(v).view(3, 1, 1) for v in (dataset.mean, dataset.std))
    augmented = by_position(dataset, epoch=2, augment=augment)
    changed = 0
    for position, image in by_position(dataset, epoch=2).items():
        pixels = ((image * std + mean) * 255).round().to(torch.uint8)
        expected = pixels.permute(1, 2, 0).unsqueeze(0).contiguous()
        apply_draws(expected, Augment(augment).sample(3, 2, np.array([position])))
        expected = (expected[0].permute(2, 0, 1) / 255 - mean) / std
        torch.testing.assert_close(augmented[position].double(), expected, atol=1e-5, rtol=0)
        changed += not torch.equal(augmented[position], image)
    assert changed > 15


def test_padding_of_augmented_images_is_of_mean_colour(path):
    # Nothing is applied: what is left of the augmentation is its padding, in whole colours.
    dataset = open_dataset(path, "train")
    plain = by_position(dataset, pad=3)
    padded = by_position(dataset, pad=3, augment="RandAugment_N1_P0.0")
    assert any((image == 0).any() for image in plain.values())
    for position, image in plain.items():
        border = (image == 0).all(0)
        assert torch.equal(padded[position][:, ~border], image[:, ~border])
        assert (abs(padded[position][:, border]) <= 0.5 / 255 / dataset.std.min()).all()


def test_light_is_added_to_the_image(path):
    dataset = open_dataset(path, "train")
    lit = by_position(dataset, epoch=2, pad=1, lighting=0.1)
    for position, image in by_position(dataset, epoch=2, pad=1).items():
        light = sample_lighting(3, 2, [position], 0.1)[0] / dataset.std
        expected = torch.where(image == 0, image, image + torch.tensor(light).view(3, 1, 1))
        torch.testing.assert_close(lit[position].double(), expected, atol=1e-5, rtol=0)


def test_testing_neither_augments_nor_lights(path):
    dataset = open_dataset(path, "train")
    plain = batches(Loader(dataset, train=False, **OPTIONS))
    loader = Loader(dataset, train=False, augment="AutoAugment", lighting=0.5, **OPTIONS)
    for (a, _), (b, _) in zip(plain, batches(loader), strict=True):
        assert torch.equal(a, b)


def test_configuration_reaches_the_loader(path):
    cfg = default_cfg()
    cfg.MODEL.NUM_CLASSES = 3
    cfg.TRAIN.DATASET = str(path)
    cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.IM_SIZE, cfg.TEST.IM_SIZE = 10, 6, 6
    cfg.TRAIN.AUGMENT = "RandAugment_N1_M0.5"
    cfg.DATA.LIGHTING = True
    cpu = torch.device("cpu")
    loader = build_loader(cfg, "TRAIN", cpu, rank=1, world_size=2)
    expected = Loader(
        open_dataset(path, "train"), batch_size=10, im_size=6, train=True, seed=cfg.RNG_SEED,
        pad=cfg.DATA.PAD, augment="RandAugment_N1_M0.5", lighting=0.1, rank=1, world_size=2,
    )  # fmt: skip
    for (a, la), (b, lb) in zip(batches(loader), batches(expected), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(la, lb)
    cfg.DATA.LIGHTING = False
    assert build_loader(cfg, "TRAIN", cpu).transform.lighting == 0
    evaluated = build_loader(cfg, "TRAIN", cpu, evaluate=True)
    stored = Loader(open_dataset(path, "train"), batch_size=10, im_size=6, train=False, seed=1)
    assert evaluated.num_images == 30
    for (a, la), (b, lb) in zip(batches(evaluated), batches(stored), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(la, lb)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("max_resident_bytes", [0, 1 << 30])
def test_gpu_batches_equal_the_cpus(make_store, max_resident_bytes):
    dataset = open_dataset(make_store(), "train")
    for train in (True, False):
        options = {**OPTIONS, "train": train, "pad": 2, "max_resident_bytes": max_resident_bytes}
        on_cpu = batches(Loader(dataset, **options))
        on_gpu = batches(Loader(dataset, device="cuda", **options))
        for (a, la), (b, lb) in zip(on_cpu, on_gpu, strict=True):
            assert b.device.type == "cuda"
            torch.testing.assert_close(a, b.cpu(), atol=1e-6, rtol=1e-6)
            assert torch.equal(la, lb.cpu())
