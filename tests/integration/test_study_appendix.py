"""Control experiments from their file to their tables, beside a base study."""

import csv
import json
import shutil

import pytest
import yaml

from pycls.core.runs.record import read_record

CONTROLS = {
    "name": "controls",
    "base": "tiny.yaml",
    "regimes": {"default": {}, "longer": {"OPTIM": {"MAX_EPOCH": 5}}},
    "datasets": {
        "stem": {
            "of": "digits", "control": "stem", "archs": {"first": 3},
            "config": {"ANYNET": {"STEM_TYPE": "simple_stem_in"}},
        },
        "long": {"of": "digits", "control": "duration", "regime": "longer"},
        "networks": {"of": "digits", "control": "networks", "networks": {"Small-3": "small.yaml"}},
        "further": {
            "of": "textures", "control": "continued", "regime": "longer",
            "archs": {"best": 1, "worst": 1, "by": "textures"}, "weights_from": "textures",
        },
        "noise": {
            "of": "digits", "control": "repeats", "seeds": {"count": 3},
            "archs": {"quantiles": [0.5], "by": "long"},
        },
        "uneven_textures": {},
        "even": {"of": "uneven_textures", "control": "balanced", "balance": True},
        "pretrained": {"of": "textures", "control": "pretrained", "weights_from": "digits"},
    },
}  # fmt: skip
NETWORK = {
    "MODEL": {"TYPE": "anynet", "NUM_CLASSES": 100},
    "ANYNET": {
        "STEM_TYPE": "res_stem_cifar", "STEM_W": 8, "BLOCK_TYPE": "res_basic_block",
        "DEPTHS": [1], "WIDTHS": [16], "STRIDES": [1],
    },
    "OPTIM": {"MAX_EPOCH": 2},
    "PREC_TIME": {"NUM_ITER": 0},
    "OUT_DIR": "elsewhere",
}  # fmt: skip


@pytest.fixture
def controls(tiny_study, tmp_path):
    """Write the tiny study and its controls; return the two files."""
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(NETWORK))
    path = tmp_path / "controls.yaml"
    path.write_text(yaml.safe_dump(CONTROLS, sort_keys=False))
    return tiny_study(), path


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_control_runs_and_gives_its_data(tool, controls, finished_folder, tmp_path):
    _, path = controls
    early = tool("study", "run", path)
    assert early.returncode == 1
    assert "start from weights that are not there" in early.stderr
    assert "run tiny.yaml" in early.stderr.replace(str(tmp_path) + "/", "")

    shutil.copytree(finished_folder, tmp_path, dirs_exist_ok=True)  # the base has been run
    process = tool("study", "run", path)
    assert process.returncode == 0, process.stderr
    folder = tmp_path / "studies" / "controls"
    table = rows(folder / "results.csv")
    assert {row["status"] for row in table} == {"done"}
    runs = {sweep: sum(row["sweep"] == sweep for row in table) for sweep in CONTROLS["datasets"]}
    assert runs == {
        "stem": 3, "long": 4, "networks": 1, "further": 2, "noise": 3, "uneven_textures": 4,
        "even": 4, "pretrained": 4,
    }  # fmt: skip

    # The noise sweep's architecture was chosen by the errors of a sweep of this same study.
    chosen = json.loads((folder / "selections.json").read_text())["noise"]["archs"]
    errors = sorted((float(r["error"]), r["arch"]) for r in table if r["sweep"] == "long")
    assert chosen == [errors[round(0.5 * 3)][1]]
    assert {row["arch"] for row in table if row["sweep"] == "noise"} == set(chosen)
    assert (
        read_record(folder / "even/logs/000000")["data"]
        != read_record(folder / "uneven_textures/logs/000000")["data"]
    )
    # Digits have ten classes, textures three: the last layer is a new one.
    log = (folder / "pretrained/logs/000000/stdout.log").read_text()
    assert "Starts from the weights of studies/tiny/digits/logs/000000/" in log
    curves = rows(folder / "curves.csv")
    assert [row["epoch"] for row in curves if row["run"] == "long/000000"] == list("12345")

    summary = rows(folder / "report" / "tables" / "appendix.csv")
    assert len(summary) >= 8
    again = tool("study", "run", path, "--no-report")
    assert "25 runs, 25 of them finished before" in again.stdout


def test_the_same_file_again_changes_nothing_and_status_names_what_waits(tool, controls):
    _, path = controls
    assert tool("study", "setup", path).returncode == 0
    process = tool("study", "status", path)
    assert "not yet: further is chosen by the errors of textures" in process.stdout
    (total,) = [line for line in process.stdout.splitlines() if line.startswith("total")]
    assert total.split()[:2] == ["total", "20"]


def test_plan_as_json_for_scripts(tool, controls, tmp_path):
    _, path = controls
    process = tool("study", "plan", path, "--json", "--images-per-second", "100")
    assert process.returncode == 0, process.stderr
    plans = json.loads(process.stdout)
    assert [plan["sweep"] for plan in plans] == list(CONTROLS["datasets"])
    stem = plans[0]
    assert {"sweep", "dataset", "runs", "images", "gpu_hours"} <= stem.keys()
    assert (stem["dataset"], stem["runs"], stem["epochs"]) == ("digits", 3, 3)
    assert stem["images"] == 3 * 3 * 1797
    assert not (tmp_path / "studies").exists()
    table = tool("study", "plan", path)
    assert "total" in table.stdout
    assert "further is chosen by the errors of textures" in table.stdout
