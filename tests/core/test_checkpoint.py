"""Checkpoints: written whole, kept by rule, verified when read, safe to open."""

import os
import pickle
import zipfile

import pytest
import torch

from pycls.core import checkpoint
from pycls.core.config import load_cfg
from pycls.errors import CheckpointError
from pycls.models import build_model

NET = [
    "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1], "ANYNET.WIDTHS", [8], "ANYNET.STRIDES", [1],
]  # fmt: skip


def save(folder, epoch, keep="all", is_best=False):
    state = {"epoch": epoch, "model_state": {"w": torch.full((100,), float(epoch))}}
    return checkpoint.save_checkpoint(folder, state, keep=keep, is_best=is_best)


def test_names_count_from_one_and_the_newest_is_found_by_number(tmp_path):
    assert checkpoint.last_checkpoint(tmp_path) is None
    assert save(tmp_path, 0).name == "model_epoch_0001.pyth"
    save(tmp_path, 9998)
    save(tmp_path, 9999)
    (tmp_path / "checkpoints" / ".model_epoch_99999.pyth.1.partial").write_text("x")
    assert checkpoint.last_checkpoint(tmp_path).name == "model_epoch_10000.pyth"


def test_keeping_rules(tmp_path):
    for epoch in range(3):
        save(tmp_path / "all", epoch, "all", is_best=epoch == 1)
        save(tmp_path / "last", epoch, "last", is_best=epoch == 1)
        save(tmp_path / "none", epoch, "none", is_best=epoch == 1)

    def names(name):
        return sorted(p.name for p in (tmp_path / name / "checkpoints").iterdir())

    assert names("all") == [f"model_epoch_000{i}.pyth" for i in (1, 2, 3)]
    assert names("last") == names("none") == ["model_epoch_0003.pyth"]
    for name in ("all", "last"):
        best = checkpoint.load_checkpoint(tmp_path / name / "model.pyth")
        assert best["epoch"] == 1
    assert not (tmp_path / "none" / "model.pyth").exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_truncated_file_is_named(tmp_path, share):
    path = save(tmp_path, 0)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "delete it" in str(caught.value)


def test_one_flipped_bit_is_found(tmp_path):
    path = save(tmp_path, 0)
    with zipfile.ZipFile(path) as archive:
        info = next(i for i in archive.infolist() if "/data/" in i.filename)
    content = bytearray(path.read_bytes())
    content[info.header_offset + 200] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load_checkpoint(path)


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    target = tmp_path / "executed"
    torch.save({"model_state": {}, "x": Malicious(target)}, tmp_path / "evil.pyth")
    with pytest.raises(CheckpointError, match="refused"):
        checkpoint.load_checkpoint(tmp_path / "evil.pyth")
    (tmp_path / "plain.pyth").write_bytes(pickle.dumps(Malicious(target)))
    with pytest.raises(CheckpointError, match=r"plain\.pyth"):
        checkpoint.load_checkpoint(tmp_path / "plain.pyth")
    assert not target.exists()


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        checkpoint.load_checkpoint(tmp_path / "nothing.pyth")
    torch.save({"weights": 1}, tmp_path / "other.pyth")
    with pytest.raises(CheckpointError, match="model_state"):
        checkpoint.load_checkpoint(tmp_path / "other.pyth")


def test_weights_of_another_network_are_listed():
    model = build_model(load_cfg(None, NET))
    wider = build_model(load_cfg(None, [*NET, "ANYNET.WIDTHS", [16]])).state_dict()
    with pytest.raises(CheckpointError, match=r"here: .*shape: .*instead of"):
        checkpoint.load_weights(model, wider, "here")
    deeper = build_model(load_cfg(None, [*NET, "ANYNET.DEPTHS", [2]])).state_dict()
    with pytest.raises(CheckpointError, match=r"unknown: s1\.b2"):
        checkpoint.load_weights(model, deeper, "here")
    before = model.state_dict()["stem.conv.weight"].clone()
    assert torch.equal(before, model.stem.conv.weight)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = save(tmp_path, 0)
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        checkpoint.save_checkpoint(
            tmp_path, {"epoch": 0, "model_state": lambda: None}, keep="all", is_best=False
        )
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
