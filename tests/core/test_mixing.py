"""Soft labels, mixup and cutmix."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.core.config import load_cfg
from pycls.core.mixing import Mixer, Mixing, class_weights, smooth_one_hot


def mixer(mixup=0.0, cutmix=0.0, smoothing=0.0, classes=5, seed=1):
    return Mixer(load_cfg(None, [
        "TRAIN.MIXUP_ALPHA", mixup, "TRAIN.CUTMIX_ALPHA", cutmix,
        "TRAIN.LABEL_SMOOTHING", smoothing, "MODEL.NUM_CLASSES", classes, "RNG_SEED", seed,
    ]))  # fmt: skip


def numbers(mixing):
    return torch.from_numpy(mixing.numbers())


def test_label_smoothing_equals_pycls(training_golden):
    row = training_golden["label_smoothing"]
    labels, logits = torch.tensor(row["labels"]), torch.tensor(row["logits"])
    soft = smooth_one_hot(labels, row["num_classes"], row["smoothing"])
    assert torch.allclose(soft, torch.tensor(row["targets"]))
    smoothing = mixer(smoothing=row["smoothing"], classes=row["num_classes"])
    assert smoothing.loss(logits, labels).item() == pytest.approx(row["loss"], rel=1e-6)
    assert smoothing.loss(logits, soft).item() == pytest.approx(row["loss"], rel=1e-6)


@pytest.mark.parametrize("given", ["balanced", [1.0, 2.0, 0.5]])
def test_class_weights_have_mean_one_and_parts_of_a_batch_add_up(given):
    labels = torch.tensor([0] * 7 + [1] * 2 + [2] * 3)
    weights = class_weights(given, labels.numpy(), 3)
    assert weights[labels].mean() == pytest.approx(1)
    if given == "balanced":
        assert weights == pytest.approx(12 / (3 * np.array([7, 2, 3])))
    cfg = load_cfg(None, ["TRAIN.LABEL_SMOOTHING", 0.2, "MODEL.NUM_CLASSES", 3])
    mix, logits = Mixer(cfg, torch.from_numpy(weights)), torch.randn(12, 3)
    whole = mix.loss(logits, labels)
    halves = [mix.loss(logits[part], labels[part]) for part in (slice(6), slice(6, 12))]
    assert whole.item() == pytest.approx(sum(halves).item() / 2, rel=1e-6)
    soft = smooth_one_hot(labels, 3, 0.2)
    assert mix.loss(logits, soft).item() == pytest.approx(whole.item(), rel=1e-6)


def test_mixup_is_the_stated_sum():
    mix = mixer(mixup=0.5, smoothing=0.1)
    images, labels = torch.rand(6, 3, 4, 4), torch.tensor([0, 1, 2, 3, 4, 0])
    order = np.array([3, 2, 1, 0, 5, 4])
    mixed, soft = mix.apply(images, labels, numbers(Mixing(0.3, order)))
    assert torch.allclose(mixed, 0.3 * images + 0.7 * images[order])
    one_hot = smooth_one_hot(labels, 5, 0.1)
    assert torch.allclose(soft, 0.3 * one_hot + 0.7 * one_hot[order])
    logits = torch.randn(6, 5)
    expected = -(soft * F.log_softmax(logits, 1)).sum(1).mean()
    assert mix.loss(logits, soft).item() == pytest.approx(expected.item(), rel=1e-6)


def test_cutmix_takes_a_box_and_labels_by_its_area():
    mix = mixer(cutmix=1.0)
    images, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 3])
    order = np.array([1, 2, 3, 0])
    mixed, soft = mix.apply(images, labels, numbers(Mixing(1 - 12 / 64, order, (2, 5, 4, 8))))
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[2:5, 4:8] = True
    assert torch.equal(mixed[:, :, inside], images[order][:, :, inside])
    assert torch.equal(mixed[:, :, ~inside], images[:, :, ~inside])
    assert torch.allclose(soft.sum(1), torch.ones(4))
    assert soft[0, 1].item() == pytest.approx(12 / 64)


@pytest.mark.parametrize("alphas", [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_masks_mix_to_the_bits_of_boxes_and_plain_numbers(alphas):
    mix = mixer(*alphas, smoothing=0.1)
    labels = torch.arange(6) % 5
    one_hot = smooth_one_hot(labels, 5, 0.1)
    kinds = set()
    for number in range(40):
        images = torch.randn(6, 3, 9, 7)
        if number % 2:
            images = images.contiguous(memory_format=torch.channels_last)
        drawn = mix.draw(images, 0, number, 0)
        share, order = drawn.share, torch.from_numpy(drawn.permutation)
        if drawn.box is None:
            expected = share * images + (1.0 - share) * images[order]
        else:
            top, bottom, left, right = drawn.box
            expected = images.clone()
            expected[:, :, top:bottom, left:right] = images[order, :, top:bottom, left:right]
        mixed, soft = mix.apply(images, labels, numbers(drawn))
        assert torch.equal(mixed, expected)
        assert mixed.stride() == expected.stride()
        assert torch.equal(soft, share * one_hot + (1.0 - share) * one_hot[order])
        kinds.add(drawn.box is None)
    assert len(kinds) == sum(alpha > 0 for alpha in alphas)


@settings(max_examples=60)
@given(st.floats(0.05, 2), st.integers(0, 10**6), st.integers(1, 33), st.integers(1, 40))
def test_what_is_drawn_for_cutmix_fits(alpha, seed, height, width):
    mix = mixer(cutmix=alpha, seed=seed)
    drawn = mix.draw(torch.empty(7, 3, height, width), epoch=3, iteration=5, part=0)
    top, bottom, left, right = drawn.box
    assert 0 <= top <= bottom <= height
    assert 0 <= left <= right <= width
    assert drawn.share == pytest.approx(1 - (bottom - top) * (right - left) / (height * width))
    assert sorted(drawn.permutation.tolist()) == list(range(7))


def test_draws_follow_their_distributions():
    images = torch.empty(4, 3, 64, 64)
    both = mixer(mixup=0.4, cutmix=0.4)
    drawn = [both.draw(images, 0, i, 0) for i in range(2000)]
    boxes = sum(d.box is not None for d in drawn)
    assert abs(boxes - 1000) < 4 * 500**0.5
    mixup = mixer(mixup=0.4)
    shares = np.array([mixup.draw(images, 1, i, 0).share for i in range(2000)])
    # Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1))
    assert abs(shares.mean() - 0.5) < 0.04
    assert shares.var() == pytest.approx(1 / (4 * 1.8), rel=0.08)


def test_draws_depend_on_place_not_on_what_was_drawn_before():
    images = torch.empty(9, 3, 8, 8)
    mix = mixer(mixup=0.3)
    first = mix.draw(images, 2, 7, 1)
    for place in ((2, 7, 0), (2, 8, 1), (3, 7, 1)):
        assert mix.draw(images, *place).share != first.share
    again = mixer(mixup=0.3).draw(images, 2, 7, 1)
    assert again.share == first.share
    assert np.array_equal(again.permutation, first.permutation)
    assert mixer(mixup=0.3, seed=2).draw(images, 2, 7, 1).share != first.share


def test_nothing_is_mixed_unless_asked():
    assert not mixer(smoothing=0.1).mixes
    assert mixer(mixup=0.1).mixes
    assert mixer(cutmix=0.1).mixes
