"""Anyone's table of images: delimiters, groups, splits, and errors with their line."""

import csv
import io
import json

import pytest
from archives import PACKINGS, make_image, pack, pack_as, wrap, write_tree
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.datasets.readers.csv_table import _MISSING, read_csv
from pycls.datasets.sources.sources import open_source
from pycls.errors import ConfigError, DataError

IMAGES = {f"images/{number}.jpg": make_image(number) for number in range(1, 5)}
HEADER = "path,label\n"
ROWS = "images/1.jpg,cat\nimages/2.jpg,dog\nimages/3.jpg,cat\nimages/4.jpg,dog\n"


def read(folder, text, raw="", images=IMAGES, table="labels.csv", **options):
    write_tree(folder, {**images, table: text if isinstance(text, bytes) else text.encode()})
    source = open_source(folder / raw if raw else folder)
    listing = read_csv(source, **options)
    return source, listing


def labels(listing):
    return {item.name: listing.class_names[item.label] for item in listing.items}


EXPECTED = {
    "images/1.jpg": "cat",
    "images/2.jpg": "dog",
    "images/3.jpg": "cat",
    "images/4.jpg": "dog",
}


@pytest.mark.parametrize("raw", ["", "labels.csv"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_whatever_separates_the_columns(tmp_path, raw, delimiter):
    text = ("\ufeff" + HEADER + ROWS).replace(",", delimiter).replace("\n", "\r\n")
    source, listing = read(tmp_path, text, raw)
    assert labels(listing) == EXPECTED
    assert {item.side for item in listing.items} == {None}
    assert {item.group for item in listing.items} == {None}
    for item in listing.items:
        assert source.read(item.member) == IMAGES[item.name]


@pytest.mark.parametrize("way", PACKINGS)
def test_table_and_images_in_every_packing(tmp_path, way):
    tree = {**IMAGES, "labels.csv": (HEADER + ROWS).encode()}
    source = open_source(write_tree(tmp_path, pack_as(way, tree)))
    listing = read_csv(source)
    assert labels(listing) == EXPECTED
    for item in listing.items:
        assert source.read(item.member) == IMAGES[item.name]


def test_images_in_an_archive_beside_the_table(tmp_path):
    inner = {name.removeprefix("images/"): data for name, data in IMAGES.items()}
    for way, tree in {"flat": inner, "wrapped": wrap("images", inner)}.items():
        packed = {"images.zip": pack("zip", tree)}
        source, listing = read(tmp_path / way, HEADER + ROWS, images=packed)
        assert labels(listing) == EXPECTED
        assert all(source.read(item.member) for item in listing.items)


def test_paths_from_the_tables_folder_or_the_top(tmp_path):
    rows = "../images/1.jpg,a\nimages/2.jpg,b\n./../images/3.jpg,a\n"
    listing = read(tmp_path, HEADER + rows, table="tables/labels.csv")[1]
    assert [item.member.name for item in listing.items] == [f"images/{n}.jpg" for n in (1, 3, 2)]


@pytest.mark.parametrize(
    ("form", "note"),
    [
        ("/home/me/x/images/{}.jpg", "4 images do not lie where their paths say"),
        ("../input/x/images/{}.jpg", "4 images do not lie where their paths say"),
        ("D:\\x\\images\\{}.jpg", "4 images do not lie where their paths say"),
        ("images/{}.dcm", "4 images have another suffix than their paths"),
    ],
)
def test_paths_of_another_machine_and_other_suffixes(tmp_path, form, note):
    rows = "".join(f"{form.format(n)},{'ab'[n % 2]}\n" for n in range(1, 5))
    tree = {f"other/{n}.jpg": make_image(50 + n) for n in range(1, 5)}
    for folder, more in (("alone", {}), ("beside others", tree)):
        listing = read(tmp_path / folder, HEADER + rows, images={**IMAGES, **more})[1]
        assert [item.name for item in listing.items] == [f"images/{n}.jpg" for n in range(1, 5)]
        assert listing.notes == (f"{note}{' and were found by their names' * ('lie' in note)}",)


def test_a_table_for_each_side(tmp_path):
    tree = {
        name: f"path,label\nimages/{at}.jpg,cat\nimages/{at + 1}.jpg,dog\n".encode()
        for name, at in (("train.csv", 1), ("val.csv", 3))
    }
    source = open_source(write_tree(tmp_path, {**IMAGES, **tree, "labels.csv": b"x,y"}))
    listing = read_csv(source, table="train.csv, val.csv")
    assert [item.side for item in listing.items] == [0, 0, 1, 1]
    assert [item.name for item in listing.items] == [f"images/{n}.jpg" for n in range(1, 5)]
    with pytest.raises(ConfigError, match=r"must be named for a side .*'labels.csv' is not"):
        read_csv(source, table="train.csv,labels.csv")


def test_other_ways_to_write_a_table(tmp_path):
    objects = [{"path": f"images/{n}.jpg", "label": "ab"[n % 2]} for n in range(1, 5)]
    text = HEADER + "".join(f"images/{n}.jpg,{'ab'[n % 2]}\n" for n in range(1, 5))
    expected = read(tmp_path / "plain", text)[1]
    for name, data in (("t.json", json.dumps(objects).encode()), ("t.txt", text.encode("utf-16"))):
        source = open_source(write_tree(tmp_path / name, {**IMAGES, name: data}))
        found = read_csv(source, table=name)
        assert [item.label for item in found.items] == [item.label for item in expected.items]
    with pytest.raises(DataError, match="xlsx file is not read as a table; save it as CSV"):
        read_csv(open_source(write_tree(tmp_path / "x", {"t.xlsx": b"PK"})), table="t.xlsx")


def test_groups_and_split(tmp_path):
    text = (
        "split,label,Group,path,comment\n"
        "train,cat,p1,images/1.jpg,\n"
        'Train,dog,,images/2.jpg,"said, she"\n'
        "\n"
        "val,cat,p2,images/3.jpg\n"
        "val,dog,p2,images/4.jpg,\n"
    )
    listing = read(tmp_path, text)[1]
    assert [(item.side, item.group) for item in listing.items] == [
        (0, "p1"),
        (0, None),
        (1, "p2"),
        (1, "p2"),
    ]
    assert "'val' is the test side" in listing.official_split


def test_of_test_and_val_rows_the_latter_are_to_validate(tmp_path):
    text = "path,label,split\n" + "".join(
        f"images/{n}.jpg,{label},{split}\n"
        for n, label, split in [
            (1, "a", "train"),
            (2, "b", "train"),
            (3, "a", "test"),
            (4, "b", "test"),
        ]
    )
    extra = {f"images/{n}.jpg": make_image(n) for n in (7, 8, 9)}
    text += "images/8.jpg,a,val\nimages/9.jpg,b,val\nimages/7.jpg,c,val\n"
    listing = read(tmp_path, text, images={**IMAGES, **extra})[1]
    assert [item.side for item in listing.items] == [0, 0, 1, 1, 2, 2]
    assert listing.class_names == ("a", "b")
    assert listing.notes == (
        "1 images to validate are left out: the other sides have no class 'c'",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,class\na,b\n", r"no column 'path', 'label'; it has 'file', 'class'; --set path"),
        (HEADER, "the table has no row"),
        (
            HEADER + "images/1.jpg,cat\nimages/9.jpg,dog\n",
            r"line 3: there is no file 'images/9\.jpg'",
        ),
        (HEADER + f"images/1.jpg,cat\n{'a/' * 50_000}2.jpg,dog\n", r"line 3: .* letters\)"),
        (HEADER + "images/1.jpg,cat\nimages/2.jpg,\n", "line 3: the column 'label' is empty"),
        (HEADER + "images/1.jpg,cat\nimages/2.jpg,NaN\n", "line 3: .* 'NaN', which means that it"),
        (HEADER + ",cat\n", "line 2: the column 'path' is empty"),
        (HEADER + "images/1.jpg,cat,more\n", "line 2: 3 cells for 2 columns"),
        (HEADER + "images/1.jpg,cat\nimages/2.jpg,cat\n", "a single class, 'cat'"),
        (
            HEADER + ROWS + "images//1.jpg,cat\n",
            r"line 6: 'images/1\.jpg' was already named in line 2",
        ),
        (HEADER + "images/1.jpg,a\n/etc/passwd,b\n", "line 3: .* '/etc/passwd' .* leads outside"),
        (HEADER + "images/1.jpg,a\n../../x.jpg,b\n", "line 3: .* leads outside"),
        (HEADER + 'images/1.jpg,"cat\n', "line 2: unexpected end of data"),
        ((HEADER + "images/1.jpg,\xe4\n").encode("latin1"), "not UTF-8 text"),
        ("path,label,label\nimages/1.jpg,a,b\n", "the column 'label' is there twice"),
        ("path,label,split\nimages/1.jpg,a,hold\n", "line 2: split 'hold'; expected one of train"),
        ("path,label,split\nimages/1.jpg,a,train\nimages/2.jpg,b,\n", "line 3: split ''"),
        ("path,label,split\nimages/1.jpg,a,train\nimages/2.jpg,b,train\n", "no image for the test"),
        (
            "path,label,split\nimages/1.jpg,a,train\nimages/2.jpg,b,train\nimages/3.jpg,a,test\n",
            "no image on the test side of class 'b'",
        ),
        (
            "path,label,split,group\nimages/1.jpg,a,train,p\nimages/2.jpg,b,train,q\n"
            "images/3.jpg,a,test,r\nimages/4.jpg,b,test,q\n",
            "line 5: group 'q' is on both sides; line 3 puts it on the other",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_it_must_be_clear_which_table(tmp_path):
    text = HEADER + ROWS
    with pytest.raises(ConfigError, match=r"several tables: 'labels\.csv', 'more\.tsv'"):
        read(tmp_path, text, images={**IMAGES, "more.tsv": b"x"})
    assert labels(read_csv(open_source(tmp_path), table="labels.csv")) == EXPECTED
    with pytest.raises(ConfigError, match=r"'other\.csv': there is no such file"):
        read_csv(open_source(tmp_path), table="other.csv")
    with pytest.raises(DataError, match="no table"):
        read_csv(open_source(tmp_path / "images"))


def test_absolute_paths_below_the_tables_folder(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "set", target_is_directory=True)
    rows = "".join(f"{link}/{name},{label}\n" for name, label in EXPECTED.items())
    write_tree(tmp_path / "set", {**IMAGES, "labels.csv": (HEADER + rows).encode()})
    for raw in ("", "labels.csv"):
        source = open_source(link / raw)
        listing = read_csv(source)
        assert labels(listing) == EXPECTED
        assert all(source.read(item.member) for item in listing.items)
    rows = rows.replace(str(link), str(tmp_path / "set"))
    assert labels(read(tmp_path / "set", HEADER + rows)[1]) == EXPECTED


KAGGLE = "Id,Breed,Patient,is_train,note\n1,cat,p,1,x\n2,dog,q,1,\n3,cat,r,0,\n4,dog,s,0,\n"


def test_a_kaggle_table_whose_columns_are_named_by_option(tmp_path):
    options = {"path_column": "Id", "label_column": "breed", "group_column": "Patient"}
    others = {"test_images/1.jpg": make_image(50), "masks/1.txt": b"no image"}
    for split in ({"split_column": "is_train"}, {"split_column": "Is_Train", "test_values": "0"}):
        listing = read(
            tmp_path,
            KAGGLE,
            images={**IMAGES, **others},
            image_folder="images",
            **options,
            **split,
        )[1]
        assert [item.name for item in listing.items] == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
        assert [item.member.name for item in listing.items] == sorted(IMAGES)
        assert [listing.class_names[item.label] for item in listing.items] == ["cat", "dog"] * 2
        assert [item.side for item in listing.items] == [0, 0, 1, 1]
        assert [item.group for item in listing.items] == ["p", "q", "r", "s"]
        assert "is_train" in listing.official_split.lower()
        assert ["'note'" in note for note in listing.notes] == [True]


def test_columns_that_are_not_used_are_named(tmp_path):
    text = "path,label,is_train,patient_id\n" + ROWS.replace("\n", ",1,p\n")
    listing = read(tmp_path, text)[1]
    assert {item.side for item in listing.items} == {None}
    [note] = listing.notes
    assert "columns that are not used: 'is_train', 'patient_id'" in note
    assert "split_column" in note


@pytest.mark.parametrize(
    ("column", "values", "sides"),
    [
        ("is_training_image", "1 0 1 0", [0, 1, 0, 1]),
        ("is_valid", "False True False True", [0, 1, 0, 1]),
        ("test", "0 1 1 0", [0, 1, 1, 0]),
    ],
)
def test_a_column_of_yes_and_no_is_the_split(tmp_path, column, values, sides):
    cells = values.split()
    # Of the two images of each side, one of each class.
    text = f"path,label,{column}\n" + "".join(
        f"images/{n}.jpg,{'ab'[cells[: n - 1].count(cell)]},{cell}\n"
        for n, cell in enumerate(cells, start=1)
    )
    listing = read(tmp_path, text, split_column=column)[1]
    assert [item.side for item in listing.items] == sides


@pytest.mark.parametrize("asked", ["one-hot", "cat,DOG"])
def test_labels_as_one_column_a_class(tmp_path, asked):
    rows = "".join(f"{n},{float(n % 2)},{1 - n % 2}\n" for n in range(1, 5))
    listing = read(tmp_path, "image,Cat,Dog\n" + rows, path_column="image", label_column=asked)[1]
    names = {f"images/{name}": label for name, label in labels(listing).items()}
    assert names == EXPECTED
    assert listing.notes[0].startswith("4 images do not lie where their paths say")
    for cells, message in {
        "1,1": r"line 6: 2 of the columns",
        "0,0": "line 6: 0 of",
        "x,1": "line 6: 'x' in",
    }.items():
        with pytest.raises(DataError, match=message):
            read(
                tmp_path, f"image,Cat,Dog\n{rows}5,{cells}\n", path_column="image",
                label_column=asked,
            )  # fmt: skip


def test_json_lines(tmp_path):
    lines = '{"file_name": "images/%d.jpg", "label": %s, "extra": null}\n'
    text = "".join(lines % (n, '"cat"' if n % 2 else "7") for n in range(1, 5))
    listing = read(tmp_path, text, table="labels.jsonl")[1]
    assert labels(listing) == {name: label.replace("dog", "7") for name, label in EXPECTED.items()}
    for line, message in {"{": "line 5: not JSON", "[1]": "line 5: expected a JSON object"}.items():
        with pytest.raises(DataError, match=message):
            read(tmp_path, text + line, table="labels.jsonl")


def test_metadata_of_hugging_face_in_the_folder_of_each_side(tmp_path):
    table = "file_name,label\n1.jpg,cat\n2.jpg,dog\n"
    tree = {
        f"{side}/{name}": data
        for number, side in enumerate(("train", "validation"))
        for name, data in {
            "1.jpg": make_image(10 * number),
            "2.jpg": make_image(10 * number + 1),
            "metadata.csv": table.encode(),
        }.items()
    }
    listing = read_csv(open_source(write_tree(tmp_path, pack_as("zip", tree))))
    assert [item.side for item in listing.items] == [0, 0, 1, 1]
    assert [item.name for item in listing.items] == [
        "train/1.jpg", "train/2.jpg", "validation/1.jpg", "validation/2.jpg",
    ]  # fmt: skip


def test_what_a_path_may_mean_is_asked(tmp_path):
    images = {"one/a.jpg": make_image(1), "two/a.jpg": make_image(2), "two/b.jpg": make_image(3)}
    text = "path,label\na.jpg,x\nb.jpg,y\n"
    with pytest.raises(DataError, match=r"'a\.jpg' may be any of 'one/a\.jpg', 'two/a\.jpg'"):
        read(tmp_path, text, images=images)
    listing = read(tmp_path, text, images=images, image_folder="two")[1]
    assert [item.member.name for item in listing.items] == ["two/a.jpg", "two/b.jpg"]
    with pytest.raises(ConfigError, match="image_folder 'three'"):
        read(tmp_path, text, images=images, image_folder="three")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path_column": "file"}, "no column 'file'; it has 'path', 'label'"),
        ({"group_column": "film"}, "no column 'film'"),
        ({"test_values": "1"}, "say with split_column"),
        ({"test_values": "1", "split_column": "label"}, "'1' is nowhere in the column 'label'"),
    ],
)
def test_options_that_name_nothing(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, HEADER + ROWS, **options)


@settings(max_examples=40)
@given(
    cells=st.lists(
        st.text(
            st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters="\u2028"),
            min_size=1,
        ).filter(lambda text: text.strip() and text.strip().lower() not in _MISSING),
        min_size=4,
        max_size=4,
        unique_by=lambda text: text.strip(),
    ),
    delimiter=st.sampled_from(",\t;|"),
)
def test_any_label_survives(tmp_path_factory, cells, delimiter):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(["path", "label"])
    for number, cell in enumerate(cells, start=1):
        writer.writerow([f"images/{number}.jpg", cell])
    listing = read(tmp_path_factory.mktemp("any"), file.getvalue())[1]
    expected = {f"images/{n}.jpg": cell.strip() for n, cell in enumerate(cells, start=1)}
    assert labels(listing) == expected
    assert listing.class_names == tuple(sorted(cell.strip() for cell in cells))
