"""Study files: what is read, and which mistakes are named where."""

import copy

import pytest
import yaml

from pycls.errors import ConfigError
from pycls.sweep.study_file import load_study_file

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
    assert (spec.seed, spec.class_seed, spec.max_retry) == (1, 1, 1)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (put("targts", ["x"]), ["'targts'", "did you mean 'targets'"]),
        (put("name", "a/b"), ["name", "'a/b'", "folder"]),
        (put("population", "size", "many"), ["population.size", "'many'", "whole number"]),
        (put("population", "size", 0), ["population.size", "1 or more"]),
        (put("population", "flops", [1]), ["population.flops", "[low, high]"]),
        (put("population", "sed", 1), ["population", "'sed'", "'seed'"]),
        (put("datasets", "digits_2", "of", "moon"), ["digits_2.of", "'moon'", "digits, textures"]),
        (put("datasets", "digits_2", "of", "digits_2"), ["digits_2.of", "digits, textures"]),
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
        (lambda values: values.pop("reference"), ["'reference' is missing"]),
        (lambda values: values.clear(), ["'name' is missing"]),
    ],
)
def test_mistakes_are_named(tmp_path, change, parts):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, change)
    for part in ["tiny.yaml", *parts]:
        assert part in str(caught.value)
