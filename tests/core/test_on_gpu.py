"""What only a GPU can show; on other machines skipped by name."""

import copy

import pytest
import torch

from pycls.core.config import load_cfg
from pycls.core.cuda_graph import GraphedStep
from pycls.core.optimizer import build_optimizer
from pycls.core.precision import Precision
from pycls.core.step import TrainStep
from pycls.core.trainer import train_model
from pycls.models import build_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")


def steps(cfg, graphed):
    """Train a network by four steps and return its state and the losses."""
    device = torch.device("cuda")
    model = build_model(cfg).to(device, memory_format=torch.channels_last).train()
    optimizer = build_optimizer(model, cfg)
    step = TrainStep(model, optimizer, Precision(cfg, device), cfg, topk=5)
    run = GraphedStep(step) if graphed else step
    generator = torch.Generator().manual_seed(0)
    losses = []
    for i in range(4):
        images = torch.randn(16, 3, 32, 32, generator=generator).to(
            device, memory_format=torch.channels_last
        )
        labels = torch.randint(10, (16,), generator=generator).to(device)
        losses.append(run(images, labels, 0.1 / (i + 1), 0, i).loss.item())
    return copy.deepcopy(model.state_dict()), losses


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("OPTIM.OPTIMIZER", "adamw", "OPTIM.BASE_LR", 0.01),
        ("TRAIN.MIXUP_ALPHA", 0.3),
        ("TRAIN.MIXED_PRECISION", True, "TRAIN.MIXED_DTYPE", "bfloat16"),
    ],
    ids=["sgd", "adamw", "mixup", "bfloat16"],
)
def test_captured_step_trains_as_the_plain_one(overrides):
    architecture = [
        "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1, 2], "ANYNET.WIDTHS", [16, 32],
        "ANYNET.STRIDES", [1, 2], "ANYNET.GROUP_WS", [8, 8], "TRAIN.BATCH_SIZE", 16,
    ]  # fmt: skip
    plain, losses = steps(load_cfg(None, [*architecture, *overrides]), False)
    cfg = load_cfg(None, [*architecture, *overrides, "TRAIN.CUDA_GRAPH", True])
    captured, others = steps(cfg, True)
    assert others == pytest.approx(losses, rel=1e-2)
    for name, value in plain.items():
        assert torch.allclose(value.float(), captured[name].float(), atol=1e-2), name


@pytest.mark.parametrize(
    "overrides",
    [
        ("TRAIN.CUDA_GRAPH", True),
        ("TRAIN.MIXED_PRECISION", True),
        ("TRAIN.MIXED_PRECISION", True, "TRAIN.MIXED_DTYPE", "bfloat16"),
        ("OPTIM.OPTIMIZER", "adamw", "OPTIM.BASE_LR", 0.01),
        ("OPTIM.EMA_UPDATE_PERIOD", 2, "BN.USE_PRECISE_STATS", True),
    ],
    ids=["graph", "float16", "bfloat16", "adamw", "ema"],
)
def test_it_learns_on_the_gpu(digits_cfg, overrides):
    result = train_model(digits_cfg("DEVICE", "cuda", "OPTIM.MAX_EPOCH", 15, *overrides))["result"]
    assert result["final_top1_err"] < 25
