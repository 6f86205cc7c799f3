import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

TOOL = Path(__file__).parents[2] / "tools" / "prepare_data.py"


def run(folder, *args):
    command = [sys.executable, str(TOOL), *map(str, args), "--out", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder with digits in two versions."""
    folder = tmp_path_factory.mktemp("data")
    done = run(folder, "prepare", "digits")
    assert done.returncode == 0, done.stderr
    assert "1078 train, 719 test images" in done.stdout
    done = run(folder, "prepare", "digits", "--name", "small", "--set", "test_share=0.5")
    assert done.returncode == 0, done.stderr
    return folder


def test_list_marks_what_is_prepared(folder):
    lines = run(folder, "list").stdout.splitlines()
    assert any(line.startswith("* digits ") for line in lines)
    assert any(line.startswith("  textures ") for line in lines)
    assert lines[-1] == "also prepared: small"


def test_info_shows_counts_and_writes_a_contact_sheet(folder, tmp_path):
    sheet = tmp_path / "sheet.png"
    done = run(folder, "info", "digits", "--sheet", sheet)
    assert done.returncode == 0, done.stderr
    assert ["all", "1078", "719"] in [line.split() for line in done.stdout.splitlines()]
    with Image.open(sheet) as image:
        image.load()
        assert image.format == "PNG"
        assert len(image.getcolors(maxcolors=1 << 16)) > 10


def test_verify_passes_and_names_what_is_damaged(folder, tmp_path):
    assert run(folder, "verify", "digits", folder / "small").returncode == 0
    run(tmp_path, "prepare", "digits")
    images = tmp_path / "digits" / "images.npy"
    content = bytearray(images.read_bytes())
    content[500] ^= 255
    images.write_bytes(content)
    done = run(tmp_path, "verify", tmp_path / "digits", folder / "small")
    assert done.returncode == 1
    assert "DAMAGED" in done.stdout
    assert "images.npy" in done.stdout
    assert f"{folder / 'small'}: ok" in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["prepare", "digit"], 2, "unknown data set 'digit'"),
        (["prepare", "digits", "textures", "--name", "both"], 2, "give one KEY"),
        (["prepare", "digits", "--set", "seed"], 2, "expected OPTION=VALUE"),
        (["info", "textures"], 1, "holds digits, small"),
    ],
)
def test_mistakes_end_in_one_message(folder, args, code, message):
    done = run(folder, *args)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
