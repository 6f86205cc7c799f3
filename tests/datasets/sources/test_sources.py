"""Folders and archives give one tree; what is damaged or hostile is refused."""

import concurrent.futures
import functools
import io
import multiprocessing
import os
import pickle
import random
import tarfile
import zipfile
from pathlib import Path

import pytest
from archives import JUNK, PACKINGS, pack, pack_as, wrap, write_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import HANG_S

from pycls.datasets.sources.sources import open_source
from pycls.errors import DataError

TREE = {
    "a/1.jpg": b"one",
    "a/2.jpg": b"\x00" * 70_000,
    "b/deep/3.png": b"three",
    "labels.csv": b"x",
}
KINDS = ["zip", "zip_stored", "tar", "tar.gz", "tar.bz2", "tar.xz"]


def suffix(kind):
    return "zip" if kind.startswith("zip") else kind


def contents(source):
    return {member.name: source.read(member) for member in source.members}


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_reads_as_the_folder_it_packs(tmp_path, kind):
    (tmp_path / f"x.{suffix(kind)}").write_bytes(pack(kind, {**JUNK, **TREE}))
    source = open_source(tmp_path / f"x.{suffix(kind)}")
    assert contents(source) == TREE
    assert [member.name for member in source.members] == sorted(TREE)
    assert {member.name: member.size for member in source.members} == {
        name: len(data) for name, data in TREE.items()
    }
    assert f"{len(TREE)} files" in source.describe()


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", KINDS)
def test_an_archive_in_an_archive_counts_as_a_folder(tmp_path, outer, inner):
    name = f"inner.{suffix(inner)}"
    data = pack(outer, {"first.txt": b"1", name: pack(inner, TREE)})
    (tmp_path / f"x.{suffix(outer)}").write_bytes(data)
    expected = {"first.txt": b"1", **wrap(name, TREE)}
    assert contents(open_source(tmp_path / f"x.{suffix(outer)}")) == expected
    assert contents(open_source(tmp_path)) == wrap(f"x.{suffix(outer)}", expected)


def test_every_packing_holds_the_same_files(tmp_path):
    for way in PACKINGS:
        source = open_source(write_tree(tmp_path / way, pack_as(way, TREE)))
        assert sorted(contents(source).values()) == sorted(TREE.values()), way


def test_a_downloads_name_may_have_lost_its_suffix(tmp_path):
    for kind in ("zip", "tar", "tar.gz"):
        (tmp_path / kind.replace(".", "_")).write_bytes(pack(kind, TREE))
        assert contents(open_source(tmp_path / kind.replace(".", "_"))) == TREE


def test_long_names_and_names_of_other_scripts(tmp_path):
    tree = {"深/" + "x" * 120 + "/" + "y" * 120 + ".jpg": b"1", "ä b.jpg": b"2", "./c.jpg": b"3"}
    for kind in KINDS:
        (tmp_path / f"x.{suffix(kind)}").write_bytes(pack(kind, tree))
        found = contents(open_source(tmp_path / f"x.{suffix(kind)}"))
        assert found == {name.removeprefix("./"): data for name, data in tree.items()}


@settings(max_examples=30)
@given(
    tree=st.dictionaries(
        st.from_regex(r"[a-z]{1,3}(/[A-Z0-9]{1,4}){0,2}\.jpg", fullmatch=True),
        st.binary(max_size=2000),
        min_size=1,
    ),
    kind=st.sampled_from(KINDS),
    inner=st.sampled_from(KINDS),
)
def test_any_tree_comes_back_from_nested_archives(tmp_path_factory, tree, kind, inner):
    folder = tmp_path_factory.mktemp("any")
    path = folder / f"x.{suffix(kind)}"
    path.write_bytes(pack(kind, {f"i.{suffix(inner)}": pack(inner, tree)}))
    assert contents(open_source(path)) == wrap(f"i.{suffix(inner)}", tree)


def test_a_file_that_was_added_again_counts_once_and_last(tmp_path):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for data in (b"old", b"newer"):
            entry = tarfile.TarInfo("a.jpg")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    (tmp_path / "x.tar").write_bytes(file.getvalue())
    assert contents(open_source(tmp_path / "x.tar")) == {"a.jpg": b"newer"}


def test_hard_links_in_a_tar_are_files(tmp_path):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("a.jpg")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"one"))
        link = tarfile.TarInfo("b.jpg")
        link.type, link.linkname = tarfile.LNKTYPE, "a.jpg"
        archive.addfile(link)
    (tmp_path / "x.tar").write_bytes(file.getvalue())
    assert contents(open_source(tmp_path / "x.tar")) == {"a.jpg": b"one", "b.jpg": b"one"}


def test_links_in_folders_are_followed_and_loops_refused(tmp_path):
    write_tree(tmp_path / "real", TREE)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/data").symlink_to(tmp_path / "real")
    source = open_source(tmp_path / "raw")
    assert contents(source) == wrap("data", TREE)
    (tmp_path / "real/loop").symlink_to(tmp_path / "raw")
    with pytest.raises(DataError, match=r"loop: a link to a folder it lies in"):
        open_source(tmp_path / "raw")
    (tmp_path / "real/loop").unlink()
    (tmp_path / "real/gone.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(DataError, match=r"gone\.jpg: a link to a file that is not there"):
        open_source(tmp_path / "raw")
    (tmp_path / "real/gone.jpg").unlink()
    # Two ways from each folder to the next: a million ways to the last.
    for at in range(20):
        (tmp_path / f"real/{at}").mkdir()
        for way in "ab" if at < 19 else "":
            (tmp_path / f"real/{at}/{way}").symlink_to(tmp_path / f"real/{at + 1}")
    with pytest.raises(DataError, match=r"links lead to .* on more than 100 ways"):
        open_source(tmp_path / "raw")


@pytest.mark.parametrize("top", ["cats", ".hidden"])
def test_trees_without_end_and_devices_are_refused(tmp_path, top):
    write_tree(tmp_path, {"cats/1.jpg": b"x"})
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match=r"pipe\.jpg: neither a file nor a folder, but a pipe"):
        open_source(tmp_path)
    with pytest.raises(DataError, match=r"pipe\.jpg: a pipe, socket or device"):
        open_source(tmp_path / "pipe.jpg")
    assert len(open_source(tmp_path, exclude=["pipe*"]).members) == 1
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    with pytest.raises(DataError, match=r"self\.jpg: cannot be read: Too many levels"):
        open_source(tmp_path, exclude=["pipe*"])
    (tmp_path / "self.jpg").unlink()
    write_tree(tmp_path, {f"{top}/{'a/' * 150}1.jpg": b"x"})
    with pytest.raises(DataError, match="more than 100 folders within each other"):
        open_source(tmp_path, exclude=["pipe*"])
    (tmp_path / "x.zip").write_bytes(pack("zip", {"a/" * 3000 + "1.jpg": b"x"}))
    with pytest.raises(DataError, match=r"x\.zip: refused, since it holds a file name of 6,005"):
        open_source(tmp_path / "x.zip")


def test_a_single_file_finds_those_beside_it(tmp_path):
    write_tree(tmp_path, TREE)
    source = open_source(tmp_path / "labels.csv")
    assert contents(source) == {"labels.csv": b"x"}
    assert source.read(source.at("a/1.jpg")) == b"one"
    assert source.at("a/9.jpg") is None
    assert source.at("../" + tmp_path.name + "/a/1.jpg") is None
    folder = open_source(tmp_path)
    assert folder.read(folder.at("a/1.jpg")) == b"one"
    assert folder.at("a") is None


def open_and_read(source, name):
    return source.read(next(member for member in source.members if member.name == name))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_in_parallel(tmp_path, method):
    tree = {f"{number:02}.jpg": bytes([number]) * 5000 for number in range(20)}
    nested = {"plain.jpg": b"p", "a.zip": pack("zip", tree), "b.tar.gz": pack("tar.gz", tree)}
    (tmp_path / "x.zip").write_bytes(pack("zip", nested))
    source = open_source(tmp_path / "x.zip")
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:  # ends even what hangs
        read = pool.map_async(source.read, source.members).get(HANG_S)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(source.read, source.members)) == read
    assert read == [contents(source)[member.name] for member in source.members]


def test_a_pickled_source_reads_members_and_lists_anew(tmp_path):
    data = {"inner.tar.gz": pack("tar.gz", TREE), "other.jpg": b"o"}
    (tmp_path / "x.zip").write_bytes(pack("zip", data))
    source = open_source(tmp_path / "x.zip")
    before = contents(source)
    copy = pickle.loads(pickle.dumps(source))
    assert {member.name: copy.read(member) for member in source.members} == before
    assert copy.members == source.members
    assert contents(copy) == before


def test_many_archives_do_not_use_up_open_files(tmp_path):
    import resource

    for number in range(60):
        (tmp_path / f"n{number}.tar").write_bytes(pack("tar", {"1.jpg": b"%d" % number}))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 20, hard))
    try:
        assert len(contents(open_source(tmp_path))) == 60
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_cut_short_anywhere_is_refused(tmp_path, kind):
    path = tmp_path / f"x.{suffix(kind)}"
    whole = pack(kind, TREE)
    # Of a tar's end, only blocks of zeros may be missing.
    end = len(whole.rstrip(b"\0")) if kind == "tar" else len(whole) - 1
    for length in {1, 100, 511, 512, 513, end // 2, end - 100, end - 1, end}:
        if length > end:
            continue
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=str(path)):
            contents(open_source(path))


def test_a_tar_cut_between_two_files_is_refused(tmp_path):
    whole = pack("tar", {"1.jpg": b"x" * 512, "2.jpg": b"y" * 512})
    (tmp_path / "x.tar").write_bytes(whole[:1024])
    with pytest.raises(DataError, match="does not end as a tar file does"):
        open_source(tmp_path / "x.tar")


@pytest.mark.parametrize("kind", ["zip", "zip_stored"])
def test_a_changed_byte_in_a_zip_is_found(tmp_path, kind):
    path = tmp_path / "x.zip"
    path.write_bytes(pack(kind, {"first.jpg": b"first", "second.jpg": bytes(range(256)) * 9}))
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("second.jpg").header_offset + 60
    data = bytearray(path.read_bytes())
    data[start] ^= 0xFF
    path.write_bytes(data)
    source = open_source(path)
    assert source.read(source.at("first.jpg")) == b"first"
    with pytest.raises(DataError, match=r"x\.zip: second\.jpg: damaged or cut short"):
        source.read(source.at("second.jpg"))


def test_a_damaged_archive_within_one_is_named(tmp_path):
    inner = pack("tar", TREE)[:30_000]
    (tmp_path / "x.tar").write_bytes(pack("tar", {"n1.tar": inner}))
    with pytest.raises(DataError, match=r"x\.tar: n1\.tar: damaged or cut short"):
        open_source(tmp_path / "x.tar")


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/etc/evil.jpg", "C:/evil.jpg"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_outside_are_refused(tmp_path, name, kind):
    (tmp_path / f"x.{kind}").write_bytes(pack(kind, {"a.jpg": b"1", name: b"2"}))
    with pytest.raises(DataError, match="names a file outside itself"):
        open_source(tmp_path / f"x.{kind}")


def test_separators_of_windows_in_a_zip(tmp_path):
    (tmp_path / "x.zip").write_bytes(pack("zip", {"a\\b\\1.jpg": b"1"}))
    assert contents(open_source(tmp_path / "x.zip")) == {"a/b/1.jpg": b"1"}


def test_an_encrypted_zip_is_refused(tmp_path):
    data = bytearray(pack("zip_stored", {"a.jpg": b"1"}))
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"'a\.jpg' is encrypted"):
        open_source(tmp_path / "x.zip")


def test_archives_nested_without_end_are_refused(tmp_path):
    data = b"1"
    name = "a.jpg"
    for _ in range(8):
        data, name = pack("zip", {name: data}), "x.zip"
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match="archives within each other"):
        open_source(tmp_path / name)


def test_a_zip_that_holds_more_than_it_says_is_cut_off(tmp_path):
    data = bytearray(pack("zip", {"a.jpg": bytes(50_000_000)}))
    directory = data.index(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = (1000).to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(data)
    source = open_source(tmp_path / "x.zip")
    with pytest.raises(DataError, match="instead of 1000"):
        source.read(source.members[0])


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.rar", b"Rar!\x1a\x07", "unrar, unar or 7z"),
        ("renamed.jpg", b"Rar!\x1a\x07", "unrar, unar or 7z"),
        ("x.7z", b"7z\xbc\xaf", "must be unpacked first, with 7z"),
        ("x.tar.zst", b"\x28\xb5\x2f\xfd\0", "must be unpacked first, with zstd or tar"),
        ("x.zip", b"", "empty"),
        ("x.tar", b"not a tar", "damaged or cut short"),
        ("x.tar.gz", b"not a gzip file", "damaged or cut short"),
        ("x.zip", b"<html>Please log in</html>", "damaged or cut short"),
        ("x.tar", pack("tar", {}), "no file in it"),
        ("x.zip", pack("zip", {"__MACOSX/._a": b"1"}), "no file in it"),
    ],
)
def test_what_is_no_data_set_is_said(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        open_source(tmp_path / name)


def test_nothing_there_and_nothing_in_it(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: there is no such file or folder"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(DataError, match="there is no file in it"):
        open_source(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    write_tree(tmp_path, TREE)
    source = open_source(tmp_path)
    (tmp_path / "a/1.jpg").chmod(0)
    with pytest.raises(DataError, match=r"a/1\.jpg: cannot be read: Permission denied"):
        source.read(source.at("a/1.jpg"))


def test_a_file_that_changed_or_went_is_named(tmp_path):
    write_tree(tmp_path, TREE)
    source = open_source(tmp_path)
    (tmp_path / "a/1.jpg").write_bytes(b"longer than before")
    (tmp_path / "labels.csv").unlink()
    with pytest.raises(DataError, match=r"a/1\.jpg: 18 bytes, 3 when it was listed"):
        source.read(source.at("a/1.jpg"))
    with pytest.raises(DataError, match=r"labels\.csv: cannot be read: No such file"):
        source.read(source.at("labels.csv"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_while_unpacking_stays_a_full_disk(tmp_path, monkeypatch):
    (tmp_path / "x.tar.gz").write_bytes(pack("tar.gz", TREE))
    full = functools.partial(Path("/dev/full").open, "r+b", buffering=0)
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(OSError, match="No space left on device"):
        open_source(tmp_path / "x.tar.gz")


def test_unpacking_leaves_nothing_behind(tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    (tmp_path / "x.tar.gz").write_bytes(pack("tar.gz", TREE))
    assert contents(open_source(tmp_path / "x.tar.gz")) == TREE
    assert list(temporary.iterdir()) == []


def zeros(megabytes):
    return bytes(megabytes << 20)


@pytest.mark.parametrize(
    "tree",
    [
        {"a.zip": pack("zip", {"big.bmp": zeros(8)})},
        {"a.zip": pack("zip", {f"{at}.bmp": zeros(1) for at in range(8)})},
        {"a.zip": pack("zip", {"b.zip": pack("zip_stored", {"big.bmp": zeros(8)})})},
        {"a.zip": pack("zip", {"b.tar": pack("tar", {"big.bmp": zeros(8)})})},
        {"a.tar.gz": pack("tar.gz", {"big.bmp": zeros(8)})},
        {"a.tar.xz": pack("tar.xz", {"big.bmp": zeros(8)})},
        {"a.tar": pack("tar", {"b.tgz": pack("tar.gz", {"big.bmp": zeros(8)})})},
        {"a.tar": pack("tar", {f"{n}.tbz2": pack("tar.bz2", {"1.bmp": zeros(2)}) for n in "abcd"})},
    ],
    ids=range(8),
)
def test_what_unpacks_to_far_more_than_it_is_is_refused_unless_allowed(tmp_path, tree):
    write_tree(tmp_path, tree)
    with pytest.raises(DataError, match=r"refused, since .*--max-unpacked-gb"):
        open_source(tmp_path, max_unpacked=4 << 20)
    source = open_source(tmp_path, max_unpacked=64 << 20)
    assert sum(member.size for member in source.members) == 8 << 20


def test_what_is_large_and_hardly_packed_is_no_matter(tmp_path):
    noise = random.Random(0).randbytes(3 << 20)
    tree = {"a.tar.gz": pack("tar.gz", {"a.bin": noise}), "b.tar": pack("tar", {"b": noise})}
    write_tree(tmp_path, tree)
    assert len(open_source(tmp_path, max_unpacked=1000).members) == 2
