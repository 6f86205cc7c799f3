"""torchvision imports beside any PyTorch, or says why not. In fresh processes: it is once each."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

CODE = "from pycls.torchvision_import import import_torchvision; tv = import_torchvision()"


@pytest.fixture
def run(tmp_path):
    """Return a function that runs code beside a torchvision of a given content."""

    def start(code, torchvision=None):
        if torchvision is not None:
            (tmp_path / "torchvision").mkdir()
            (tmp_path / "torchvision" / "__init__.py").write_text(torchvision)
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )  # fmt: skip

    return start


def test_models_and_transforms_work(run):
    process = run(
        f"{CODE}; assert tv is import_torchvision()\n"
        "import torch, torchvision, torchvision.models\n"
        "from torchvision.transforms import v2\n"
        "assert tv is torchvision\n"
        "images = torch.zeros(2, 3, 40, 40, dtype=torch.uint8)\n"
        "print(v2.RandAugment()(images).shape)\n"
        "print(torchvision.models.resnet18(num_classes=5).eval()(images.float()).shape)\n"
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == ["torch.Size([2, 3, 40, 40])", "torch.Size([2, 5])"]
    assert process.stderr == ""


def test_nothing_is_defined_where_it_imports(run):
    process = run(f"{CODE}; import sys; print('torch' in sys.modules)", "")
    assert (process.returncode, process.stdout) == (0, "False\n"), process.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("raise ModuleNotFoundError('none', name='torchvision')", "is not installed.*pip install"),
        ("import a_module_that_is_missing", "cannot be imported.*a_module_that_is_missing"),
        ("raise RuntimeError('CUDA versions differ')", "cannot be imported.*CUDA versions differ"),
        (
            "raise RuntimeError('operator torchvision::nms does not exist')",
            "cannot be imported.*nms",
        ),
    ],
)
def test_what_is_wrong_is_said(run, content, message):
    code = (
        "import re\nfrom pycls.errors import PyclsError\n"
        f"try:\n  {CODE.replace('; ', chr(10) + '  ')}\n"
        f"except PyclsError as error: print(bool(re.search({message!r}, str(error))), error)"
    )
    process = run(code, content)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("True torchvision"), process.stdout
