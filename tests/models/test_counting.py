"""Complexity by walking the module: rules checked by hand on small networks."""

import pytest
import torch
from torch import nn

from pycls.models.counting import count_model


def count(model, size):
    with torch.device("meta"):
        return count_model(model().to("meta"), size)


def test_convolution_with_bias_and_stride():
    counted = count(lambda: nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=True), 9)
    assert counted == {
        "flops": 9 * 3 * 8 * 5 * 5 + 8 * 5 * 5,
        "params": 8 * 3 * 9 + 8,
        "acts": 8 * 5 * 5,
    }


def test_groups_divide_the_cost():
    model = lambda: nn.Sequential(nn.Conv2d(3, 6, 1, bias=False), nn.Conv2d(6, 6, 3, groups=3))  # noqa: E731
    counted = count(model, 4)
    assert counted["flops"] == 3 * 6 * 16 + (9 * 6 * 6 // 3) * 4 + 6 * 4


def test_pooling_counts_as_activations_only():
    counted = count(lambda: nn.MaxPool2d(3, stride=2, padding=1), 8)
    assert counted == {"flops": 0, "params": 0, "acts": 3 * 4 * 4}


def test_layer_without_a_rule_is_refused_not_left_out():
    with pytest.raises(TypeError, match="Softmax2d"):
        count(lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Softmax2d()), 4)


def test_mode_and_hooks_are_left_as_they_were():
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    count_model(model, 4)
    assert model.training
    assert not model[0]._forward_hooks
