"""Configurations: what loads, what is refused, and how it is said."""

import copy

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.core.config import load_cfg
from pycls.core.config.defaults import LIST_ELEMENT_TYPES
from pycls.core.config.load import cfg_hash, dump_cfg, flatten_cfg, layer_cfg, parse_cfg
from pycls.errors import ConfigError

ANYNET = [
    "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1, 2], "ANYNET.WIDTHS", [16, 32],
    "ANYNET.STRIDES", [1, 2],
]  # fmt: skip


def write(tmp_path, text):
    path = tmp_path / "net.yaml"
    path.write_text(text)
    return path


def test_defaults_are_complete_and_frozen():
    cfg = load_cfg()
    assert cfg.OPTIM.MAX_EPOCH == 200
    assert cfg.is_frozen()
    with pytest.raises(AttributeError):
        cfg.OPTIM.MAX_EPOCH = 1


def test_every_list_has_an_element_type():
    lists = {key for key, value in flatten_cfg(load_cfg()).items() if isinstance(value, list)}
    assert lists == set(LIST_ELEMENT_TYPES)


def test_file_and_overrides(tmp_path):
    path = write(tmp_path, "OPTIM:\n  WEIGHT_DECAY: 5e-5\n  BASE_LR: 1\nDESC: a\n")
    cfg = load_cfg(path, ["OPTIM.MAX_EPOCH", "7", "ANYNET.DEPTHS=[1, 2]", "DESC", "100"])
    assert cfg.OPTIM.WEIGHT_DECAY == 5e-5
    assert cfg.OPTIM.BASE_LR == 1.0
    assert type(cfg.OPTIM.BASE_LR) is float
    assert (cfg.OPTIM.MAX_EPOCH, cfg.ANYNET.DEPTHS, cfg.DESC) == (7, [1, 2], "100")


@pytest.mark.parametrize("word", ["1", "1.0", "1e0", "+1", "1E-0"])
def test_numbers_on_the_command_line(word):
    assert load_cfg(None, ["OPTIM.BASE_LR", word]).OPTIM.BASE_LR == 1.0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("OPTIM:\n  BASE_LRR: 0.1\n", ["OPTIM.BASE_LRR", "0.1", "OPTIM.BASE_LR"]),
        ("OPTIMM: {}\n", ["OPTIMM"]),
        ("OPTIM:\n  BASE_LR: fast\n", ["OPTIM.BASE_LR", "fast", "a number"]),
        ("OPTIM:\n  MAX_EPOCH: 1.5\n", ["OPTIM.MAX_EPOCH", "1.5", "whole number"]),
        ("OPTIM:\n  NESTEROV: 1\n", ["OPTIM.NESTEROV", "1", "True or False"]),
        ("OPTIM:\n  BASE_LR: .nan\n", ["OPTIM.BASE_LR", "nan"]),
        ("OPTIM:\n  BASE_LR:\n", ["OPTIM.BASE_LR", "empty"]),
        ("OPTIM: 3\n", ["OPTIM", "section"]),
        ("OPTIM:\n  BASE_LR: {A: 1}\n", ["OPTIM.BASE_LR", "section"]),
        ("ANYNET:\n  DEPTHS: [1, two]\n", ["ANYNET.DEPTHS", "two", "whole number"]),
        ("ANYNET:\n  DEPTHS: 3\n", ["ANYNET.DEPTHS", "3", "a list"]),
        ("OPTIM:\n  BASE_LR: 1\n  BASE_LR: 2\n", ["BASE_LR", "twice", "2 and 3"]),
        ("OPTIM:\n  BASE_LR: [1\n", ["not valid YAML", "line"]),
        ("- 1\n", ["expected keys and values"]),
        ("TRAIN:\n  DATASET: 100\n", ["TRAIN.DATASET", "100", "quotes"]),
        ("MODEL:\n  TYPE: anynett\n", ["MODEL.TYPE", "anynett", "'anynet'"]),
        ("OPTIM:\n  BASE_LR: -1\n", ["OPTIM.BASE_LR", "-1", "above 0"]),
        ("OPTIM:\n  LR_POLICY: steps\n", ["OPTIM.STEPS", "epoch 0"]),
        ("OPTIM:\n  MOMENTUM: 0.0\n", ["OPTIM.NESTEROV", "MOMENTUM"]),
        ("TRAIN:\n  AUGMENT: RandAug\n", ["TRAIN.AUGMENT", "RandAug"]),
        ("DEVICE: tpu\n", ["DEVICE", "tpu", "cuda"]),
        ("DATA:\n  CLASSES: ['1']\n", ["DATA.CLASSES", "two"]),
        ("NUM_GPUS: 3\n", ["TRAIN.BATCH_SIZE", "NUM_GPUS"]),
        ("PORT_RANGE: [5]\n", ["PORT_RANGE"]),
    ],
)
def test_refused_with_key_value_file_and_remedy(tmp_path, text, parts):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_cfg(path)
    for part in [str(path), *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["OPTIM.BASE_LR"], ["KEY VALUE", "OPTIM.BASE_LR"]),
        (["OPTIM.BASE_LR", "=", "1"], ["KEY VALUE", "'OPTIM.BASE_LR' has no value"]),
        (["OPTIM.BASE_LR="], ["OPTIM.BASE_LR is", "expected a number"]),
        (["OPTIM.BASELR", "1"], ["OPTIM.BASELR", "OPTIM.BASE_LR"]),
        (["OPTIM", "1"], ["OPTIM is a section", "OPTIM.BASE_LR"]),
        (["OPTIM.BASE_LR.X", "1"], ["OPTIM.BASE_LR.X"]),
        (["DESC", 3], ["DESC", "quotes"]),
        ([*ANYNET, "ANYNET.WIDTHS", [16]], ["ANYNET.WIDTHS", "[16]", "2 stages"]),
        (["MODEL.TYPE", "anynet"], ["ANYNET.DEPTHS"]),
        ([*ANYNET, "ANYNET.GROUP_WS", [16, 10]], ["stage 2", "10", "32"]),
        ([*ANYNET, "ANYNET.GROUP_WS", [16, 64]], ["stage 2", "64", "32"]),
        ([*ANYNET, "ANYNET.BOT_MULS", [0.5, 0.01]], ["stage 2", "0 channels"]),
        ([*ANYNET, "ANYNET.DEPTHS", [1, 0]], ["ANYNET.DEPTHS", "above 0"]),
    ],
)
def test_overrides_refused(overrides, parts):
    with pytest.raises(ConfigError) as caught:
        load_cfg(None, overrides)
    for part in parts:
        assert part in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere.yaml: no such file"):
        load_cfg(tmp_path / "nowhere.yaml")


def test_deprecated_keys_are_ignored_with_a_word(tmp_path):
    path = write(tmp_path, "MEM:\n  RELU_INPLACE: True\nOPTIM:\n  GAMMA: 0.1\nPORT: 10001\n")
    with pytest.warns(UserWarning, match="no effect") as caught:
        cfg = load_cfg(path)
    assert {str(w.message).split(": ")[1].split()[0] for w in caught} == {
        "MEM", "OPTIM.GAMMA", "PORT",
    }  # fmt: skip
    assert cfg == load_cfg()


def test_dump_and_parse_give_the_same():
    cfg = load_cfg(None, [*ANYNET, "OPTIM.WEIGHT_DECAY", 5e-5, "DESC", "1: 'x'\n# y"])
    assert parse_cfg(dump_cfg(cfg), "text") == cfg
    assert yaml.safe_load(dump_cfg(cfg))["ANYNET"]["DEPTHS"] == [1, 2]


def test_stray_type_of_pycls_checkpoints_is_passed_over():
    assert parse_cfg(dump_cfg(load_cfg()) + "_type: cfg\n", "checkpoint") == load_cfg()


def test_hash_follows_what_is_computed_not_where():
    base = load_cfg(None, ANYNET)
    assert cfg_hash(load_cfg(None, [*ANYNET, "OUT_DIR", "x", "LOG_PERIOD", 3])) == cfg_hash(base)
    assert cfg_hash(load_cfg(None, [*ANYNET, "RNG_SEED", 2])) != cfg_hash(base)


def test_later_layers_win_and_are_named():
    layers = [("a", {"OPTIM": {"BASE_LR": 1}}), ("b", {"OPTIM": {"BASE_LR": 2}})]
    assert layer_cfg(layers).OPTIM.BASE_LR == 2.0
    with pytest.raises(ConfigError, match=r"^b: OPTIM.BASE_LR is the text"):
        layer_cfg([layers[0], ("b", {"OPTIM": {"BASE_LR": "x"}})])


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.none())
)


@settings(max_examples=300)
@given(key=st.sampled_from(sorted(flatten_cfg(load_cfg()))), value=scalars)
def test_any_value_is_taken_in_its_type_or_refused_with_its_key(key, value):
    default = flatten_cfg(load_cfg())[key]
    try:
        cfg = load_cfg(None, [key, copy.deepcopy(value)])
    except ConfigError as error:
        message = str(error)
    else:
        loaded = flatten_cfg(cfg)[key]
        assert type(loaded) is type(default)
        assert parse_cfg(dump_cfg(cfg), "text") == cfg
        return
    assert key.rsplit(".", 1)[-1] in message
