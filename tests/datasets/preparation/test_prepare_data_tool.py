import runpy
import subprocess
from pathlib import Path

import forked_tools
import pytest
from archives import encode, make_image, pack, picture, write_tree
from PIL import Image

pytestmark = pytest.mark.slow

TOOL = Path(__file__).parents[3] / "tools" / "prepare_data.py"


def run(folder, *args):
    command = forked_tools.command(TOOL, *args, "--out", folder)
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def run_here(monkeypatch, capsys):
    """Return a function that does what `run` does, but starts no process."""
    monkeypatch.setattr("warnings.formatwarning", None)  # brings back what run_tool replaces

    def run(folder, *args):
        monkeypatch.setattr("sys.argv", [str(TOOL), *map(str, args), "--out", str(folder)])
        with pytest.raises(SystemExit) as leaving:
            runpy.run_path(str(TOOL), run_name="__main__")
        return subprocess.CompletedProcess(args, leaving.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder with digits in two versions."""
    folder = tmp_path_factory.mktemp("data")
    done = run(folder, "prepare", "digits")
    assert done.returncode == 0, done.stderr
    assert "1078 train, 719 test images" in done.stdout
    done = run(folder, "prepare", "digits", "--name", "small", "--set", "test_share=0.5")
    assert done.returncode == 0, done.stderr
    return folder


def test_list_marks_what_is_prepared_and_says_what_is_needed(folder):
    lines = run(folder, "list").stdout.splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert any(line.startswith("* digits ") for line in lines)
    assert any(line.startswith("  textures ") for line in lines)
    assert any("torchvision:NAME" in line for line in lines)
    assert any("needs --raw: 'cifar-10-python.tar.gz'" in line for line in lines)
    assert any(line.startswith("  imagenet_100 ") for line in lines)
    assert any(line.startswith("also prepared: small, 3") for line in lines)


def test_an_option_that_is_a_text_may_look_like_a_number(run_here, tmp_path):
    rows = "".join(f"{n}.png,{'ab'[n % 2]},{n % 5}\n" for n in range(20))
    tree = {f"{n}.png": make_image(n, "png", 9, 9) for n in range(20)}
    raw = write_tree(tmp_path / "raw", {**tree, "t.csv": f"path,label,fold\n{rows}".encode()})
    options = [f"--set={text}" for text in ("split_column=fold", "test_values=0", "size=8")]
    done = run_here(tmp_path, "prepare", "csv", "--raw", raw, "--name", "folds", *options)
    assert done.returncode == 0, done.stderr
    assert "16 train, 4 test images" in done.stdout


def test_info_shows_counts_and_writes_a_contact_sheet(folder, tmp_path):
    sheet = tmp_path / "sheet.png"
    done = run(folder, "info", "digits", "--sheet", sheet)
    assert done.returncode == 0, done.stderr
    assert ["all", "1078", "719"] in [line.split() for line in done.stdout.splitlines()]
    with Image.open(sheet) as image:
        image.load()
        assert image.format == "PNG"
        assert len(image.getcolors(maxcolors=1 << 16)) > 10


def test_verify_passes_and_names_what_is_damaged(folder, tmp_path):
    assert run(folder, "verify", "digits", folder / "small").returncode == 0
    run(tmp_path, "prepare", "digits")
    images = tmp_path / "digits" / "images.npy"
    content = bytearray(images.read_bytes())
    content[500] ^= 255
    images.write_bytes(content)
    done = run(tmp_path, "verify", tmp_path / "digits", folder / "small")
    assert done.returncode == 1
    assert "DAMAGED" in done.stdout
    assert "images.npy" in done.stdout
    assert f"{folder / 'small'}: ok" in done.stdout


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    """A data folder with a set of a user's own, of 60 classes with one copy and one view."""
    folder = tmp_path_factory.mktemp("own")
    tree = {
        f"birds/{label:02d} bird/{at}.jpg": make_image(100 * label + at)
        for label in range(60)
        for at in range(3 + (label == 7))
    }
    tree["birds/07 bird/0.jpg"] = tree["birds/07 bird/1.jpg"]
    write_tree(folder, {"birds.zip": pack("zip", tree)})
    (folder / "views.yaml").write_text("few: {of: birds, num_classes: 5}\n")
    done = run(
        folder, "prepare", "folder", "--raw", folder / "birds.zip", "--name", "birds", "--size", 12
    )
    assert done.returncode == 0, done.stderr
    assert "121 train, 60 test images" in done.stdout
    assert "2 images have identical ones of the same label" in done.stdout
    assert "decoding: 181 images done" in done.stderr
    return folder


def test_many_classes_are_summed_up_unless_asked_for(birds):
    short = run(birds, "info", "birds").stdout.splitlines()
    assert len(short) < 40
    assert any("50 more classes" in line for line in short)
    assert any(line.split() == ["07", "bird", "3", "1"] for line in short)
    assert any("options: aspect crop, level 0, seed 1, size 12" in line for line in short)
    whole = run(birds, "info", "birds", "--all-classes").stdout.splitlines()
    assert sum(" bird " in line for line in whole) == 60


def test_view_has_information_and_a_sheet_too(birds, tmp_path):
    done = run(birds, "info", "few", "--sheet", tmp_path / "few.png")
    assert done.returncode == 0, done.stderr
    assert sum(" bird " in line for line in done.stdout.splitlines()) == 5
    with Image.open(tmp_path / "few.png") as image:
        assert image.height < 6 * 60


def test_unreadable_images_end_in_a_message_and_may_be_left_out(tmp_path):
    tree = {f"{name}/{at}.jpg": make_image(ord(name) + 10 * at) for name in "ab" for at in range(5)}
    tree["a/0.jpg"] = tree["a/0.jpg"][:200]
    raw = write_tree(tmp_path / "raw", tree)
    command = ["prepare", "folder", "--raw", raw, "--name", "letters", "--set", "size=8"]
    done = run(tmp_path / "out", *command)
    assert done.returncode == 1
    assert "1 of 10 images cannot be read" in done.stderr
    assert "a/0.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    listed = run(tmp_path / "out", "list").stdout
    assert "not finished: letters" in listed
    done = run(tmp_path / "out", *command, "--drop-unreadable", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "going on with the preparation that was interrupted" in done.stderr
    assert "1 image left out, because unreadable: a/0.jpg" in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["prepare", "digit"], 2, "unknown data set 'digit'"),
        (["prepare", "digits", "textures", "--name", "both"], 2, "give one KEY"),
        (["prepare", "digits", "textures", "--raw", "x"], 2, "give one KEY"),
        (["prepare", "digits", "--set", "seed"], 2, "expected OPTION=VALUE"),
        (["prepare", "natural"], 2, "Download: 'intel-image-classification.zip'"),
        (["prepare", "natural", "--raw", "none.zip"], 1, "no such file or folder"),
        (["prepare", "imagenet_10"], 2, "is a view of 'imagenet'"),
        (["info", "textures"], 1, "holds digits, small"),
    ],
)
def test_mistakes_end_in_one_message(run_here, folder, args, code, message):
    done = run_here(folder, *args)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_names_and_sheets_in_the_letters_of_many(run_here, tmp_path):
    names = ("Käfer", "蝶", "Жук")
    tree = {f"{name}/{at}.jpg": make_image(100 * n + at) for n, name in enumerate(names)
            for at in range(4)}  # fmt: skip
    tree["Käfer/notes.txt"] = b"x"
    raw, out = write_tree(tmp_path / "raw", tree), tmp_path / "out"
    done = run_here(out, "prepare", "folder", "--raw", raw, "--name", "bugs", "--size", 12)
    assert done.returncode == 0, done.stderr
    assert "1 file left out, not images (.txt 1): Käfer/notes.txt" in done.stdout
    assert ["Жук", "3", "1"] in [line.split() for line in done.stdout.splitlines()]
    listed = run_here(out, "info", "bugs", "--files", "test").stdout.splitlines()
    assert len(listed) == 3
    assert set(listed) <= set(tree)
    done = run_here(out, "info", "bugs", "--sheet", tmp_path / "new" / "sheet.jpg")
    assert "class 2: 蝶" in done.stdout
    with Image.open(tmp_path / "new" / "sheet.jpg") as image:
        assert image.format == "JPEG"
    done = run_here(out, "info", "bugs", "--sheet", tmp_path / "sheet.tif")
    assert done.returncode == 2
    assert "ends in .png or .jpg" in done.stderr


def test_near_duplicates_are_named_and_written(run_here, tmp_path):
    tree = {}
    for label, name in enumerate("ab"):
        for at in range(6):
            image = picture(100 * label + at, 96, 96)
            tree[f"{name}/{at}.png"] = encode(image, "png")
    tree["a/again.jpg"] = encode(picture(3, 96, 96), "jpeg")
    raw, out = write_tree(tmp_path / "raw", tree), tmp_path / "out"
    run_here(out, "prepare", "folder", "--raw", raw, "--name", "set", "--size", 96)
    done = run_here(out, "duplicates", "set", "--csv", tmp_path / "alike" / "all.csv")
    assert "2 of 13 images nearly look like others, in 1 groups" in done.stdout
    rows = (tmp_path / "alike" / "all.csv").read_text().splitlines()
    assert {row.split(",")[3] for row in rows[1:]} == {"a/3.png", "a/again.jpg"}


def test_verify_says_what_a_view_is_and_what_is_not_there(run_here, birds):
    done = run_here(birds, "verify", "few")
    assert (done.returncode, "'few' is a view of 'birds'" in done.stdout) == (0, True)
    done = run_here(birds, "verify", "nothing")
    assert done.returncode == 1
    assert "DAMAGED" not in done.stdout + done.stderr
    assert "'nothing' is not prepared" in done.stderr


def test_a_path_in_the_place_of_a_key_is_told(run_here, tmp_path, monkeypatch):
    write_tree(tmp_path, {"raw/cat/1.jpg": b"x"})
    monkeypatch.chdir(tmp_path)
    for words in (["folder", "raw", "--name", "x"], ["raw", "--name", "x"]):
        done = run_here(tmp_path, "prepare", *words)
        assert done.returncode == 2
        assert "prepare folder --raw raw --name NAME" in done.stderr
