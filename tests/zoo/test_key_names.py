"""Our RegNets and ResNets in torchvision and timm, and theirs here."""

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_weights import largest_difference, randomise

from pycls.core.config import load_cfg
from pycls.errors import CheckpointError, ConfigError
from pycls.models.builders import build_model, network_spec
from pycls.models.networks.anynet import AnyNet, AnyNetSpec
from pycls.models.networks.regnet import RegNetSpec
from pycls.zoo.export_counterparts import find_counterpart, import_library
from pycls.zoo.key_names import LIBRARIES, from_other, to_other

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "configs" / "dds_baselines"
# Our file -> the name that timm publishes the same network under.
NETWORKS = {
    "regnetx/RegNetX-200MF_dds_8gpu.yaml": "regnetx_002",
    "regnetx/RegNetX-400MF_dds_8gpu.yaml": "regnetx_004",
    "regnety/RegNetY-400MF_dds_8gpu.yaml": "regnety_004",
    "resnet/R-50-1x64d_dds_8gpu.yaml": "resnet50",
    "resnext/X-50-32x4d_dds_8gpu.yaml": "resnext50_32x4d",
}
SPEC = {"depths": (1, 1), "widths": (16, 32), "strides": (2, 2), "num_classes": 5}


def images(count=2, im_size=64):
    return torch.randn(count, 3, im_size, im_size, generator=torch.Generator().manual_seed(1))


def assert_equal_networks(ours, theirs, im_size=64):
    """Compare in evaluation mode, then a training step's logits and statistics."""
    with torch.no_grad():
        x = images(im_size=im_size)
        assert largest_difference(ours.eval()(x), theirs.eval()(x)) < 1e-4
        assert largest_difference(ours.train()(x), theirs.train()(x)) < 1e-4
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        ours_sum, theirs_sum = (
            sum(value.double().sum() for key, value in model.state_dict().items() if name in key)
            for model in (ours, theirs)
        )
        assert ours_sum.item() == pytest.approx(theirs_sum.item(), rel=1e-4)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("file", NETWORKS)
def test_there_and_back(file, library):
    cfg = load_cfg(CONFIGS / file, ["MODEL.NUM_CLASSES", 10])
    spec = network_spec(cfg)
    family = find_counterpart(spec, library).family
    ours = randomise(build_model(cfg))
    theirs = find_counterpart(spec, library).build()
    theirs.load_state_dict(to_other(ours.state_dict(), library, family), strict=True)
    assert_equal_networks(ours, theirs)

    randomise(theirs, seed=1)
    ours.load_state_dict(from_other(theirs.state_dict(), library, family), strict=True)
    assert_equal_networks(ours, theirs)


@pytest.mark.parametrize("file", NETWORKS)
def test_networks_that_timm_publishes(file):
    import_library("timm")
    import timm

    theirs = timm.create_model(NETWORKS[file], pretrained=False)
    family = "regnet" if "regnet" in file else "resnet"
    ours = build_model(load_cfg(CONFIGS / file))
    ours.load_state_dict(from_other(theirs.state_dict(), "timm", family), strict=True)
    with torch.no_grad():
        assert largest_difference(ours.eval()(images()), theirs.eval()(images())) < 1e-4


@pytest.mark.parametrize("name", ["resnet50", "resnext50_32x4d"])
def test_networks_that_torchvision_publishes(name):
    import_library("torchvision")
    import torchvision

    theirs = randomise(torchvision.models.get_model(name, weights=None))
    file = next(file for file, timm_name in NETWORKS.items() if timm_name == name)
    ours = build_model(load_cfg(CONFIGS / file))
    ours.load_state_dict(from_other(theirs.state_dict(), "torchvision", "resnet"), strict=True)
    assert_equal_networks(ours, theirs)


@st.composite
def regnets(draw):
    return RegNetSpec(
        depth=draw(st.integers(1, 6)),
        w_0=8 * draw(st.integers(1, 3)),
        w_a=draw(st.floats(0, 20)),
        w_m=draw(st.floats(1.5, 3)),
        group_w=draw(st.sampled_from([1, 4, 8, 16])),
        num_classes=draw(st.integers(1, 7)),
        bot_mul=draw(st.sampled_from([0.5, 1.0, 2.0])),
        stride=draw(st.sampled_from([1, 2])),
        stem_w=8 * draw(st.integers(1, 3)),
        se_r=draw(st.sampled_from([None, 0.25, 0.5])),
    )


@st.composite
def regnets_of_timm(draw):
    """RegNets of four stages of stride 2, the only ones that timm builds."""
    spec = draw(regnets())
    return dataclasses.replace(spec, depth=8, w_0=8, w_a=draw(st.floats(8, 12)), w_m=2.1, stride=2)


@settings(max_examples=15)
@given(regnets())
def test_any_regnet_in_torchvision(spec):
    ours = randomise(AnyNet(spec.to_anynet()))
    theirs = find_counterpart(spec, "torchvision").build()
    theirs.load_state_dict(to_other(ours.state_dict(), "torchvision", "regnet"), strict=True)
    assert_equal_networks(ours, theirs, im_size=16)


@settings(max_examples=6)
@given(regnets_of_timm())
def test_any_regnet_of_four_stages_in_timm(spec):
    ours = randomise(AnyNet(spec.to_anynet()))
    theirs = find_counterpart(spec, "timm").build()
    theirs.load_state_dict(to_other(ours.state_dict(), "timm", "regnet"), strict=True)
    assert_equal_networks(ours, theirs, im_size=32)


def test_regnets_that_timm_cannot_describe():
    spec = network_spec(load_cfg(CONFIGS / next(iter(NETWORKS))))
    find_counterpart(spec, "timm")
    for other, reason in (
        (dataclasses.replace(spec, depth=3), "it has 3 stages, not 4"),
        (dataclasses.replace(spec, stride=1), "strides other than 2"),
        (spec.to_anynet(), "given by its stages"),
    ):
        with pytest.raises(ConfigError, match=f"timm has no counterpart.*{reason}.*supported"):
            find_counterpart(other, "timm")
        find_counterpart(other, "torchvision")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("file", list(NETWORKS)[2:4])
def test_the_code_that_is_shown_builds_the_network(file, library):
    cfg = load_cfg(CONFIGS / file, ["BN.EPS", 1e-3, "BN.MOM", 0.2, "MODEL.NUM_CLASSES", 3])
    counterpart = find_counterpart(network_spec(cfg), library)
    import_library(library)
    names = {}
    exec(counterpart.code(), names)
    ours = randomise(build_model(cfg))
    state = to_other(ours.state_dict(), library, counterpart.family)
    names["model"].load_state_dict(state, strict=True)
    assert_equal_networks(ours, names["model"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"block_type": "res_bottleneck_linear_block"}, "its blocks are res_bottleneck_linear"),
        ({"block_type": "res_basic_block"}, "its blocks are res_basic_block"),
        ({"stem_type": "res_stem_cifar"}, "its stem is res_stem_cifar"),
        ({"head_w": 64}, "HEAD_W 64"),
        ({"stride_1x1": True}, "STRIDE_1X1"),
        ({"se_r": 0.01}, "leaves no channels"),
        ({"stem_type": "res_stem_in"}, "not those of a ResNet"),
        (
            {
                "stem_type": "res_stem_in", "stem_w": 64, "strides": (1, 2, 2, 2),
                "depths": (1, 1, 1, 1), "widths": (256, 512, 1024, 2048),
                "group_ws": (4, 4, 4, 4), "bot_muls": (0.5, 0.5, 0.5, 0.5),
            },
            "not those of a ResNeXt",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("library", LIBRARIES)
def test_networks_without_a_counterpart(changes, reason, library):
    with pytest.raises(ConfigError, match=rf"{library} has no counterpart.*{reason}.*supported"):
        find_counterpart(AnyNetSpec(**{**SPEC, **changes}), library)


def test_a_counterpart_needs_relu():
    cfg = load_cfg(CONFIGS / next(iter(NETWORKS)), ["MODEL.ACTIVATION_FUN", "silu"])
    with pytest.raises(ConfigError, match="its activation is silu"):
        find_counterpart(network_spec(cfg), "torchvision")


@pytest.mark.parametrize(
    ("key", "family"),
    [
        ("s1.b1.f.a.weights", "regnet"),
        ("s1.b1.f.d.weight", "regnet"),
        ("s0.b1.f.a.weight", "regnet"),
        ("stem.conv", "regnet"),
        ("head.conv.weight", "regnet"),
        ("trunk_output.block1.block1-0.f.a.0.weight", "regnet"),
        ("s1.b1.f.se.f_ex.0.weight", "resnet"),
    ],
)
def test_a_key_that_is_none_of_ours(key, family):
    with pytest.raises(CheckpointError, match=f"{key}.*no weight of our {family}"):
        to_other({key: torch.zeros(1)}, "torchvision", family)


@pytest.mark.parametrize(
    "key", ["trunk_output.block1.block2-0.f.a.0.weight", "s1.b1.f.a.weight", "fc.weight.x"]
)
def test_a_key_that_is_none_of_theirs(key):
    with pytest.raises(CheckpointError, match="no weight of torchvision's regnet"):
        from_other({key: torch.zeros(1)}, "torchvision", "regnet")


def test_unknown_library_and_family():
    with pytest.raises(ConfigError, match=r"keras.*torchvision, timm"):
        to_other({}, "keras", "regnet")
    with pytest.raises(ConfigError, match=r"vit.*regnet, resnet"):
        from_other({}, "timm", "vit")
    with pytest.raises(ConfigError, match=r"keras.*torchvision, timm"):
        find_counterpart(AnyNetSpec(**SPEC), "keras")
