import json
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from pycls.datasets.catalog.catalog import CATALOG
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.preparation.prepare import prepare
from pycls.datasets.store.store import open_store, verify_store
from pycls.errors import ConfigError, DataError
from pycls.progress import Progress

EMBEDDED = [key for key, entry in CATALOG.items() if not entry.raw]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with every embedded set, prepared with its defaults."""
    folder = tmp_path_factory.mktemp("data")
    for key in EMBEDDED:
        prepare(key, folder)
    return folder


@pytest.mark.parametrize("key", EMBEDDED)
def test_embedded_set_is_what_the_catalogue_says(prepared, key):
    entry, store = CATALOG[key], verify_store(prepared / key)
    assert len(store.class_names) == entry.num_classes
    assert store.images.shape[1:] == (entry.im_size, entry.im_size, 3)
    for side, images in zip(("train", "test"), entry.images, strict=True):
        assert set(store.meta["counts"][side]) == set(store.class_names)
        assert min(store.meta["counts"][side].values()) >= 50
        assert sum(store.meta["counts"][side].values()) == images
    for field in ("title", "description", "source", "licence", "error_metric", "mirror"):
        assert store.meta[field] == getattr(entry, field)
    assert store.meta["recipe"]["options"] == entry.options
    assert store.meta["seed"] == entry.options["seed"]


@pytest.mark.parametrize("key", EMBEDDED)
def test_no_image_is_on_both_sides(prepared, key):
    store = open_store(prepared / key)
    sides = [{store.images[i].tobytes() for i in np.flatnonzero(store.split == s)} for s in (0, 1)]
    assert not sides[0] & sides[1]


@pytest.mark.parametrize("key", ["monochrome", "photographs", "scientific", "textures"])
def test_brightness_alone_does_not_give_a_patch_away(prepared, key):
    store = open_store(prepared / key)
    means = store.images.mean(axis=(1, 2, 3))
    # Clipping at black and white leaves a few patches a little off.
    assert np.percentile(abs(means - 128), 95) < 2


def test_digits_and_faces_are_the_packages_images(prepared):
    from sklearn.datasets import load_digits

    store = open_store(prepared / "digits")
    digits = load_digits()
    np.testing.assert_array_equal(store.labels, digits.target)
    for channel in range(3):
        np.testing.assert_allclose(store.images[..., channel], digits.images * 255 / 16, atol=0.51)
    assert sum(store.meta["counts"]["test"].values()) == 719
    assert open_store(prepared / "faces").labels.tolist() == [0] * 100 + [1] * 100


def test_preparing_again_touches_nothing(prepared):
    before = {path: path.stat().st_mtime_ns for path in (prepared / "digits").iterdir()}
    assert prepare("digits", prepared) == prepared / "digits"
    assert before == {path: path.stat().st_mtime_ns for path in (prepared / "digits").iterdir()}


def test_a_set_is_the_same_wherever_it_is_made(prepared, tmp_path):
    again = open_store(prepare("textures", tmp_path))
    assert again.meta == open_store(prepared / "textures").meta


def test_other_options_need_another_name_or_replace(tmp_path):
    prepare("digits", tmp_path)
    with pytest.raises(DataError, match=r"otherwise: seed was 1, now 2; use --replace .* --name"):
        prepare("digits", tmp_path, seed=2)
    other = prepare("digits", tmp_path, name="digits_2", seed=2)
    assert open_store(other).name == "digits_2"
    assert open_store(other).fingerprint != open_store(tmp_path / "digits").fingerprint
    prepare("digits", tmp_path, replace=True, seed=2)
    assert open_store(tmp_path / "digits").fingerprint == open_store(other).fingerprint


@pytest.mark.parametrize(("key", "size"), [("digits", 16), ("faces", 12), ("textures", 12)])
def test_size_is_an_option(tmp_path, key, size):
    store = open_store(prepare(key, tmp_path, size=size))
    assert store.images.shape[1:] == (size, size, 3)
    assert store.images.std() > 10


def test_damaged_set_is_replaced_only_when_asked(tmp_path):
    path = prepare("digits", tmp_path)
    (path / "labels.npy").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"labels.npy: 3 bytes.*--replace"):
        prepare("digits", tmp_path)
    prepare("digits", tmp_path, replace=True)
    verify_store(path)


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "thesis.tex").write_text("years of work")
    for replace in (False, True):
        with pytest.raises(DataError, match="not a prepared set; choose another --out"):
            prepare("digits", tmp_path, replace=replace)
    assert (tmp_path / "digits" / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("key", "options", "message"),
    [
        ("digit", {}, r"unknown data set 'digit'; .*known are digits, "),
        ("digits", {"sied": 1}, "no option 'sied'; its options are size, test_share, seed"),
        ("digits", {"seed": "one"}, "option seed: 'one' is not a whole number"),
        ("digits", {"seed": True}, "option seed: True is not a whole number"),
        ("digits", {"test_share": 1.5}, "test_share 1.5: expected a number between 0 and 1"),
        ("digits", {"size": 0}, "size 0: expected at least 1"),
        ("digits", {"name": "../digits"}, "name '../digits' for a prepared set"),
        ("textures", {"level": "loud"}, "expected one of keep"),
    ],
)
def test_mistakes_are_explained_and_leave_nothing(tmp_path, key, options, message):
    with pytest.raises(ConfigError, match=message):
        prepare(key, tmp_path, **options)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_processes_that_ask_at_the_same_time_get_one_complete_set(tmp_path):
    code = "from pycls.datasets.preparation.prepare import prepare; "
    code += f"prepare('digits', {str(tmp_path)!r})"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    verify_store(tmp_path / "digits")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".digits.lock", "digits"]


def test_meta_is_readable_json(prepared):
    meta = json.loads((prepared / "photographs" / "meta.json").read_text())
    assert meta["split_rule"].startswith("each picture is divided into areas of 16 x 16 pixels")


def test_a_second_process_says_for_whom_it_waits(tmp_path):
    said = []

    class Teller(Progress):
        def say(self, text):
            said.append(text)
            release.set()

    release = threading.Event()
    code = (
        "import sys, time, math; from pycls.files import exclusive_lock\n"
        "with exclusive_lock(sys.argv[1], 'x', math.inf, print): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / ".digits.lock")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"

    def end():
        release.wait(60)
        holder.communicate("\n")

    ending = threading.Thread(target=end)
    ending.start()
    prepare("digits", tmp_path, progress=Teller())
    ending.join()
    path = tmp_path / "digits"
    assert said == [
        f"waiting for process {holder.pid} on {socket.gethostname()}, which is preparing {path}"
    ]


def test_replace_makes_an_embedded_set_anew_too(tmp_path):
    path = prepare("digits", tmp_path)
    before = (path / "meta.json").stat().st_mtime_ns
    prepare("digits", tmp_path, replace=True)
    assert (path / "meta.json").stat().st_mtime_ns > before


def test_a_set_one_folder_too_deep_is_found_by_its_name(tmp_path):
    said = []
    progress = Progress()
    progress.say = said.append
    prepare("digits", tmp_path / "digits", progress=progress)
    assert "--out is the folder that holds the sets" in said[0]
    assert open_dataset("digits", "test", tmp_path).name == "digits"


def test_a_prepared_set_in_a_folder_that_cannot_be_written_is_enough(tmp_path):
    place = tmp_path / "data"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        path = prepare("digits", place)
        (place / ".digits.lock").unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        assert prepare("digits", place) == path
        assert len(open_dataset("digits", "train", place)) > 0
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)
