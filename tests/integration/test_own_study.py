"""A newcomer's way with a set of one's own: a first study file, its plan, its run, its answer."""

import csv
import re

import pytest
import yaml


@pytest.fixture
def first_study(tool_here, tmp_path, digits_dir, monkeypatch):
    monkeypatch.setenv("PYCLS_DATA", str(digits_dir))
    process = tool_here("study", "init", "digits", "--architectures", "3")
    assert process.returncode == 0, process.stderr
    assert "next: tools/study.py plan digits.yaml, tools/study.py run digits.yaml" in process.stdout
    return tmp_path / "digits.yaml"


def test_the_plan_says_each_figure_on_a_line_with_what_it_assumes(tool_here, first_study):
    process = tool_here("study", "plan", first_study)
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    (hours,) = [line for line in lines if line.startswith("GPU-hours: at ")]
    assert "in proportion to the multiply-adds" in hours
    (disk,) = [line for line in lines if line.startswith("disk: ")]
    assert disk.endswith("kept: last")
    process = tool_here("study", "plan", first_study, "--images-per-second", "100")
    assert "GPU-hours: at 100 training images/s (given)" in process.stdout


def test_options_count_before_the_set_is_prepared(tool_here, tiny_study):
    sets = {"digits": {}, "photographs": {"options": {"train": 20, "test": 10, "size": 8}}}
    study = tiny_study(datasets=sets, family=[], targets=["photographs"])
    process = tool_here("study", "plan", study)
    assert process.returncode == 0, process.stderr
    (line,) = [line for line in process.stdout.splitlines() if line.startswith("photographs ")]
    assert "~140 + 70" in line  # of seven classes


def test_from_init_to_the_best_network(tool_here, first_study, tmp_path):
    study = yaml.safe_load(first_study.read_text())
    study["config"]["OPTIM"] |= {"MAX_EPOCH": 2, "WARMUP_EPOCHS": 0}
    study["config"]["TRAIN"]["BATCH_SIZE"] = 256
    study["config"] |= {"DEVICE": "cpu", "PREC_TIME": {"NUM_ITER": 0}}
    study["repeats"][0]["seeds"] = [1, 2]
    first_study.write_text(yaml.safe_dump(study))
    process = tool_here("study", "status", first_study)
    assert "or trained on this machine by" in process.stdout
    process = tool_here("study", "run", first_study, "--jobs", "2", "--threads", "1")
    assert process.returncode == 0, process.stderr
    folder = tmp_path / "studies" / "digits"
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert "has the lowest error" in page
    # Three architectures are too few for a rho; what it is made from is there.
    with (folder / "results.csv").open(newline="") as file:
        assert all(row["half_1_err"] and row["half_2_err"] for row in csv.DictReader(file))
    assert "trained again under another seed" in page
    cfg, weights = re.search(r"--cfg (\S+) --weights (\S+)", page).groups()
    assert (tmp_path / cfg).is_file()
    assert (tmp_path / weights).is_file()
    kept = [path.name for path in folder.rglob("model_epoch_*.pyth")]
    assert set(kept) == {"model_epoch_0002.pyth"}
    process = tool_here("study", "status", first_study)
    assert "all runs are done; their report is" in process.stdout
