"""tools/export_net.py as a user runs it."""

from pathlib import Path

import pytest
import torch

from pycls.core.config import load_cfg
from pycls.models.builders import build_model, network_spec
from pycls.zoo.export_counterparts import find_counterpart

ROOT = Path(__file__).resolve().parents[2]
CFG = ROOT / "configs" / "embedded" / "digits_anynet.yaml"
REGNET = (
    "MODEL.TYPE", "regnet", "REGNET.DEPTH", "2", "REGNET.W0", "16", "REGNET.WA", "16.0",
    "REGNET.WM", "2.0", "REGNET.GROUP_W", "8", "TRAIN.IM_SIZE", "32",
)  # fmt: skip


def exports(tool):
    """Return a function (format, *options, overrides=...) that exports a small RegNet."""

    def run(what, *options, out="net", overrides=REGNET):
        arguments = ("--cfg", CFG, "--format", what, "--out", out, *options, *overrides)
        return tool("export_net", *arguments)

    return run


@pytest.fixture
def export(tool):
    """Return a function that exports as a process; see `exports`."""
    return exports(tool)


@pytest.fixture
def export_here(tool_here):
    """Return a function that exports without one; see `exports`."""
    return exports(tool_here)


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
    # ONNX Runtime says there what it finds odd about a machine.
    said = [line for line in process.stderr.splitlines() if "onnxruntime" not in line]
    assert [line for line in said if "cpuinfo" not in line] == []
    assert "net.onnx: onnx, " in process.stdout
    assert "largest relative difference to our logits" in process.stdout
    assert files(tmp_path) == ["net.onnx", "weights.pyth"]

    images = torch.randn(3, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    theirs = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    model = build_model(load_cfg(CFG, REGNET))
    model.load_state_dict(torch.load(checkpoint)["model_state"])
    assert torch.allclose(model.eval()(images), theirs, rtol=1e-3, atol=1e-5)


def test_torch_export_of_fresh_weights(export_here, tmp_path):
    process = export_here("torch_export", "--batch-size", 2, out="net.pt2")
    assert process.returncode == 0, process.stderr
    assert "freshly initialised" in process.stdout
    program = torch.export.load(tmp_path / "net.pt2").module()
    assert program(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_torchvision(export_here, checkpoint, tmp_path):
    process = export_here("torchvision", "--weights", checkpoint)
    assert process.returncode == 0, process.stderr
    assert "largest relative difference" in process.stdout
    assert "from torchvision.models.regnet import RegNet, BlockParams" in process.stdout
    theirs = find_counterpart(network_spec(load_cfg(CFG, REGNET)), "torchvision").build()
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


def test_weights_of_another_network(export_here, checkpoint, tmp_path):
    process = export_here("onnx", "--weights", checkpoint, overrides=(*REGNET, "REGNET.W0", "24"))
    assert_refused(process, "weights.pyth", "another network")
    assert files(tmp_path) == ["weights.pyth"]


def test_output_that_cannot_be_written(export_here, tmp_path):
    process = export_here("onnx", out="nowhere/net.onnx")
    assert_refused(process, "there is no folder nowhere", code=2)
    assert_refused(export_here("onnx", out="."), "is a folder", code=2)
    assert files(tmp_path) == []


def test_arguments_that_do_not_fit(export_here, tmp_path):
    assert_refused(export_here("timm", "--opset", 18), "--opset belongs to --format onnx", code=2)
    assert_refused(export_here("timm", "--batch-size", 1), "--batch-size", code=2)
    assert_refused(export_here("timm"), "timm has no counterpart", "supported are", code=2)
    vit = ("MODEL.TYPE", "vit", "TRAIN.IM_SIZE", "32", "VIT.PATCH_SIZE", "8")
    assert_refused(export_here("timm", overrides=vit), "'vit'", "supported are", code=2)
    assert files(tmp_path) == []
