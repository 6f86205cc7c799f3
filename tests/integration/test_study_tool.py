"""tools/study.py from the file to the report, and what disturbs it on the way."""

import contextlib
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import forked_tools
import pytest
from processes import HANG_S, children_of, is_alive, wait_until
from run_checkpoints import last_checkpoint
from tiny_study import TINY

from pycls.core.runs.record import read_record

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("PYCLS_SOAK_KILLS", "3"))


def rows(folder):
    with (folder / "results.csv").open() as file:
        return list(csv.DictReader(file))


def counts(tool, study):
    """Return what status says of all runs, {"runs" or a state: number}."""
    lines = tool("study", "status", study).stdout.splitlines()
    header, total = (
        next(line.split() for line in lines if line.startswith(word)) for word in ("sweep", "total")
    )
    return dict(zip(header[1:], map(int, total[1:]), strict=True))


def snapshot(folder):
    """Return the content of all that a study has trained and collected."""
    names = ("stdout.log", "run.json", "results.csv", "timings.csv", "population.csv")
    return {path: path.read_bytes() for path in folder.rglob("*") if path.name in names}


def log_sizes(folder):
    """Return {log of a run: its bytes}."""
    return {path: path.stat().st_size for path in folder.glob("*/logs/*/stdout.log")}


def trained_for(epochs):
    """Return the configuration of runs that take their time."""
    every = {"CHECKPOINT": {"PERIOD": 0}}  # checkpoints of runs of less than a minute
    keys = {"OPTIM": {"MAX_EPOCH": epochs}, "TRAIN": {"BATCH_SIZE": 64}}
    return {**TINY["config"], **every, **keys}


@pytest.fixture
def start_study(tmp_path):
    """Return a function that starts `study.py run` in its own process group, till the test ends."""
    processes = []

    def start(study, *args):
        command = forked_tools.real_command(ROOT / "tools" / "study.py", "run", study, *args)
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_from_file_to_report_and_again(tool, finished_run, finished_study, tmp_path):
    _, output = finished_run
    folder = tmp_path / "studies" / "tiny"
    table = rows(folder)
    assert len(table) == 4 * 3 + 2
    assert {row["status"] for row in table} == {"done"}
    assert {row["num_classes"] for row in table if row["dataset"] == "digits_3"} == {"3"}
    for row in table:
        assert 0 <= float(row["min_top1_err"]) <= float(row["error"]) <= 100
        assert float(row["final_topk_err"]) <= float(row["final_top1_err"])
    population_run, repeat = (
        next(r for r in table if r["run"] == run)
        for run in ("digits/000000", "digits_seeds/000000")
    )
    assert {**population_run, "run": "", "sweep": ""} == {**repeat, "run": "", "sweep": ""}
    page = (folder / "report" / "index.html").read_text()
    assert page.count("runs trained with") == 1
    assert "and others with" not in page

    # On a pipe: one line a finished run, with a count.
    lines = [line for line in output.splitlines() if " done in " in line]
    assert len(lines) == 14
    assert lines[-1].startswith("[14/14]")

    before = snapshot(folder)
    again = tool("study", "run", finished_study, "--no-report")
    assert again.returncode == 0, again.stderr
    assert "14 runs, 14 of them finished before" in again.stdout
    assert snapshot(folder) == before

    # Neither status nor report needs the images.
    shutil.rmtree(tmp_path / "data")
    assert tool("study", "report", finished_study).returncode == 0
    assert snapshot(folder) == before
    found = {state: count for state, count in counts(tool, finished_study).items() if count}
    assert found == {"runs": 14, "done": 14}


@pytest.mark.usefixtures("_prepared")
def test_killed_and_started_again_it_ends_in_the_same_results(
    tool, tiny_study, tiny_population, start_study, tmp_path
):
    size = {} if KILLS > 3 else {"population": {**tiny_population, "size": 2}}
    study = tiny_study(config=trained_for(4 if KILLS <= 3 else 5 * KILLS), **size)
    command = ["study", "run", study, "--no-report", "--out"]
    assert tool(*command, "undisturbed").returncode == 0
    whole = sum(log_sizes(tmp_path / "undisturbed").values())
    # Moments by how far the study has come, so that no machine is too fast for them.
    rng = random.Random(7)
    for share in sorted(rng.uniform(0, 0.9) for _ in range(KILLS)):
        before = log_sizes(tmp_path / "killed")
        process = start_study(study, "--out", "killed", "--jobs", "2", "--threads", "1")

        def is_there(before=before, share=share, process=process):
            sizes = log_sizes(tmp_path / "killed")
            grown = any(size > before.get(path, 0) for path, size in sizes.items())
            come = grown and sum(sizes.values()) >= share * whole
            return come or process.poll() is not None

        wait_until(is_there)
        workers = children_of(process.pid)
        assert process.poll() is None, "the study ended before it could be killed"
        process.kill()
        assert process.wait() == -signal.SIGKILL
        # As left by a kill in the middle of writing.
        (tmp_path / "killed/digits/cfgs/.000000.yaml.1.partial").write_text("x")
        (tmp_path / "killed/.results.csv.1.partial").write_text("x")
        # Workers whose driver is gone leave at once, and write nothing more.
        wait_until(lambda workers=workers: not any(map(is_alive, workers)))
    last = tool(*command, "killed")
    assert last.returncode == 0, last.stderr
    expected = (tmp_path / "undisturbed" / "results.csv").read_bytes()
    assert (tmp_path / "killed" / "results.csv").read_bytes() == expected
    assert not list((tmp_path / "killed").rglob("*.partial"))


def test_a_killed_worker_costs_its_run_one_try(tiny_study, two_networks, start_study, tmp_path):
    study = tiny_study(config=trained_for(6), **two_networks)
    process = start_study(study, "--jobs", "1", "--threads", "1", "--no-report")
    folder = tmp_path / "studies" / "tiny"
    wait_until(lambda: last_checkpoint(folder / "digits/logs/000000") is not None)
    (worker,) = children_of(process.pid)
    os.kill(worker, signal.SIGKILL)
    output, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, errors
    assert "SIGKILL" in output
    assert "trying again" in output
    assert {row["status"] for row in rows(folder)} == {"done"}


def test_ctrl_c_stops_everything_and_the_command_goes_on(
    tool, tiny_study, two_networks, start_study, tmp_path
):
    study = tiny_study(config=trained_for(8), **two_networks)
    process = start_study(study)
    folder = tmp_path / "studies" / "tiny"
    wait_until(lambda: last_checkpoint(folder / "digits/logs/000000") is not None)
    workers = children_of(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 1
    assert errors.splitlines()[-1] == "error: stopped; the same command goes on where it was"
    assert "Traceback" not in errors
    wait_until(lambda: not any(map(is_alive, workers)))
    states = counts(tool, study)
    assert states["running"] == 0
    assert states["stopped"] >= 1
    assert tool("study", "run", study, "--no-report").returncode == 0


def test_it_stops_with_what_started_it_where_asked(tiny_study, two_networks, tmp_path):
    study = tiny_study(config=trained_for(100_000), **two_networks)
    tool = ROOT / "tools" / "study.py"
    command = forked_tools.real_command(tool, "run", study, "--jobs", "1", "--stop-with-parent")
    code = f"import subprocess; subprocess.run({command!r})"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, start_new_session=True)
    folder = tmp_path / "studies" / "tiny"
    try:
        wait_until(lambda: list(folder.glob("digits/logs/*/run.json")))
        (driver,) = children_of(parent.pid)
        workers = children_of(driver)
        parent.kill()
        parent.wait()
        wait_until(lambda: not any(map(is_alive, [driver, *workers])))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)


@pytest.mark.usefixtures("_prepared")
def test_a_failing_run_is_retried_named_and_left_behind(
    tool, tiny_study, tiny_population, tmp_path
):
    diverging = {"OPTIM": {"BASE_LR": 1e20}}
    study = tiny_study(
        population={**tiny_population, "size": 2},
        datasets={
            "digits": {}, "digits_3": {"of": "digits", "num_classes": 3},
            "textures": {"config": diverging},
        },
        max_retry=2,
    )  # fmt: skip
    process = tool("study", "run", study)
    assert process.returncode == 1
    assert process.stdout.count("trying again") == 2 * 2
    assert "failed: textures/000000: the loss is nan" in process.stderr
    assert "Run failed: the loss is nan" in process.stderr
    folder = tmp_path / "studies" / "tiny"
    status = json.loads((folder / "status.json").read_text())
    assert (status["planned"], status["done"], len(status["failed"])) == (8, 6, 2)
    assert {row["error"] for row in rows(folder) if row["dataset"] == "textures"} == {""}
    report = (folder / "report" / "index.html").read_text()
    assert "textures/000000" in report


@pytest.mark.usefixtures("finished_study")
def test_a_study_file_cannot_alter_what_has_run(tool, tiny_study, tiny_population, tmp_path):
    before = snapshot(tmp_path / "studies")
    process = tool("study", "run", tiny_study(config={"OPTIM": {"MAX_EPOCH": 2}}))
    assert process.returncode == 2
    assert "OPTIM.MAX_EPOCH 3 -> 2" in process.stderr
    assert snapshot(tmp_path / "studies") == before
    other = tool("study", "run", tiny_study(name="other"), "--out", "studies/tiny")
    assert other.returncode == 2
    assert "holds the study 'tiny'" in other.stderr
    more = tiny_study(population={**tiny_population, "size": 5})
    grown = tool("study", "run", more, "--no-report")
    assert grown.returncode == 0, grown.stderr
    assert grown.stdout.splitlines()[-1].startswith("results: studies/tiny (")
    after = snapshot(tmp_path / "studies")
    assert len(rows(tmp_path / "studies" / "tiny")) == 5 * 3 + 2
    assert all(after[path] == before[path] for path in before if path.name == "stdout.log")


@pytest.mark.usefixtures("finished_study")
def test_other_data_do_not_mix_into_a_study(tool, tiny_study, tmp_path):
    changed = ["prepare", "textures", "--set", "seed=2", "--replace", "--out", "data"]
    assert tool("prepare_data", *changed).returncode == 0
    before = snapshot(tmp_path / "studies")
    datasets = {"digits": {}, "digits_3": {"of": "digits", "num_classes": 3}}
    study = tiny_study(datasets={**datasets, "textures": {"options": {"seed": 2}}})
    process = tool("study", "run", study)
    assert process.returncode == 2
    assert "textures/000000" in process.stderr
    assert "other images or another split" in process.stderr
    assert snapshot(tmp_path / "studies") == before


def test_two_drivers_do_not_share_a_study(tiny_study, two_networks, start_study, tool, tmp_path):
    study = tiny_study(config=trained_for(100_000), **two_networks)
    start_study(study, "--jobs", "1")
    wait_until(lambda: list((tmp_path / "studies" / "tiny").glob("digits/logs/*/run.json")))
    assert counts(tool, study)["running"] >= 1
    second = tool("study", "run", study)
    assert second.returncode == 1
    assert "another process is running the study" in second.stderr


def test_report_before_there_is_a_study_or_a_sweep(tool, tiny_study, two_networks):
    process = tool("study", "report", tiny_study())
    assert process.returncode == 1
    assert "no study there yet" in process.stderr
    assert tool("study", "run", tiny_study(**two_networks), "--no-report").returncode == 0
    repeats = [{"dataset": "digits", "arch": "a0000", "seeds": [1, 2]}]
    process = tool("study", "report", tiny_study(**{**two_networks, "repeats": repeats}))
    assert process.returncode == 2
    assert "digits_seeds is not in" in process.stderr


def test_records_hold_no_environment(finished_folder):
    folder = finished_folder / "studies" / "tiny"
    record = read_record(folder / "digits/logs/000000")
    assert record["environment"]["threads"] >= 1
    logs = [path.read_text() for path in folder.rglob("stdout.log")]
    assert not any(os.environ["PATH"] in text for text in [*logs, json.dumps(record)])
