"""A study's runs, configurations and plan, from small study files and no data."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import pycls
from pycls.core.config import load_cfg
from pycls.core.runs.record import write_record
from pycls.datasets.preparation.prepare import prepare
from pycls.errors import ConfigError, DataError
from pycls.launch.here import waves
from pycls.launch.work import study_work
from pycls.study.describe import describe_study
from pycls.study.file import load_study_file
from pycls.study.plan import plan_study
from pycls.study.study import StudyFolder, usual_folder
from pycls.study.write import write_study

SPACE = {"num_stages": 2, "strides": [1, 2], "depth": [1, 3], "width": [8, 64], "resolution": 32}
BASE = {
    "name": "base",
    "population": {"space": SPACE, "size": 6, "seed": 2},
    "config": {"OPTIM": {"MAX_EPOCH": 4}, "TRAIN": {"BATCH_SIZE": 100}},
    "regimes": {"short": {}, "long": {"OPTIM": {"MAX_EPOCH": 12}}},
    "datasets": {"cifar10": {}, "cifar100": {}, "imagenet_10": {"regime": "long"}},
    "reference": "cifar100",
    "family": ["cifar10"],
    "targets": ["imagenet_10"],
}
MORE = {
    "name": "more",
    "base": "base.yaml",
    "datasets": {
        "stem": {
            "of": "cifar10",
            "control": "stem",
            "config": {"ANYNET": {"STEM_TYPE": "simple_stem_in", "STEM_W": 48}},
        },
        "further": {
            "of": "cifar10",
            "control": "continued",
            "regime": "long",
            "archs": {"best": 2, "worst": 1, "by": "cifar10"},
            "weights_from": "cifar10",
        },
        "seeds": {"of": "cifar10", "control": "repeats", "archs": {"first": 2}, "seeds": [7, 8]},
        "pretrained": {"of": "cifar100", "control": "pretrained", "weights_from": "stem"},
    },
}


@pytest.fixture
def study(tmp_path):
    """Return a function (changes to a file's top level) -> study of it, in its own folder."""

    def make(values=BASE, **changes):
        for content in (BASE, {**values, **changes}):
            path = tmp_path / f"{content['name']}.yaml"
            path.write_text(yaml.safe_dump(content, sort_keys=False))
        spec = load_study_file(path)
        return StudyFolder(spec, tmp_path / "studies" / spec.name, tmp_path / "data")

    return make


def test_a_study_says_of_which_set_another_is_a_part(study, tmp_path):
    labels = np.arange(14)[:, None] % 7
    pixels = np.random.default_rng(0).integers(0, 256, (2, 14, 4, 4), dtype=np.uint8)
    arrays = {}
    for number, side in enumerate(("train", "test")):
        arrays |= {f"{side}_images": pixels[number], f"{side}_labels": labels}
    np.savez(tmp_path / "dermamnist.npz", **arrays)
    prepare("dermamnist", tmp_path / "data", raw=tmp_path / "dermamnist.npz", size=4)
    made = study(datasets={"dermamnist": {}, "cifar10": {}}, reference="cifar10", family=[],
                 targets=["dermamnist"])  # fmt: skip
    described = describe_study(made)["datasets"]
    assert described["dermamnist"]["part_of_title"] == "HAM10000"
    assert described["dermamnist"]["catalogue_key"] == "dermamnist"
    assert "part_of" not in described["cifar10"]


def finish(study, sweep, errors):
    """Leave what a study's finished and collected runs leave, as far as others look at it."""
    study.folder.mkdir(parents=True, exist_ok=True)
    rows = zip(study.population.ids, errors, strict=True)
    with (study.folder / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sweep", "arch", "error"])
        writer.writerows((sweep, *row) for row in rows)


def config(study, run_id):
    write_study(study)
    run = next(run for run in study.runs if run.id == run_id)
    return load_cfg(study.cfg_path(run))


def test_runs_come_architecture_by_architecture(study):
    main = study()
    assert [run.id for run in main.runs[:4]] == [
        "cifar10/000000", "cifar100/000000", "imagenet_10/000000", "cifar10/000001",
    ]  # fmt: skip
    assert main.planned() == {"cifar10": 6, "cifar100": 6, "imagenet_10": 6}
    controls = study(MORE)
    assert [run.seed for run in controls.runs if run.sweep == "seeds"] == [7, 8, 7, 8]
    assert [run.arch.arch for run in controls.runs if run.sweep == "seeds"] == [
        "a0000", "a0000", "a0001", "a0001",
    ]  # fmt: skip
    assert controls.planned() == {"stem": 6, "further": 3, "seeds": 4, "pretrained": 6}


def test_the_nearest_layer_wins(study):
    controls = study(MORE)
    stem = config(controls, "stem/000002")
    arch = controls.population.row(2)
    assert (stem.ANYNET.STEM_TYPE, stem.ANYNET.STEM_W) == ("simple_stem_in", 48)
    assert (list(arch.depths), list(arch.group_ws)) == (stem.ANYNET.DEPTHS, stem.ANYNET.GROUP_WS)
    assert (stem.OPTIM.MAX_EPOCH, stem.TRAIN.BATCH_SIZE, stem.RNG_SEED) == (4, 100, 1)
    assert (stem.TRAIN.DATASET, stem.MODEL.NUM_CLASSES, stem.TRAIN.IM_SIZE) == ("cifar10", 10, 32)
    assert str(controls.folder / "stem" / "logs" / "000002") == stem.OUT_DIR
    assert config(study(), "imagenet_10/000000").OPTIM.MAX_EPOCH == 12


def test_first_weights_are_the_same_architectures_last_checkpoint(study):
    controls = study(MORE)
    cfg = config(controls, "pretrained/000003")
    assert (
        str(controls.folder / "stem/logs/000003/checkpoints/model_epoch_0004.pyth")
        == cfg.TRAIN.WEIGHTS
    )
    order = [[run.group for run in wave] for wave in waves(study_work(controls).runs())]
    assert [set(wave) for wave in order] == [{"stem", "seeds"}, {"pretrained"}]


def test_a_choice_by_error_waits_is_made_once_and_kept(study):
    controls = study(MORE)
    assert "of whose 6 runs 0 are finished" in controls.waiting["further"]
    finish(controls.base, "cifar10", [5, 1, 4, "", 3, 2])
    assert "of whose 6 runs 5 are finished" in study(MORE).waiting["further"]
    finish(controls.base, "cifar10", [5, 1, 4, 1, 3, 2])
    assert controls.look_again()
    assert not controls.look_again()
    chosen = [run.arch.arch for run in controls.runs if run.sweep == "further"]
    # The lowest first; a tie goes by name.
    assert chosen == ["a0001", "a0003", "a0000"]
    weights = config(controls, "further/000002").TRAIN.WEIGHTS
    assert weights == str(
        controls.base.folder / "cifar10/logs/000000/checkpoints/model_epoch_0004.pyth"
    )
    finish(controls.base, "cifar10", [1, 2, 3, 4, 5, 6])
    again = study(MORE)
    assert [run.arch.arch for run in again.runs if run.sweep == "further"] == chosen


def test_a_choice_by_quantiles(study):
    datasets = {
        "two": {
            "of": "cifar10",
            "control": "repeats",
            "archs": {"quantiles": [0.0, 0.6, 1.0], "by": "cifar10"},
            "seeds": {"count": 2},
        }
    }
    controls = study(MORE, datasets=datasets)
    finish(controls.base, "cifar10", [6, 5, 4, 3, 2, 1])
    assert [run.arch.arch for run in controls.runs][::2] == ["a0005", "a0002", "a0000"]


def test_setting_up_needs_no_data_but_for_drawn_classes(study):
    main = study()
    write_study(main)
    described = json.loads((main.folder / "study.json").read_text())
    assert described["datasets"]["imagenet_10"]["num_classes"] == 10
    assert not described["datasets"]["imagenet_10"]["prepared"]
    datasets = {**BASE["datasets"], "five": {"of": "cifar10", "num_classes": 5}}
    with pytest.raises(DataError, match=r"five.*not prepared"):
        write_study(study(datasets=datasets))


def test_a_file_that_grows_adds_and_one_that_alters_is_refused(study):
    main = study()
    write_study(main)
    before = {path: path.stat().st_mtime_ns for path in main.folder.glob("*/cfgs/*")}
    more = study(population={**BASE["population"], "size": 8})
    write_study(more)
    after = {path: path.stat().st_mtime_ns for path in main.folder.glob("*/cfgs/*")}
    assert len(after) == 8 * 3
    assert before.items() <= after.items()
    main.out_dir(main.runs[0]).mkdir(parents=True)
    write_record(main.out_dir(main.runs[0]), {"status": "done"})
    changed = {"OPTIM": {"MAX_EPOCH": 5}, "TRAIN": {"BATCH_SIZE": 100}}
    with pytest.raises(ConfigError, match=r"cifar10/000000 .*OPTIM.MAX_EPOCH 4 -> 5"):
        write_study(study(config=changed))
    assert {path: path.stat().st_mtime_ns for path in main.folder.glob("*/cfgs/*")} == after


def test_plan_counts_images_hours_and_what_is_missing(study):
    plans = {plan.sweep: plan for plan in plan_study(study(), images_per_second=1000)}
    cifar = plans["cifar10"]
    assert (cifar.runs, cifar.epochs, cifar.images) == (6, 4, 6 * 4 * 60_000)
    assert cifar.gpu_hours == pytest.approx(6 * 4 * (50_000 + 10_000 / 3) / 1000 / 3600)
    assert cifar.missing == ("data set cifar10 is not prepared",)
    assert not plans["imagenet_10"].exact
    controls = {plan.sweep: plan for plan in plan_study(study(MORE))}
    assert "6 of" not in str(controls["stem"].missing)
    lacking = "6 of 6 runs of pretrained start from weights of stem"
    assert lacking in controls["pretrained"].missing[1]
    assert "is chosen by the errors of cifar10" in controls["further"].missing[1]
    assert controls["further"].runs == 3


def test_plan_takes_the_speed_of_finished_runs(study):
    main = study()
    main.folder.mkdir(parents=True)
    timings = "run,started,seconds\ncifar10/000000,,100\ncifar10/000001,,60\n"
    (main.folder / "timings.csv").write_text(timings)
    plans = {plan.sweep: plan for plan in plan_study(main)}
    passes = 4 * (50_000 + 10_000 / 3)
    assert plans["cifar10"].speed.images_per_second == pytest.approx(2 * passes / 160)
    assert plans["cifar10"].gpu_hours == pytest.approx(6 * 80 / 3600)
    assert "published" in plans["cifar100"].speed.source


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"datasets": {**BASE["datasets"], "cifar1000": {}}}, ["cifar1000", "'cifar100'"]),
        ({"reference": "cifar10", "family": ["cifar100"]}, ["family", "100 classes", "(10)"]),
        ({"datasets": {**BASE["datasets"], "cifar10": {"options": {"size": 8}}}}, ["on the way"]),
        ({"population": {"space": {"deph": [1, 2]}, "size": 2}}, ["population.space", "'depth'"]),
        (
            {"population": {**BASE["population"], "flops": [1, 2]}},
            ["population.space", "flops", "so few"],
        ),
        ({"config": {"OPTIM": {"LR": 1}}}, ["config", "OPTIM.LR"]),
        ({"population": {**BASE["population"], "where": ["dept[0] > 1"]}}, ["dept[0]", "depth"]),
    ],
)
def test_mistakes_are_found_before_anything_is_written(study, tmp_path, changes, parts):
    wrong = study(**changes)
    with pytest.raises(ConfigError) as caught:
        wrong.check()
    for part in ["base.yaml, line ", *parts]:
        assert part in str(caught.value)
    assert not (tmp_path / "studies").exists()


def test_weights_of_another_population_are_refused(study):
    population = {**BASE["population"], "seed": 3}
    with pytest.raises(ConfigError, match="of another population"):
        study(MORE, population=population).check()


def test_a_population_file_must_hold_what_the_other_keys_draw(study, tmp_path):
    csv_path = tmp_path / "population.csv"
    study().population.to_csv(csv_path)
    stated = {**BASE["population"], "csv": "population.csv"}
    assert len(study(population=stated).population) == 6
    assert len(study(population={"csv": "population.csv"}).population) == 6
    with pytest.raises(ConfigError, match="does not hold the population"):
        _ = study(population={**stated, "seed": 3}).population


def test_several_spaces_make_one_population(study):
    spaces = {"wide": {**SPACE, "width": [32, 64]}, "narrow": {**SPACE, "width": [8, 16]}}
    main = study(population={"spaces": spaces, "size": 3, "seed": 1})
    assert main.population.ids[0] == "wide-0000"
    assert main.population.ids[-1] == "narrow-0002"
    write_study(main)
    described = json.loads((main.folder / "study.json").read_text())["population"]
    assert described["spaces"]["narrow"] == ["narrow-0000", "narrow-0001", "narrow-0002"]


def test_hundreds_of_runs_have_a_configuration_each(study):
    datasets = {**BASE["datasets"], "many": {"of": "cifar10", "control": "repeats"}}
    main = study(datasets={**datasets, "many": {**datasets["many"], "seeds": {"count": 50}}})
    write_study(main)
    paths = sorted((main.folder / "many" / "cfgs").glob("*.yaml"))
    assert len(paths) == 300
    assert load_cfg(paths[-1]).RNG_SEED == 50


def test_a_study_is_carried_out_in_the_checkout_of_its_file_or_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "mine" / "a.yaml"
    assert usual_folder(elsewhere, "a") == tmp_path / "mine" / "studies" / "a"
    assert usual_folder(Path("a.yaml"), "a") == Path("studies/a")
    # As before, where it was begun there.
    (tmp_path / "studies" / "a").mkdir(parents=True)
    (tmp_path / "studies" / "a" / "study.json").touch()
    assert usual_folder(elsewhere, "a") == Path("studies/a")
    root = Path(pycls.__file__).parents[1]
    assert usual_folder(root / "sweeps" / "b.yaml", "no") == root / "studies" / "no"
    assert usual_folder(Path(pycls.__file__).parent / "sweeps" / "b.yaml", "b") == Path("studies/b")
