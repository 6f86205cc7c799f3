"""AnyNets as a user builds them."""

import pytest
import torch

from pycls.core.config import load_cfg
from pycls.errors import ConfigError
from pycls.models.blocks import BLOCKS
from pycls.models.builders import build_model
from pycls.models.counting import complexity
from pycls.models.vocabulary import BLOCK_TYPES, has_groups
from pycls.spaces import AnyNetX


def small_cfg(*overrides):
    architecture = [
        "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1, 2], "ANYNET.WIDTHS", [16, 32],
        "ANYNET.STRIDES", [1, 2], "ANYNET.GROUP_WS", [8, 8], "TRAIN.IM_SIZE", 16,
        "ANYNET.STEM_TYPE", "res_stem_cifar", "ANYNET.BOT_MULS", [1.0, 0.5],
    ]  # fmt: skip
    return load_cfg(None, [*architecture, *overrides])


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = build_model(small_cfg()).state_dict()
    torch.manual_seed(2)
    random_state = torch.random.get_rng_state()
    second = build_model(small_cfg()).state_dict()
    assert torch.equal(random_state, torch.random.get_rng_state())
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = build_model(small_cfg("RNG_SEED", 2)).state_dict()
    assert not torch.equal(first["stem.conv.weight"], other["stem.conv.weight"])


def test_initial_weights_have_the_stated_scale():
    model = build_model(small_cfg("ANYNET.WIDTHS", [512, 512]))
    weight = model.s2.b2.f.b.weight  # 3x3 with 256 outputs in groups of 8
    assert weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.05)
    assert model.head.fc.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert model.head.fc.bias.abs().max() == 0
    assert torch.isfinite(torch.cat([v.flatten() for v in model.state_dict().values()])).all()


def test_zero_gamma_makes_blocks_start_as_identity():
    model = build_model(small_cfg("BN.ZERO_INIT_FINAL_GAMMA", True)).eval()
    features = torch.rand(2, 32, 4, 4)
    assert torch.equal(model.s2.b2(features), features)


def test_two_networks_live_beside_each_other():
    small = build_model(small_cfg("MODEL.NUM_CLASSES", 3))
    large = build_model(small_cfg("MODEL.NUM_CLASSES", 7, "MODEL.ACTIVATION_FUN", "silu"))
    images = torch.rand(2, 3, 16, 16)
    assert small(images).shape == (2, 3)
    assert large(images).shape == (2, 7)


@pytest.mark.parametrize("size", [1, 7, 16, 33])
def test_any_image_size_passes(size):
    model = build_model(small_cfg()).eval()
    assert model(torch.rand(1, 3, size, size)).shape == (1, 10)


def test_missing_network_is_named():
    with pytest.raises(ConfigError, match=r"MODEL\.TYPE is ''; expected 'anynet', 'effnet'"):
        build_model(load_cfg())


def test_groups_are_made_as_pycls_makes_them():
    # A bottleneck of 24 channels and a group width of 16: one group, not an error.
    cfg = small_cfg("ANYNET.WIDTHS", [16, 48], "ANYNET.GROUP_WS", [8, 16])
    assert build_model(cfg).s2.b1.f.b.groups == 1
    assert build_model(small_cfg()).s2.b1.f.b.groups == 2


def test_what_is_known_of_blocks_without_pytorch_is_true():
    assert tuple(BLOCKS) == BLOCK_TYPES
    for name, block in BLOCKS.items():
        assert has_groups(name) == block.has_groups


def test_a_block_of_ones_own_is_built_and_counted_everywhere(monkeypatch):
    class Plain(BLOCKS["vanilla_block"]):
        """The vanilla block, under a name that has no rule for arrays."""

    monkeypatch.setitem(BLOCKS, "plain_block", Plain)
    spaces = {
        name: AnyNetX(block_type=name, width=(8, 32), depth=(1, 3), resolution=16)
        for name in ("plain_block", "vanilla_block")
    }
    own, known = (space.sample(4, seed=2) for space in spaces.values())
    for name in ("depths", "widths", "flops", "params", "acts"):
        assert (getattr(own, name) == getattr(known, name)).all()
    cfg = load_cfg(
        None, [*next(iter(own)).overrides(), "MODEL.NUM_CLASSES", 1000, "TRAIN.IM_SIZE", 16]
    )
    assert complexity(cfg)["flops"] == own.flops[0]
    with pytest.raises(ConfigError, match="'plain_block'"):
        load_cfg(None, ["ANYNET.BLOCK_TYPE", "no_block"])
