"""Study files: what is read, and which mistakes are named where."""

import copy

import pytest
import yaml

from pycls.errors import ConfigError
from pycls.study.file import load_study_file

STUDY = {
    "name": "tiny",
    "title": "A tiny study",
    "population": {"space": {"num_stages": 2}, "size": 3, "seed": 4, "flops": [1e5, 2e5]},
    "config": {"TRAIN": {"BATCH_SIZE": 32}},
    "regimes": {"short": {"OPTIM": {"MAX_EPOCH": 2}}, "long": {"OPTIM": {"MAX_EPOCH": 9}}},
    "datasets": {
        "digits": {},
        "digits_2": {"of": "digits", "num_classes": 2, "regime": "long", "metric": "top1"},
        "textures": {"options": {"size": 8}},
    },
    "reference": "digits",
    "family": ["digits_2"],
    "targets": ["textures"],
    "repeats": [{"dataset": "digits", "arch": "a0000", "seeds": [1, 2]}],
}


def load(tmp_path, change=None):
    values = copy.deepcopy(STUDY)
    if change is not None:
        change(values)
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return load_study_file(path)


def put(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(values):
        for key in keys:
            values = values[key]
        values[last] = value

    return change


def control(kind, **keys):
    """Return a control of the digits."""
    return {"of": "digits", "control": kind, **keys}


def test_reads_everything(tmp_path):
    spec = load(tmp_path)
    assert (spec.name, spec.title, spec.reference) == ("tiny", "A tiny study", "digits")
    assert spec.population.bounds == {"flops": (1e5, 2e5)}
    assert list(spec.datasets) == ["digits", "digits_2", "textures"]
    assert spec.datasets["digits"].regime == "short"
    assert spec.datasets["digits_2"].is_view
    assert spec.datasets["digits_2"].prepared == "digits"
    assert spec.datasets["textures"].options == {"size": 8}
    assert spec.repeats[0].sweep == "digits_seeds"
    assert (spec.seed, spec.class_seed, spec.launch.max_retry) == (1, 1, 1)
    assert spec.population.spaces == {"": {"num_stages": 2}}


def test_what_a_control_takes_over(tmp_path):
    def change(values):
        values["datasets"]["longer"] = {
            **control("continued", archs={"best": 2, "worst": 1, "by": "digits"}),
            "of": "digits_2",
            "weights_from": "digits",
            "config": {"DATA": {"PAD": 2}},
        }
        values["datasets"]["seeds"] = control("repeats", archs=["a0001"], seeds={"count": 3})

    spec = load(tmp_path, change)
    longer, seeds = spec.datasets["longer"], spec.datasets["seeds"]
    assert (longer.prepared, longer.num_classes, longer.regime) == ("digits", 2, "long")
    assert longer.metric == "top1"
    assert longer.selection.size == 3
    assert [layer for _, layer in longer.config] == [{}, {}, {"DATA": {"PAD": 2}}]
    assert (seeds.selection.ids, seeds.seeds) == (("a0001",), (1, 2, 3))


def test_a_base_gives_what_the_file_leaves_out(tmp_path):
    load(tmp_path)
    path = tmp_path / "more.yaml"
    datasets = {"long": {**control("duration"), "regime": "very_long"}}
    regimes = {"very_long": {"OPTIM": {"MAX_EPOCH": 20}}}
    values = {"name": "more", "base": "tiny.yaml", "regimes": regimes, "datasets": datasets}
    path.write_text(yaml.safe_dump(values))
    spec = load_study_file(path)
    assert spec.population is spec.base.population
    assert list(spec.regimes) == ["short", "long", "very_long"]
    assert [layer for _, layer in spec.config] == [STUDY["config"], {}]
    assert list(spec.all_datasets()) == ["long", "digits", "digits_2", "textures"]
    path.write_text(yaml.safe_dump({"name": "more", "base": "tiny.yaml", "uses": ["digits"]}))
    assert load_study_file(path).uses == ("digits",)
    path.write_text(yaml.safe_dump({"name": "tiny", "base": "tiny.yaml", "uses": ["digits"]}))
    with pytest.raises(ConfigError, match="called too"):
        load_study_file(path)


def test_messages_name_the_line(tmp_path):
    path = tmp_path / "lines.yaml"
    path.write_text("name: a\npopulation: {size: 2}\ndatasets:\n  digits:\n    metric: top3\n")
    with pytest.raises(ConfigError, match=r"lines.yaml, line 5: datasets.digits.metric is 'top3'"):
        load_study_file(path)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (put("targts", ["x"]), ["'targts'", "did you mean 'targets'"]),
        (put("name", "a/b"), ["name", "'a/b'", "folder"]),
        (put("population", "size", "many"), ["population.size", "'many'", "whole number"]),
        (put("population", "size", 0), ["population.size", "1 or more"]),
        (put("population", "flops", [1]), ["population.flops", "[low, high]"]),
        (put("population", "sed", 1), ["population", "'sed'", "'seed'"]),
        (put("datasets", "digits_2", "of", "moon"), ["digits_2.of", "'moon'", "digits"]),
        (put("datasets", "digits_2", "of", "textures"), ["digits_2.of", "(those above it)"]),
        (put("datasets", "digits", "num_classes", 2), ["datasets.digits", "'of'"]),
        (put("datasets", "digits_2", "classes", ["1", "2"]), ["digits_2", "either"]),
        (put("datasets", "digits_2", "classes", [1, 2]), ["digits_2.classes", "quotes"]),
        (put("datasets", "digits", "regime", "fast"), ["digits.regime", "'fast'", "short, long"]),
        (put("datasets", "digits", "metric", "top3"), ["digits.metric", "'top3'", "top1, top5"]),
        (put("datasets", 5, {}), ["datasets.5", "folder"]),
        (put("reference", "imagenet"), ["reference", "'imagenet'", "digits, digits_2, textures"]),
        (put("family", ["nothing"]), ["family", "'nothing'"]),
        (put("targets", []), ["targets", "empty"]),
        (put("targets", ["digits"]), ["digits", "one role"]),
        (put("targets", ["textures", "textures"]), ["targets", "twice"]),
        (put("repeats", 0, "dataset", "moon"), ["repeats", "'moon'"]),
        (put("repeats", 0, "seeds", [1]), ["repeats[0].seeds", "two or more"]),
        (put("repeats", 0, "seeds", [1, 1]), ["repeats[0].seeds", "once"]),
        (put("repeats", STUDY["repeats"] * 2), ["two sweeps", "digits_seeds"]),
        (put("max_retry", -1), ["max_retry", "0 or more"]),
        (lambda values: values.pop("reference"), ["family", "add 'reference'"]),
        (put("population", "flops", [2e5, 1e5]), ["flops", "wrong way round"]),
        (put("population", "where", ["a", "a"]), ["population.where", "twice"]),
        (put("population", "spaces", {"A": {}, "B": {}}), ["spaces", "beside 'space'"]),
        (put("datasets", {}), ["datasets", "empty"]),
        (put("datasets", "textures", "seeds", [1]), ["textures.seeds", "'control'"]),
        (put("datasets", "textures", "control", "stem"), ["textures", "needs 'of'"]),
        (put("datasets", "x", {"of": "digits_2", "balance": True}), ["x.of", "a part of digits"]),
        (put("datasets", "x", {"of": "digits", "options": {}}), ["x.options", "there"]),
        (put("datasets", "x", {"of": "digits", "control": "stm"}), ["x.control", "'stem'"]),
        (put("datasets", "x", {"of": "digits", "control": "pretrained"}), ["x", "weights_from"]),
        (put("datasets", "x", control("repeats", archs={"best": 2})), ["x.archs", "by: SWEEP"]),
        (put("datasets", "x", control("stem", archs=[])), ["x.archs", "expected"]),
        (put("datasets", "x", control("stem", archs={"best": 1, "by": "moon"})), ["archs.by"]),
        (
            put("datasets", "x", control("pretrained", weights_from="x")),
            ["x.weights_from", "another sweep", "digits, digits_2, textures"],
        ),
        (
            put("datasets", "x", control("networks", networks=["no.yaml"])),
            ["x.networks", "no file", "no.yaml"],
        ),
        (put("datasets", "x", control("repeats", seeds={"first": 1})), ["x.seeds", "'count'"]),
        (put("base", "nothing.yaml"), ["base", "no file"]),
        (put("base", "tiny.yaml"), ["base", "this file itself"]),
        (put("uses", ["digits"]), ["uses", "add the key base"]),
        (put("images_per_second", 0), ["images_per_second", "above 0"]),
        (lambda values: values.clear(), ["'name' is missing"]),
    ],
)
def test_mistakes_are_named(tmp_path, change, parts):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, change)
    for part in ["tiny.yaml", *parts]:
        assert part in str(caught.value)
