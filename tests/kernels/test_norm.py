"""Normalisation, addition and ReLU in one pass equal the three layers of PyTorch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pycls.kernels.forms import FormTable
from pycls.models.layers import BatchNorm2d

FUSED = FormTable("cpu", "test", (), (((1, 1), "fused"),))


def pair_of_layers(channels, momentum=0.1, dtype=torch.float64, eps=1e-5):
    """Return our layer in its fused form and PyTorch's own, of the same numbers."""
    torch.manual_seed(0)
    ours = BatchNorm2d(channels, eps=eps, momentum=momentum).to(dtype)
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    theirs = nn.BatchNorm2d(channels, eps=eps, momentum=momentum).to(dtype)
    theirs.load_state_dict(ours.state_dict())
    ours.forms = FUSED
    return ours, theirs


def reference(layer, x, activation, skip):
    """Return what the layers do one after the other."""
    y = layer(x)
    y = y if skip is None else skip + y
    return y if activation is None else activation(y)


@settings(max_examples=40, deadline=None)
@given(
    channels=st.integers(1, 20),
    images=st.sampled_from((8, 16, 24)),
    side=st.integers(1, 3),
    relu=st.booleans(),
    add=st.booleans(),
    momentum=st.sampled_from((0.1, 1.0, None)),
    shift=st.sampled_from((0.0, 1000.0)),
)
def test_fused_form_equals_the_library(channels, images, side, relu, add, momentum, shift):
    ours, theirs = pair_of_layers(channels, momentum)
    generator = torch.Generator().manual_seed(channels)
    shape = (images, channels, side, side)
    activation = nn.ReLU(inplace=True) if relu else None
    for _ in range(2):  # the running statistics move twice
        x = torch.randn(shape, dtype=torch.float64, generator=generator) + shift
        skip = torch.randn(shape, dtype=torch.float64, generator=generator) if add else None
        inputs = [t.requires_grad_() for t in (x, skip) if t is not None]
        result = ours.then(x, activation, skip)
        assert ours.form == "fused"
        expected = reference(theirs, x, activation, skip)
        torch.testing.assert_close(result, expected)
        gradient = torch.randn(shape, dtype=torch.float64, generator=generator)
        mine = torch.autograd.grad(result, [*inputs, ours.weight, ours.bias], gradient)
        other = torch.autograd.grad(expected, [*inputs, theirs.weight, theirs.bias], gradient)
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-6)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, msg=name)
    ours.eval()
    theirs.eval()
    with torch.no_grad():
        tested = ours.then(x, activation, skip)
        assert ours.form == "fused"
        torch.testing.assert_close(tested, reference(theirs, x, activation, skip))


def test_gradients_are_those_of_the_result():
    ours, _ = pair_of_layers(3)
    x = torch.randn(8, 3, 2, 1, dtype=torch.float64, requires_grad=True)
    skip = torch.randn(8, 3, 2, 1, dtype=torch.float64, requires_grad=True)

    def function(x, weight, bias, skip):
        weights = {"weight": weight, "bias": bias}
        return torch.func.functional_call(ours, weights, (x,)) + skip

    assert torch.autograd.gradcheck(function, (x, ours.weight, ours.bias, skip))
    assert ours.form == "fused"


def test_float32_is_as_exact_as_the_library_where_the_mean_is_large():
    ours, theirs = pair_of_layers(16, dtype=torch.float32)
    x = torch.randn(128, 16, 8, 8) * 0.1 + 100.0
    exact = reference(theirs.double(), x.double(), None, None)
    library = reference(pair_of_layers(16, dtype=torch.float32)[1], x, None, None)
    error = (ours.then(x).double() - exact).abs().max()
    assert error <= 2 * (library.double() - exact).abs().max() + 1e-6


@pytest.mark.parametrize(
    "change",
    [
        lambda layer, x: layer.register_forward_hook(lambda *_: None) and x,
        lambda layer, x: x.bfloat16(),
        lambda layer, x: x[:3],  # 3 rows of 4 numbers do not fill vectors
        lambda layer, x: layer.eval() and x,  # gradients of fixed statistics
    ],
    ids=["hook", "bfloat16", "odd rows", "eval with gradients"],
)
def test_what_the_kernels_cannot_do_the_library_does(change):
    ours, theirs = pair_of_layers(4, dtype=torch.float32)
    x = change(ours, torch.randn(8, 4, 1, 1, requires_grad=True))
    theirs.train(ours.training)
    seen = []
    ours.register_forward_hook(lambda *_: seen.append(ours.form))
    result = ours.to(x.dtype).then(x, nn.ReLU())
    assert result.requires_grad
    torch.testing.assert_close(result, reference(theirs.to(x.dtype), x, nn.ReLU(), None))
    assert seen


def test_nan_goes_through_relu_as_it_does_in_the_library():
    ours, theirs = pair_of_layers(8)
    ours.eval()
    theirs.eval()
    x = torch.randn(2, 8, 2, 2, dtype=torch.float64)
    x[0, 3] = float("nan")
    with torch.no_grad():
        result, expected = ours.then(x, nn.ReLU()), reference(theirs, x, nn.ReLU(), None)
    torch.testing.assert_close(result, expected, equal_nan=True)


def test_double_backward_is_refused():
    ours, _ = pair_of_layers(8)
    x = torch.randn(2, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(ours.then(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
