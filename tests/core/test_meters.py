"""Errors: counted right, averaged over images, in percent."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.core.meters import BalancedMeter, Meter, format_eta, topk_right, topk_wrong

CPU = torch.device("cpu")


@settings(max_examples=60)
@given(classes=st.integers(2, 12), n=st.integers(1, 30), seed=st.integers(0, 10**6))
def test_wrong_counts_equal_a_plain_count(classes, n, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randperm(n * classes, generator=generator).reshape(n, classes).float()
    labels = torch.randint(classes, (n,), generator=generator)
    k = min(5, classes)
    ranks = [
        sum(bool(other > row[label]) for other in row)
        for row, label in zip(logits, labels, strict=True)
    ]
    expected = [sum(rank >= 1 for rank in ranks), sum(rank >= k for rank in ranks)]
    assert topk_wrong(logits, labels, k).tolist() == expected


def test_balanced_error_is_the_mean_of_those_of_the_classes():
    labels = torch.tensor([0, 0, 0, 0, 2, 2, 0, 0])
    logits = torch.nn.functional.one_hot(torch.tensor([0, 0, 0, 1, 1, 2, 0, 0]), 4).float()
    meter = BalancedMeter(4, CPU)
    for part in (slice(5), slice(5, 8)):
        meter.update(topk_right(logits[part], labels[part], 2), labels[part])
    assert meter.error() == pytest.approx(100 * (1 / 6 + 1 / 2) / 2)


def test_epoch_weighs_images_not_batches():
    meter = Meter(2, 1, 10, CPU)
    meter.update(torch.tensor([30, 10]), torch.tensor(2.0), 90)
    meter.update(torch.tensor([10, 0]), torch.tensor(4.0), 10)
    stats = meter.epoch_stats(0)
    assert stats["top1_err"] == pytest.approx(40.0)
    assert stats["top5_err"] == pytest.approx(10.0)
    assert stats["loss"] == pytest.approx(2.2)


def test_iteration_record_is_the_median_of_its_period():
    meter = Meter(6, 2, 3, CPU)
    for wrong in (9, 9, 9, 1, 2, 9):
        meter.update(torch.tensor([wrong, 0]), torch.tensor(float(wrong)), 10)
    assert meter.is_log_iter()
    stats = meter.iter_stats(0)
    assert (stats["iter"], stats["epoch"], stats["top1_err"], stats["loss"]) == (
        "6/6",
        "1/2",
        20,
        2,
    )


def test_reset_forgets_the_epoch():
    meter = Meter(1, 1, 10, CPU)
    meter.update(torch.tensor([5, 5]), None, 5)
    meter.reset()
    meter.update(torch.tensor([0, 0]), None, 5)
    assert meter.epoch_stats(0)["top1_err"] == 0


def test_eta_is_written_as_pycls_does():
    assert format_eta(268) == "00,00:04:28"
    assert format_eta(2 * 86400 + 3 * 3600 + 61) == "02,03:01:01"
