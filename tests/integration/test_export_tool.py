"""tools/export_net.py as a user runs it."""

from pathlib import Path

import pytest
import torch

from pycls.core.config import load_cfg
from pycls.models import build_model
from pycls.models.builders import regnet_spec
from pycls.zoo.export_counterparts import build_torchvision

ROOT = Path(__file__).resolve().parents[2]
CFG = ROOT / "configs" / "embedded" / "digits_anynet.yaml"
REGNET = (
    "MODEL.TYPE", "regnet", "REGNET.DEPTH", "2", "REGNET.W0", "16", "REGNET.WA", "16.0",
    "REGNET.WM", "2.0", "REGNET.GROUP_W", "8", "TRAIN.IM_SIZE", "32",
)  # fmt: skip


@pytest.fixture
def export(tool):
    """Return a function (format, *options, overrides=...) that exports a small RegNet."""

    def run(what, *options, out="net", overrides=REGNET, **keywords):
        arguments = ("--cfg", CFG, "--format", what, "--out", out, *options, *overrides)
        return tool("export_net", *arguments, **keywords)

    return run


@pytest.fixture
def checkpoint(tmp_path):
    """Return a checkpoint of the small RegNet with weights of its own."""
    model = build_model(load_cfg(CFG, [*REGNET, "RNG_SEED", 5]))
    path = tmp_path / "weights.pyth"
    torch.save({"epoch": 0, "model_state": model.state_dict()}, path)
    return path


def assert_refused(process, *parts, code=None):
    assert process.returncode not in (0, -9) if code is None else process.returncode == code
    message = process.stderr.splitlines()[-1]
    assert message.startswith("error: "), process.stderr
    assert "Traceback" not in process.stderr
    for part in parts:
        assert part in message


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_onnx(export, checkpoint, tmp_path):
    import onnxruntime

    process = export("onnx", "--weights", checkpoint, "--im-size", 24, out="net.onnx")
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    assert "net.onnx: onnx, " in process.stdout
    assert "largest relative difference to our logits" in process.stdout
    assert files(tmp_path) == ["net.onnx", "weights.pyth"]

    images = torch.randn(3, 3, 24, 24)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    theirs = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    model = build_model(load_cfg(CFG, REGNET))
    model.load_state_dict(torch.load(checkpoint)["model_state"])
    assert torch.allclose(model.eval()(images), theirs, rtol=1e-3, atol=1e-5)


def test_torch_export_of_fresh_weights(export, tmp_path):
    process = export("torch_export", "--batch-size", 2, out="net.pt2")
    assert process.returncode == 0, process.stderr
    assert "freshly initialised" in process.stdout
    program = torch.export.load(tmp_path / "net.pt2").module()
    assert program(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_torchvision(export, checkpoint, tmp_path):
    process = export("torchvision", "--weights", checkpoint)
    assert process.returncode == 0, process.stderr
    assert "largest relative difference" in process.stdout
    assert "from torchvision.models.regnet import RegNet, BlockParams" in process.stdout
    theirs = build_torchvision(regnet_spec(load_cfg(CFG, REGNET)))
    theirs.load_state_dict(torch.load(tmp_path / "net"), strict=True)


def test_missing_package(export, tmp_path, monkeypatch):
    (tmp_path / "onnxscript.py").write_text("raise ModuleNotFoundError('No module')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pip = "pip install onnx onnxruntime onnxscript"
    assert_refused(export("onnx"), "the package onnxscript ", pip, code=1)
    assert not (tmp_path / "net").exists()


def test_missing_library_leaves_the_comparison_out(export, tmp_path, monkeypatch):
    text = "raise ModuleNotFoundError('No module', name='torchvision')"
    (tmp_path / "torchvision.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = export("torchvision")
    assert process.returncode == 0, process.stderr
    assert "not compared with ours: torchvision is not installed" in process.stdout
    assert "pip install torchvision" in process.stdout
    assert "fc.weight" in torch.load(tmp_path / "net")


def test_weights_of_another_network(export, checkpoint, tmp_path):
    process = export("onnx", "--weights", checkpoint, overrides=(*REGNET, "REGNET.W0", "24"))
    assert_refused(process, "weights.pyth", "another network")
    assert files(tmp_path) == ["weights.pyth"]


def test_output_that_cannot_be_written(export, tmp_path):
    assert_refused(export("onnx", out="nowhere/net.onnx"), "there is no folder nowhere", code=2)
    assert_refused(export("onnx", out="."), "is a folder", code=2)
    assert files(tmp_path) == []


def test_arguments_that_do_not_fit(export, tmp_path):
    assert_refused(export("timm", "--opset", 18), "--opset belongs to --format onnx", code=2)
    assert_refused(export("timm", "--batch-size", 1), "--batch-size", code=2)
    assert_refused(export("timm"), "timm has no counterpart", "supported are", code=2)
    vit = ("MODEL.TYPE", "vit", "TRAIN.IM_SIZE", "32", "VIT.PATCH_SIZE", "8")
    assert_refused(export("timm", overrides=vit), "'vit'", "supported are", code=2)
    assert files(tmp_path) == []
