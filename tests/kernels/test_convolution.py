"""The forms of a convolution give what PyTorch's own gives, and so do their gradients."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.kernels.convolution import as_matrices, direct
from pycls.kernels.taps import Window, list_pairs


@st.composite
def convolutions(draw):
    """Draw (images, C, H, W), groups, widths and the window of a convolution that has a result."""
    # Up to 12 channels a group: below 8 a lane is a group, from 8 on it is a channel of one.
    w_in, w_out = (draw(st.integers(1, 12)) for _ in range(2))
    groups = draw(st.integers(1, 10 if max(w_in, w_out) < 4 else 3))
    size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    kernel = draw(st.tuples(st.sampled_from((1, 2, 3)), st.sampled_from((1, 3))))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 2)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    window = Window(size, kernel, stride, padding, dilation)
    if min(window.out_size) < 1:
        window = Window(size, kernel, stride, kernel, (1, 1))
    return draw(st.integers(1, 3)), groups, w_in, w_out, window


def make(images, groups, w_in, w_out, window, dtype=torch.float64, seed=0):
    """Return an image batch, channels last, and a weight."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(images, groups * w_in, *window.size, dtype=dtype, generator=generator)
    weight = torch.randn(groups * w_out, w_in, *window.kernel, dtype=dtype, generator=generator)
    x = x.contiguous(memory_format=torch.channels_last)
    return x.requires_grad_(), weight.requires_grad_()


def library(x, weight, groups, window):
    """Return PyTorch's own result."""
    return F.conv2d(
        x, weight, None, window.stride, window.padding, window.dilation, groups
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_direct_form_equals_the_library(case):
    _, groups, _, _, window = case
    x, weight = make(*case)
    expected = library(x, weight, groups, window)
    result = direct(x, weight, groups, window)
    torch.testing.assert_close(result, expected)
    gradient = torch.randn_like(expected)
    for mine, theirs in zip(
        torch.autograd.grad(result, (x, weight), gradient),
        torch.autograd.grad(expected, (x, weight), gradient),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@settings(max_examples=15, deadline=None)
@given(convolutions())
def test_gradients_of_the_direct_form_are_those_of_its_result(case):
    _, groups, _, _, window = case
    x, weight = make(*case)
    assert torch.autograd.gradcheck(lambda a, b: direct(a, b, groups, window), (x, weight))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("has_bias", [False, True])
def test_product_of_matrices_equals_the_library(stride, has_bias):
    x = torch.randn(3, 5, 5, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, 5, 1, 1, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(7, dtype=torch.float64, requires_grad=True) if has_bias else None
    result = as_matrices(x, weight, bias, stride)
    torch.testing.assert_close(result, F.conv2d(x, weight, bias, stride))
    inputs = (x, weight) if bias is None else (x, weight, bias)
    assert torch.autograd.gradcheck(lambda a, b, c=None: as_matrices(a, b, c, stride), inputs)


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
def test_any_layout_of_input_weight_and_gradient_will_do(width):
    window = Window((4, 4), (3, 3), (1, 1), (1, 1))
    x, weight = make(2, 4, width, width, window, torch.float32)
    expected = library(x, weight, 4, window)
    contiguous = x.detach().contiguous().requires_grad_()
    last = weight.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    result = direct(contiguous, last, 4, window)
    torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)
    # The gradient of a mean over pixels is one number, repeated without memory of its own.
    by_x, by_weight = torch.autograd.grad(result.mean((2, 3)).sum(), (contiguous, last))
    again = torch.autograd.grad(expected.mean((2, 3)).sum(), (x, weight))
    torch.testing.assert_close(by_x, again[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(by_weight, again[1], atol=1e-4, rtol=1e-4)
    assert by_weight.stride() == last.stride()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_bits_again_with_the_same_threads(threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        window = Window((8, 8), (3, 3), (1, 1), (1, 1))
        x, weight = make(16, 13, 2, 2, window, torch.float32)
        runs = []
        for _ in range(3):
            y = direct(x, weight, 13, window)
            runs.append((y, *torch.autograd.grad(y.square().sum(), (x, weight))))
        assert all(torch.equal(a, b) for run in runs for a, b in zip(run, runs[0], strict=True))
        torch.testing.assert_close(runs[0][0], library(x, weight, 13, window))
    finally:
        torch.set_num_threads(before)


def test_garbage_in_one_image_stays_there():
    window = Window((3, 3), (3, 3), (1, 1), (1, 1))
    x, weight = make(3, 3, 2, 2, window)
    with torch.no_grad():
        x[1] = float("nan")
    result = direct(x, weight, 3, window)
    assert result[1].isnan().all()
    assert result[[0, 2]].isfinite().all()


def test_pairs_are_those_of_a_convolution_written_out():
    window = Window((3, 4), (3, 2), (2, 1), (1, 0), (1, 2))
    expected = set()
    for oy in range(window.out_size[0]):
        for ox in range(window.out_size[1]):
            for ky in range(3):
                for kx in range(2):
                    y, x = oy * 2 + ky - 1, ox + kx * 2
                    if 0 <= y < 3 and 0 <= x < 4:
                        out = oy * window.out_size[1] + ox
                        expected.add((out, y * 4 + x, ky * 2 + kx))
    pairs = list_pairs(window)

    def listed(pair_list):
        starts = pair_list.starts
        items = [i for i in range(len(starts) - 1) for _ in range(starts[i], starts[i + 1])]
        return zip(items, pair_list.firsts, pair_list.seconds, strict=True)

    assert set(listed(pairs.forward)) == expected
    assert {(out, source, tap) for source, out, tap in listed(pairs.backward)} == expected
    assert {(out, source, tap) for tap, out, source in listed(pairs.by_tap)} == expected
