"""Networks by name, with weights from a real server, and by plain arguments."""

import io
from pathlib import Path

import pytest
import torch
from file_server import FileServer

from pycls import models
from pycls.core.config.load import dump_cfg
from pycls.core.weights.download import cached_file
from pycls.errors import CheckpointError, ConfigError, DownloadError
from pycls.zoo.catalog import MODELS
from pycls.zoo.constructors import zoo_cfg


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "*")
    server = FileServer()
    monkeypatch.setenv("PYCLS_ZOO_URL", server.url)
    monkeypatch.setenv("PYCLS_CACHE", str(tmp_path / "cache"))
    yield server
    server.close()


def as_published(name, model, **entries):
    """Return a checkpoint's bytes as pycls published them in 2020."""
    state = {
        "epoch": 99,
        "model_state": model.state_dict(),
        "optimizer_state": {},
        "cfg": dump_cfg(zoo_cfg(name)),
        **entries,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def publish(server, name, model, **entries):
    path = MODELS[name].weights_url.removeprefix(server.url)
    server.files[path] = as_published(name, model, **entries)


def other_weights(name):
    model = models.regnetx("200MF") if name == "RegNetX-200MF" else models.effnet("B0")
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(1) if value.dtype == torch.int64 else value.mul_(1.1).add_(0.01)
    return model


def test_every_constructor_builds_its_family():
    images = torch.rand(2, 3, 32, 32)
    built = {
        "regnetx": models.regnetx("200MF"),
        "regnety": models.regnety("200MF"),
        "resnet": models.resnet(50),
        "resnext": models.resnext("50"),
        "effnet": models.effnet("B0"),
    }
    for model in built.values():
        assert model(images).shape == (2, 1000)
    assert models.vit("Ti16")(torch.rand(2, 3, 224, 224)).shape == (2, 1000)
    assert built["regnety"].s1.b1.f.se is not None
    assert built["regnetx"].s1.b1.f.se is None
    assert built["resnext"].s1.b1.f.b.groups == 32


def test_overrides_are_of_one_network_only():
    small = models.regnetx("200MF", cfg_list=("MODEL.NUM_CLASSES", 7, "BN.EPS", 1e-3))
    plain = models.regnetx("RegNetX-200MF")
    assert (small.head.fc.out_features, plain.head.fc.out_features) == (7, 1000)
    assert (small.stem.bn.eps, plain.stem.bn.eps) == (1e-3, 1e-5)
    with pytest.raises(ConfigError, match=r"unknown key 'MODEL\.CLASSES'"):
        models.regnetx("200MF", cfg_list=("MODEL.CLASSES", 7))


@pytest.mark.parametrize("name", ["RegNetX-200MF", "EfficientNet-B0"])
def test_published_weights_take_rgb_images(server, name, caplog):
    published = other_weights(name)
    publish(server, name, published)
    build = models.regnetx if name.startswith("RegNet") else models.effnet
    size = name.partition("-")[2]
    model = build(size, pretrained=True)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = published.eval()(images.flip(1))  # pycls fed blue, green, red
        assert torch.allclose(model.eval()(images), expected, rtol=1e-4, atol=1e-5)
    assert "BGR to RGB" in caplog.text
    # The second time without the server.
    server.files.clear()
    again = build(size, pretrained=True)
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_weights_for_other_classes_get_a_new_head_and_say_so(server, caplog):
    published = other_weights("RegNetX-200MF")
    publish(server, "RegNetX-200MF", published)
    model = models.regnetx("200MF", pretrained=True, cfg_list=("MODEL.NUM_CLASSES", 10))
    fresh = models.regnetx("200MF", cfg_list=("MODEL.NUM_CLASSES", 10))
    assert torch.equal(model.head.fc.weight, fresh.head.fc.weight)
    assert torch.equal(model.s1.b1.f.a.weight, published.s1.b1.f.a.weight)
    assert "1000 classes replaced by a new one of 10" in caplog.text


def test_better_average_of_a_file_is_taken(tmp_path, caplog):
    model, average = models.regnetx("200MF"), other_weights("RegNetX-200MF")
    path = tmp_path / "both.pyth"
    entries = {"ema_state": average.state_dict(), "test_err": 30.0, "ema_err": 29.0}
    path.write_bytes(as_published("RegNetX-200MF", model, **entries))
    loaded = models.regnetx("200MF", pretrained=path)
    assert torch.equal(loaded.head.fc.weight, average.head.fc.weight)
    assert "Took ema_state" in caplog.text


def cache_content(tmp_path):
    cache = tmp_path / "cache"
    return [p for p in cache.rglob("*") if p.is_file()] if cache.exists() else []


class Evil:
    """Creates a file when it is unpickled by a careless loader."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("damage", ["truncated", "cut_short", "pickle", "missing", "digest"])
def test_bad_downloads_are_refused_and_leave_nothing(server, tmp_path, damage, monkeypatch):
    monkeypatch.setitem(cached_file.__kwdefaults__, "wait_s", 0.01)  # between attempts
    good = as_published("RegNetX-200MF", models.regnetx("200MF"))
    path = MODELS["RegNetX-200MF"].weights_url.removeprefix(server.url)
    server.files[path] = good
    pretrained, error = True, DownloadError
    if damage == "truncated":  # the connection ends early, again and again
        server.usual.drop_after, server.usual.ranges = len(good) // 2, False
    elif damage == "cut_short":  # the server itself has half the file
        server.files[path], error = good[: len(good) // 2], CheckpointError
    elif damage == "pickle":
        buffer = io.BytesIO()
        torch.save({"model_state": {}, "cfg": Evil(tmp_path / "executed")}, buffer)
        server.files[path], error = buffer.getvalue(), CheckpointError
    elif damage == "missing":
        server.files.clear()
    else:
        pretrained = f"{server.url}{path}#sha256={'0' * 64}"
    with pytest.raises(error):
        models.regnetx("200MF", pretrained=pretrained)
    assert not (tmp_path / "executed").exists()
    assert cache_content(tmp_path) == []


def test_weights_of_another_network_are_refused_with_the_names(server, tmp_path):
    publish(server, "RegNetY-200MF", models.regnetx("200MF"))
    with pytest.raises(CheckpointError, match=r"of another network.*f\.se\.f_ex"):
        models.regnety("200MF", pretrained=True)


def test_models_without_published_weights_say_so():
    with pytest.raises(ConfigError, match="no published weights of ViT-B16"):
        models.vit("B16", pretrained=True)


def test_anynet_by_plain_arguments():
    model = models.anynet(
        depths=[1, 2], widths=[16, 32], group_ws=[8, 8], bot_muls=[1.0, 0.5], num_classes=5,
        stem_type="res_stem_cifar", stem_w=8, se_r=0.25, head_w=64,
    )  # fmt: skip
    assert model(torch.rand(2, 3, 16, 16)).shape == (2, 5)
    assert [m.f.b.stride for m in (model.s1.b1, model.s2.b1, model.s2.b2)] == [
        (1, 1), (2, 2), (1, 1),
    ]  # fmt: skip
    assert model.head.conv.out_channels == 64
    assert models.anynet(depths=[1], widths=[8], num_classes=3).s1.b1.f.b.stride == (2, 2)
    with pytest.raises(ConfigError, match=r"ANYNET\.WIDTHS is \[8\] with 1 values"):
        models.anynet(depths=[1, 1], widths=[8])
