"""tools/predict.py: what it says of an image is what testing says of it."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pycls.core.config import load_cfg
from pycls.core.loaders import build_loader
from pycls.datasets.preparation.prepare import prepare
from pycls.models.builders import build_model

ROOT = Path(__file__).resolve().parents[2]
CFG = ROOT / "configs" / "embedded" / "digits_anynet.yaml"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Return a folder: a tree of images of many sizes, and prepared of it the set 'mine'."""
    folder = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(1)
    for side, count in (("train", 3), ("val", 5)):
        for name in ("cat", "dog", "eel"):
            (folder / "tree" / side / name).mkdir(parents=True)
            for number in range(count):
                shape = (*generator.integers(20, 40, size=2), 3)
                pixels = generator.integers(0, 256, size=shape, dtype=np.uint8)
                path = folder / "tree" / side / name / f"{number}.png"
                Image.fromarray(pixels).save(path)
    prepare("folder", folder / "data", raw=folder / "tree", name="mine", size=18, aspect="squash")
    return folder


@pytest.mark.parametrize("dataset", ["mine", "{}/tree"])
def test_a_prediction_is_what_testing_gives(dataset, photographs, tool_here, tmp_path):
    dataset = dataset.format(photographs)
    keys = [
        "DATA.DIR", photographs / "data", "TRAIN.DATASET", dataset, "TEST.DATASET", dataset,
        "MODEL.NUM_CLASSES", 3, "TRAIN.IM_SIZE", 16, "TEST.IM_SIZE", 20, "TEST.BATCH_SIZE", 4,
        "DATA_LOADER.NUM_WORKERS", 0, "DEVICE", "cpu",
    ]  # fmt: skip
    cfg = load_cfg(CFG, list(map(str, keys)))
    torch.manual_seed(3)
    model = build_model(cfg).eval()
    torch.save({"epoch": 0, "model_state": model.state_dict()}, tmp_path / "weights.pyth")
    batches = list(build_loader(cfg, "TEST", torch.device("cpu")).epoch())
    with torch.no_grad():
        expected = torch.cat([model(images.clone()).softmax(dim=1) for images, _ in batches])

    images = photographs / "tree" / "val"
    process = tool_here(
        "predict", "--cfg", CFG, "--weights", "weights.pyth", images, "--out", "p.csv",
        "--set", *keys,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert [Path(row["file"]).relative_to(images).parts[0] for row in rows] == [
        name for name in ("cat", "dog", "eel") for _ in range(5)
    ]
    found = np.array([[float(row[f"p_{name}"]) for name in ("cat", "dog", "eel")] for row in rows])
    # A tree's order and the prepared set's are the same: by class, then name.
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-6)
    for row, shares in zip(rows, found, strict=True):
        assert row["class"] == ("cat", "dog", "eel")[shares.argmax()]
        assert float(row["probability"]) == shares.max()


def test_what_cannot_be_read_is_named_and_the_rest_predicted(
    digits_dir, digits_cfg, tool_here, tmp_path
):
    folder = tmp_path / "some"
    folder.mkdir()
    Image.new("L", (8, 8), 40).save(folder / "good.png")
    (folder / "cut.png").write_bytes((folder / "good.png").read_bytes()[:40])
    (folder / "notes.txt").write_text("no image")
    torch.save(build_model(digits_cfg()).state_dict(), tmp_path / "w.pyth")
    keys = ("--set", "DATA.DIR", digits_dir, "DEVICE", "cpu")
    start = ("predict", "--cfg", CFG, "--weights", "w.pyth")

    process = tool_here(*start, folder, *keys)
    assert process.returncode == 1
    rows = list(csv.DictReader(process.stdout.splitlines()))
    assert [Path(row["file"]).name for row in rows] == ["good.png"]
    assert sum(float(rows[0][f"p_{digit}"]) for digit in range(10)) == pytest.approx(1, abs=1e-4)
    assert "left out, not images: 1" in process.stderr
    assert "error: " in process.stderr
    assert "cut.png" in process.stderr

    process = tool_here(*start, folder / "nothing.png", *keys)
    assert process.returncode == 1
    assert "nothing.png: there is no such file or folder" in process.stderr
