"""Every kind of network against vectors computed with pycls itself."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from golden_fill import fill

from pycls.core.config import load_cfg
from pycls.models.builders import build_model
from pycls.models.counting import complexity

ROOT = Path(__file__).parents[2]
CONFIGS = (
    "configs/archive/cifar/anynet/R-56_nds_1gpu.yaml",
    "configs/archive/cifar/anynet/V-56_nds_1gpu.yaml",
    "configs/archive/imagenet/anynet/R-50-1x64d_step_8gpu.yaml",
    "configs/archive/imagenet/anynet/X-50-32x4d_step_8gpu.yaml",
    "configs/dds_baselines/resnet/R-50-1x64d_dds_8gpu.yaml",
    "configs/dds_baselines/regnetx/RegNetX-400MF_dds_8gpu.yaml",
    "configs/dds_baselines/regnety/RegNetY-400MF_dds_8gpu.yaml",
    "configs/dds_baselines/effnet/EN-B0_dds_8gpu.yaml",
    "configs/archive/cifar/resnet/R-56_nds_1gpu.yaml",
    "anynetx-a",
    "anynetx-se-head",
    "anynetx-linear",
    "vit-patchify",
)


def test_no_vector_is_left_out(models_golden, models_golden_float64):
    assert tuple(entry["config"] for entry in models_golden) == CONFIGS
    assert tuple(models_golden_float64) == CONFIGS


@pytest.mark.parametrize("config", CONFIGS)
def test_network_equals_pycls(config, models_golden):
    entry, cfg = network_of(config, models_golden)
    assert complexity(cfg) == entry["complexity"]
    model = build_model(cfg)
    state = model.state_dict()
    assert [[key, list(value.shape)] for key, value in state.items()] == entry["keys"]
    fill(state)
    # Draws and sums in float32 differ in their last bits from one kind of processor to another.
    assert_logits(model, images_for(entry, torch.float32), entry, rel=1e-4)


@pytest.mark.parametrize("config", CONFIGS)
def test_loss_and_gradient_equal_pycls(config, models_golden, models_golden_float64):
    # In float64, since the gradient of two images in training mode is ill-conditioned: in float32
    # its norm moves by half a percent from one kind of processor to another.
    entry, cfg = network_of(config, models_golden)
    expected = models_golden_float64[config]
    model = build_model(cfg).double()
    fill(model.state_dict())
    images = images_for(entry, torch.float64)
    assert_logits(model, images, expected, rel=1e-6)

    loss = F.cross_entropy(model.train()(images), torch.tensor([0, 1]))
    loss.backward()
    norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    assert loss.item() == pytest.approx(expected["train_loss"], rel=1e-6)
    assert norm.item() == pytest.approx(expected["grad_norm_total"], rel=1e-6)


def network_of(config, models_golden):
    entry = next(e for e in models_golden if e["config"] == config)
    overrides = entry.get("overrides")
    return entry, load_cfg(None, overrides) if overrides else load_cfg(ROOT / config)


def images_for(entry, dtype):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(entry["input_shape"], generator=generator, dtype=dtype)


def assert_logits(model, images, expected, rel):
    with torch.no_grad():
        logits = model.eval()(images)
    first = torch.tensor(expected["eval_logits_first8"], dtype=images.dtype)
    assert (logits[:, : first.shape[-1]] - first).abs().max() < rel * first.abs().max()
    assert logits.norm().item() == pytest.approx(expected["eval_logits_norm"], rel=rel)
