import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from synthetic_study import Plan, write_study

import pycls.analysis
from pycls.analysis.inputs.results_csv import (
    architecture_table,
    error_table,
    load_results,
    repeat_runs,
)
from pycls.analysis.inputs.study_json import load_status, load_study
from pycls.errors import ConfigError, DataError


@pytest.fixture
def edit(study_folder, tmp_path):
    """Return a function that changes a copy of the study's results and says where it is."""

    def change(function):
        folder = tmp_path / "changed"
        shutil.copytree(study_folder, folder)
        table = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
        changed = function(table)
        (table if changed is None else changed).to_csv(folder / "results.csv", index=False)
        return folder

    return change


def put(row, column, value):
    return lambda table: table.__setitem__(
        column, [value if i == row else cell for i, cell in enumerate(table[column])]
    )


def test_folder_and_file_give_the_same_typed_table(study_folder):
    results = pycls.analysis.load_results(study_folder)
    pd.testing.assert_frame_equal(results, load_results(study_folder / "results.csv"))
    assert results["error"].dtype == float
    assert results["flops"].dtype == "Int64"
    assert results["depth_3"].dtype == "Int64"
    assert results["bot_mul_1"].dtype == float
    assert results.loc[results["status"] == "failed", "error"].isna().all()
    assert set(results["arch"].str.len()) == {5}


def test_errors_are_matched_by_architecture(study_folder):
    results, study = load_results(study_folder), load_study(study_folder)
    errors = error_table(results, study)
    assert errors.shape == (32, 6)
    assert list(errors.columns) == study.dataset_keys()
    assert math.isnan(errors.loc["a0007", "textures"])
    assert int(errors.isna().sum().sum()) == 1
    row = results[(results["sweep"] == "faces") & (results["arch"] == "a0003")].iloc[0]
    assert errors.loc["a0003", "faces"] == row["error"]


def test_several_results_are_read_as_one(study_folder, edit):
    """Control runs beside their base; of a run in both, the finished one counts."""

    def change(table):
        table.loc[0, ["status", "error"]] = ["missing", ""]
        table.loc[1, ["sweep", "run"]] = ["digits_stem", "digits_stem/000000"]
        table["note"] = "ours"

    other = edit(change)
    results = load_results(other, study_folder / "results.csv")
    original = load_results(study_folder)
    assert len(results) == len(original) + 1
    first = results[(results["sweep"] == "digits") & (results["arch"] == "a0000")]
    assert first["error"].tolist() == [original["error"].iloc[0]]
    assert set(results["note"]) == {"ours", ""}
    assert results["flops"].dtype == "Int64"
    pd.testing.assert_frame_equal(load_results(study_folder, study_folder), original)


def test_a_run_with_two_errors_is_named_and_the_first_place_counts(study_folder, edit):
    other = edit(put(3, "error", "1.5"))
    with pytest.warns(UserWarning, match=r"errors: 1, .*digits, architecture a0003, seed 1"):
        results = load_results(other, study_folder)
    assert results["error"].iloc[3] == 1.5


def test_results_of_two_populations_are_refused(study_folder, edit):
    other = edit(put(40, "width_1", "999"))
    with pytest.raises(DataError) as caught:
        load_results(study_folder, other)
    for part in ("a0008", "width_1", "999", str(other), "two populations"):
        assert part in str(caught.value)


def test_order_of_rows_does_not_matter(study_folder, edit):
    study = load_study(study_folder)
    folder = edit(lambda table: table.sample(frac=1, random_state=0))
    shuffled = load_results(folder)
    original = load_results(study_folder)
    pd.testing.assert_frame_equal(error_table(shuffled, study), error_table(original, study))
    pd.testing.assert_frame_equal(
        architecture_table(shuffled, study), architecture_table(original, study)
    )


def test_repeats_are_apart_from_the_population(study_folder):
    results, study = load_results(study_folder), load_study(study_folder)
    repeats = repeat_runs(results, study)
    assert len(repeats) == 5
    assert set(repeats["arch"]) == {"a0000"}
    main = results[(results["sweep"] == "digits") & (results["arch"] == "a0000")]["error"].iloc[0]
    assert error_table(results, study).loc["a0000", "digits"] == main


def test_a_finished_run_without_a_finite_error_is_left_out(edit):
    folder = edit(put(0, "error", "nan"))
    errors = error_table(load_results(folder), load_study(folder))
    assert math.isnan(errors.loc["a0000", "digits"])
    assert np.isfinite(errors.loc["a0001", "digits"])


def test_a_data_set_may_be_called_na(tmp_path):
    plan = Plan(
        archs=6,
        classes={"digits": 10, "NA": 2},
        signal={"digits": 0.9, "NA": 0.9},
        family=(),
        targets=("NA",),
        failed=(),
    )
    folder = write_study(tmp_path / "na", plan)
    assert error_table(load_results(folder), load_study(folder))["NA"].notna().all()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda t: t.drop(columns=["seed", "cum_depth"]), ["seed", "cum_depth", "missing"]),
        (put(4, "error", "5,2"), ["line 6", "column error", "'5,2'", "number"]),
        (put(4, "error", "inf"), ["line 6", "column error", "0 to 100"]),
        (put(2, "error", "187.5"), ["line 4", "0 to 100"]),
        (put(1, "seed", "1.5"), ["line 3", "column seed", "whole number"]),
        (put(1, "depth_2", "deep"), ["line 3", "column depth_2", "'deep'"]),
        (put(1, "run", "digits/000000"), ["digits/000000", "lines 2, 3"]),
        (put(1, "status", "running"), ["line 3", "running", "done or failed or missing"]),
    ],
)
def test_mistakes_in_the_table_are_named(edit, change, parts):
    folder = edit(change)
    with pytest.raises(ConfigError) as caught:
        load_results(folder)
    for part in ["results.csv", *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (put(1, "arch", "a0000"), ["a0000", "digits", "2 runs", "digits/000001"]),
        (put(1, "sweep", "other"), ["other", "study.json"]),
        (put(40, "width_1", "999"), ["two different ways"]),
    ],
)
def test_populations_mixed_up_are_named(edit, change, parts):
    folder = edit(change)
    results, study = load_results(folder), load_study(folder)
    with pytest.raises(ConfigError) as caught:
        (error_table(results, study), architecture_table(results, study))
    for part in parts:
        assert part in str(caught.value)


def test_missing_files_are_named(tmp_path):
    for function in (load_results, load_study):
        with pytest.raises(ConfigError, match="no such file"):
            function(tmp_path)
    (tmp_path / "results.csv").write_text("")
    with pytest.raises(ConfigError, match="not a CSV table"):
        load_results(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("reference"), "'reference' is missing"),
        (lambda s: s.update(targets=["nowhere"]), "targets names the data set 'nowhere'"),
        (lambda s: s["datasets"]["faces"].pop("num_classes"), "'faces' has no entry 'num_classes'"),
        (lambda s: s["sweeps"]["faces"].update(role="extra"), "sweep 'faces' needs a role"),
        (lambda s: s["sweeps"]["faces"].update(dataset="x"), "on the data set 'x'"),
        (lambda s: s["sweeps"]["faces"].update(role="control"), "'faces' of role control needs"),
        (lambda s: s.update(reference=None), "a study with targets .* needs a reference"),
        (lambda s: s.update(base="digits"), "'base' must be an object"),
        (lambda s: s["population"].update(spaces={"A": "a0"}), "give each space a list"),
        (
            lambda s: s["population"].update(spaces={"A": ["a0"], "B": ["a0"]}),
            "a0 is in two spaces, A and B",
        ),
    ],
)
def test_mistakes_in_the_study_are_named(study_folder, tmp_path, change, message):
    record = json.loads((study_folder / "study.json").read_text())
    change(record)
    (tmp_path / "study.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=message):
        load_study(tmp_path)


def test_damaged_json_is_named(tmp_path):
    (tmp_path / "study.json").write_text('{"name": ')
    with pytest.raises(ConfigError, match="not valid JSON"):
        load_study(tmp_path)
    assert load_status(tmp_path) == []
    (tmp_path / "status.json").write_text('{"failed": 3}')
    with pytest.raises(ConfigError, match="'failed' must be a list"):
        load_status(tmp_path)


def test_the_reference_is_never_its_own_proxy(study_folder, tmp_path):
    record = json.loads((study_folder / "study.json").read_text())
    record["family"].insert(0, "digits")
    (tmp_path / "study.json").write_text(json.dumps(record))
    assert load_study(tmp_path).members() == {"digits_5": 5, "digits_2": 2}


def test_importing_the_package_is_light_and_the_report_needs_no_torch():
    code = (
        "import sys, pycls.analysis; assert not {'pandas', 'matplotlib'} & set(sys.modules);"
        "import pycls.analysis.report.report; assert 'torch' not in sys.modules;"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
