"""Weights of pycls and of this project, into networks that take RGB images."""

import json
from pathlib import Path

import pytest
import torch
from file_server import Answer, FileServer

from pycls.core.config import load_cfg
from pycls.core.config.load import parse_cfg
from pycls.core.tester import test_model as measure_errors
from pycls.core.trainer import train_model
from pycls.core.weights import checkpoint
from pycls.core.weights.weights import load_weights_into, read_weights
from pycls.errors import CheckpointError, ConfigError, DownloadError
from pycls.models.builders import build_model

PYCLS_RUN = Path(__file__).parents[2] / "data" / "pycls_run"
CHECKPOINT = PYCLS_RUN / "logs" / "000000" / "checkpoints" / "model_epoch_0002.pyth"
NET = [
    "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1], "ANYNET.WIDTHS", [8], "ANYNET.STRIDES", [1],
]  # fmt: skip
VIT = [
    "MODEL.TYPE", "vit", "TRAIN.IM_SIZE", 8, "TEST.IM_SIZE", 8, "VIT.PATCH_SIZE", 4,
    "VIT.NUM_LAYERS", 1, "VIT.NUM_HEADS", 2, "VIT.HIDDEN_DIM", 8, "VIT.MLP_DIM", 8,
    "MODEL.ACTIVATION_FUN", "gelu",
]  # fmt: skip
IMAGENET = (
    "MODEL: {TYPE: anynet}\nTRAIN: {DATASET: imagenet}\nMEM: {RELU_INPLACE: true}\n_type: cfg\n"
)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    server = FileServer()
    yield server
    server.close()


@pytest.fixture
def write(tmp_path):
    """Return a function (entries of a checkpoint) -> its file."""

    def save(state):
        torch.save(state, tmp_path / "w.pyth")
        return tmp_path / "w.pyth"

    return save


def make(overrides=NET, seed=1, classes=10):
    return build_model(load_cfg(None, [*overrides, "RNG_SEED", seed, "MODEL.NUM_CLASSES", classes]))


def same(model, state):
    own = model.state_dict()
    return all(torch.equal(own[name], state[name]) for name in own)


def copies(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.golden
@pytest.mark.parametrize(
    ("which", "taken"), [("model", "model"), ("ema", "ema"), ("best", "model")]
)
def test_the_weights_of_pycls_give_its_logits(which, taken):
    expected = json.loads((PYCLS_RUN / "expected.json").read_text())
    saved = checkpoint.load_checkpoint(CHECKPOINT)
    assert sorted(saved) == expected["keys"]
    model = build_model(parse_cfg(saved["cfg"], str(CHECKPOINT))).eval()
    weights = read_weights(CHECKPOINT, which=which)
    assert (weights.which, weights.epoch, weights.channels) == (taken, expected["epoch"], "rgb")
    notes = load_weights_into(model, weights)
    assert f"Took {taken}_state" in notes[0]
    assert "89.50 %" in notes[0]
    assert "91.50 %" in notes[0]
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model(images)
    wanted = torch.tensor(expected[f"{taken}_state_logits"])
    assert (logits - wanted).abs().max() <= 1e-5 * wanted.abs().max()


NAN, MISSING = float("nan"), None


@pytest.mark.parametrize(
    ("test_err", "ema_err", "taken"),
    [
        (30.0, 20.0, "ema"), (20.0, 30.0, "model"), (20.0, 20.0, "model"), (NAN, 20.0, "ema"),
        (20.0, NAN, "model"), (MISSING, 20.0, "ema"), (20.0, MISSING, "model"),
        (MISSING, MISSING, "model"), (100.0, MISSING, "model"), (20.0, "x", "model"),
    ],
)  # fmt: skip
def test_the_better_of_the_two_is_taken_as_in_pycls(write, test_err, ema_err, taken):
    state = {"model_state": {"w": torch.zeros(1)}, "ema_state": {"w": torch.ones(1)}}
    errors = {"test_err": test_err, "ema_err": ema_err}
    path = write(state | {name: value for name, value in errors.items() if value is not None})
    weights = read_weights(path)
    assert weights.which == taken
    assert weights.state["w"] == (1 if taken == "ema" else 0)
    assert read_weights(path, which="ema").state["w"] == 1
    assert read_weights(path, which="model").state["w"] == 0


def test_without_a_moving_average(write):
    path = write({"model_state": {"w": torch.zeros(1)}})
    weights = read_weights(path)
    assert (weights.which, weights.epoch, weights.source) == ("model", None, str(path))
    with pytest.raises(CheckpointError, match=r"w\.pyth: it has no ema_state"):
        read_weights(path, which="ema")
    path = write({"model_state": {"w": torch.zeros(1)}, "ema_state": [1], "ema_err": 1.0})
    with pytest.raises(CheckpointError, match="ema_state is not a dict"):
        read_weights(path)


@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_bare_ddp_and_old_files_in_any_order(tmp_path, prefix, bare, old):
    source, model = make(seed=2), make()
    state = {prefix + name: value for name, value in reversed(source.state_dict().items())}
    path = tmp_path / "w.pyth"
    content = state if bare else {"model_state": state, "epoch": 4}
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    assert not same(model, source.state_dict())
    load_weights_into(model, read_weights(path))
    assert same(model, source.state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(write, dtype):
    state = {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in make(seed=2).state_dict().items()
    }
    model = make()
    load_weights_into(model, read_weights(write({"model_state": state})))
    own = model.state_dict()
    for name, value in state.items():
        assert own[name].dtype in (torch.float32, torch.int64)
        assert torch.equal(own[name], value.to(own[name].dtype))


@pytest.mark.parametrize(
    ("entries", "channels"),
    [
        ({"cfg": IMAGENET}, "bgr"),
        ({"cfg": IMAGENET, "channels": "rgb"}, "rgb"),
        ({"cfg": IMAGENET.replace("imagenet", "cifar10")}, "rgb"),
        ({"cfg": "TRAIN: imagenet"}, "rgb"),
        ({"cfg": "TRAIN: {DATASET: imagenet"}, "rgb"),
        ({"cfg": "["}, "rgb"),
        ({"cfg": 3}, "rgb"),
        ({}, "rgb"),
    ],
)
def test_channel_order_is_recognised(write, entries, channels):
    path = write({"model_state": {"w": torch.zeros(1)}, **entries})
    assert read_weights(path).channels == channels
    assert read_weights(path, channels="bgr").channels == "bgr"
    with pytest.raises(ConfigError, match="channels is 'grb'"):
        read_weights(path, channels="grb")
    with pytest.raises(ConfigError, match="which is 'worst'"):
        read_weights(path, which="worst")


CONV_STEM = [
    "VIT.STEM_TYPE", "conv", "VIT.C_STEM_KERNELS", [3, 3], "VIT.C_STEM_STRIDES", [2, 2],
    "VIT.C_STEM_DIMS", [4, 8],
]  # fmt: skip


@pytest.mark.parametrize("net", [NET, VIT, [*VIT, *CONV_STEM]], ids=["anynet", "vit", "conv vit"])
def test_bgr_weights_give_the_same_logits_for_rgb_images(write, net):
    source, model = make(net, seed=2).eval(), make(net).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in source.head.parameters():  # a ViT's starts at zero
        torch.nn.init.normal_(parameter, generator=generator)
    weights = read_weights(write({"model_state": source.state_dict(), "cfg": IMAGENET}))
    before = {name: value.clone() for name, value in weights.state.items()}
    notes = load_weights_into(model, weights)
    assert "reversed, from BGR to RGB" in notes[-1]
    # In float64: the order of a sum is another one, and which, the processor decides.
    model, source = model.double(), source.double()
    rgb = torch.randn(2, 3, 8, 8, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(model(rgb), source(rgb.flip(1)))
        assert not torch.equal(model(rgb), source(rgb))
    assert all(torch.equal(value, weights.state[name]) for name, value in before.items())


@pytest.mark.parametrize("net", [NET, VIT], ids=["anynet", "vit"])
@pytest.mark.parametrize("cfg", ["", IMAGENET], ids=["rgb", "bgr"])
def test_a_head_of_other_classes_is_replaced_only_on_request(write, net, cfg):
    source, model = make(net, seed=2, classes=1000), make(net, classes=10)
    before = copies(model)
    weights = read_weights(write({"model_state": source.state_dict(), "cfg": cfg}))
    with pytest.raises(CheckpointError, match=r"\(1000,.*instead of \(10,.*MODEL\.NUM_CLASSES$"):
        load_weights_into(model, weights)
    assert same(model, before)
    notes = load_weights_into(model, weights, replace_head=True)
    assert notes[-1] == "Head of 1000 classes replaced by a new one of 10"
    for name, value in model.state_dict().items():
        if name.startswith("head."):
            assert torch.equal(value, before[name])
        elif value.shape[1:2] != (3,) or not cfg:
            assert torch.equal(value, source.state_dict()[name])
    equal = make(net, classes=1000)
    assert not any("head" in note for note in load_weights_into(equal, weights, replace_head=True))


@pytest.mark.parametrize("replace_head", [False, True])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["ANYNET.WIDTHS", [16]], r"shape: .*head\.fc\.weight|shape: .*, \.\.\. \(\d+\)"),
        (["ANYNET.DEPTHS", [2]], r"unknown: s1\.b2.*, \.\.\. \(\d+\)"),
        (["ANYNET.HEAD_W", 8], r"unknown: head\.conv\.weight"),
        (["ANYNET.STEM_W", 16], r"shape: stem\.conv\.weight \(16"),
        (["ANYNET.SE_ON", True], r"unknown: s1\.b1\.f\.se"),
    ],
)  # fmt: skip
def test_another_network_is_refused_and_nothing_copied(
    write, overrides, message, channels, replace_head
):
    weights = read_weights(
        write({"model_state": make([*NET, *overrides], seed=2, classes=20).state_dict()}),
        channels=channels,
    )
    model = make()
    before = copies(model)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_weights_into(model, weights, replace_head=replace_head)
    assert "w.pyth: its weights are of another network" in str(caught.value)
    assert "ANYNET" in str(caught.value)
    assert same(model, before)


def test_weights_of_an_address(server, tmp_path):
    source, model = make(seed=2), make()
    torch.save({"model_state": source.state_dict()}, tmp_path / "w.pyth")
    server.files["/w.pyth"] = (tmp_path / "w.pyth").read_bytes()
    cache = tmp_path / "cache"
    url = f"{server.url}/w.pyth"
    weights = read_weights(url, cache_dir=cache)
    load_weights_into(model, weights)
    assert same(model, source.state_dict())
    assert weights.source == url
    read_weights(url, cache_dir=cache)
    assert len(server.requests) == 1
    with pytest.raises(DownloadError, match="SHA-256"):
        read_weights(url, cache_dir=tmp_path / "other", sha256="0" * 64)
    assert not (tmp_path / "other").exists()
    with pytest.raises(CheckpointError, match="SHA-256"):
        read_weights(tmp_path / "w.pyth", sha256="0" * 64)
    with pytest.raises(ConfigError, match="s3://"):
        read_weights("s3://bucket/w.pyth")


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("old", [False, True])
def test_a_malicious_download_runs_nothing_and_leaves_nothing(server, tmp_path, old):
    target = tmp_path / "executed"
    evil = {"model_state": {}, "x": Malicious(target)}
    torch.save(evil, tmp_path / "w.pyth", _use_new_zipfile_serialization=not old)
    server.files["/w.pyth"] = (tmp_path / "w.pyth").read_bytes()
    url = f"{server.url}/w.pyth"
    with pytest.raises(CheckpointError, match=f"^{url}: refused"):
        read_weights(url, cache_dir=tmp_path / "cache")
    assert not target.exists()
    assert not (tmp_path / "cache").exists()


def test_what_is_no_checkpoint_does_not_enter_the_cache(server, tmp_path):
    url = f"{server.url}/w.pyth"
    whole = CHECKPOINT.read_bytes()
    for body in (b"<html>log in first</html>", whole[:-1], whole[:500]):
        server.script = [Answer(body=body)]
        with pytest.raises(CheckpointError, match=f"^{url}: .*it was dropped, try again"):
            read_weights(url, cache_dir=tmp_path / "cache")
        assert not (tmp_path / "cache").exists()


def test_training_says_what_it_starts_from(digits_cfg, server, tmp_path):
    first = digits_cfg("OPTIM.MAX_EPOCH", 1)
    train_model(first)
    server.files["/w.pyth"] = Path(first.OUT_DIR, "model.pyth").read_bytes()
    assert checkpoint.load_checkpoint(Path(first.OUT_DIR, "model.pyth"))["channels"] == "rgb"
    url = f"{server.url}/w.pyth"
    keys = ("TRAIN.WEIGHTS", url, "DOWNLOAD_CACHE", str(tmp_path / "cache"))
    subset = ("MODEL.NUM_CLASSES", 2, "DATA.CLASSES", ["1", "7"], "TRAIN.BATCH_SIZE", 32)
    out = ("OUT_DIR", str(tmp_path / "second"), "LOG_DEST", "file")
    train_model(digits_cfg(*keys, *subset, *out, "OPTIM.MAX_EPOCH", 1))
    log = (tmp_path / "second" / "stdout.log").read_text()
    assert f"Starts from the weights of {url}. Took model_state" in log
    assert "Head of 10 classes replaced by a new one of 2" in log
    # Going on needs them no more, even where the address has gone.
    server.files.clear()
    for path in (tmp_path / "cache").rglob("w.pyth*"):
        path.unlink()
    requests = len(server.requests)
    record = train_model(digits_cfg(*keys, *subset, *out, "OPTIM.MAX_EPOCH", 2))
    assert record["status"] == "done"
    assert len(server.requests) == requests
    out = ("OUT_DIR", str(tmp_path / "third"))
    with pytest.raises(DownloadError, match="404"):
        train_model(digits_cfg(*keys, *subset, *out))
    assert not (tmp_path / "third").exists()


def test_testing_says_what_it_tests_and_takes_no_other_head(digits_cfg, write, capsys):
    model = build_model(digits_cfg())
    path = write({"model_state": model.state_dict(), "cfg": IMAGENET, "epoch": 4})
    measure_errors(digits_cfg("TEST.WEIGHTS", str(path)))
    out = capsys.readouterr().out
    assert f"Weights: {path} (epoch 5). Took model_state" in out
    assert "reversed, from BGR to RGB" in out
    other = digits_cfg(
        "TEST.WEIGHTS", str(path), "MODEL.NUM_CLASSES", 2, "DATA.CLASSES", ["1", "7"],
        "TRAIN.BATCH_SIZE", 32,
    )  # fmt: skip
    with pytest.raises(CheckpointError, match=r"MODEL\.NUM_CLASSES"):
        measure_errors(other)
