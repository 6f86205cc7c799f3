"""Vision transformers: both stems, both classifiers, and PyTorch's own attention."""

import pytest
import torch
from golden_fill import fill
from torch import nn

from pycls.core.config import load_cfg
from pycls.errors import ConfigError
from pycls.models.builders import build_model
from pycls.models.counting import complexity
from pycls.models.layers import SelfAttention


def small_cfg(*overrides):
    return load_cfg(None, [
        "MODEL.TYPE", "vit", "MODEL.NUM_CLASSES", 5, "TRAIN.IM_SIZE", 32, "VIT.PATCH_SIZE", 8,
        "VIT.NUM_LAYERS", 2, "VIT.NUM_HEADS", 4, "VIT.HIDDEN_DIM", 32, "VIT.MLP_DIM", 64,
        *overrides,
    ])  # fmt: skip


CONV_STEM = (
    "VIT.STEM_TYPE", "conv", "VIT.C_STEM_KERNELS", [3, 3, 3, 1], "VIT.C_STEM_STRIDES",
    [2, 2, 2, 1], "VIT.C_STEM_DIMS", [8, 16, 24, 32],
)  # fmt: skip


def test_attention_equals_pytorchs():
    ours = SelfAttention(32, 4)
    fill(ours.state_dict())
    theirs = nn.MultiheadAttention(32, 4, batch_first=True)
    theirs.load_state_dict(ours.block.state_dict())
    x = torch.randn(3, 7, 32)
    expected = theirs(x, x, x, need_weights=False)[0]
    assert torch.allclose(ours(x), expected, atol=1e-5 * expected.abs().max().item())


def test_convolutional_stem_and_pooled_classifier():
    cfg = small_cfg(*CONV_STEM, "VIT.CLASSIFIER_TYPE", "pooled")
    model = build_model(cfg)
    state = model.state_dict()
    assert list(state)[:8] == [
        "pos_embedding", "stem.cstem0_conv.weight", "stem.cstem0_bn.weight", "stem.cstem0_bn.bias",
        "stem.cstem0_bn.running_mean", "stem.cstem0_bn.running_var",
        "stem.cstem0_bn.num_batches_tracked", "stem.cstem1_conv.weight",
    ]  # fmt: skip
    assert {"stem.cstem_last_conv.weight", "stem.cstem_last_conv.bias"} <= set(state)
    assert state["pos_embedding"].shape == (16, 1, 32)
    assert "class_token" not in state
    fill(state)
    images = torch.rand(2, 3, 32, 32)
    assert model(images).shape == (2, 5)

    # By hand: 3x3 convolutions of stride 2 on 16, 8 and 4 pixels, 1x1 on 4; 16 tokens.
    stem = 9 * 3 * 8 * 256 + 9 * 8 * 16 * 64 + 9 * 16 * 24 * 16 + (24 * 32 + 32) * 16
    block = 16 * (3 * 32 * 32 + 3 * 32) + 2 * 16 * 16 * 32 + 16 * (32 * 32 + 32)
    block += 16 * (32 * 64 + 64) + 16 * (64 * 32 + 32)
    counted = complexity(cfg)
    assert counted["flops"] == stem + 2 * block + 32 * 5 + 5
    assert counted["params"] == sum(p.numel() for p in model.parameters())
    stem_acts = 8 * 256 + 16 * 64 + 24 * 16 + 32 * 16
    block_acts = 16 * 96 + 4 * 16 * 16 + 16 * 32 + 16 * 32 + 16 * 64 + 16 * 32
    assert counted["acts"] == stem_acts + 2 * block_acts + 5


@pytest.mark.parametrize("overrides", [(), CONV_STEM, ("VIT.CLASSIFIER_TYPE", "pooled")])
def test_all_weights_are_initialised(overrides, monkeypatch):
    # Memory that PyTorch hands out is poisoned, so that a tensor left as it came shows.
    to_empty = nn.Module.to_empty

    def poisoned(self, *args, **kwargs):
        module = to_empty(self, *args, **kwargs)
        with torch.no_grad():
            for tensor in module.state_dict().values():
                tensor.fill_(float("nan") if tensor.is_floating_point() else -7)
        return module

    monkeypatch.setattr(nn.Module, "to_empty", poisoned)
    model = build_model(small_cfg(*overrides))
    for name, tensor in model.state_dict().items():
        assert torch.isfinite(tensor).all(), name
        assert (tensor != -7).all(), name
    assert model.head.head_fc.weight.abs().max() == 0
    assert model.pos_embedding.std().item() == pytest.approx(0.02, rel=0.15)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("TRAIN.IM_SIZE", 36), r"TRAIN\.IM_SIZE is 36; expected a multiple of VIT\.PATCH_SIZE"),
        (("VIT.NUM_HEADS", 5), r"VIT\.HIDDEN_DIM is 32; expected a multiple of VIT\.NUM_HEADS"),
        ((*CONV_STEM, "VIT.C_STEM_STRIDES", [2, 2, 1, 1]), "product must be VIT.PATCH_SIZE"),
        ((*CONV_STEM, "VIT.C_STEM_DIMS", [8, 16, 24, 16]), "the last must be VIT.HIDDEN_DIM"),
        ((*CONV_STEM, "VIT.C_STEM_DIMS", [8, 32]), "one value of each for every convolution"),
        ((*CONV_STEM, "VIT.C_STEM_KERNELS", [3, 3, 3, 2]), "the last must be odd"),
    ],
)
def test_impossible_architectures_are_named(overrides, message):
    with pytest.raises(ConfigError, match=message):
        small_cfg(*overrides)


def test_kernels_that_pycls_passes_over_are_said():
    with pytest.warns(UserWarning, match="all convolutions of the stem but the last"):
        cfg = small_cfg(*CONV_STEM, "VIT.C_STEM_KERNELS", [5, 3, 3, 1])
    assert build_model(cfg).stem.cstem0_conv.kernel_size == (3, 3)
