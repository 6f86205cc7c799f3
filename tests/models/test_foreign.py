"""Networks of timm and torchvision: built, counted, trained and compared as ours."""

import csv
import json
import sys
from importlib.util import find_spec

import forked_tools
import pytest
import torch
import yaml

from pycls.commands import study as study_command
from pycls.core.config import load_cfg
from pycls.core.weights.weights import load_weights_into, read_weights
from pycls.errors import ConfigError
from pycls.models import build_model, complexity
from pycls.models.counting import count
from pycls.spaces.mixed import MixedPopulation, read_any_population

for name in ("torchvision", "timm"):
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed", allow_module_level=True)


def cfg_of(text, im_size=32, classes=10, **keys):
    library, _, name = text.partition(":")
    section = library.upper()
    return load_cfg(
        None,
        [
            "MODEL.TYPE", library, f"{section}.NAME", name, f"{section}.ARGS", keys.get("args", []),
            "MODEL.NUM_CLASSES", classes, "TRAIN.IM_SIZE", im_size, "TEST.IM_SIZE", im_size,
            "RNG_SEED", keys.get("seed", 1),
        ],
    )  # fmt: skip


def test_a_published_network_has_the_counts_of_ours():
    ours = load_cfg("configs/dds_baselines/regnetx/RegNetX-200MF_dds_8gpu.yaml")
    assert complexity(cfg_of("timm:regnetx_002", 224, 1000)) == complexity(ours)


@pytest.mark.parametrize("text", ["timm:test_vit", "torchvision:swin_t"])
def test_layers_without_a_rule_are_named_and_nothing_is_guessed(text):
    found = count(cfg_of(text))
    assert list(found.counts) == ["params"]
    assert found.without_rule
    assert all("attn" in layer for layer in found.without_rule)


def test_first_weights_come_from_the_seed_alone():
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    first, again = (build_model(cfg_of("timm:test_resnet")).state_dict() for _ in range(2))
    other = build_model(cfg_of("timm:test_resnet", seed=2)).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["fc.weight"], other["fc.weight"])


def test_weights_with_another_number_of_classes_start_a_training(tmp_path):
    path = tmp_path / "weights.pth"
    published = build_model(cfg_of("timm:test_vit", classes=1000))
    torch.save(published.state_dict(), path)
    model = build_model(cfg_of("timm:test_vit", seed=2))
    head = model.state_dict()["head.weight"].clone()
    notes = load_weights_into(model, read_weights(str(path)), replace_head=True)
    assert notes[-1] == "Head of 1000 classes replaced by a new one of 10"
    found, expected = model.state_dict(), published.state_dict()
    assert torch.equal(found.pop("head.weight"), head)
    del found["head.bias"]
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


@pytest.mark.parametrize(
    ("text", "args", "said"),
    [
        ("timm:resnet19", [], "did you mean resnet18"),
        ("timm:resnet18", ["depth=3"], "cannot build 'resnet18'.*depth"),
        ("timm:resnet18", ["pretrained=true"], "TRAIN.WEIGHTS"),
        ("timm:resnet18", ["drop_rate"], "expected name=value"),
        ("torchvision:maskrcnn_resnet50_fpn", [], "no such network"),
        ("torchvision:inception_v3", [], "cannot take images of 32 pixels"),
        ("torchvision:", [], "TORCHVISION.NAME is ''"),
    ],
)
def test_what_cannot_be_built_is_said(text, args, said):
    with pytest.raises(ConfigError, match=said):
        complexity(cfg_of(text, args=args))


OWN = {"flops": "", "params": "", "acts": "", "cum_depth": "", "cum_width": "", "depth_1": "1",
       "width_1": "8", "bot_mul_1": "1", "group_w_1": "8", "stem_type": "res_stem_cifar",
       "stem_w": "8", "block_type": "res_bottleneck_block", "head_w": "0", "strides": "1",
       "resolution": "8", "num_classes": "10"}  # fmt: skip
FILLED = {name: value for name, value in OWN.items() if value}


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["arch", *FILLED, "network"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_file_mixes_networks(tmp_path):
    path = write_csv(
        tmp_path / "mixed.csv",
        [{"arch": "t0", "network": "timm:test_vit patch_size=4"}, {"arch": "a0", **FILLED}],
    )
    population = read_any_population(path)
    assert isinstance(population, MixedPopulation)
    assert population.ids == ("t0", "a0")
    assert population.row(0).overrides()[1:] == [
        "timm", "TIMM.NAME", "test_vit", "TIMM.ARGS", ["patch_size=4"]
    ]  # fmt: skip
    assert population.row(1).widths == (8,)
    path.write_text(population.to_csv_text())
    assert read_any_population(path).to_csv_text() == path.read_text()
    for row, said in (
        ({"arch": "b", "network": "resnet18"}, "timm:resnet18"),
        ({"arch": "b", "network": "timm:resnet18", "depth_1": "3"}, "column 'depth_1'"),
        ({"arch": "a0", "network": "timm:resnet18"}, "used on line"),
    ):
        with pytest.raises(ConfigError, match=said):
            read_any_population(write_csv(path, [{"arch": "a0", **FILLED}, row]))


@pytest.mark.slow
def test_five_of_timm_and_five_own_through_study_report_and_choice(
    digits_dir, tmp_path, monkeypatch
):
    names = ["test_resnet", "test_efficientnet", "test_efficientnet_gn",
             "test_vit patch_size=4", "test_vit2 patch_size=4"]  # fmt: skip
    write_csv(
        tmp_path / "mixed.csv",
        [
            row
            for i, name in enumerate(names)
            for row in (
                {"arch": f"t{i}", "network": f"timm:{name}"},
                {"arch": f"a{i}", **FILLED, "width_1": str(8 * i + 8)},
            )
        ],
    )
    content = {
        "name": "mixed",
        "population": {"csv": "mixed.csv"},
        "config": {
            "TRAIN": {"BATCH_SIZE": 32}, "OPTIM": {"MAX_EPOCH": 2}, "LAYER_FORMS": "library",
            "BN": {"USE_PRECISE_STATS": False}, "PREC_TIME": {"NUM_ITER": 0}, "DEVICE": "cpu",
            "TEST": {"BATCH_SIZE": 1000}, "CHECKPOINT": {"KEEP": "last"},
        },
        "datasets": {
            "digits": {},
            "digits_3": {"of": "digits", "num_classes": 3, "per_class": 12},
        },
        "reference": "digits",
        "targets": ["digits_3"],
        "choose": {
            "data": "digits", "strategy": "halving", "trainings": 6, "seeds": [5],
            "baselines": ["resnet"],
        },
    }  # fmt: skip
    file = tmp_path / "mixed.yaml"
    file.write_text(yaml.safe_dump(content))
    monkeypatch.setattr(sys, "executable", forked_tools.python())  # of what the commands start
    for command in ("score", "run", "choose"):
        out = tmp_path / ("choice" if command == "choose" else "study")
        words = [command, file, "--out", out, "--data-dir", digits_dir, "--jobs", 1]
        monkeypatch.setattr(sys, "argv", ["study.py", *map(str, words)])
        assert study_command.main() == 0
    study, choice = tmp_path / "study", tmp_path / "choice"
    rows = list(csv.DictReader((study / "results.csv").open()))
    assert [row["status"] for row in rows] == ["done"] * 20
    results = {row["arch"]: row for row in rows}
    assert results["t0"]["depth_1"] == results["t3"]["flops"] == ""
    assert int(results["t0"]["flops"]) > 0
    assert int(results["t3"]["params"]) > 0
    scores = {row["arch"]: row for row in csv.DictReader((study / "scores.csv").open())}
    assert "flops: no counting rule for scaled_dot_product" in scores["t3"]["undefined"]
    assert float(scores["t0"]["snip"]) > 0
    rho, _ = csv.DictReader((study / "report" / "tables" / "rho.csv").open())
    assert rho["n_reference"] == "10"
    first, second, *_ = json.loads((choice / "decisions.json").read_text())[1:]
    assert {"t", "a"} == {arch[0] for arch in first["values"]}
    assert set(second["values"]) < set(first["values"])
    # What is exported is what was trained, a foreign network or an own one.
    answer = json.loads((choice / "choice.json").read_text())
    assert (choice / "network" / "network.onnx").is_file()
    assert answer["taken"]["arch"] in (choice / "network" / "MODEL_CARD.md").read_text()
