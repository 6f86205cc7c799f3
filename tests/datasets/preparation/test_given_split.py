"""Splits that are given to a set without one: by image, or by a list of test files."""

import pytest
from archives import make_image, write_tree

from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.preparation.describe import describe_set
from pycls.datasets.preparation.prepare import prepare
from pycls.datasets.store.store import open_store
from pycls.errors import ConfigError, DataError

LESIONS = 20


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Return a folder of HAM10000's layout: each lesion is on two images, all but one class's."""
    kinds = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    rows, tree = ["lesion_id,image_id,dx"], {}
    for number in range(2 * LESIONS * len(kinds)):
        kind = kinds[number // (2 * LESIONS)]
        lesion = f"df{number}" if kind == "df" else number // 2
        rows.append(f"HAM_{lesion},ISIC_{number:07},{kind}")
        tree[f"HAM10000_images_part_1/ISIC_{number:07}.jpg"] = make_image(number, height=8, width=8)
    tree["HAM10000_metadata.csv"] = "\n".join(rows).encode()
    return write_tree(tmp_path_factory.mktemp("ham"), tree)


def make(raw, data, name="set", **options):
    path = prepare("ham10000", data, raw=raw, name=name, size=4, workers=1, **options)
    train, test = (open_dataset(name, side, data) for side in ("train", "test"))
    return open_store(path), train, test


def test_by_image_says_how_many_test_images_share_a_lesion(raw, tmp_path):
    store, train, test = make(raw, tmp_path, split="images")
    rule = store.meta["split_rule"]
    # 4 of each class's 40 images; those of df are alone with their lesion.
    assert (len(train), len(test)) == (252, 28)
    # Which is which is told by the pixels: images of one lesion have numbers 2n and 2n + 1.
    assert "as in the published study's code" in rule
    shared, total = rule.rpartition("; ")[2].split()[0:3:2]
    assert total == "28"
    assert 10 <= int(shared) <= 24
    assert "share a lesion with an image of the train side" in rule
    for text in ((store.path / "report.txt").read_text(), describe_set([train, test])):
        assert rule in text
        assert "each on one side" not in text


def test_the_default_stays_free_of_leaks(raw, tmp_path):
    store, _, test = make(raw, tmp_path)
    assert "share a lesion" not in store.meta["split_rule"]
    assert store.meta["groups"] == 20 * 6 + 40
    assert 27 <= len(test) <= 30


def test_a_list_of_test_files(raw, tmp_path):
    # One image of each class, in the three ways an image may be named.
    numbers = range(0, 280, 40)
    names = [f"ISIC_{n:07}" for n in numbers]
    names[1] += ".jpg"
    names[2] = f"HAM10000_images_part_1/{names[2]}.jpg"
    listed = tmp_path / "test.txt"
    listed.write_text("# the test side\n" + "\n".join(names) + "\n\n")
    store, train, test = make(raw, tmp_path / "data", test_files=str(listed))
    assert (len(train), len(test)) == (273, 7)
    assert sorted(test.labels) == list(range(7))
    rule = store.meta["split_rule"]
    assert "the test side is the list test.txt (7 names, SHA-256 " in rule
    assert "6 of 7 test images (86%) share a lesion" in rule
    assert str(tmp_path) not in str(store.meta["recipe"])
    # The same list elsewhere is the same set, another one is not.
    (tmp_path / "moved").mkdir()
    moved = listed.rename(tmp_path / "moved" / "test.txt")
    make(raw, tmp_path / "data", test_files=str(moved))
    moved.write_text("\n".join(names).replace("ISIC_0000000", "ISIC_0000001"))
    with pytest.raises(DataError, match=r"test_files was test\.txt"):
        make(raw, tmp_path / "data", test_files=str(moved))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("ISIC_9999999\n", r"1 names are no images of the set: ISIC_9999999; .* 'ISIC_0000000'"),
        ("ISIC_0000000\n", "no image of class 'bcc' on the test side"),
    ],
)
def test_lists_that_make_no_split(raw, tmp_path, lines, message):
    (tmp_path / "test.txt").write_text(lines)
    with pytest.raises(DataError, match=message):
        make(raw, tmp_path / "data", test_files=str(tmp_path / "test.txt"))
    assert not (tmp_path / "data" / "set").exists()


def test_options_that_contradict(raw, tmp_path):
    (tmp_path / "empty.txt").write_text("# nothing\n")
    for options, message in (
        ({"split": "lesions"}, "split 'lesions': expected one of groups, images"),
        ({"test_files": str(tmp_path / "none.txt")}, "no such file"),
        ({"test_files": str(tmp_path / "empty.txt")}, "names no file"),
    ):
        with pytest.raises(ConfigError, match=message):
            make(raw, tmp_path / "data", **options)
    (tmp_path / "test.txt").write_text("a.jpg\n")
    given = {"test_files": str(tmp_path / "test.txt")}
    with pytest.raises(ConfigError, match="give one of the two"):
        make(raw, tmp_path / "data", split="images", **given)
    names = [f"{side}/{name}/1.jpg" for side in ("train", "test") for name in "ab"]
    tree = {name: make_image(number) for number, name in enumerate(names)}
    folder = write_tree(tmp_path / "sided", tree)
    with pytest.raises(ConfigError, match="a split of its own"):
        prepare("folder", tmp_path / "data", raw=folder, name="x", size=4, **given)


def test_names_that_may_be_several_are_refused(tmp_path):
    tree = {f"{c}/{n}.jpg": make_image(10 * i + n) for i, c in enumerate("ab") for n in range(3)}
    folder = write_tree(tmp_path / "raw", tree)
    listed = tmp_path / "test.txt"
    listed.write_text("1.jpg\n")
    given = {"raw": folder, "name": "x", "size": 4, "test_files": str(listed)}
    with pytest.raises(DataError, match=r"1 names may be several: 1\.jpg"):
        prepare("folder", tmp_path / "data", **given)
    listed.write_text("a/1.jpg\nc/2.jpg\n")
    with pytest.raises(DataError, match=r"1 names are no images of the set: c/2\.jpg"):
        prepare("folder", tmp_path / "data", **given)
    listed.write_text("raw/a/1.jpg\nb/2\n")
    prepare("folder", tmp_path / "data", **given)
    assert len(open_dataset("x", "test", tmp_path / "data")) == 2
