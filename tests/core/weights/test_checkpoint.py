"""Checkpoints: written whole, kept by rule, verified when read, safe to open."""

import os
import pickle
import random
import tarfile
import zipfile

import numpy
import pytest
import torch
from run_checkpoints import last_checkpoint

from pycls.core.config import load_cfg
from pycls.core.runs.paths import checkpoint_path
from pycls.core.weights import checkpoint
from pycls.errors import CheckpointError
from pycls.models.builders import build_model

NET = [
    "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1], "ANYNET.WIDTHS", [8], "ANYNET.STRIDES", [1],
]  # fmt: skip


def save(folder, epoch, keep="all", is_best=False):
    state = {"epoch": epoch, "model_state": {"w": torch.full((100,), float(epoch))}}
    epochs = checkpoint.EpochCheckpoints(folder, keep, period_s=0.0)
    assert epochs.take(lambda: state, is_best=is_best, at_once=False)
    return checkpoint_path(folder, epoch)


def test_names_count_from_one_and_the_newest_is_found_by_number(tmp_path):
    assert last_checkpoint(tmp_path) is None
    assert save(tmp_path, 0).name == "model_epoch_0001.pyth"
    save(tmp_path, 9998)
    save(tmp_path, 9999)
    (tmp_path / "checkpoints" / ".model_epoch_99999.pyth.1.partial").write_text("x")
    assert last_checkpoint(tmp_path).name == "model_epoch_10000.pyth"


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


def test_by_time_the_best_epoch_is_kept_with_the_next_that_is_saved(tmp_path):
    epochs = checkpoint.EpochCheckpoints(tmp_path, "last", period_s=1e6)

    def take(epoch, is_best, at_once=False):
        state = {"epoch": epoch, "model_state": {"w": torch.full((9,), float(epoch))}}
        return epochs.take(lambda: state, is_best=is_best, at_once=at_once)

    def best():
        return checkpoint.load_checkpoint(tmp_path / "model.pyth")["epoch"]

    assert [take(0, True), take(1, True), take(2, False)] == [False] * 3
    assert not list(tmp_path.iterdir())
    assert take(3, False, at_once=True)
    assert (best(), last_checkpoint(tmp_path).name) == (1, "model_epoch_0004.pyth")
    assert not take(4, True)
    epochs.flush()  # told to stop within the next epoch, which is saved elsewhere
    assert best() == 4
    assert take(5, True, at_once=True)
    assert best() == 5
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["model_epoch_0006.pyth"]


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_truncated_file_is_named(tmp_path, share, old):
    path = save_old(tmp_path) if old else save(tmp_path, 0)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "delete it" in str(caught.value)


def save_old(folder, **entries):
    """Write a checkpoint as PyTorch did before 1.6."""
    path = folder / "old.pyth"
    state = {"epoch": 3, "model_state": {"w": torch.arange(100.0)}, **entries}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


def test_pytorchs_older_format_is_read(tmp_path):
    state = checkpoint.load_checkpoint(save_old(tmp_path, cfg="A: 1"))
    assert (state["epoch"], state["cfg"]) == (3, "A: 1")
    assert torch.equal(state["model_state"]["w"], torch.arange(100.0))


def test_one_flipped_bit_is_found(tmp_path):
    path = save(tmp_path, 0)
    with zipfile.ZipFile(path) as archive:
        info = next(i for i in archive.infolist() if "/data/" in i.filename)
    content = bytearray(path.read_bytes())
    content[info.header_offset + 200] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load_checkpoint(path)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_damage_anywhere_is_an_explained_error_or_harmless(tmp_path, old):
    path = save_old(tmp_path) if old else save(tmp_path, 0)
    content = path.read_bytes()
    places = random.Random(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        damaged[places.randrange(len(content))] ^= 1 << places.randrange(8)
        path.write_bytes(damaged)
        try:
            assert "model_state" in checkpoint.load_checkpoint(path)
        except CheckpointError:  # anything else fails the test
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("old", [False, True])
def test_numpy_numbers_under_both_their_names(tmp_path, old):
    path = tmp_path / "numbers.pyth"
    numbers = [numpy.float64(0.5), numpy.float32(0.25), numpy.int64(3)]
    state = {"model_state": {}, "lr": numbers}
    torch.save(state, path, _use_new_zipfile_serialization=not old)
    assert checkpoint.load_checkpoint(path)["lr"] == numbers
    # NumPy 1 called its module so.
    new, first = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
    if old:
        content = path.read_bytes()
        assert new in content
        path.write_bytes(content.replace(new, first))
    else:
        rewrite_pickle(path, lambda content: content.replace(new, first))
    assert first in path.read_bytes()
    assert checkpoint.load_checkpoint(path)["lr"] == numbers


def rewrite_pickle(path, change):
    """Change the pickle in an archive of PyTorch's."""
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, change(content) if name.endswith("data.pkl") else content)


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("accept_bare", [False, True])
def test_nothing_in_a_checkpoint_is_executed(tmp_path, accept_bare):
    target = tmp_path / "executed"
    evil = {"model_state": {}, "x": Malicious(target)}
    for old in (False, True):
        path = tmp_path / "evil.pyth"
        torch.save(evil, path, _use_new_zipfile_serialization=not old)
        with pytest.raises(CheckpointError, match=r"evil\.pyth: refused.*posix\.mkdir") as caught:
            checkpoint.load_checkpoint(path, accept_bare=accept_bare)
        assert "nothing in it was run" in str(caught.value)
        assert "weights_only" not in str(caught.value)
    for protocol in range(6):
        (tmp_path / "plain.pyth").write_bytes(pickle.dumps(Malicious(target), protocol))
        with pytest.raises(CheckpointError, match=r"plain\.pyth"):
            checkpoint.load_checkpoint(tmp_path / "plain.pyth", accept_bare=accept_bare)
    assert not target.exists()


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    path = tmp_path / "x.pyth"
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(__file__, "model_state")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    for content in (
        b"<!DOCTYPE html><html><body>404</body></html>",
        b"version https://git-lfs.github.com/spec/v1\n",
        pickle.dumps({"model_state": {"w": [1.0]}}),
        (tmp_path / "x.tar").read_bytes(),
        (tmp_path / "x.zip").read_bytes(),
        bytes(1000),
    ):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"x\.pyth: .*; delete it"):
            checkpoint.load_checkpoint(path)


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        checkpoint.load_checkpoint(tmp_path / "nothing.pyth")
    bare = {"w": torch.ones(2)}
    for state in (bare, {"model_state": {"w": 1}}, {"model_state": [1]}, [1], torch.ones(2)):
        torch.save(state, tmp_path / "other.pyth")
        with pytest.raises(CheckpointError, match="model_state"):
            checkpoint.load_checkpoint(tmp_path / "other.pyth")
    torch.save(bare, tmp_path / "bare.pyth")
    state = checkpoint.load_checkpoint(tmp_path / "bare.pyth", accept_bare=True)
    assert torch.equal(state["model_state"]["w"], bare["w"])


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
        checkpoint.write_state(path, {"epoch": 0, "model_state": lambda: None})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
