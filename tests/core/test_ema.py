"""The moving average of weights, against pycls's steps."""

import pytest
import torch
from torch import nn

from pycls.core.config import load_cfg
from pycls.core.ema import Ema, ema_alpha


def test_steps_equal_pycls(training_golden):
    assert training_golden["ema_alpha"]
    for row in training_golden["ema_alpha"]:
        cfg = load_cfg(None, [
            "TRAIN.BATCH_SIZE", row["batch_size"], "OPTIM.MAX_EPOCH", row["max_epoch"],
            "OPTIM.EMA_UPDATE_PERIOD", row["update_period"], "OPTIM.EMA_ALPHA", row["ema_alpha"],
            "OPTIM.WARMUP_EPOCHS", row["warmup_epochs"],
        ])  # fmt: skip
        assert ema_alpha(cfg, row["cur_epoch"]) == pytest.approx(row["alpha"], rel=1e-12)


def test_average_follows_all_state():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    ema = Ema(model)
    before = {name: value.clone() for name, value in ema.model.state_dict().items()}
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(10)
    ema.update(model, 0.25)
    for name, value in ema.model.state_dict().items():
        expected = before[name] * 0.75 + model.state_dict()[name] * 0.25
        assert torch.allclose(value.double(), expected.double().trunc()
                              if value.dtype == torch.int64 else expected.double())  # fmt: skip
    ema.update(model, 1.0)
    for name, value in ema.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])


def test_average_is_no_part_of_the_training():
    model = nn.Conv2d(3, 4, 3)
    ema = Ema(model)
    model(torch.rand(1, 3, 5, 5)).sum().backward()
    assert all(not p.requires_grad for p in ema.model.parameters())
    assert all(a.data_ptr() != b.data_ptr() for a, b in
               zip(model.parameters(), ema.model.parameters(), strict=True))  # fmt: skip
