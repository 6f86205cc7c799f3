"""The commands of docs/datasets/own.md, each carried out on what the page says one has."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import make_image, pack, picture, write_tree
from PIL import Image

from pycls.commands import prepare_data
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.store.store import open_store

PAGE = Path(__file__).resolve().parents[3] / "docs" / "datasets" / "own.md"
SECTIONS = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S)
COMMANDS = {
    title: [
        shlex.split(line)
        for block in re.findall(r"```sh\n(.*?)```", text, re.S)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    for title, text in SECTIONS
}


def images(names):
    return {name: make_image(number, height=9, width=9) for number, name in enumerate(names)}


def class_folders():
    names = [
        f"birds/{kind}/{n}.{s}" for kind in ("robin", "wren") for n, s in enumerate(["jpg"] * 6)
    ]
    write_tree(Path(), images(names))
    return {"birds": (224, ("robin", "wren"), (10, 2))}


def kaggle():
    names = [f"{n:012x}" for n in range(20)]
    rows = [f"{name},{n % 5}" for n, name in enumerate(names)]
    tree = images(
        [f"aptos/{side}_images/{name}.png" for side in ("train", "test") for name in names]
    )
    tables = {
        "aptos/train.csv": "id_code,diagnosis\n" + "\n".join(rows),
        "aptos/test.csv": "id_code\n" + "\n".join(names),
        "aptos/sample_submission.csv": "id_code,diagnosis\n" + "\n".join(rows),
    }
    write_tree(Path(), {**tree, **{name: text.encode() for name, text in tables.items()}})
    return {"aptos": (256, tuple("01234"), (15, 5))}


def hugging_face():
    for number, (side, count) in enumerate({"train": 6, "validation": 2, "test": 4}.items()):
        rows = [make_image(50 * number + n, height=9, width=9) for n in range(count)]
        table = pa.table(
            {
                "image": [{"bytes": row, "path": f"{n}.jpg"} for n, row in enumerate(rows)],
                "labels": ["healthy" if n % 2 else "rust" for n in range(count)],
            }
        )
        path = Path("beans/data") / f"{side}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
    tree = images([f"leaves/{side}/{n}.jpg" for side in ("train", "test") for n in range(4)])
    rows = "file_name,label\n" + "\n".join(f"{n}.jpg,{'ab'[n % 2]}" for n in range(4))
    tree |= {f"leaves/{side}/metadata.csv": rows.encode() for side in ("train", "test")}
    write_tree(Path(), tree)
    return {
        "beans": (256, ("healthy", "rust"), (6, 4)),
        "leaves": (256, ("a", "b"), (4, 4)),
    }


def arrays():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (36, 28, 28, 3), dtype=np.uint8)
    labels = np.arange(18) % 3
    np.savez("cells.npz", X_train=pixels[:18], y_train=labels, X_test=pixels[18:27],
             y_test=labels[:9])  # fmt: skip
    sides = {side: pixels[9 * n : 9 * n + 9] for n, side in enumerate(("train", "val", "test"))}
    numbers = {f"{side}_labels": np.arange(9)[:, None] for side in sides}
    np.savez("pathmnist.npz", **{f"{s}_images": part for s, part in sides.items()}, **numbers)
    return {
        "cells": (32, ("round", "long", "flat"), (18, 9)),
        "pathmnist": (28, None, (9, 9)),
    }


def patients():
    names = [f"2024/{n:04}.jpg" for n in range(40)]
    rows = [f"{name},{('benign', 'malign')[n % 4 // 2]},p{n // 2}" for n, name in enumerate(names)]
    write_tree(Path("clinic"), images(names))
    Path("clinic/photographs.csv").write_text("file,finding,patient\n" + "\n".join(rows))
    return {"clinic": (256, ("benign", "malign"), (36, 4))}


def shards():
    for number, side in enumerate(("train", "test")):
        tree = {}
        for n in range(4):
            tree[f"s{n:04}.jpg"] = make_image(10 * number + n, height=9, width=9)
            tree[f"s{n:04}.cls"] = str(n % 2).encode()
        write_tree(Path("shards"), {f"{side}-0000.tar": pack("tar", tree)})
    return {"shards": (256, ("0", "1"), (4, 4))}


def torchvision_set():
    rows = ["Filename;ClassId"]
    for n in range(12):
        for number, where in enumerate((f"Training/{n % 3:05}", "Final_Test/Images")):
            path = Path("signs/gtsrb/GTSRB") / where / f"{n:05}.ppm"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(20 * number + n, 9, 9)).save(path)
        rows.append(f"{n:05}.ppm;{n % 3}")
    Path("signs/gtsrb/GT-final_test.csv").write_text("\n".join(rows))
    return {"signs": (32, ("0", "1", "2"), (12, 12))}


STARTS = {
    "A folder a class": class_folders,
    "A table, as Kaggle's": kaggle,
    "A download of Hugging Face": hugging_face,
    "Arrays": arrays,
    "Photographs of patients": patients,
    "Tar shards": shards,
    "A set of torchvision": torchvision_set,
}


def test_every_command_of_the_page_is_tried():
    assert {title for title, commands in COMMANDS.items() if commands} == set(STARTS)
    assert all(len(commands) < 5 for commands in COMMANDS.values())


@pytest.mark.parametrize("title", STARTS)
def test_from_what_one_has_to_a_prepared_set(tmp_path, monkeypatch, capsys, title):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYCLS_DATA", raising=False)
    expected = STARTS[title]()
    for python, *arguments in COMMANDS[title]:
        assert python == "python"
        monkeypatch.setattr(sys, "argv", arguments)
        assert prepare_data.main() == 0
    for name, (size, classes, counts) in expected.items():
        store = open_store(tmp_path / "data" / name)
        assert store.images.shape[1:] == (size, size, 3)
        assert classes is None or store.class_names == classes
        assert tuple(len(open_dataset(name, side, "data")) for side in ("train", "test")) == counts
    printed = capsys.readouterr().out
    assert all(f"data/{name}: " in printed for name in expected)
    if title == "Photographs of patients":
        # Both images of a patient are on one side.
        assert store.meta["groups"] == 20
    assert title != "A folder a class" or (tmp_path / "birds.png").is_file()
