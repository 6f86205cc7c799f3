"""Exported networks give our logits, and nothing is written that does not."""

import re
from pathlib import Path

import pytest
import torch
from random_weights import largest_difference, randomise

from pycls.core.config import load_cfg
from pycls.errors import ConfigError, PyclsError
from pycls.models.builders import build_model, network_spec
from pycls.zoo.export import ExportCheck, export_onnx, export_program, export_state
from pycls.zoo.key_names import from_other

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "configs"
DIGITS = CONFIGS / "embedded" / "digits_anynet.yaml"
REGNET_KEYS = [
    "MODEL.TYPE", "regnet", "REGNET.DEPTH", 3, "REGNET.W0", 16, "REGNET.WA", 16.0,
    "REGNET.WM", 2.0, "REGNET.GROUP_W", 8, "MODEL.NUM_CLASSES", 10,
]  # fmt: skip
VIT_KEYS = [
    "MODEL.TYPE", "vit", "TRAIN.IM_SIZE", 32, "VIT.NUM_LAYERS", 2, "VIT.NUM_HEADS", 2,
    "VIT.HIDDEN_DIM", 32, "VIT.MLP_DIM", 64, "MODEL.NUM_CLASSES", 10,
]  # fmt: skip
FAMILIES = {
    "anynet": [
        "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1, 2], "ANYNET.WIDTHS", [16, 32],
        "ANYNET.STRIDES", [1, 2], "ANYNET.HEAD_W", 24, "ANYNET.STEM_TYPE", "res_stem_in",
        "ANYNET.BLOCK_TYPE", "res_bottleneck_linear_block", "MODEL.NUM_CLASSES", 10,
    ],
    "regnety": [*REGNET_KEYS, "REGNET.SE_ON", True],
    "resnet_cifar": ["MODEL.TYPE", "resnet", "MODEL.DEPTH", 8, "TRAIN.DATASET", "cifar10"],
    "effnet": [
        "MODEL.TYPE", "effnet", "MODEL.ACTIVATION_FUN", "silu", "EN.DEPTHS", [1, 2],
        "EN.WIDTHS", [8, 16], "EN.EXP_RATIOS", [1.0, 6.0], "EN.STRIDES", [1, 2],
        "EN.KERNELS", [3, 5], "EN.STEM_W", 8, "EN.HEAD_W", 32, "EN.DC_RATIO", 0.2,
        "EN.DROPOUT_RATIO", 0.2, "MODEL.NUM_CLASSES", 10,
    ],
    "vit_patchify": [*VIT_KEYS, "VIT.PATCH_SIZE", 16],
    "vit_conv_pooled": [
        *VIT_KEYS, "VIT.PATCH_SIZE", 4, "VIT.STEM_TYPE", "conv", "VIT.CLASSIFIER_TYPE", "pooled",
        "VIT.C_STEM_KERNELS", [3, 3, 1], "VIT.C_STEM_STRIDES", [2, 2, 1],
        "VIT.C_STEM_DIMS", [8, 16, 32],
    ],
}  # fmt: skip


def network(keys, *overrides):
    return randomise(build_model(load_cfg(None, [*keys, *overrides])))


def small_regnet():
    return network(FAMILIES["regnety"])


def tiny_network():
    """Return what is quick to export, for what does not depend on the network."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )


def small_images(count):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(9))


def our_logits(model, images):
    with torch.no_grad():
        return model.eval()(images)


def onnx_session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("family", FAMILIES)
def test_onnx_of_each_family(family, tmp_path):
    model = network(FAMILIES[family])
    check = export_onnx(model, tmp_path / "net.onnx", 32)
    assert check.difference < 1e-4
    assert not check.note
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]

    session = onnx_session(tmp_path / "net.onnx")
    (inputs,), (outputs,) = session.get_inputs(), session.get_outputs()
    assert (inputs.name, inputs.shape) == ("images", ["batch", 3, 32, 32])
    assert (outputs.name, outputs.shape) == ("logits", ["batch", 10])
    for count in (1, 4):
        images = small_images(count)
        theirs = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
        assert largest_difference(our_logits(model, images), theirs) < 1e-4


# The tracing is that of the ONNX export; these two behave differently while training, or ask
# for the number of images.
@pytest.mark.parametrize("family", ["effnet", "vit_patchify"])
def test_program(family, tmp_path):
    model = network(FAMILIES[family])
    assert export_program(model, tmp_path / "net.pt2", 32).difference < 1e-4
    loaded = torch.export.load(tmp_path / "net.pt2").module()
    for count in (1, 4):
        images = small_images(count)
        assert largest_difference(our_logits(model, images), loaded(images)) < 1e-4


def test_fixed_batch_and_opset(tmp_path):
    import onnx

    model = tiny_network()
    export_onnx(model, tmp_path / "net.onnx", 32, batch_size=2, opset=19)
    assert onnx_session(tmp_path / "net.onnx").get_inputs()[0].shape == [2, 3, 32, 32]
    assert onnx.load(tmp_path / "net.onnx").opset_import[0].version == 19
    export_program(model, tmp_path / "net.pt2", 32, batch_size=2)
    with pytest.raises(Exception, match="2"):
        torch.export.load(tmp_path / "net.pt2").module()(small_images(3))


def test_the_network_is_left_as_it_was(tmp_path):
    model = small_regnet().train()
    model.stem.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    random_state = torch.get_rng_state()
    export_program(model, tmp_path / "net", 32)
    spec = network_spec(load_cfg(None, FAMILIES["regnety"]))
    export_state(model, tmp_path / "net", 32, spec, "torchvision")
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_files_do_not_tell_where_they_were_made(tmp_path):
    export_onnx(tiny_network(), tmp_path / "net.onnx", 32)
    export_program(tiny_network(), tmp_path / "net.pt2", 32)
    for path in tmp_path.iterdir():
        assert b".py" not in path.read_bytes()  # the parts of a .pt2 are not compressed


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_state_is_taken_by_the_library(library, tmp_path):
    cfg = load_cfg(CONFIGS / "dds_baselines" / "regnety" / "RegNetY-200MF_dds_8gpu.yaml")
    model, path = randomise(build_model(cfg)), tmp_path / "net.pth"
    assert export_state(model, path, 64, network_spec(cfg), library).difference < 1e-4
    state = torch.load(path, weights_only=True)
    back = from_other(state, library, "regnet")
    assert all(torch.equal(back[name], value) for name, value in model.state_dict().items())


def test_a_classifier_of_zeros_is_said(tmp_path):
    # As ViTs begin: any exported network with such a classifier would pass.
    model = build_model(load_cfg(None, FAMILIES["vit_patchify"]))
    check = export_program(model, tmp_path / "net.pt2", 32)
    assert check == ExportCheck(0.0, check.note)
    assert "all logits are zero" in check.note


class Doubtful(torch.nn.Module):
    """Computes another thing while it is traced than when it is run."""

    def forward(self, images):
        factor = 1.01 if torch.compiler.is_compiling() else 1.0
        return images.mean(dim=(2, 3)) * factor


@pytest.mark.parametrize("export", [export_onnx, export_program])
def test_other_logits_leave_no_file(export, tmp_path):
    path = tmp_path / "net"
    with pytest.raises(PyclsError, match=r"logits.*differ by.*nothing was written"):
        export(Doubtful(), path, 8)
    assert list(tmp_path.iterdir()) == []
    path.write_text("a file of before")
    with pytest.raises(PyclsError):
        export(Doubtful(), path, 8)
    assert path.read_text() == "a file of before"
    assert list(tmp_path.iterdir()) == [path]


def test_weights_of_another_description_leave_no_file(tmp_path):
    model = small_regnet()
    wider = network_spec(load_cfg(None, [*FAMILIES["regnety"], "REGNET.W0", 24]))
    with pytest.raises(ConfigError, match="torchvision builds another network"):
        export_state(model, tmp_path / "net.pth", 32, wider, "torchvision")
    assert list(tmp_path.iterdir()) == []


def test_networks_without_counterpart_leave_no_file(tmp_path):
    spec = network_spec(load_cfg(None, FAMILIES["resnet_cifar"]))
    model = network(FAMILIES["resnet_cifar"])
    with pytest.raises(ConfigError, match="no counterpart"):
        export_state(model, tmp_path / "net.pth", 32, spec, "torchvision")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("export", [export_onnx, export_program])
def test_arguments_that_cannot_be_used(export, tmp_path):
    vit, path = network(FAMILIES["vit_patchify"]), tmp_path / "net"
    with pytest.raises(ConfigError, match="does not take images of 64 x 64 pixels"):
        export(vit, path, 64)
    with pytest.raises(ConfigError, match="im_size is 0"):
        export(vit, path, 0)
    with pytest.raises(ConfigError, match="batch_size is -1"):
        export(vit, path, 32, batch_size=-1)
    with torch.no_grad():
        vit.head.head_fc.bias[0] = float("nan")
    with pytest.raises(PyclsError, match="not finite"):
        export(vit, path, 32)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("opset", [7, 99])
def test_opsets_that_the_exporter_does_not_write(opset, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(f"opset {opset}: the")):
        export_onnx(tiny_network(), tmp_path / "net.onnx", 32, opset=opset)
    assert list(tmp_path.iterdir()) == []
