"""A choice from its file to its answer: what each stage decides, and that it goes on."""

import copy
import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_study import TINY

from pycls.bits import unpack_bits
from pycls.choose.baselines import BASELINES, scaled_baseline
from pycls.choose.choice import Choice
from pycls.choose.finish import conclude, finish
from pycls.choose.options import ChooseOptions
from pycls.choose.plan import _plan_rungs
from pycls.choose.work import choice_work
from pycls.core.config.load import load_cfg
from pycls.core.runs.record import read_record
from pycls.core.tester import test_model as measure_errors
from pycls.core.trainer import train_model
from pycls.datasets.opening.dataset import open_dataset
from pycls.errors import ConfigError, PyclsError
from pycls.launch.work import load_work
from pycls.spaces.anynet_count import AnyNetFrame
from pycls.study.file import load_study_file
from pycls.torchvision_import import import_torchvision

PAGE = Path(__file__).resolve().parents[2] / "docs" / "choosing.md"
SMALL = {"seeds": [5, 6], "baselines": ["resnet"]}
HALVING = {"strategy": "halving", "trainings": 7.2, "filter": {"num_classes": 3}, **SMALL}


@pytest.fixture
def make_choice(tmp_path, digits_dir):
    """Write a study file with a section `choose` and return a choice of it, begun or not."""

    def make(folder="choice", **section):
        study = copy.deepcopy(TINY) | {"datasets": {"digits": {}}, "choose": section}
        for key in ("reference", "family", "targets", "repeats"):
            del study[key]
        study["config"]["OPTIM"]["MAX_EPOCH"] = 2
        study["config"]["CHECKPOINT"] = {"KEEP": "last"}
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(study))
        return Choice(load_study_file(path), tmp_path / folder, digits_dir)

    return make


def train(choice, most=1000):
    """Train up to so many runs of a choice as a launch does; say whether none is left."""
    work = choice_work(choice)
    work.check()
    while True:
        work.write()
        pending = [
            run for run in work.runs() if (read_record(run.out_dir) or {}).get("status") != "done"
        ]
        for run in pending:
            if most == 0:
                return False
            train_model(load_cfg(run.cfg))
            most -= 1
        work.collect()
        if not work.look_again():
            return True


@pytest.mark.slow
def test_it_goes_on_to_the_same_end(make_choice, digits_dir, tmp_path):
    whole = make_choice("whole", **HALVING)
    assert train(whole)
    answer = conclude(whole)
    # Gone after every third run, and begun anew from what is on the disk.
    starts = 0
    while not train(make_choice("cut", **HALVING), most=3):
        starts += 1
    assert starts >= 3
    cut = make_choice("cut", **HALVING)
    page = finish(cut)
    for name in ("plan.json", "decisions.json", "test.json", "choice.json"):
        assert (cut.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name
    # The stages: some on three classes, the better half of them on all, halved again.
    stages = [each["stage"] for each in answer["rungs"]]
    assert stages == ["filter", "rung", "rung"]
    assert [each["epochs"] for each in answer["rungs"]] == [2, 1, 2]
    for decision in cut.decisions[1:]:
        ranked = sorted(decision["values"].values())
        kept = [decision["values"][arch] for arch in decision["kept"]]
        assert kept == ranked[: len(kept)]
        if decision["stage"] == "rung":
            assert set(decision["wrong"]) == set(decision["values"])
            for arch, text in decision["wrong"].items():
                wrong = unpack_bits(text, decision["images"])
                assert 100 * wrong.mean() == pytest.approx(decision["values"][arch])
    assert 0 <= answer["optimism"]["alike"] < 1
    spent = answer["plan"]["search_trainings"] + answer["plan"]["final_trainings"]
    assert spent <= answer["plan"]["trainings"] + 1e-9
    # What is taken is what its files are, on images that no run has seen.
    taken = answer["taken"]
    test = open_dataset("digits", "test", digits_dir)
    assert taken["test"]["images"] == len(test)
    keys = [
        "TEST.WEIGHTS",
        str(cut.folder / "network" / "weights.pyth"),
        "DATA.DIR",
        str(digits_dir),
    ]
    cfg = load_cfg(cut.folder / "network" / "network.yaml", keys)
    assert cfg.TEST.SPLIT == "test"
    assert measure_errors(cfg)["top1_err"] == pytest.approx(taken["test"]["error"], abs=1e-3)
    assert (cut.folder / "network" / "network.onnx").is_file()
    low, high = taken["test"]["interval"]
    assert low < taken["test"]["error"] < high
    assert f"{taken['test']['error']:.2f}" in (cut.folder / "network" / "MODEL_CARD.md").read_text()
    best = min(answer["contestants"], key=lambda each: each["validation_error"])
    assert taken["name"] == best["name"]
    assert taken["seed"] in SMALL["seeds"]
    assert f"Take {taken['arch'] if taken['name'] == 'chosen' else 'ResNet'}" in page.read_text()
    same = [
        torch.load(f.folder / taken["weights"], weights_only=True)["model_state"]
        for f in (whole, cut)
    ]
    assert all(torch.equal(value, same[1][key]) for key, value in same[0].items())
    # Another choice is not mixed into this one.
    with pytest.raises(ConfigError, match="begun with other keys: trainings"):
        make_choice("cut", **{**HALVING, "trainings": 9}).check()


def test_a_reference_or_a_score_chooses_without_training(make_choice, tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    errors = {"a0000": 9.0, "a0001": 8.0, "a0002": 7.5, "a0003": 20.0}
    rows = [f"big,{arch},{error}" for arch, error in errors.items()]
    (given / "results.csv").write_text("\n".join(["sweep,arch,error", *rows]) + "\n")
    reference = {"study": "given", "sweep": "big"}
    # A pretrained network beside them: its own recipe, and weights that have to be there.
    weights = tmp_path / "weights.pyth"
    net = {
        "MODEL": {"TYPE": "anynet"}, "ANYNET": {"DEPTHS": [1], "WIDTHS": [8], "STRIDES": [1]},
        "OPTIM": {"BASE_LR": 0.01, "MAX_EPOCH": 1}, "TRAIN": {"WEIGHTS": str(weights)},
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(net))
    choice = make_choice(strategy="reference", reference=reference, trainings=6,
                         networks={"mine": "mine.yaml"}, **SMALL)  # fmt: skip
    choice.check()
    assert choice.chosen == "a0002"
    assert choice.find_missing() == [f"TRAIN.WEIGHTS {weights}: no such file"]
    choice.write()
    (run, _) = [run for run in choice.final.runs if run.sweep == "mine"]
    cfg = load_cfg(choice.final.cfg_path(run))
    assert (0.01, 1, str(weights)) == (cfg.OPTIM.BASE_LR, cfg.OPTIM.MAX_EPOCH, cfg.TRAIN.WEIGHTS)
    assert (cfg.TEST.SPLIT, cfg.DATA.VALIDATION_SHARE) == ("validation", 0.15)
    with pytest.raises(PyclsError, match="6 of 6 final trainings are not finished"):
        conclude(choice)
    # Whoever chooses otherwise sees the reference's best beside the chosen.
    choice = make_choice("score", strategy="score", score="params", reference=reference,
                         trainings=6, **SMALL)  # fmt: skip
    choice.check()
    assert choice.chosen is None
    assert "once the candidates are scored" in choice.waiting["final"]
    work = choice_work(choice)
    assert list(work.prepare())
    population = choice.whole.population
    most = population.ids[int(population.params.argmax())]
    assert choice.chosen == most
    names = [name for name, _ in choice.contestants()]
    assert names == ["chosen", *(["reference"] if most != "a0002" else []), "resnet"]
    work.write()
    # A job finds the work again by what was written of it.
    path = tmp_path / "target.json"
    path.write_text(json.dumps(work.reference))
    assert [run.id for run in load_work(path).runs()] == [run.id for run in work.runs()]


@pytest.mark.slow
def test_pretrained_networks_of_other_libraries_are_fine_tuned_beside_the_chosen(
    make_choice, tmp_path
):
    models = import_torchvision().models
    timm = pytest.importorskip("timm")
    save_file = pytest.importorskip("safetensors.torch").save_file
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "results.csv").write_text("sweep,arch,error\nbig,a0001,8\n")
    # As of another set: their heads have other classes.
    timms = timm.create_model("test_resnet", num_classes=7).state_dict()
    torchvisions = models.shufflenet_v2_x0_5(num_classes=7).state_dict()
    save_file(timms, tmp_path / "timm.safetensors")
    torch.save(torchvisions, tmp_path / "torchvision.pth")
    (block,) = re.findall(r"```yaml\n(# pretrained.yaml\n.*?)```", PAGE.read_text(), re.DOTALL)
    keys = yaml.safe_load(block)
    keys["OPTIM"].update(MAX_EPOCH=1)
    keys["TIMM"]["NAME"] = "test_resnet"
    keys["TRAIN"]["WEIGHTS"] = str(tmp_path / "timm.safetensors")
    (tmp_path / "timm.yaml").write_text(yaml.safe_dump(keys))
    del keys["TIMM"]
    keys |= {"MODEL": {"TYPE": "torchvision"}, "TORCHVISION": {"NAME": "shufflenet_v2_x0_5"}}
    keys["TRAIN"]["WEIGHTS"] = str(tmp_path / "torchvision.pth")
    (tmp_path / "torchvision.yaml").write_text(yaml.safe_dump(keys))
    networks = {name: f"{name}.yaml" for name in ("timm", "torchvision")}
    choice = make_choice(
        strategy="reference", reference={"study": "given", "sweep": "big"}, trainings=4,
        networks=networks, baselines=[], seeds=[5],
    )  # fmt: skip
    assert train(choice)
    answer = conclude(choice)
    assert [each["name"] for each in answer["contestants"]] == ["chosen", *networks]
    assert answer["optimism"]["candidates"] == 0
    for name, published in (("timm", timms), ("torchvision", torchvisions)):
        (run,) = [run for run in choice.final.runs if run.sweep == name]
        path = choice.final.out_dir(run) / "checkpoints" / "model_epoch_0001.pyth"
        tuned = torch.load(path, weights_only=False)["model_state"]
        # A new network's first layer would have nothing in common with it.
        first = "conv1.0.weight"
        assert (tuned[first] - published[first]).norm() < 0.5 * published[first].norm()
        assert len(tuned["fc.bias"]) == 10


@settings(max_examples=40)
@given(
    strategy=st.sampled_from(["halving", "random", "score"]),
    epochs=st.integers(1, 60),
    available=st.integers(1, 600),
    budget=st.floats(0, 300),
)
def test_no_plan_costs_more_than_its_budget(strategy, epochs, available, budget):
    options = ChooseOptions("mine", strategy)
    rungs, cost = _plan_rungs(options, epochs, available, budget)
    assert cost <= budget + 1e-6
    sizes, ends = [r["archs"] for r in rungs], [r["epochs"] for r in rungs]
    assert sizes == sorted(sizes, reverse=True)
    assert ends == sorted(set(ends))
    if rungs:
        assert ends[-1] == epochs
        assert sizes[0] <= available
        steps = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        spent = sum(n * step for n, step in zip(sizes, steps, strict=True)) / epochs
        assert spent == pytest.approx(cost)


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("flops", [4e6, 3e7, 4e8, 4e9])
def test_baselines_come_near_the_multiply_adds(name, flops):
    small = flops < 1e8
    frame = AnyNetFrame(
        strides=(1, 2, 2) if small else (1, 2, 2, 2), resolution=32 if small else 224,
        stem_type="res_stem_cifar" if small else "res_stem_in", stem_w=16, num_classes=10,
    )  # fmt: skip
    assert scaled_baseline(name, frame, int(flops)).flops == pytest.approx(flops, rel=0.2)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"strategy": "halving"}, "give the budget, either 'trainings' or 'gpu_hours'"),
        ({"strategy": "haling", "trainings": 9}, "did you mean 'halving'"),
        ({"strategy": "score", "trainings": 9}, "needs the key 'score'"),
        ({"trainings": 9, "filter": {"score": "synflow", "num_classes": 3}}, "expected either"),
        ({"trainings": 9, "seeds": [1, 2]}, "seed that the choice is made with"),
        ({"trainings": 9, "networks": {"mine": "nowhere.yaml"}}, "there is no file"),
        ({"trainings": 5}, "leaves -4 to choose by"),
        ({"trainings": 99, "data": "textures"}, "expected a data set of this study"),
    ],
)
def test_mistakes_are_said_before_anything_is_written(make_choice, tmp_path, section, message):
    with pytest.raises(ConfigError, match=message):
        make_choice(**section).check()
    assert not (tmp_path / "choice").exists()
