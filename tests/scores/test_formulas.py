"""Zero-cost scores are their papers' formulas, computed here another way."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pycls.models import anynet
from pycls.scores.batch_pass import batch_scores, weights_of
from pycls.scores.dataless import l2_norm, synflow, zen
from pycls.scores.formulas import epe_nas, jacobian_covariance, naswot
from pycls.scores.undefined import Undefined

CLASSES, IMAGES = 3, 5


def small_network():
    """A network whose few weights can be moved one by one, smooth and not."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2), nn.ReLU(inplace=True),
        nn.Conv2d(2, 3, 1), nn.Softplus(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(3, CLASSES),
    ).double()  # fmt: skip


@pytest.fixture(scope="module")
def known():
    """The small network, a batch, and what this module's functions compare with."""
    model = small_network()
    images = torch.randn(IMAGES, 3, 4, 4, dtype=torch.float64)
    labels = torch.tensor([0, 1, 1, 2, 0])
    found = batch_scores(small_network(), images, labels, CLASSES)
    return model.train(), images, labels, found


def loss_of(model, images, labels):
    with torch.no_grad():
        return F.cross_entropy(model(images), labels).item()


def slopes(value, tensor, step=1e-5):
    """Return the central differences of value() by each element of a tensor."""
    found = np.empty(tensor.numel())
    flat = tensor.data.view(-1)
    for i in range(len(flat)):
        kept = flat[i].item()
        sides = []
        for sign in (1, -1):
            flat[i] = kept + sign * step
            sides.append(value())
        flat[i] = kept
        found[i] = (sides[0] - sides[1]) / (2 * step)
    return found


def test_scores_of_gradients_are_those_of_differences(known):
    model, images, labels, found = known
    weights = weights_of(model)
    assert [tuple(w.shape) for w in weights] == [(2, 3, 3, 3), (3, 2, 1, 1), (3, 3)]
    gradients = [slopes(lambda: loss_of(model, images, labels), w) for w in weights]
    values = [w.detach().numpy().ravel().copy() for w in weights]
    products = np.concatenate([w * g for w, g in zip(values, gradients, strict=True)])
    assert found["grad_norm"] == pytest.approx(sum(map(np.linalg.norm, gradients)), rel=1e-6)
    assert found["plain"] == pytest.approx(products.sum(), rel=1e-5, abs=1e-9)
    assert found["snip"] == pytest.approx(np.abs(products).sum(), rel=1e-6)
    assert l2_norm(model) == pytest.approx(sum(map(np.linalg.norm, values)))
    # H g is how the gradient changes along itself.
    step, moved = 1e-4, []
    for sign in (1, -1):
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.data += sign * step * torch.from_numpy(gradient).view_as(weight)
        moved.append([slopes(lambda: loss_of(model, images, labels), w) for w in weights])
        for weight, value in zip(weights, values, strict=True):
            weight.data.copy_(torch.from_numpy(value).view_as(weight))
    curved = [(a - b) / (2 * step) for a, b in zip(*moved, strict=True)]
    grasp = -sum(float(w @ h) for w, h in zip(values, curved, strict=True))
    assert found["grasp"] == pytest.approx(grasp, rel=1e-3)


def test_fisher_is_the_effect_of_scaling_each_channel_of_each_image(known):
    model, images, labels, found = known
    total = 0.0
    for place, channels in ((0, 2), (3, 3), (7, CLASSES)):
        gates = torch.ones(IMAGES, channels, dtype=torch.float64)
        hook = model[place].register_forward_hook(
            lambda _, __, out, g=gates: out * g.view(*g.shape, *[1] * (out.ndim - 2))
        )
        by_gate = slopes(lambda: IMAGES * loss_of(model, images, labels), gates)
        hook.remove()
        total += float(np.square(by_gate).sum()) / (2 * IMAGES)
    assert found["fisher"] == pytest.approx(total, rel=1e-5)


def test_scores_of_the_jacobian_and_of_codes(known):
    model, images, labels, found = known
    jacobian = slopes(lambda: model(images).sum().item(), images).reshape(IMAGES, -1)
    eigenvalues = np.linalg.eigvals(np.corrcoef(jacobian)).real + 1e-5
    expected = -sum(math.log(e) + 1 / e for e in eigenvalues)
    assert found["jacob_cov"] == pytest.approx(expected, rel=1e-3)
    by_class = 0.0
    for label in range(CLASSES):
        rows = [row for row, own in zip(jacobian, labels.tolist(), strict=True) if own == label]
        pairs = itertools.product(rows, rows)
        by_class += abs(sum(math.log(abs(np.corrcoef(a, b)[0, 1]) + 1e-5) for a, b in pairs))
    assert found["epe_nas"] == pytest.approx(by_class, rel=1e-4)
    with torch.no_grad():
        codes = (model[:3](images) > 0).flatten(1).tolist()
    kernel = [[sum(a == b for a, b in zip(x, y, strict=True)) for y in codes] for x in codes]
    assert found["naswot"] == pytest.approx(math.log(abs(np.linalg.det(kernel))))


def test_epe_nas_of_many_classes_compares_their_means():
    rows = np.random.default_rng(0).normal(size=(5, 8))
    labels = np.array([0, 0, 150, 150, 150])
    first, second = (
        np.log(np.abs(np.corrcoef(rows[part])) + 1e-5).sum() / size
        for part, size in ((slice(0, 2), 2), (slice(2, 5), 3))
    )
    assert epe_nas(rows, labels, 200) == pytest.approx(2 * abs(first - second) / 2)


def test_synflow_is_layers_times_the_flow_through_each():
    """The flow is conserved: each layer's sum of w dR/dw is R itself (the paper's theorem 1)."""
    model = anynet(depths=[2], widths=[4], strides=[2], group_ws=[2], stem_type="res_stem_cifar",
                   stem_w=4, block_type="vanilla_block", num_classes=3)  # fmt: skip
    model.train()(torch.randn(8, 3, 6, 6))  # batch statistics must not count
    x = torch.ones(1, 3, 6, 6, dtype=torch.float64)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    for layer in convolutions:
        x = F.conv2d(x, layer.weight.detach().double().abs(), None, layer.stride, layer.padding)
    linear = model.head.fc
    flow = x.mean((2, 3)) @ linear.weight.detach().double().abs().T
    bias = linear.bias.detach().double().abs().sum().item()
    assert bias == 0
    expected = flow.sum().item() * (len(convolutions) + 1)
    assert synflow(model, 6) == pytest.approx(expected, rel=1e-12)


def test_zen_is_that_of_the_network_without_its_links():
    model = anynet(depths=[2], widths=[8], strides=[2], group_ws=[4], stem_w=8, se_r=0.25,
                   stem_type="res_stem_cifar", block_type="res_bottleneck_block")  # fmt: skip
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    found = zen(model, 4, 8, torch.Generator().manual_seed(5))
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    generator = torch.Generator().manual_seed(5)
    path = []
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d):
            weight = torch.randn(layer.weight.shape, generator=generator)
            if "proj" not in name and ".se." not in name:
                path.append((name, layer, weight))
    assert [name.rpartition(".")[2] for name, _, _ in path] == ["conv", *"abcabc"]
    x = torch.randn(4, 3, 8, 8, generator=generator)
    moved = x + 0.01 * torch.randn(4, 3, 8, 8, generator=generator)
    variances = []
    for _, layer, weight in path:
        x, moved = (
            F.conv2d(each, weight, None, layer.stride, layer.padding, 1, layer.groups)
            for each in (x, moved)
        )
        variances.append(x.var((0, 2, 3), correction=0).mean().item())
        x, moved = (F.relu(F.batch_norm(each, None, None, training=True)) for each in (x, moved))
    change = (x - moved).flatten(1).norm(dim=1).mean().item()
    assert found == pytest.approx(math.log(change) + sum(map(math.log, variances)) / 2, rel=1e-4)


def test_what_is_undefined_says_why():
    with pytest.raises(Undefined, match="no ReLU"):
        naswot([])
    with pytest.raises(Undefined, match="same units"):
        naswot([np.ones((2, 2))])
    with pytest.raises(Undefined, match="do not depend"):
        jacobian_covariance(np.zeros((2, 4)))
    normed = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4))
    with pytest.raises(Undefined, match="other than by batches"):
        synflow(normed, 4)
    with pytest.raises(Undefined, match="residual links"):
        zen(normed, 2, 4, torch.Generator())
