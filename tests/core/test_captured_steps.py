"""Captured steps on the CPU, where a stand-in for a graph does the work again."""

import pytest
import recomputed_graphs
import torch

from pycls.core.config import load_cfg
from pycls.core.cuda_graph import GraphedStep
from pycls.core.optimizer import build_optimizer
from pycls.core.precision import Precision
from pycls.core.step import TrainStep
from pycls.kernels import gpu_graph
from pycls.models.builders import build_model

ARCHITECTURE = (
    "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1], "ANYNET.WIDTHS", [8], "ANYNET.STEM_W", 8,
    "ANYNET.STRIDES", [1], "ANYNET.BOT_MULS", [1.0], "ANYNET.GROUP_WS", [4],
    "MODEL.NUM_CLASSES", 3, "TRAIN.LABEL_SMOOTHING", 0.1,
)  # fmt: skip
MIXUP, CUTMIX = ("TRAIN.MIXUP_ALPHA", 0.4), ("TRAIN.CUTMIX_ALPHA", 1.0)


@pytest.mark.parametrize(
    "words", [(), MIXUP, CUTMIX, (*MIXUP, *CUTMIX)], ids=["plain", "mixup", "cutmix", "both"]
)
def test_a_captured_step_trains_as_the_plain_one(monkeypatch, words):
    monkeypatch.setattr(gpu_graph, "capture", recomputed_graphs.capture)
    cfg = load_cfg(None, [*ARCHITECTURE, *words])
    results, weights = [], []
    for captured in (True, False):
        torch.manual_seed(1)
        model = build_model(cfg).train()
        step = TrainStep(model, build_optimizer(model, cfg), Precision(cfg, torch.device("cpu")),
                         cfg, topk=2)  # fmt: skip
        train = GraphedStep(step) if captured else step
        rows, generator = [], torch.Generator().manual_seed(2)
        for number in range(8):
            images = torch.randn(8, 3, 12, 10, generator=generator)
            labels = torch.randint(3, (8,), generator=generator)
            rows.append(train(images, labels, 0.1 / (1 + number), 0, number).row)
        results.append(torch.stack(rows))
        weights.append(model.state_dict())
    # The first captures, and leaves all as it was: not even a count of batches differs.
    assert torch.equal(*results)
    assert len(results[0].unique(dim=0)) == 8
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
