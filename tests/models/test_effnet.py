"""EfficientNet's random parts and its blocks' shapes."""

import torch

from pycls.core.config import load_cfg
from pycls.models.builders import build_model
from pycls.models.layers import DropConnect


def small_cfg(*overrides):
    return load_cfg(None, [
        "MODEL.TYPE", "effnet", "MODEL.NUM_CLASSES", 5, "MODEL.ACTIVATION_FUN", "silu",
        "EN.STEM_W", 8, "EN.DEPTHS", [1, 2], "EN.WIDTHS", [8, 16], "EN.EXP_RATIOS", [1, 4],
        "EN.STRIDES", [1, 2], "EN.KERNELS", [3, 5], "EN.HEAD_W", 32, "TRAIN.IM_SIZE", 16,
        *overrides,
    ])  # fmt: skip


def test_drop_connect_keeps_the_mean_and_drops_whole_images():
    torch.manual_seed(0)
    layer = DropConnect(0.25).train()
    x = torch.ones(4000, 2, 3, 3)
    y = layer(x)
    assert torch.equal(y, y[:, :1, :1, :1].expand_as(y))
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    kept = (y[:, 0, 0, 0] > 0).float().mean().item()
    assert abs(kept - 0.75) < 4 * (0.25 * 0.75 / 4000) ** 0.5
    assert torch.equal(layer.eval()(x), x)


def test_random_parts_act_in_training_only():
    images = torch.rand(8, 3, 16, 16)
    plain = build_model(small_cfg()).eval()
    noisy = build_model(small_cfg("EN.DC_RATIO", 0.5, "EN.DROPOUT_RATIO", 0.5)).eval()
    assert list(plain.state_dict()) == list(noisy.state_dict())
    assert torch.equal(plain(images), noisy(images))
    for model, equal in ((plain.train(), True), (noisy.train(), False)):
        assert torch.equal(model(images), model(images)) == equal


def test_block_without_expansion_has_none():
    model = build_model(small_cfg())
    assert model.s1.b1.exp is None
    assert model.s2.b1.exp.out_channels == 32
    assert model.s2.b2.dwise.groups == 64
    assert (model.s2.b1.has_skip, model.s2.b2.has_skip) == (False, True)
