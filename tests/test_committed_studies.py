"""The study files that come with the project: what they say is so."""

import os
from pathlib import Path

import pytest

from pycls.spaces.anynet import AnyNetX
from pycls.study.file import load_study_file
from pycls.study.plan import plan_study
from pycls.study.study import StudyFolder
from pycls.study.write import write_study

pytestmark = pytest.mark.slow

SWEEPS = Path(__file__).resolve().parents[1] / "sweeps"
PUBLISHED = SWEEPS / "imagenet_as_basis"
STUDIES = [*sorted(PUBLISHED.glob("*.yaml")), *sorted((SWEEPS / "design_spaces").glob("*.yaml"))]
SETS = (
    "concrete", "mlc2008", "imagenet", "ham10000", "powerline", "insects", "natural", "cifar10",
    "cifar100", "imagenet_100", "imagenet_10", "imagenet_5", "imagenet_2", "imagenet_1000_10",
)  # fmt: skip


def open_study(path, tmp_path):
    spec = load_study_file(path)
    return StudyFolder(spec, tmp_path / spec.name, tmp_path / "data")


def describe_cost(plans):
    """Return what the head of a study file says of its cost."""
    runs, hours = sum(plan.runs for plan in plans), sum(plan.gpu_hours for plan in plans)
    if not plans:
        return "# Cost: no runs of its own."
    about = "about " if hours >= 10 else ""
    shown = f"{hours:,.0f}" if hours >= 10 else f"{hours:.1f}"
    return f"# Cost: {runs:,} runs, {about}{shown} GPU-hours at the published study's speed."


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_each_says_its_runs_and_cost(path, tmp_path):
    study = open_study(path, tmp_path)
    study.check()
    text = path.read_text()
    assert "# Asks: " in text.split("\nname:")[0]
    assert describe_cost(plan_study(study)) in text.splitlines()
    train = [keys["TRAIN"] for _, keys in study.spec.config if "TRAIN" in keys]
    assert train[0]["MIXED_PRECISION"] == train[0]["CUDA_GRAPH"] == "auto"


def test_the_committed_population_is_drawn_again_to_the_byte():
    space = AnyNetX(stem_type="res_stem_in", stem_w=64, strides=(1, 2, 2, 2))
    drawn = space.sample(500, 1, flops=(360e6, 400e6))
    assert drawn.to_csv_text().encode() == (PUBLISHED / "population.csv").read_bytes()


def test_the_main_study_trains_500_architectures_on_every_set(tmp_path):
    plans = plan_study(open_study(PUBLISHED / "study.yaml", tmp_path))
    assert tuple(plan.sweep for plan in plans) == SETS
    assert [plan.runs for plan in plans] == [500] * len(SETS)
    epochs = {plan.sweep: plan.epochs for plan in plans}
    # Table 2.
    assert [epochs[key] for key in SETS] == [20, 20, 10, 30, 20, 20, 20, 30, 30, 10, 40, 40, 40, 40]
    imagenet = plans[2]
    assert imagenet.images == 500 * 10 * (1_281_167 + 50_000)
    assert imagenet.gpu_hours == pytest.approx(500 * 10 * (1_281_167 + 50_000 / 3) / 1560 / 3600)


def test_all_of_the_published_study_sets_up_without_data(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sync", lambda: None)  # waits for all that others write, too
    runs = 0
    for path in sorted(PUBLISHED.glob("*.yaml")):
        study = open_study(path, tmp_path)
        study.check()
        write_study(study)
        runs += len(study.runs)
    written = list(tmp_path.glob("*/*/cfgs/*.yaml"))
    # All but the continued runs and the repeats, which wait for errors; 240 of the small study.
    assert runs == len(written) == 7000 + 1000 + 4 + 1000 + 3500 + 240
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 100e6
