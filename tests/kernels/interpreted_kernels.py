"""Kernels for GPUs against float64, in Triton's interpreter: test_gpu_kernels.py runs this file.

It is a process of its own, because Triton asks once whether to interpret (TRITON_INTERPRET=1). On a
machine with a GPU, without that, the kernels run there. Small numbers stand for large ones: several
programs, tiles that the channels do not fill, and last tiles that are empty.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pycls.datasets.loading import crops
from pycls.datasets.loading.loader import Loader
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.store.writer import SetFacts, write_store
from pycls.kernels import gpu_convolution, gpu_crop, gpu_norm, gpu_pool
from pycls.kernels.forms import OWN, find_table
from pycls.kernels.gpu_crop import BatchKernel
from pycls.kernels.gpu_launch import interprets
from pycls.models.blocks import BlockOptions, BottleneckBlock
from pycls.models.layers import BatchNorm2d, Conv2d, MaxPool2d, conv2d, count_forms, use_forms

DEVICE = "cpu" if interprets() else "cuda"
TABLE = find_table("cuda", OWN)
ERROR = {torch.float32: 1e-6, torch.bfloat16: 8e-3}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(gpu_norm, "TILE", 256)
    monkeypatch.setattr(gpu_norm, "PARTS", 2)
    monkeypatch.setattr(gpu_pool, "TILE", 256)
    monkeypatch.setattr(gpu_convolution, "ROWS", 16)
    monkeypatch.setattr(gpu_crop, "BLOCK", 128)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def draw(*shape, dtype=torch.float32, mean=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=generator) * 2 + mean).to(DEVICE, dtype)


def pair(x):
    """Return the same numbers as a leaf of their type, and as one of float64."""
    return x.clone().requires_grad_(), x.double().requires_grad_()


def assert_near(found, exact, dtype, times=1):
    exact = exact.double()
    assert found.shape == exact.shape
    distance = (found.double() - exact).norm() / exact.norm().clamp(min=1e-30)
    assert distance <= times * ERROR[dtype]


def noting(launched, launch):
    """Return what launches as `launch` does, and notes the kernel."""

    def launch_noted(kernel, *args, **options):
        launched.append(kernel)
        launch(kernel, *args, **options)

    return launch_noted


def norms(channels):
    torch.manual_seed(0)
    ours = BatchNorm2d(channels)
    nn.init.uniform_(ours.weight, 0.5, 1.5)
    nn.init.uniform_(ours.bias, -1, 1)
    exact = nn.BatchNorm2d(channels).double()
    exact.load_state_dict(ours.state_dict())
    ours.forms = TABLE
    return ours.to(DEVICE), exact.to(DEVICE)


@pytest.mark.parametrize(
    ("dtype", "channels", "add", "relu", "two"),
    [
        (torch.float32, 24, True, True, True),
        (torch.float32, 5, False, True, False),
        (torch.bfloat16, 24, True, True, False),
        (torch.bfloat16, 5, False, True, True),
        (torch.bfloat16, 8, True, False, False),
        (torch.float32, 136, False, False, False),
    ],
)
def test_norm_addition_and_relu(dtype, channels, add, relu, two):
    ours, exact = norms(channels)
    x, wide_x = pair(draw(3, channels, 3, 5, dtype=dtype, mean=30.0))
    skip, wide_skip = pair(draw(3, channels, 3, 5, dtype=dtype, seed=2))
    results = ours.then(x, nn.ReLU(inplace=True) if relu else None, skip if add else None)
    assert ours.form == "fused"
    expected = exact(wide_x) + (wide_skip if add else 0)
    expected = expected.relu() if relu else expected
    assert_near(results, expected, dtype)
    gradient = draw(3, channels, 3, 5, dtype=dtype, seed=1)
    outputs = [results, results.second] if two else [results]
    torch.autograd.backward(outputs, [gradient] * len(outputs))
    expected.backward(gradient.double() * len(outputs))
    assert_near(x.grad, wide_x.grad, dtype)
    if add:
        assert_near(skip.grad, wide_skip.grad, dtype)
    # Sums of bfloat16 are of float32, but of two gradients, whose sum is rounded first.
    kind = dtype if two else torch.float32
    for name, parameter in exact.named_parameters():
        assert_near(ours.get_parameter(name).grad, parameter.grad, kind)
    for name, buffer in exact.named_buffers():
        assert_near(ours.get_buffer(name), buffer, torch.float32)
    with torch.no_grad():
        tested = ours.eval().then(x, nn.ReLU() if relu else None, skip if add else None)
        expected = exact.eval()(wide_x) + (wide_skip if add else 0)
    assert ours.form == "fused"
    assert_near(tested, expected.relu() if relu else expected, dtype)


def test_norm_gives_the_same_bits_and_lets_through_what_is_no_number():
    ours, _ = norms(8)
    x = draw(3, 8, 3, 5)
    first, second = (ours.then(x, nn.ReLU()) for _ in range(2))
    assert torch.equal(first, second)
    x[0, 3] = float("nan")
    found = ours.then(x, nn.ReLU())
    assert found[:, 3].isnan().all()
    assert not found[:, :3].isnan().any()


@pytest.mark.parametrize(
    ("dtype", "channels", "size"),
    [(torch.float32, 24, (4, 3)), (torch.bfloat16, 5, (1, 1)), (torch.bfloat16, 16, (2, 3))],
)
def test_max_pool(dtype, channels, size):
    pool = MaxPool2d(3, stride=2, padding=1)
    pool.forms = TABLE
    x, other = (draw(2, channels, *size, dtype=dtype).relu().requires_grad_() for _ in range(2))
    found, expected = pool(x), F.max_pool2d(other, 3, 2, 1)
    assert pool.form == "bytes"
    assert torch.equal(found, expected)
    gradient = draw(*found.shape, dtype=dtype, seed=1)
    torch.autograd.backward([found, found.second], [gradient, gradient])
    expected.backward(2 * gradient)
    assert_near(x.grad, other.grad, dtype)  # equal numbers too: the first takes it


@pytest.mark.parametrize(
    ("channels", "width", "stride", "layout"),
    [
        (24, 12, 1, torch.channels_last),
        (33, 3, 2, torch.contiguous_format),
        (40, 1, 1, torch.contiguous_format),
        (32, 32, 2, torch.channels_last),
    ],
)
def test_grouped_convolution(channels, width, stride, layout):
    layer = conv2d(channels, channels, 3, stride=stride, groups=channels // width)
    layer = layer.to(DEVICE, memory_format=layout)
    use_forms(layer, TABLE)
    weight = layer.weight.detach().double().requires_grad_()
    x, wide = pair(draw(2, channels, 3, 4))
    found = layer(x)
    assert layer.form == "packed"
    expected = F.conv2d(wide, weight, None, stride, 1, 1, channels // width)
    assert_near(found, expected, torch.float32)
    gradient = draw(*found.shape, seed=1)
    found.backward(gradient)
    expected.backward(gradient.double())
    assert_near(x.grad, wide.grad, torch.float32)
    assert_near(layer.weight.grad, weight.grad, torch.float32)


def test_what_the_kernels_cannot_do_the_library_does():
    for layer in (
        Conv2d(8, 8, 3, padding=1, groups=2),  # a bias
        Conv2d(8, 16, 3, padding=1, groups=2, bias=False),
        Conv2d(64, 64, 3, padding=1, bias=False),  # one wide group
        Conv2d(8, 8, 3, padding=1, dilation=2, groups=2, bias=False),
    ):
        use_forms(layer, TABLE)
        layer.to(DEVICE)(draw(1, layer.in_channels, 4, 4))
        assert layer.form == "library"


def test_blocks_add_the_gradients_of_their_branches(monkeypatch):
    """A pooled stem and two blocks, one that projects, against the library in float64."""
    torch.manual_seed(0)
    options = BlockOptions(group_w=4)
    blocks = [BottleneckBlock(8, 16, 2, options), BottleneckBlock(16, 16, 1, options)]
    ours = nn.Sequential(MaxPool2d(3, 2, 1), *blocks).to(DEVICE)
    exact = nn.Sequential(MaxPool2d(3, 2, 1), *(type(b)(*s, options) for b, s in zip(
        blocks, ((8, 16, 2), (16, 16, 1)), strict=True)))  # fmt: skip
    exact.load_state_dict(ours.state_dict())
    exact.double().to(DEVICE)
    use_forms(ours, TABLE)
    # A hook wants what is between: the layers of that place are computed one by one.
    seen = []
    blocks[1].f.c_bn.register_forward_hook(lambda layer, args, result: seen.append(result.shape))
    x, wide = pair(draw(2, 8, 7, 6))
    launched = []
    for module in (gpu_norm, gpu_pool, gpu_convolution):
        monkeypatch.setattr(module, "launch", noting(launched, module.launch))
    found, expected = ours(x), exact(wide)
    assert count_forms(ours) == {
        "convolutions": {"library": 5, "packed": 2}, "norms": {"fused": 7}, "pools": {"bytes": 1},
    }  # fmt: skip
    assert seen == [found.shape]
    gradient = draw(*found.shape, seed=1)
    found.backward(gradient)
    # As dev/count_step.py counts them; the sums of the convolutions' parts are beside these.
    assert len(launched) == 6 * 7 + 2 + 3 * 2
    expected.backward(gradient.double())
    assert_near(x.grad, wide.grad, torch.float32, times=10)
    for name, parameter in exact.named_parameters():
        assert_near(ours.get_parameter(name).grad, parameter.grad, torch.float32, times=10)


@pytest.fixture(scope="module")
def random_set(tmp_path_factory):
    """Return a set of 14 random images of 13 x 10 pixels, every second for testing."""
    images = np.random.default_rng(0).integers(0, 256, (14, 13, 10, 3), dtype=np.uint8)
    facts = SetFacts("s", "S", "random pixels", "a generator", "none", "every second")
    places = np.arange(14)
    split = (places % 2).astype(np.uint8)
    folder = tmp_path_factory.mktemp("sets") / "s"
    return write_store(folder, images, places // 2 % 2, split, ("a", "b"), facts)


def loader_pair(path, side="train", **options):
    """Return a loader with the kernel, and the same one with the library's operations."""
    options = {"batch_size": 3, "im_size": 9, "seed": 1, "threads": 1, **options}
    return [
        Loader(open_dataset(path, side), train=side == "train", device=DEVICE,
               own_kernel=own, **options)
        for own in (True, False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("held", "options"),
    [
        (True, {"pad": 3, "lighting": 0.5}),
        (False, {"pad": 3, "channels_last": False}),
        (True, {"flip": False}),
        (True, {"pad": 1, "augment": "RandAugment_N1_M0.5", "lighting": 0.5}),
        (True, {"side": "test"}),  # the last batch is of one image
        (False, {"side": "test", "test_im_size": 11, "channels_last": False}),
    ],
)
def test_batches_have_the_bits_of_the_library(random_set, held, options):
    options = {"crop": "padded", "max_resident_bytes": None if held else 0, **options}
    ours, library = loader_pair(random_set, **options)
    compared = list(zip(ours.epoch(1), library.epoch(1), strict=True))
    for (found, labels), (expected, same_labels) in compared:
        assert torch.equal(found, expected)
        assert found.stride() == expected.stride()
        assert torch.equal(labels, same_labels)
    assert len(compared) == (3 if "side" in options else 2)


@pytest.mark.parametrize(("size", "light"), [(8, 0.0), (15, 0.5)])
def test_resized_crops_are_those_of_the_library_but_for_rounding(random_set, size, light):
    options = {"crop": "resized", "im_size": size, "lighting": light, "max_resident_bytes": 0}
    ours, library = loader_pair(random_set, **options)
    plan = library._plan_epoch(1, 0)
    rows, boxes, flips = (
        torch.from_numpy(array).to(DEVICE) for array in (plan.positions, plan.boxes, plan.flips)
    )
    images = torch.from_numpy(np.array(library.dataset.images)).to(DEVICE)
    squares = crops.cut_boxes_on_device(images, rows, boxes, flips, size)
    lit = None if plan.light is None else torch.from_numpy(plan.light).to(DEVICE)
    expected = library._lay_out(library._normalize(squares, lit))
    found = torch.cat([batch for batch, _ in ours.epoch(1)])
    step = 1 / (255 * ours.dataset.std)[:, None, None]
    steps = ((found - expected).cpu().numpy() / step).round(3)
    assert np.abs(steps).max() <= 1
    assert (steps != 0).mean() < 0.02  # halves, which an error of the last digit decides
    assert found.stride() == expected.stride()


def test_a_batch_in_a_lower_format_is_the_rounded_one():
    images = torch.arange(2 * 6 * 5 * 3, dtype=torch.uint8, device=DEVICE).view(2, 6, 5, 3)
    scale, shift = (draw(3, seed=seed) for seed in range(2))
    # An image twice, mirrored and not; a box of one pixel.
    rows = torch.tensor([1, 1, 0], device=DEVICE)
    drawn = torch.tensor([[1, 0, 4, 5, 0], [1, 0, 4, 5, 1], [5, 4, 1, 1, 1]], device=DEVICE)
    single, half = (
        BatchKernel(scale, shift, 5, dtype=dtype).cut(images, rows, drawn)
        for dtype in (torch.float32, torch.bfloat16)
    )
    # The interpreter cuts off the bits that a GPU rounds.
    assert torch.allclose(half.float(), single, rtol=2**-7, atol=0)
    assert interprets() or torch.equal(half, single.bfloat16())
    assert torch.equal(single[0], single[1].flip(2))
    # A width as it is, and a height of 4 for 5: the middle row lies between two.
    pixels = images[1, 1:5].float()
    between = ((pixels[1] + pixels[2]) / 2).round()
    assert torch.equal(single[0, :, 2], (between * scale + shift).T)
    assert torch.equal(single[2, :, 0, 0], images[0, 5, 4].float() * scale + shift)
