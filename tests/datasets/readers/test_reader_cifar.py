"""CIFAR's pickles: the right pixels, the published split, and no code run."""

import functools
import io
import os
import pickle
import pickletools
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from archives import JUNK, PACKINGS, pack, pack_as, wrap, write_tree
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.datasets.readers.cifar import read_cifar10, read_cifar100
from pycls.datasets.readers.restricted_pickle import load_pickle
from pycls.datasets.sources.sources import open_source
from pycls.errors import DataError

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def make_pixels(seed, count=20):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def make_batch(seed, labels="labels", count=20, num_classes=10):
    data = make_pixels(seed, count).transpose(0, 3, 1, 2).reshape(count, 3072)
    return {"data": data, labels: [number % num_classes for number in range(count)]}


def cifar10_tree(protocol=2, **changes):
    tree = {name: make_batch(seed) for seed, name in enumerate(BATCHES)}
    tree["batches.meta"] = {"label_names": NAMES, "num_cases_per_batch": 20}
    tree.update(changes)
    return {
        f"cifar-10-batches-py/{name}": value if isinstance(value, bytes) else dump(value, protocol)
        for name, value in tree.items()
    }


def dump(value, protocol=2):
    return pickle.dumps(value, protocol)


class Python2Pickler:
    """Writes dictionaries as Python 2 did: text as byte strings, NumPy's old module names."""

    @staticmethod
    def dump(value):
        return Python2Pickler._dump(value) + b"."

    @staticmethod
    def _dump(value):
        write = Python2Pickler._dump
        if isinstance(value, dict):
            return b"}(" + b"".join(write(k) + write(v) for k, v in value.items()) + b"u"
        if isinstance(value, list):
            return b"](" + b"".join(write(part) for part in value) + b"e"
        if isinstance(value, np.ndarray):
            shape = b"(" + b"".join(write(int(size)) for size in value.shape) + b"t"
            dtype = b"cnumpy\ndtype\n(" + write("u1") + b"K\x00K\x01tR(K\x03" + write("|") + b"NNN"
            dtype += write(-1) + write(-1) + b"K\x00tb"
            state = b"(K\x01" + shape + dtype + b"I00\n" + write(value.tobytes()) + b"tb"
            start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t"
            return start + write("b") + b"tR" + state
        if isinstance(value, int):
            return b"J" + struct.pack("<i", value)
        data = value.encode() if isinstance(value, str) else value
        return b"T" + struct.pack("<i", len(data)) + data


def check_cifar10(listing):
    assert listing.class_names == tuple(NAMES)
    assert [item.name for item in listing.items] == sorted(item.name for item in listing.items)
    assert len({item.name for item in listing.items}) == 120
    assert listing.pixels.shape == (120, 32, 32, 3)
    for batch in range(6):
        word = "test" if batch == 5 else "train"
        for number, expected in enumerate(make_pixels(batch)):
            name = f"{word}/{number + 20 * (batch % 5):05}"
            place = next(i for i, item in enumerate(listing.items) if item.name == name)
            np.testing.assert_array_equal(listing.pixels[place], expected)
            assert listing.items[place].label == number % 10
            assert listing.items[place].side == (batch == 5)


@pytest.mark.parametrize("way", PACKINGS)
def test_every_packing_gives_the_set(tmp_path, way):
    folder = write_tree(tmp_path, pack_as(way, cifar10_tree()))
    listing = read_cifar10(open_source(folder))
    check_cifar10(listing)
    assert "train images: 100, 49,900 fewer than the published 50,000" in listing.notes
    assert any("data_batch_1" in note and "MD5" in note for note in listing.notes)


def test_archive_and_unpacked_folder_side_by_side(tmp_path):
    tree = cifar10_tree()
    write_tree(tmp_path, {**tree, "cifar-10-python.tar.gz": pack("tar.gz", {**JUNK, **tree})})
    check_cifar10(read_cifar10(open_source(tmp_path)))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_protocol(tmp_path, protocol):
    write_tree(tmp_path, cifar10_tree(protocol))
    check_cifar10(read_cifar10(open_source(tmp_path)))


def test_pickles_of_python_2(tmp_path):
    tree = {name: Python2Pickler.dump(make_batch(seed)) for seed, name in enumerate(BATCHES)}
    tree["batches.meta"] = Python2Pickler.dump({"label_names": NAMES})
    with pytest.raises(UnicodeDecodeError):
        pickle.loads(tree["data_batch_1"])
    write_tree(tmp_path, cifar10_tree(**tree))
    check_cifar10(read_cifar10(open_source(tmp_path)))


def test_cifar100_has_fine_labels(tmp_path):
    names = [f"class {number:03}" for number in range(100)]
    sides = {
        name: make_batch(seed, "fine_labels", 100, 100)
        for seed, name in enumerate(("train", "test"))
    }
    for batch in sides.values():
        batch["coarse_labels"] = [0] * 100
    tree = {name: dump(batch) for name, batch in sides.items()}
    tree["meta"] = dump({"fine_label_names": names, "coarse_label_names": ["all"]})
    write_tree(tmp_path, {"x.tar.gz": pack("tar.gz", wrap("cifar-100-python", tree))})
    listing = read_cifar100(open_source(tmp_path / "x.tar.gz"))
    assert listing.class_names == tuple(names)
    train = [place for place, item in enumerate(listing.items) if item.side == 0]
    np.testing.assert_array_equal(listing.pixels[train], make_pixels(0, 100))
    assert [listing.items[place].label for place in train] == list(range(100))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_batch_3": b""}, "data_batch_3: not a pickle of arrays, or damaged"),
        ({"data_batch_3": dump(make_batch(3))[:-5000]}, "data_batch_3: .*cut short"),
        ({"data_batch_3": dump([1, 2])}, "holds a list, expected a dictionary"),
        ({"data_batch_3": dump({"data": [1]})}, "no 'labels' in it; it has data"),
        ({"data_batch_3": dump({"data": [1], "labels": [1]})}, "not an array of N x 3072 bytes"),
        ({"data_batch_3": dump({**make_batch(3), "labels": [1]})}, "1 labels for 20 images"),
        (
            {"data_batch_3": dump({**make_batch(3), "labels": [10] * 20})},
            "image 0 has the label 10",
        ),
        ({"data_batch_3": dump({**make_batch(3), "labels": ["a"] * 20})}, "not a list of whole"),
        ({"batches.meta": dump({"label_names": NAMES[:9]})}, "expected 10 distinct class names"),
    ],
)
def test_what_is_wrong_in_a_batch_is_named(tmp_path, changes, message):
    write_tree(tmp_path, cifar10_tree(**changes))
    with pytest.raises(DataError, match=message):
        read_cifar10(open_source(tmp_path))


@pytest.mark.parametrize("suffix", [".bin", ".mat"])
def test_the_versions_for_other_languages_are_told(tmp_path, suffix):
    tree = {f"cifar-10-batches/data_batch_{n}{suffix}": b"x" for n in range(1, 6)}
    message = r"version for C or Matlab; expected the one for Python, 'cifar-10-python\.tar\.gz'"
    with pytest.raises(DataError, match=message):
        read_cifar10(open_source(write_tree(tmp_path, tree)))


def test_a_missing_batch_is_named(tmp_path):
    tree = cifar10_tree()
    del tree["cifar-10-batches-py/data_batch_4"]
    write_tree(tmp_path, tree)
    with pytest.raises(DataError, match="without data_batch_4"):
        read_cifar10(open_source(tmp_path))


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def attack(write):
    """Return pickles that would each make a file, by ways a pickle has of running something."""
    command = f"open({str(write)!r}, 'w').close()"
    shell = f"touch {write}"
    direct = [
        Calls(os.system, shell),
        Calls(eval, command),
        Calls(exec, command),
        Calls(functools.partial(os.system, shell)),
        Calls(functools.partial, os.system, shell),
        Calls(getattr, "text", "format"),
        Calls(__import__, "os"),
        Calls(np.load, "x"),
        Calls(np.ndarray),
        Calls(io.open, str(write), "w"),
        Calls(Path.touch, Path(str(write))),
        Calls(OrderedDict, [("a", 1)]),
    ]
    pickles = {
        f"{n} protocol {p}": dump(call, p) for n, call in enumerate(direct) for p in range(5)
    }
    text = shell.encode()
    short = b"\x8c" + bytes([len(text)]) + text
    pickles["INST"] = b"(S'" + text + b"'\nios\nsystem\n."
    pickles["OBJ"] = b"(cos\nsystem\nS'" + text + b"'\no."
    pickles["STACK_GLOBAL"] = b"\x80\x04\x8c\x02os\x8c\x06system\x93" + short + b"\x85R."
    pickles["dotted"] = b"\x80\x04\x8c\x05numpy\x8c\x0dload.__class__\x93" + short + b"\x85R."
    pickles["NEWOBJ"] = (
        b"\x80\x02cfunctools\npartial\ncos\nsystem\n\x85\x81S'" + text + b"'\n\x85R."
    )
    pickles["BUILD of a function"] = (
        b"\x80\x02c_codecs\nencode\n(NcNone\n}S'_call'\ncos\nsystem\nsb."
    )
    pickles["persistent"] = b"Pos.system\n."
    pickles["extension"] = b"\x82\x01."
    pickles["posix"] = b"cposix\nsystem\n(S'" + text + b"'\ntR."
    pickles["hidden in a batch"] = dump({**make_batch(0), "extra": Calls(os.system, shell)})
    pickles["subtype"] = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cos\nsystem\nK\x00\x85C\x01btR."
    )
    return pickles


def test_the_attacks_would_work(tmp_path):
    for name in ("0 protocol 2", "1 protocol 4", "INST", "OBJ", "STACK_GLOBAL", "NEWOBJ", "posix"):
        mark = tmp_path / name.replace(" ", "_")
        pickle.loads(attack(mark)[name])
        assert mark.exists(), name


def test_no_pickle_runs_anything(tmp_path):
    mark = tmp_path / "pwned"
    for name, data in attack(mark).items():
        with pytest.raises(DataError, match=r"batch: (refused|not a pickle)"):
            load_pickle(data, "batch")
        assert not mark.exists(), name


@pytest.mark.parametrize("name", ["0 protocol 2", "STACK_GLOBAL", "hidden in a batch"])
def test_a_malicious_batch_is_refused(tmp_path, name):
    mark = tmp_path / "pwned"
    write_tree(tmp_path / "raw", cifar10_tree(test_batch=attack(mark)[name]))
    with pytest.raises(DataError, match=r"test_batch: refused, since it asks to call"):
        read_cifar10(open_source(tmp_path / "raw"))
    assert not mark.exists()


def test_what_was_refused_is_named():
    with pytest.raises(DataError, match=r"asks to call 'posix\.system'.*nothing of it was run"):
        load_pickle(dump(Calls(os.system, "true")), "batch")


def test_stand_ins_cannot_be_altered_for_the_next_pickle():
    slots = b"N}\x8c\x05_callK\x01s\x86b"
    for name in (b"\x8c\x07_codecs\x8c\x06encode", b"\x8c\x05numpy\x8c\x05dtype"):
        with pytest.raises(DataError):
            load_pickle(b"\x80\x04" + name + b"\x93" + slots + b".", "batch")
    batch = make_batch(0)
    for protocol in range(6):
        found = load_pickle(dump(batch, protocol), "batch")
        np.testing.assert_array_equal(found["data"], batch["data"])


@pytest.mark.parametrize(
    "array",
    [np.arange(6, dtype="<i4").reshape(2, 3), np.arange(6.0).astype(">f8"), np.zeros((0, 3), "u1")],
)
@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_numbers(array, protocol):
    for value in (array, np.asfortranarray(array)):
        found = load_pickle(dump({"a": value, "b": [value]}, protocol), "file")
        np.testing.assert_array_equal(found["a"], array)
        np.testing.assert_array_equal(found["b"][0], array)
        assert found["a"].dtype == array.dtype


@pytest.mark.parametrize(
    "array",
    [np.array([{}]), np.array(["text"]), np.array([(1, 2)], "i4,i4"), np.array(["now"], "M8")],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(DataError):
        load_pickle(dump(array), "file")


def nested(levels, start, step):
    """Return a pickle of a value that holds the one below twice, and so on."""
    return b"\x80\x02" + start + step * levels


# What small pickles would blow up, for ever or over all memory.
BOMBS = {
    "number of a value": b"\x80\x02}r\0\0\0\x80.",
    "key of tuples": nested(60, b"})", b"2\x86") + b"K\x01s.",
    "key of deep tuples": nested(200_000, b"})", b"\x85") + b"K\x01s.",
    "set of tuples": nested(60, b"\x8f(" + b")", b"2\x86") + b"\x90.",
    "text of tuples": nested(60, b"cnumpy\ndtype\n)", b"2\x86") + b"\x85R.",
    "dictionaries": b"\x80\x02}" + b"q\x00}(K\x01h\x00K\x02h\x00u" * 60 + b".",
    "deep lists": b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
    "encoded again": b"\x80\x02c_codecs\nencode\nq\x00X\x40\x42\x0f\0" + b"a" * 1_000_000
    + b"q\x01X\x06\0\0\0latin1q\x02](" + b"h\x00h\x01h\x02\x86R" * 100_000 + b"e.",
    "length of a bytearray": b"\x80\x05\x96" + (1 << 36).to_bytes(8, "little") + b"abc.",
    "shape": b"\x80\x02cnumpy.core.numeric\n_frombuffer\n(C\x00cnumpy\ndtype\nU\x02u1\x85R"
    b"(U\xff" + b"a" * 255 + b"J\xff\xff\xff\x7ftU\x01CtR.",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_small_pickles_take_little_time_and_memory(name):
    if name == "number of a value":
        assert load_pickle(BOMBS[name], "batch") == {}
        return
    with pytest.raises(DataError, match="batch: not a pickle of arrays"):
        load_pickle(BOMBS[name], "batch")


@pytest.mark.parametrize("length", [b"T\xff\xff\xff\xff", b"\x8b\xff\xff\xff\xff"])
def test_lengths_below_zero_are_refused(length):
    with pytest.raises(DataError, match="not a pickle of arrays"):
        load_pickle(b"\x80\x02" + length + b".", "batch")


def test_byte_strings_of_python_2_and_what_follows_the_end_are_as_ever():
    assert load_pickle(b"S'\\xff'\np1\n.p2147483648\n", "batch") == b"\xff"


@settings(max_examples=400)
@given(
    changes=st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), min_size=1, max_size=6),
    protocol=st.integers(0, 5),
)
def test_changed_pickles_give_values_or_a_named_error(changes, protocol):
    data = bytearray(
        dump({"data": np.arange(12, dtype="u1").reshape(3, 4), "labels": [1, 2]}, protocol)
    )
    for place, value in changes:
        data[place % len(data)] = value
    try:
        load_pickle(bytes(data), "some/batch")
        message = "some/batch: "
    except DataError as error:
        message = str(error)
    assert message.startswith("some/batch: ")


@settings(max_examples=300)
@given(data=st.data())
def test_random_programs_of_pickle_codes_name_nothing_else(data):
    """Random sequences of opcodes with names to call among them."""
    names = [b"cos\nsystem\n", b"cbuiltins\neval\n", b"c_codecs\nencode\n", b"cnumpy\nndarray\n"]
    codes = [op.code.encode("latin1") for op in pickletools.opcodes if op.arg is None]
    parts = data.draw(st.lists(st.sampled_from(codes + names * 3 + [b"S'true'\n"]), max_size=25))
    try:
        value = load_pickle(b"".join(parts) + b".", "file")
    except DataError:
        return
    assert value is not os.system
    assert value is not eval
