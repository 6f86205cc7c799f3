import numpy as np
import pytest
import torch

from pycls.datasets import open_dataset
from pycls.datasets.loader import Loader
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
