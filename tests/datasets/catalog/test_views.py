import numpy as np
import pytest

from pycls.core.config import load_cfg
from pycls.datasets.catalog.views import VIEWS, ViewSpec, list_views, load_views
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.opening.locate import find_store
from pycls.datasets.opening.subsets import draw_classes
from pycls.datasets.store.writer import SetFacts, write_store
from pycls.errors import ConfigError, DataError

WNIDS = tuple(f"n{number:08d}" for number in range(120))


def write_counts(folder, name, counts, metric="top1", **meta):
    """Write a set of tiny images with (train, test) images of each class, in mixed order."""
    labels = np.concatenate([[i] * sum(pair) for i, pair in enumerate(counts.values())])
    split = np.concatenate([[0] * train + [1] * test for train, test in counts.values()])
    order = np.random.default_rng(0).permutation(len(labels))
    images = np.random.default_rng(1).integers(0, 256, (len(labels), 2, 2, 3), dtype=np.uint8)
    facts = SetFacts(
        name=name,
        title=meta.pop("title", name),
        description="random pixels",
        source="a generator",
        licence="none",
        split_rule="as asked",
        error_metric=metric,
        **meta,
    )
    return write_store(folder / name, images, labels[order], split[order], tuple(counts), facts)


def counts_of(dataset):
    found = np.bincount(dataset.labels, minlength=dataset.num_classes).tolist()
    return dict(zip(dataset.class_names, found, strict=True))


@pytest.fixture
def imagenet(tmp_path):
    counts = {wnid: (14 + number % 3, 2) for number, wnid in enumerate(WNIDS)}
    write_counts(tmp_path, "imagenet", counts, metric="top5", title="ImageNet")
    return tmp_path


def test_members_of_the_family_are_nested_draws_from_the_recorded_seed(imagenet):
    whole = open_dataset("imagenet", "train", imagenet)
    larger = set(whole.class_names)
    for n in (100, 10, 5, 2):
        train, test = (open_dataset(f"imagenet_{n}", side, imagenet) for side in ("train", "test"))
        assert train.class_names == test.class_names == tuple(sorted(train.class_names))
        assert set(train.class_names) == set(draw_classes(WNIDS, n, 1))
        assert set(train.class_names) < larger
        assert counts_of(test) == dict.fromkeys(train.class_names, 2)
        # All training images of its classes and no other.
        names = np.array(whole.class_names)[whole.labels]
        inside = np.isin(names, train.class_names)
        np.testing.assert_array_equal(train.indices, whole.indices[inside])
        np.testing.assert_array_equal(np.array(train.class_names)[train.labels], names[inside])
        assert train.fingerprint == test.fingerprint
        assert train.title == f"ImageNet-{n}"
        assert train.error_metric == ("top5" if n == 100 else "top1")
        np.testing.assert_array_equal(train.mean, whole.mean)
        larger = set(train.class_names)


def test_the_size_control_has_ten_training_images_of_every_class(imagenet):
    view = open_dataset("imagenet_1000_10", "train", imagenet)
    assert counts_of(view) == dict.fromkeys(WNIDS, 10)
    assert view.title == "ImageNet-120-10"
    whole = open_dataset("imagenet", "test", imagenet)
    test = open_dataset("imagenet_1000_10", "val", imagenet)
    np.testing.assert_array_equal(test.indices, whole.indices)
    assert test.fingerprint == view.fingerprint != whole.fingerprint
    five = open_dataset("imagenet", "train", imagenet, per_class=5)
    assert set(five.indices) < set(view.indices)
    image, label = view[7]
    np.testing.assert_array_equal(image, view.images[view.indices[7]])
    assert label == view.labels[7]


@pytest.mark.parametrize("name", ["ham10000", "mlc2008"])
def test_balanced_sets_cut_the_most_common_class_to_the_second(tmp_path, name):
    counts = {"bkl": (20, 3), "df": (4, 1), "mel": (22, 3), "nv": (90, 12)}
    write_counts(tmp_path, name, counts, title=name.upper())
    train, test = (open_dataset(f"{name}_balanced", s, tmp_path) for s in ("train", "test"))
    assert counts_of(train) == {"bkl": 20, "df": 4, "mel": 22, "nv": 22}
    assert counts_of(test) == {"bkl": 3, "df": 1, "mel": 3, "nv": 3}
    assert train.title == f"{name.upper()}-balanced"
    again = open_dataset(name, "train", tmp_path, balance=True)
    assert again.fingerprint == train.fingerprint
    assert open_dataset(name, "train", tmp_path, balance=True, view_seed=2).fingerprint not in (
        again.fingerprint,
        open_dataset(name, "train", tmp_path).fingerprint,
    )


def test_operations_go_on_top_of_a_named_view(imagenet):
    ten = open_dataset("imagenet_10", "train", imagenet)
    pair = ten.class_names[3], ten.class_names[0]
    view = open_dataset("imagenet_10", "train", imagenet, classes=pair, per_class=3)
    assert counts_of(view) == {pair[1]: 3, pair[0]: 3}
    outside = next(name for name in WNIDS if name not in ten.class_names)
    with pytest.raises(ConfigError, match=f"no class '{outside}'; its classes are {pair[1]}, "):
        open_dataset("imagenet_10", "train", imagenet, classes=[outside, pair[0]])
    both = open_dataset("imagenet_1000_10", "train", imagenet, classes=pair, per_class=5)
    of_pair = open_dataset("imagenet", "train", imagenet, classes=pair, per_class=5)
    np.testing.assert_array_equal(both.indices, of_pair.indices)


def test_views_of_the_data_folder(imagenet):
    (imagenet / "lists").mkdir()
    (imagenet / "lists" / "mine.txt").write_text(
        "\ufeff# my classes\n" + "\n".join(reversed(WNIDS[:20])) + "\n\n"
    )
    (imagenet / "views.yaml").write_text(
        "imagenet_100: {of: imagenet, classes_file: lists/mine.txt}\n"
        "imagenet_10: {of: imagenet_100, num_classes: 10, metric: top1}\n"
        "few:\n"
        "  of: imagenet\n"
        "  classes: [n00000003, n00000001]\n"
        "  per_class: 4\n"
        "  seed: 7\n"
        "  title: A few\n"
        "  epochs: 3\n"
    )
    # The user's list wins over the catalogue's draw.
    listed = open_dataset("imagenet_100", "train", imagenet)
    assert listed.class_names == WNIDS[:20]
    ten = open_dataset("imagenet_10", "train", imagenet)
    assert set(ten.class_names) == set(draw_classes(WNIDS[:20], 10, 1))
    assert (ten.title, ten.error_metric) == ("ImageNet-20-10", "top1")
    # What the file does not name is still the catalogue's.
    assert set(open_dataset("imagenet_5", "train", imagenet).class_names) == set(
        draw_classes(WNIDS, 5, 1)
    )
    few = open_dataset("few", "train", imagenet)
    assert counts_of(few) == {"n00000001": 4, "n00000003": 4}
    assert (few.title, few.error_metric) == ("A few", "top5")
    direct = open_dataset(
        "imagenet", "train", imagenet, classes=few.class_names, per_class=4, view_seed=7
    )
    assert direct.fingerprint == few.fingerprint
    assert list_views(imagenet)["few"] == ViewSpec(
        "imagenet", classes=("n00000003", "n00000001"), per_class=4, seed=7, title="A few",
        epochs=3,
    )  # fmt: skip
    assert list_views(imagenet).keys() == {*VIEWS, "few"}
    # A path into the folder means the name there.
    assert open_dataset(imagenet / "few", "test").fingerprint == few.fingerprint
    assert open_dataset(f"{imagenet}/imagenet_2", "test").num_classes == 2


def test_a_prepared_set_wins_over_a_view_of_its_name(imagenet):
    write_counts(imagenet, "imagenet_2", {"a": (2, 1), "b": (2, 1)})
    assert open_dataset("imagenet_2", "train", imagenet).class_names == ("a", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("few: {of: imagenet, per_clas: 3}", r"views\.yaml, line 1: few\.per_clas: unknown key .*"
         r"did you mean 'per_class'"),
        ("\nfew:\n  of: imagenet\n  seed: '1'", r"line 4: few\.seed is '1'; expected a whole"),
        ("few: {of: imagenet, balance: 1}", r"few\.balance is 1; expected true or false"),
        ("few: {of: imagenet, num_classes: true}", r"few\.num_classes is True; expected a whole"),
        ("few: {num_classes: 2}", r"line 1: few: the key 'of' is missing"),
        ("few: imagenet", "few is 'imagenet'; expected keys"),
        ("few: {of: imagenet, num_classes: 1}", "few.num_classes is 1; expected 2 or more"),
        ("few: {of: imagenet, per_class: 0}", "few.per_class is 0; expected 1 or more"),
        ("few: {of: imagenet, metric: top3}", "few: metric is 'top3'; expected one of top1, top5"),
        ("few: {of: imagenet, classes: [a, b], num_classes: 2}", "few: give either 'classes'"),
        ("few: {of: imagenet, classes: []}", r"few\.classes is empty"),
        ("few: {of: imagenet, classes: [1, 2]}", r"few\.classes holds 1; .*in quotes"),
        ("few: {of: imagenet, classes: [a, b]}", "view 'few': data set 'imagenet' has no class"),
        ("few: {of: imagenet, num_classes: 121}", "view 'few': data set 'imagenet': cannot draw"),
        ("few: {of: imagenet, classes_file: none.txt}", r"few\.classes_file: cannot read .*none"),
        ("few: {of: more}\nmore: {of: few}", "itself: 'few' of 'more' of 'few'"),
        ("few: {of: imagenet}\nfew: {of: imagenet}", "occurs twice"),
        ("5: {of: imagenet}", "a view is called 5"),
        ("[few]", r"views\.yaml: expected keys and values"),
    ],
)  # fmt: skip
def test_mistakes_in_the_file_are_named(imagenet, text, message):
    (imagenet / "views.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        open_dataset("few", "train", imagenet)
    # What is prepared opens all the same.
    assert open_dataset("imagenet", "train", imagenet).num_classes == 120


def test_no_file_and_an_empty_file_are_no_views(tmp_path):
    assert load_views(tmp_path / "views.yaml") == {}
    (tmp_path / "views.yaml").write_text("# none yet\n")
    assert load_views(tmp_path / "views.yaml") == {}


def test_a_view_of_what_is_not_prepared_says_what_to_prepare(imagenet):
    with pytest.raises(
        DataError,
        match=r"view 'ham10000_balanced' of 'ham10000': data set 'ham10000' is not prepared.*"
        r"prepare ham10000 --raw PATH",
    ):
        open_dataset("ham10000_balanced", "train", imagenet)
    with pytest.raises(DataError, match=r"'imagnet_10' is not prepared.*mean 'imagenet_10'"):
        open_dataset("imagnet_10", "train", imagenet)
    with pytest.raises(DataError, match="'imagenet_10' is a view of 'imagenet'"):
        find_store("imagenet_10", imagenet)


def test_class_titles_are_words_or_the_names(tmp_path):
    path = write_counts(tmp_path, "birds", {"n01": (2, 1), "n02": (2, 1), "n03": (2, 1)})
    dataset = open_dataset(path, "train", classes=["n01", "n03"])
    assert dataset.class_titles == {"n01": "n01", "n03": "n03"}
    dataset.store.meta["class_titles"] = {"n01": "robin", "n02": "wren"}
    assert dataset.class_titles == {"n01": "robin", "n03": "n03"}


def test_a_run_reads_the_view_that_its_configuration_says(imagenet):
    import torch

    from pycls.core.loaders import build_loader

    def loader(side, *overrides):
        sizes = ["MODEL.NUM_CLASSES", 10, "TRAIN.IM_SIZE", 2, "TEST.IM_SIZE", 2]
        names = ["TRAIN.DATASET", "imagenet_10", "TEST.DATASET", "imagenet_10"]
        folder = ["DATA.DIR", str(imagenet), "TRAIN.BATCH_SIZE", 4]
        cfg = load_cfg(None, [*sizes, *names, *folder, *overrides])
        return build_loader(cfg, side, torch.device("cpu"))

    assert set(counts_of(loader("TRAIN").dataset).values()) <= {14, 15, 16}
    few = loader("TRAIN", "DATA.PER_CLASS", 3)
    assert set(counts_of(few.dataset).values()) == {3}
    other = loader("TRAIN", "DATA.PER_CLASS", 3, "DATA.VIEW_SEED", 2)
    assert other.dataset.fingerprint != few.dataset.fingerprint
    assert len(loader("TEST", "DATA.PER_CLASS", 1).dataset) == 20
    balanced = sorted(counts_of(loader("TRAIN", "DATA.BALANCE", True).dataset).values())
    assert balanced[-1] == balanced[-2]
    with pytest.raises(ConfigError, match=r"DATA\.PER_CLASS is -1; expected a number of 0"):
        loader("TRAIN", "DATA.PER_CLASS", -1)
