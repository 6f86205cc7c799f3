"""`study.py score`: the table, its bytes, and scores as they were once."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from pycls.commands import study as study_command
from pycls.core.config import load_cfg
from pycls.schema import SCORES
from pycls.scores.network_scores import score

GOLDEN_FILE = Path(__file__).parent.parent / "data" / "zero_cost_golden.json"
IM_SIZE, CLASSES = 16, 4
NETWORKS = {
    "anynet": ["ANYNET.STEM_TYPE", "res_stem_cifar", "ANYNET.STEM_W", 8, "ANYNET.SE_ON", True,
               "ANYNET.BLOCK_TYPE", "res_bottleneck_block", "ANYNET.DEPTHS", [1, 2],
               "ANYNET.WIDTHS", [8, 16], "ANYNET.STRIDES", [1, 2], "ANYNET.GROUP_WS", [4, 8]],
    "regnet": ["REGNET.STEM_TYPE", "res_stem_cifar", "REGNET.STEM_W", 8, "REGNET.DEPTH", 3,
               "REGNET.W0", 8, "REGNET.WA", 8.0, "REGNET.WM", 2.0, "REGNET.GROUP_W", 4],
    "effnet": ["EN.STEM_W", 8, "EN.DEPTHS", [1, 2], "EN.WIDTHS", [8, 16], "EN.EXP_RATIOS", [1, 4],
               "EN.KERNELS", [3, 5], "EN.STRIDES", [1, 2], "EN.HEAD_W", 32,
               "MODEL.ACTIVATION_FUN", "silu"],
    "vit": ["VIT.PATCH_SIZE", 4, "VIT.HIDDEN_DIM", 16, "VIT.NUM_HEADS", 2, "VIT.MLP_DIM", 32,
            "VIT.NUM_LAYERS", 2],
}  # fmt: skip


def scores_of(kind):
    """Return a small network's scores on eight images of noise, from its first weights.

    `python tests/scores/test_study_scores.py` writes them to the file that the test compares with:
    with PyTorch 2.13.0 on a CPU with AVX2, one thread.
    """
    overrides = [
        "MODEL.TYPE", kind, "MODEL.NUM_CLASSES", CLASSES, "TRAIN.IM_SIZE", IM_SIZE,
        "TEST.IM_SIZE", IM_SIZE, *NETWORKS[kind],
    ]  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(8, 3, IM_SIZE, IM_SIZE, generator=generator)
    return score(load_cfg(None, overrides), (images, torch.arange(8) % CLASSES))


@pytest.mark.parametrize("kind", NETWORKS)
def test_scores_are_as_they_were(kind):
    found, expected = scores_of(kind), json.loads(GOLDEN_FILE.read_text())[kind]
    assert list(found) == list(SCORES)
    for name, value in expected.items():
        assert found[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-3))


@pytest.mark.slow
def test_the_same_table_from_any_number_of_workers_and_after_a_stop(
    digits_dir, tmp_path, monkeypatch
):
    space = {"num_stages": 2, "strides": [1, 2], "stem_type": "res_stem_cifar", "stem_w": 8,
             "depth": [1, 2], "width": [8, 16], "resolution": 8, "num_classes": 10}  # fmt: skip
    content = {
        "name": "tiny",
        "population": {"space": space, "size": 3, "seed": 0},
        "config": {"TRAIN": {"BATCH_SIZE": 32}, "OPTIM": {"MAX_EPOCH": 1}},
        "datasets": {"digits": {}, "digits_3": {"of": "digits", "num_classes": 3}},
        "reference": "digits",
        "targets": ["digits_3"],
    }
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(content))
    table = tmp_path / "out" / "scores.csv"

    def run(jobs):
        words = ["score", file, "--out", table.parent, "--data-dir", digits_dir, "--jobs", jobs]
        monkeypatch.setattr(sys, "argv", ["study.py", *map(str, words), "--batch", "16"])
        assert study_command.main() == 0
        return table.read_bytes()

    whole = run(1)
    rows = list(csv.DictReader(whole.decode().splitlines()))
    assert [(row["dataset"], row["arch"]) for row in rows] == [
        (key, f"a000{i}") for key in ("digits", "digits_3") for i in range(3)
    ]
    values = np.array([[float(row[name]) for name in SCORES] for row in rows])
    assert np.isfinite(values).all()
    assert all(row["undefined"] == "" for row in rows)
    head, first, second, *_ = whole.splitlines(keepends=True)
    marked = first.rstrip() + b"kept\n"  # not made again
    of_other_data = second.replace(second.split(b",")[4], b"0" * 12).replace(b".", b"1.")
    table.write_bytes(head + marked + of_other_data)
    assert run(2) == whole.replace(first, marked)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = {kind: scores_of(kind) for kind in NETWORKS}
    GOLDEN_FILE.write_text(json.dumps(found, indent=1) + "\n")
