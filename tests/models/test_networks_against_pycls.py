"""Every kind of network against vectors computed with pycls itself."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from golden_fill import fill

from pycls.core.config import load_cfg
from pycls.models import build_model, complexity

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


def test_no_vector_is_left_out(models_golden):
    assert tuple(entry["config"] for entry in models_golden) == CONFIGS


@pytest.mark.parametrize("config", CONFIGS)
def test_network_equals_pycls(config, models_golden):
    entry = next(e for e in models_golden if e["config"] == config)
    if "overrides" in entry:
        cfg = load_cfg(None, entry["overrides"])
    else:
        cfg = load_cfg(ROOT / config)
    assert complexity(cfg) == entry["complexity"]

    model = build_model(cfg)
    state = model.state_dict()
    assert [[key, list(value.shape)] for key, value in state.items()] == entry["keys"]
    fill(state)
    images = torch.randn(entry["input_shape"], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model.eval()(images)
    expected = torch.tensor(entry["eval_logits_first8"])
    difference = (logits[:, : expected.shape[-1]] - expected).abs().max()
    assert difference < 1e-4 * expected.abs().max()
    assert logits.norm().item() == pytest.approx(entry["eval_logits_norm"], rel=1e-4)

    loss = F.cross_entropy(model.train()(images), torch.tensor([0, 1]))
    loss.backward()
    norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    assert loss.item() == pytest.approx(entry["train_loss"], rel=1e-3)
    assert norm.item() == pytest.approx(entry["grad_norm_total"], rel=1e-3)
