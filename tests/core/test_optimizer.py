"""Schedules and parameter groups, against pycls's values."""

import copy
from pathlib import Path

import pytest
import torch

from pycls.core.config import load_cfg
from pycls.core.optimizer import (
    build_optimizer,
    load_optimizer_state,
    parameter_groups,
    set_lr,
)
from pycls.core.schedules import lr_at
from pycls.models.builders import build_meta_model, build_model

ROOT = Path(__file__).parents[2]

SE_NET = [
    "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1, 1], "ANYNET.WIDTHS", [8, 16],
    "ANYNET.STRIDES", [1, 2], "ANYNET.SE_ON", True,
]  # fmt: skip


def test_learning_rates_equal_pycls(training_golden):
    assert training_golden["lr"]
    for entry in training_golden["lr"]:
        optim = load_cfg(None, entry["overrides"]).OPTIM
        for epoch, expected in entry["epoch_lr"]:
            assert lr_at(optim, epoch) == pytest.approx(expected, rel=1e-12, abs=1e-300)


def test_policies_of_pycls_are_all_among_the_vectors(training_golden):
    policies = {
        load_cfg(None, entry["overrides"]).OPTIM.LR_POLICY for entry in training_golden["lr"]
    }
    assert policies == {"cos", "lin", "exp", "steps"}


def test_parameter_groups_equal_pycls(training_golden):
    assert training_golden["param_groups"]
    for entry in training_golden["param_groups"]:
        cfg = load_cfg(ROOT / entry["config"], entry["overrides"])
        groups = [
            {
                "weight_decay": group["weight_decay"],
                "tensors": len(group["params"]),
                "elements": sum(p.numel() for p in group["params"]),
            }
            for group in parameter_groups(build_meta_model(cfg), cfg)
        ]
        assert groups == entry["groups"]


def test_layer_norm_and_attention_have_their_groups():
    cfg = load_cfg(None, [
        "MODEL.TYPE", "vit", "TRAIN.IM_SIZE", 32, "VIT.NUM_LAYERS", 1, "VIT.HIDDEN_DIM", 48,
        "VIT.MLP_DIM", 96, "LN.USE_CUSTOM_WEIGHT_DECAY", True, "LN.CUSTOM_WEIGHT_DECAY", 1e-3,
        "OPTIM.BIAS_USE_CUSTOM_WEIGHT_DECAY", True, "OPTIM.BIAS_CUSTOM_WEIGHT_DECAY", 1e-4,
    ])  # fmt: skip
    model = build_meta_model(cfg)
    names = {id(p): name for name, p in model.named_parameters()}
    ln, bias, rest = parameter_groups(model, cfg)
    assert [group["weight_decay"] for group in (ln, bias, rest)] == [1e-3, 1e-4, 5e-4]
    # As pycls, which goes by the names: first "ln", then "bias".
    assert {names[id(p)] for p in ln["params"]} == {n for n in names.values() if "ln" in n}
    assert {names[id(p)] for p in bias["params"]} == {
        n for n in names.values() if "bias" in n and "ln" not in n
    }


def test_parameter_groups_follow_the_kind_of_layer():
    custom = [
        "BN.USE_CUSTOM_WEIGHT_DECAY", True, "BN.CUSTOM_WEIGHT_DECAY", 1e-6,
        "OPTIM.BIAS_USE_CUSTOM_WEIGHT_DECAY", True, "OPTIM.WEIGHT_DECAY", 5e-5,
    ]  # fmt: skip
    cfg = load_cfg(None, [*SE_NET, *custom])
    model = build_model(cfg)
    groups = parameter_groups(model, cfg)
    assert [group["weight_decay"] for group in groups] == [1e-6, 0.0, 5e-5]
    names = {id(p): name for name, p in model.named_parameters()}
    bn, bias, rest = ([names[id(p)] for p in group["params"]] for group in groups)
    assert all("bn" in name for name in bn)
    assert sorted(bias) == sorted(
        ["head.fc.bias"] + [f"s{s}.b1.f.se.f_ex.{i}.bias" for s in (1, 2) for i in (0, 2)]
    )
    assert len(bn) + len(bias) + len(rest) == len(names)
    assert all(name.endswith("weight") for name in rest)


def test_one_step_is_sgd_with_nesterov_momentum():
    cfg = load_cfg(None, [*SE_NET, "OPTIM.WEIGHT_DECAY", 0.1])
    model = build_model(cfg)
    optimizer = build_optimizer(model, cfg)
    set_lr(optimizer, 0.5)
    weight = model.head.fc.weight
    before = weight.detach().clone()
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    gradient = 1 + 0.1 * before
    assert torch.allclose(weight, before - 0.5 * (gradient + 0.9 * gradient), atol=1e-6)


def test_a_learning_rate_in_a_tensor_stays_that_tensor_after_loading():
    cfg = load_cfg(None, [*SE_NET, "TRAIN.CUDA_GRAPH", True])
    before, after = (build_optimizer(build_model(cfg), cfg) for _ in range(2))
    set_lr(before, 0.25)
    rates = [group["lr"] for group in after.param_groups]
    load_optimizer_state(after, copy.deepcopy(before.state_dict()))
    assert all(group["lr"] is rate for group, rate in zip(after.param_groups, rates, strict=True))
    assert all(rate.item() == 0.25 for rate in rates)
    plain = load_cfg(None, SE_NET)
    without = build_optimizer(build_model(plain), plain)
    load_optimizer_state(without, copy.deepcopy(before.state_dict()))
    assert all(isinstance(group["lr"], float) for group in without.param_groups)
