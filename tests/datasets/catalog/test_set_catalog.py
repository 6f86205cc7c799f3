import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pycls.datasets.catalog.catalog import CATALOG, find_entry
from pycls.datasets.catalog.further import FURTHER
from pycls.datasets.catalog.own import OWN
from pycls.datasets.catalog.views import VIEWS, ViewSpec, list_views
from pycls.datasets.opening.expected import expected_facts, expected_view_facts
from pycls.errors import ConfigError

# Key: classes, side of the images, epochs, metric, thousands of images (paper, Tables 1 and 2).
TABLES = {
    "concrete": (2, 227, 20, "top1", 40),
    "mlc2008": (9, 312, 20, "top1", 43),
    "imagenet": (1000, 256, 10, "top5", 1331),
    "ham10000": (7, 296, 30, "top1", 10),
    "powerline": (2, 128, 20, "top1", 8),
    "insects": (291, 296, 20, "top5", 63),
    "natural": (6, 150, 20, "top1", 17),
    "cifar10": (10, 32, 30, "top1", 60),
    "cifar100": (100, 32, 30, "top5", 60),
}
OFFICIAL = {"imagenet", "natural", "cifar10", "cifar100"}
DOCS = Path(__file__).resolve().parents[3] / "docs" / "datasets"
EMBEDDED = [key for key, entry in CATALOG.items() if not entry.raw]
RAW = [key for key, entry in CATALOG.items() if entry.raw]

# Key: classes, train and test images, epochs, metric, title.
VIEW_FACTS = {
    "imagenet_100": (100, 128_117, 5_000, 10, "top5", "ImageNet-100"),
    "imagenet_10": (10, 12_812, 500, 40, "top1", "ImageNet-10"),
    "imagenet_5": (5, 6_406, 250, 40, "top1", "ImageNet-5"),
    "imagenet_2": (2, 2_562, 100, 40, "top1", "ImageNet-2"),
    "imagenet_1000_10": (1000, 10_000, 50_000, 40, "top5", "ImageNet-1000-10"),
    "ham10000_balanced": (7, 3_981, 442, 30, "top1", "HAM10000-balanced"),
}


@pytest.mark.parametrize("key", TABLES)
def test_the_studys_sets_are_those_of_its_tables(key):
    entry = find_entry(key)
    classes, size, epochs, metric, thousands = TABLES[key]
    assert (entry.num_classes, entry.im_size, entry.epochs) == (classes, size, epochs)
    assert entry.error_metric == metric
    assert round(sum(entry.images) / 1000) == thousands
    assert entry.options["size"] == size
    assert entry.raw
    assert all((entry.source, entry.licence, entry.citation, entry.download, entry.title))
    for known in (entry.mean, entry.std):
        assert len(known) in (0, 3)
        assert all(0 < value < 1 for value in known)


def test_every_set_of_the_study_and_nothing_else_has_epochs():
    assert {key for key, entry in CATALOG.items() if entry.epochs} == set(TABLES)
    assert set(RAW) == {*TABLES, *(entry.key for entry in (*FURTHER, *OWN))}


@pytest.mark.parametrize("key", RAW)
def test_downloaded_sets_have_the_options_of_the_pipeline(key):
    options = find_entry(key).options
    assert (options["aspect"], options["seed"]) == ("crop", 1)
    official = key in OFFICIAL or key in {entry.key for entry in FURTHER} - {"eurosat"}
    assert options.get("test_share") == (None if official else 0.1)


@pytest.mark.parametrize("key", RAW)
def test_readers_take_no_option_that_the_catalogue_does_not_have(key):
    entry = find_entry(key)
    source, *options = inspect.signature(entry.load_reader()).parameters
    assert source == "source"
    # A set that is read as one of one's own leaves that reader's options as they are by default.
    assert entry.compared or set(options) <= set(entry.options)


@pytest.mark.parametrize("entry", FURTHER, ids=lambda entry: entry.key)
def test_further_sets_say_all_about_themselves(entry):
    assert all((entry.source, entry.licence, entry.citation, entry.download, entry.page))
    assert entry.page.startswith("http")
    assert entry.epochs is None
    assert entry.error_metric == ("top5" if entry.num_classes >= 100 else "top1")
    assert entry.part_of in ("", *CATALOG)
    assert expected_facts(entry.key).train_images == entry.images[0]


@pytest.mark.parametrize("entry", FURTHER, ids=lambda entry: entry.key)
def test_the_page_has_a_row_of_every_further_set(entry):
    train, test = (f"{count:,}" for count in entry.images)
    about = "" if entry.exact else "about "
    size = f"{entry.im_size} x {entry.im_size}"
    cells = (entry.key, entry.num_classes, train, about + test, size, entry.error_metric)
    row = f"| {' | '.join(map(str, cells))} | {entry.licence} | {entry.part_of} |"
    assert row in (DOCS / "README.md").read_text().splitlines()


def test_sets_of_several_labels_an_image_are_refused_by_name():
    with pytest.raises(ConfigError, match="'chestmnist' cannot be used: its images carry several"):
        find_entry("chestmnist")


def test_published_class_counts_add_up():
    for key, entry in CATALOG.items():
        if entry.class_counts:
            total = sum(entry.class_counts.values())
            assert total == sum(entry.images), key
            assert len(entry.class_counts) == entry.num_classes, key


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(
        ConfigError, match=r"unknown data set 'cifar1'; did you mean 'cifar10'.* known are"
    ):
        find_entry("cifar1")
    with pytest.raises(ConfigError, match="'imagenet_5' is a view of 'imagenet'"):
        find_entry("imagenet_5")
    with pytest.raises(ConfigError, match="did you mean 'imagenet_100'"):
        expected_facts("imagnet_100")
    with pytest.raises(ConfigError, match="nothing is known of 'folder' before it is prepared"):
        expected_facts("folder")


@pytest.mark.parametrize("name", VIEW_FACTS)
def test_expected_facts_of_the_studys_views(name, tmp_path):
    classes, train, test, epochs, metric, title = VIEW_FACTS[name]
    facts = expected_facts(name, tmp_path)
    assert (facts.num_classes, facts.train_images, facts.test_images) == (classes, train, test)
    assert (facts.epochs, facts.error_metric, facts.title) == (epochs, metric, title)
    assert facts.im_size == find_entry(VIEWS[name].of).im_size
    assert facts.exact == (name == "imagenet_1000_10")


def test_expected_facts_of_whole_sets_and_of_estimates(tmp_path):
    for key in (*TABLES, *EMBEDDED):
        entry, facts = find_entry(key), expected_facts(key, tmp_path)
        assert (facts.train_images, facts.test_images) == entry.images
        assert (facts.title, facts.epochs, facts.exact) == (entry.title, entry.epochs, entry.exact)
    whole, balanced = (expected_facts(f"mlc2008{end}", tmp_path) for end in ("", "_balanced"))
    # Half of the pieces are of one class, which is cut to the size of another.
    assert whole.train_images / 2 < balanced.train_images < whole.train_images
    assert not balanced.exact


def test_expected_facts_of_views_that_are_not_in_the_catalogue(tmp_path):
    (tmp_path / "views.yaml").write_text(
        "small: {of: cifar10, per_class: 100, title: Small}\n"
        "smaller: {of: small, num_classes: 5}\n"
        "loop: {of: loop}\n"
        "many: {of: cifar10, num_classes: 11}\n"
    )
    small = expected_facts("small", tmp_path)
    assert (small.train_images, small.test_images, small.title) == (1_000, 10_000, "Small")
    assert small.exact
    smaller = expected_facts("smaller", tmp_path)
    assert (smaller.num_classes, smaller.train_images, smaller.test_images) == (5, 500, 5_000)
    assert (smaller.title, smaller.exact) == ("Small-5", False)
    moles = expected_view_facts(ViewSpec("ham10000", classes=("nv", "df")), tmp_path)
    # 90 % of 6705 and 115.
    assert moles.train_images == pytest.approx(6138, abs=2)
    unnamed = expected_view_facts(ViewSpec("cifar100", classes=("apple", "bee")), tmp_path)
    assert (unnamed.num_classes, unnamed.train_images, unnamed.test_images) == (2, 1_000, 200)
    with pytest.raises(ConfigError, match="a part of itself: 'loop' of 'loop'"):
        expected_facts("loop", tmp_path)
    with pytest.raises(ConfigError, match="view 'many' of 'cifar10': cannot draw 11 of 10"):
        expected_facts("many", tmp_path)


def test_facts_need_neither_torch_nor_image_libraries():
    code = (
        "import sys; from pycls.datasets.opening.expected import expected_facts\n"
        "expected_facts('imagenet_10')\n"
        "assert not {'torch', 'cv2', 'PIL', 'sklearn', 'skimage'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def table_rows(page):
    """Return the cells of a Markdown page's table rows by their first cell."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].removeprefix("[").split("]")[0]: row[1:] for row in cells}


def number(cell):
    return int(cell.removeprefix("about ").replace(",", ""))


def test_tables_of_the_docs_are_the_catalogues(tmp_path):
    rows = table_rows(DOCS / "README.md")
    for key in TABLES:
        entry = find_entry(key)
        classes, train, test, size, metric, epochs, disk, licence = rows[key]
        assert (number(classes), number(epochs)) == (entry.num_classes, entry.epochs)
        assert metric == entry.error_metric
        assert (number(train), number(test)) == entry.images
        assert train.startswith("about") == (not entry.exact)
        assert size == f"{entry.im_size} x {entry.im_size}"
        assert licence == entry.licence
        pixels = 3 * entry.im_size**2 * sum(entry.images)
        value, unit = disk.split()
        shown = float(value) * {"MB": 1e6, "GB": 1e9}[unit]
        assert shown == pytest.approx(pixels, rel=0.05)
        text = (DOCS / f"{key}.md").read_text()
        assert f"prepare_data.py prepare {key} --raw" in text
        assert f"Takes {disk}" in text or f"take {disk}" in text
    for name in VIEWS:
        facts = expected_facts(name, tmp_path)
        base, classes, train, test, metric, epochs = rows[name]
        assert base == VIEWS[name].of
        assert (number(classes), number(epochs)) == (facts.num_classes, facts.epochs)
        assert (number(train), number(test)) == (facts.train_images, facts.test_images)
        assert metric == facts.error_metric
    rows = table_rows(DOCS / "embedded.md")
    for key in EMBEDDED:
        entry = find_entry(key)
        assert [number(cell) for cell in rows[key][:3]] == [
            entry.num_classes,
            *entry.images,
        ]


def test_the_list_of_imagenet_classes_can_be_read(tmp_path):
    (tmp_path / "views.yaml").write_text(
        f"imagenet_100: {{of: imagenet, classes_file: {DOCS / 'imagenet_100_list.txt'}}}\n"
    )
    spec = list_views(tmp_path)["imagenet_100"]
    assert len(set(spec.classes)) == 100
    assert all(re.fullmatch(r"n\d{8}", name) for name in spec.classes)
    assert expected_facts("imagenet_100", tmp_path).num_classes == 100
