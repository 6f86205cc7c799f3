"""The study file that is written for a set of one's own, and what a file leaves out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycls.errors import ConfigError
from pycls.spaces.by_name import make_space
from pycls.study.configs import base_cfg
from pycls.study.file import load_study_file
from pycls.study.init import write_first_study
from pycls.study.recipe import assumed_recipe, assumed_space
from pycls.study.study import StudyFolder


def cfg_of(path, digits_dir, tmp_path):
    study = StudyFolder(load_study_file(path), tmp_path / "out", digits_dir)
    study.check()
    dataset = study.spec.datasets["digits"]
    return base_cfg(study.spec, study.data, dataset, study.population.row(0)), study


def test_a_first_study_can_be_planned_as_it_is_written(digits_dir, tmp_path):
    path = tmp_path / "digits.yaml"
    notes = write_first_study("digits", path, digits_dir, size=4)
    cfg, study = cfg_of(path, digits_dir, tmp_path)
    assert (len(study.population), len(study.runs)) == (4, 4 + 4)
    assert cfg.CHECKPOINT.KEEP == "last"
    assert 5 <= cfg.OPTIM.MAX_EPOCH <= 60
    assert cfg.TRAIN.BATCH_SIZE <= 256
    assert cfg.TRAIN.MIXED_PRECISION == cfg.TRAIN.CUDA_GRAPH == "auto"
    text = path.read_text()
    for note in notes:
        assert f"#   - {note}" in text
    assert str(cfg.OPTIM.MAX_EPOCH) in "".join(notes)
    with pytest.raises(ConfigError, match="is there already"):
        write_first_study("digits", path, digits_dir)


def test_a_set_that_is_not_prepared(digits_dir, tmp_path):
    with pytest.raises(ConfigError, match="prepare folder --raw FOLDER --name mine"):
        write_first_study("mine", tmp_path / "mine.yaml", digits_dir)
    (tmp_path / "photographs").mkdir()
    with pytest.raises(ConfigError, match=r"prepare folder --raw .*photographs --name photographs"):
        write_first_study(str(tmp_path / "photographs"), tmp_path / "mine.yaml", digits_dir)
    assert not (tmp_path / "mine.yaml").exists()
    # Of a set of the catalogue it is known what it will hold.
    notes = write_first_study("cifar10", tmp_path / "cifar10.yaml", tmp_path)
    assert "50,000 training and 10,000 test images" in notes[0]


POPULATION = """
  space: {num_stages: 2, strides: [1, 2], stem_type: res_stem_cifar, stem_w: 8, depth: [1, 2],
    width: [8, 32], group_w: [4, 8], resolution: 8, num_classes: 10}
  size: 6
"""


def test_a_file_without_config_trains_for_the_size_of_its_set(digits_dir, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(f"name: own\npopulation: {POPULATION}\ndatasets: {{digits: {{}}}}\n")
    cfg, study = cfg_of(path, digits_dir, tmp_path)
    recipe = assumed_recipe(study.data.facts(study.spec.datasets["digits"]).train_images)
    assert cfg.OPTIM.MAX_EPOCH == recipe["OPTIM"]["MAX_EPOCH"] < 200
    assert recipe["TRAIN"]["BATCH_SIZE"] == cfg.TRAIN.BATCH_SIZE
    assert cfg.CHECKPOINT.KEEP == "last"


@pytest.mark.parametrize("place", ["config", "regimes", "datasets"])
def test_who_says_how_long_to_train_says_the_rest_too(digits_dir, tmp_path, place):
    keys = "{OPTIM: {MAX_EPOCH: 7}}"
    parts = {
        "config": f"config: {keys}\ndatasets: {{digits: {{}}}}",
        "regimes": f"regimes: {{short: {keys}}}\ndatasets: {{digits: {{}}}}",
        "datasets": f"datasets: {{digits: {{config: {keys}}}}}",
    }
    path = tmp_path / "own.yaml"
    path.write_text(f"name: own\npopulation: {POPULATION}\n{parts[place]}\n")
    cfg, _ = cfg_of(path, digits_dir, tmp_path)
    assert (cfg.OPTIM.MAX_EPOCH, cfg.TRAIN.BATCH_SIZE) == (7, 128)  # and pycls's default
    assert cfg.CHECKPOINT.KEEP == "last"


@given(images=st.integers(1, 20_000_000))
def test_recipes_are_sensible_for_sets_of_any_size(images):
    recipe = assumed_recipe(images)
    batch, epochs = recipe["TRAIN"]["BATCH_SIZE"], recipe["OPTIM"]["MAX_EPOCH"]
    assert batch in (16, 32, 64, 128, 256)
    assert 5 <= epochs <= 60
    assert recipe["OPTIM"]["WARMUP_EPOCHS"] < epochs
    assert recipe["OPTIM"]["BASE_LR"] == pytest.approx(0.1 * batch / 128, rel=1e-3)


@pytest.mark.parametrize("im_size", [8, 28, 32, 64, 96, 128, 224, 256])
def test_spaces_reach_the_bounds_that_go_with_them(im_size):
    space, flops = assumed_space(im_size, 10)
    population = make_space("AnyNetX", **space).sample(30, 1, flops=flops, max_draws=1_000_000)
    assert len(population) == 30
