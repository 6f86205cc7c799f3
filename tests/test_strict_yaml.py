"""YAML as users mean it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.errors import ConfigError
from pycls.strict_yaml import dump_yaml, line_of, load_yaml, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-5", 5e-5), ("1e3", 1000.0), ("-2E+4", -2e4), (".5e1", 5.0), ("1.0e-05", 1e-5),
        ("0.1", 0.1), ("12", 12), ("e5", "e5"), ("1e", "1e"), ("'5e-5'", "5e-5"), ("", None),
    ],
)  # fmt: skip
def test_numbers(text, value):
    parsed = parse_yaml(text, "x")
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a: 1\nb: 2\na: 3\n", ["'a' occurs twice", "1 and 3"]),
        ("a: {x: 1, x: 2}\n", ["'x' occurs twice"]),
        ("a: [1\n", ["not valid YAML", "line"]),
        ("a: !!python/object/apply:os.getcwd []\n", ["not valid YAML"]),
        ("a: 2024-13-45\n", ["not valid YAML"]),
    ],
)
def test_refused(tmp_path, text, parts):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    for part in [str(path), *parts]:
        assert part in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name, message in (("binary.yaml", "not a text"), ("none.yaml", "no such"), (".", "folder")):
        with pytest.raises(ConfigError, match=message):
            load_yaml(tmp_path / name)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@pytest.mark.parametrize("text", ["5e-5", "0E0", "1.e3", "12", "yes", "", "a: b", "~", "1e400"])
def test_texts_that_look_like_something_else_stay_texts(text):
    assert parse_yaml(dump_yaml({"a": text}), "x") == {"a": text}


@settings(max_examples=200)
@given(plain)
def test_what_is_dumped_reads_back(value):
    assert parse_yaml(dump_yaml(value), "x") == value


DOCUMENT = """\
# a comment
NAME: x
SETUP:
  SAMPLERS:
    OPTIM.BASE_LR: {TYPE: float_sampler,
      RANGE: [1, 0.5]}
  CONFIGS:
    - a.yaml
    - MODEL:
        3: no

"""


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (["NAME"], 2), (["SETUP"], 3), (["SETUP", "SAMPLERS", "OPTIM.BASE_LR"], 5),
        (["SETUP", "SAMPLERS", "OPTIM.BASE_LR", "RANGE"], 6),
        (["SETUP", "SAMPLERS", "OPTIM.BASE_LR", "RANGE", 1], 6), (["SETUP", "CONFIGS", 0], 8),
        (["SETUP", "CONFIGS", 1, "MODEL", 3], 10), ([], None), (["DESC"], None),
        (["NAME", "x"], None), (["SETUP", "CONFIGS", 2], None), (["SETUP", "CONFIGS", "0"], None),
    ],
)  # fmt: skip
def test_lines_of_keys(tmp_path, keys, line):
    assert line_of(DOCUMENT, keys) == line
    path = tmp_path / "a.yaml"
    path.write_text(DOCUMENT)
    assert line_of(path, keys) == line


def test_no_line_where_nothing_can_be_read(tmp_path):
    for source in (tmp_path / "none.yaml", tmp_path, "a: [1", ""):
        assert line_of(source, ["a"]) is None


def test_a_mapping_may_take_over_the_keys_of_another():
    text = "a: &base {x: 1, y: 2}\nb: {<<: *base, y: 3}\n"
    assert parse_yaml(text, "f")["b"] == {"x": 1, "y": 3}
    with pytest.raises(ConfigError, match="'y' occurs twice"):
        parse_yaml("a: &base {x: 1}\nb: {<<: *base, y: 2, y: 3}\n", "f")
