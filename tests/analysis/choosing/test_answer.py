"""What a choice comes to: gains with intervals that hold, and how sure each stage was."""

import json

import numpy as np
import pytest

from pycls.analysis.choosing.answer import make_answer
from pycls.analysis.report.answer_page import answer_html
from pycls.bits import pack_bits
from pycls.errors import ConfigError
from pycls.schema import CHOICE_DECISIONS, CHOICE_PLAN, CHOICE_TEST

TITLES = {"chosen": "the chosen", "resnet": "ResNet-18, scaled"}
DATA = {
    "key": "mine", "title": "Mine", "classes": ["a", "b"], "im_size": 8, "train_images": 850,
    "validation_images": 150, "validation_held_out": True, "validation_rule": "15% of each class",
}  # fmt: skip


def write_choice(folder, wrong, validation, values=None, candidates=()):
    """Write what a choice leaves: wrong answers (runs, images) of contestants and candidates."""
    runs = [
        {
            "run": f"{name}/{i:06d}", "contestant": name, "arch": name, "seed": i + 2,
            "weights": f"final/{name}/{i}", "validation_error": validation[name][i],
            "test_error": 100 * float(row.mean()), "wrong": pack_bits(row),
        }
        for name, rows in wrong.items()
        for i, row in enumerate(rows)
    ]  # fmt: skip
    values = values or {"a0000": 9.0, "a0001": 10.0, "a0002": 30.0, "a0003": 31.0}
    kept = sorted(values, key=values.get)
    decisions = [
        {"stage": "random", "values": {}, "kept": sorted(values)},
        {"stage": "rung", "epochs": 1, "values": values, "failed": [], "kept": kept[:2]},
        {"stage": "rung", "epochs": 2, "values": {k: values[k] for k in kept[:2]}, "failed": [],
         "kept": kept[:1]},
    ]  # fmt: skip
    if len(candidates):
        texts = dict(zip(kept[:2], map(pack_bits, candidates), strict=True))
        for rung in decisions[1:]:
            rung |= {"images": 150, "wrong": texts}
    plan = {
        "strategy": "halving", "filter": None, "trainings": 9.0, "search_trainings": 5.0,
        "final_trainings": 4, "epochs": 2, "asked": {},
    }  # fmt: skip
    images = len(next(iter(wrong.values()))[0])
    for name, value in (
        (CHOICE_PLAN, plan),
        (CHOICE_DECISIONS, decisions),
        (CHOICE_TEST, {"images": images, "metric": "top1", "runs": runs}),
    ):
        (folder / name).write_text(json.dumps(value))


def answer_of(folder):
    return make_answer(folder, TITLES, DATA, {name: {"flops": 5, "params": 7} for name in TITLES})


def test_validation_decides_and_the_test_side_only_tells(tmp_path):
    rng = np.random.default_rng(0)
    # The chosen is better on the validation side and worse on the test side: it is taken all the
    # same, and the page says so.
    wrong = {"chosen": rng.random((2, 500)) < 0.3, "resnet": rng.random((2, 500)) < 0.1}
    write_choice(tmp_path, wrong, {"chosen": [8.0, 7.0], "resnet": [9.0, 9.5]})
    answer = answer_of(tmp_path)
    taken = answer["taken"]
    assert (taken["name"], taken["run"]) == ("chosen", "chosen/000001")
    assert taken["test"]["wrong"] == wrong["chosen"][1].sum()
    (gain,) = answer["gains"]
    assert gain["points"] == pytest.approx(
        100 * (wrong["resnet"].mean() - wrong["chosen"].mean()), rel=1e-9
    )
    assert gain["interval"][1] < 0
    page = answer_html(answer, tmp_path)
    assert "Take chosen (the chosen)" in page
    assert "points higher in error" in page
    assert "Train it on, now with the validation images too:" in page
    own = {**answer, "data": {**answer["data"], "validation_held_out": False}}
    assert "Train it on:" in answer_html(own, tmp_path)
    # Two of four are far behind: whoever is kept is kept again.
    assert answer["rungs"][0]["kept_again"] == 1
    assert 0.5 < answer["rungs"][1]["kept_again"] < 0.9
    assert "Both are upper bounds" in page
    # Networks that err on the same images but two: a point between them is no luck.
    alike = np.tile(rng.random(150) < 0.1, (2, 1))
    alike[1, :2] ^= True
    write_choice(tmp_path, wrong, {"chosen": [8.0, 7.0], "resnet": [9.0, 9.5]}, None, alike)
    surer = answer_of(tmp_path)
    assert surer["rungs"][1]["kept_again"] > answer["rungs"][1]["kept_again"] + 0.05
    assert surer["optimism"]["test"] < answer["optimism"]["test"] / 2
    page = answer_html(surer, tmp_path)
    assert "upper bounds" not in page
    assert "as far as those that were trained the longest do" in page
    path = tmp_path / CHOICE_DECISIONS
    whole = path.read_text()
    path.write_text(whole.replace(pack_bits(alike[0]), "00"))
    with pytest.raises(ConfigError, match="are damaged"):
        answer_of(tmp_path)
    path.write_text(whole)
    (tmp_path / CHOICE_TEST).unlink()
    with pytest.raises(ConfigError, match="goes on with the choice"):
        answer_of(tmp_path)


def test_intervals_of_gains_hold_the_true_gain(tmp_path):
    rng = np.random.default_rng(1)
    inside, draws = 0, 150
    for _ in range(draws):
        # Images differ in difficulty, seeds in luck; the truth is a gain of 4 points.
        hard = rng.beta(0.4, 2.0, 400)
        wrong = {}
        for name, extra in (("chosen", 0.0), ("resnet", 0.04)):
            luck = rng.normal(0, 0.01, (3, 1))
            wrong[name] = rng.random((3, 400)) < np.clip(hard * 0.9 + extra + luck, 0, 1)
        truth = 100 * 0.04
        write_choice(tmp_path, wrong, {name: [5.0 + (name == "resnet")] * 3 for name in wrong})
        low, high = answer_of(tmp_path)["gains"][0]["interval"]
        inside += low <= truth <= high
    # Of 150 intervals of 95 %, fewer than 134 hold it by chance once in 200 times.
    assert inside >= 134
