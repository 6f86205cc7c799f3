"""A study carried out in several places, and joined."""

import copy
import itertools
import json
import shutil
from pathlib import Path

import pytest
import yaml
from run_logs import write_start
from tiny_study import TINY

from pycls.core.runs.record import write_record
from pycls.errors import ConfigError, DataError, PyclsError
from pycls.launch.work import load_work, study_work
from pycls.results.merge_study import merge_study, require_parts
from pycls.schema import SCORE_KEYS, SCORE_REASONS, SCORES
from pycls.study.file import load_study_file
from pycls.study.study import StudyFolder
from pycls.study.write import data_fingerprints, write_study

FURTHER = {"of": "digits", "control": "continued", "weights_from": "digits"}
BEST = {"of": "digits", "control": "stem", "archs": {"best": 1, "by": "digits"}}


@pytest.fixture
def make(tmp_path, digits_dir):
    """Return a function (folder's name, part) -> a study of three data sets in it."""
    values = copy.deepcopy(TINY)
    del values["family"]
    values["targets"] = ["cifar10"]
    values["datasets"] = {"digits": {}, "further": FURTHER, "best": BEST, "cifar10": {}}

    def study(folder, part="", **changes):
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump({**values, **changes}, sort_keys=False))
        return StudyFolder(load_study_file(path), tmp_path / folder, digits_dir, part=part)

    return study


def carry_out(study, torch="2.0", but=()):
    """Set a part up, and leave what its runs leave, as far as a merge looks at it."""
    study_work(study).write()
    data = data_fingerprints(study)
    for run in study.runs:
        out_dir = study.out_dir(run)
        out_dir.mkdir(parents=True)
        ended = {"status": "interrupted" if run.id in but else "done", "started": str(study.folder)}
        environment = {"pycls": "1", "commit": "abc", "torch": torch, "device": "cpu"}
        known = {"data": data[run.dataset]} if run.dataset in data else {}
        write_record(out_dir, {**ended, "environment": environment, **known})
        write_start(out_dir / "stdout.log", range(1, 4), 3, offset=run.index)
        (out_dir / "checkpoints").mkdir()
        (out_dir / "checkpoints" / "model_epoch_0003.pyth").write_bytes(b"weights")
        (out_dir / ".lease.000001").write_bytes(b"released\n")
    return study


def merge(study, *parts):
    places = [part.folder for part in parts]
    require_parts(study, places)
    return "\n".join(merge_study(study, places))


def rows(study):
    lines = (study.folder / "results.csv").read_text().splitlines()
    return {line for line in lines if ",done," in line}


def test_parts_hold_each_run_once_and_continued_ones_with_their_sources(make):
    every = make("all").runs
    for texts in (["1/3", "2/3", "3/3"], ["cifar10", "digits,further,best"]):
        parts = [make(text.replace("/", "-"), text).runs for text in texts]
        assert all(parts)
        assert sorted(run.id for part in parts for run in part) == sorted(r.id for r in every)
        for part in parts:
            sweeps = {(run.sweep, run.arch.arch) for run in part}
            assert all(("digits", a) in sweeps for sweep, a in sweeps if sweep == "further")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("4/3", "I from 1 to N"),
        ("0/3", "I from 1 to N"),
        ("digitz", "did you mean 'digits'"),
        (",", "is empty"),
        ("digits,further", "best are chosen by the errors of those of digits"),
        ("further", "further start from the weights of those of digits"),
    ],
)
def test_parts_that_are_none(make, part, message):
    with pytest.raises(ConfigError, match=message):
        _ = make("out", part).part


def test_a_folder_remembers_its_part(make):
    part = make("a", "1/2")
    work = study_work(part)
    work.folder.mkdir()
    work.write()
    (work.folder / "target.json").write_text(json.dumps(work.reference))
    # As `status` finds it, and what follows a launch.
    for again in (study_work(make("a")), load_work(work.folder / "target.json")):
        assert [run.id for run in again.runs()] == [run.id for run in part.runs]
        assert again.title == "tiny, part 1/2"
    with pytest.raises(ConfigError, match="is for the part 1/2"):
        _ = make("a", "2/2").part
    whole = make("a", "all")
    write_study(whole)
    assert len(make("a").runs) == len(whole.runs) > len(part.runs)


def test_a_part_needs_only_its_own_data_sets(make):
    part = make("a", "digits,further,best")
    with pytest.raises(DataError, match="cifar10"):
        study_work(make("b", "1/2")).require_inputs()
    study_work(part).require_inputs()
    assert [line.partition(":")[0] for line in study_work(part).prepare()] == [
        "digits", "further", "best",
    ]  # fmt: skip


def test_merged_parts_are_what_one_place_would_have(make, tmp_path):
    whole = carry_out(make("whole"))
    merge(make("reference"), whole)
    lagging = "cifar10/000001"
    one = carry_out(make("one", "1/2"))
    two = carry_out(make("two", "2/2"), torch="2.1", but=[lagging])
    into = make("into", "all")
    # Begun in the folder, too, which the part's finished run takes the place of.
    begun = into.folder / "cifar10" / "logs" / "000000"
    begun.mkdir(parents=True)
    write_record(begun, {"status": "interrupted"})
    text = merge(into, one, two)
    assert f"{len(one.runs)} runs copied from {one.folder}" in text
    assert f"PyTorch 2.1, cpu, as in {two.folder}" in text
    assert "still missing: 2 of 15 runs" in text
    assert f"cifar10: 1; {lagging} is stopped in {two.folder}" in text
    # Chosen by errors that are known only now that all are together.
    assert "best: 1; best/000000 was not begun" in text
    assert (begun.with_name("000000.before") / "run.json").is_file()
    assert (begun / "checkpoints" / "model_epoch_0003.pyth").is_file()
    assert not list(begun.glob(".lease.*"))
    # The rest comes with the same call, and nothing is copied twice.
    record = two.folder / "cifar10" / "logs" / "000001" / "run.json"
    record.write_text(record.read_text().replace("interrupted", "done"))
    text = merge(make("into", "all"), one, two)
    assert f"0 runs copied from {one.folder}\n1 run copied from {two.folder}" in text
    assert rows(into) == rows(make("reference"))
    assert not list(into.folder.rglob("*.partial"))


def test_an_interrupted_merge_leaves_whole_runs_and_goes_on(make, monkeypatch):
    part, into = carry_out(make("part", "1/2")), make("into", "all")
    copytree, calls = shutil.copytree, []

    def stop(source, target, *args, **options):
        if isinstance(source, Path):  # no folder within
            calls.append(target)
            if len(calls) == 4:
                target.mkdir()
                raise KeyboardInterrupt
        return copytree(source, target, *args, **options)

    monkeypatch.setattr("pycls.results.merge_study._AT_ONCE", 2)
    monkeypatch.setattr(shutil, "copytree", stop)
    with pytest.raises(KeyboardInterrupt):
        merge(into, part)
    monkeypatch.undo()
    there = list(into.folder.glob("*/logs/*"))
    assert len(there) == 2
    assert all((path / "run.json").is_file() for path in there)
    assert not list(into.folder.rglob("*.partial"))
    assert f"{len(part.runs) - 2} runs copied" in merge(make("into", "all"), part)


def test_a_run_is_taken_with_the_one_whose_weights_it_started_from(make):
    lagging = [f"further/{i:06d}" for i in range(4)]
    one = carry_out(make("one", "digits,further,best"), but=lagging)
    two = carry_out(make("two", "digits,further,best"))
    with pytest.raises(ConfigError, match=r"further/000000: in .*two .* is taken from .*one"):
        merge(make("into", "all"), one, two)
    assert not list(make("into").folder.glob("*/logs/*"))
    text = merge(make("into", "all"), two, one)
    assert f"{len(two.runs)} runs copied from {two.folder}\n0 runs copied from {one.folder}" in text
    # Where both have both, each pair stays together.
    for name in lagging:
        path = one.folder / "further" / "logs" / name[-6:] / "run.json"
        path.write_text(path.read_text().replace("interrupted", "done"))
    merge(make("other", "all"), one, two)
    for sweep in ("digits", "further"):
        record = make("other").folder / sweep / "logs" / "000000" / "run.json"
        assert json.loads(record.read_text())["started"] == str(one.folder)


def test_scores_of_parts_are_joined(make):
    parts = [carry_out(make(text[0], text)) for text in ("1/2", "2/2")]
    header = ",".join([*SCORE_KEYS, *SCORES, SCORE_REASONS])
    lines = {}
    for part in parts:
        chosen = [run for run in part.runs if run.sweep == "digits"]
        cells = "," * (len(SCORES) + 1)
        lines[part] = [f"digits,{run.arch.arch},{run.seed},8,abc{cells}" for run in chosen]
        text = "\n".join([header, *lines[part]]) + "\n"
        (part.folder / "scores.csv").write_text(text)
    into = make("into", "all")
    merge(into, *parts)
    joined = (into.folder / "scores.csv").read_text().splitlines()
    order = {run.arch.arch: run.index for run in into.runs if run.sweep == "digits"}
    every = sorted(itertools.chain(*lines.values()), key=lambda line: order[line.split(",")[1]])
    assert joined == [header, *every]
    assert len(every) > max(map(len, lines.values()))
    (parts[0].folder / "scores.csv").write_text("dataset\n")
    with pytest.raises(PyclsError, match=r"scores.csv: is not a table of scores of this version"):
        merge(make("into", "all"), *parts)


@pytest.mark.parametrize("kind", ["study", "file", "population", "data", "config", "part", "none"])
def test_parts_that_do_not_go_together(make, tmp_path, kind):
    part = carry_out(make("part", "1/2"))
    into, error = make("into", "all"), ConfigError
    if kind == "study":
        into, message = make("into", "all", name="other"), "holds the study 'tiny', not 'other'"
    elif kind == "file":
        into, message = make("into", "all", seed=9), "seed differ"
    elif kind == "population":
        population = {**TINY["population"], "seed": 4}
        into, message = make("into", "all", population=population), "another population .* line 2"
    elif kind == "data":
        record = part.folder / "digits" / "logs" / "000000" / "run.json"
        values = json.loads(record.read_text())
        values["data"]["train"] = "0123"
        record.write_text(json.dumps(values))
        message = "digits/000000 in .* was trained on other images"
    elif kind == "config":
        cfg = part.folder / "digits" / "cfgs" / "000000.yaml"
        cfg.write_text(cfg.read_text().replace("MAX_EPOCH: 3", "MAX_EPOCH: 4"))
        message = "OPTIM.MAX_EPOCH 3 here, 4 there"
    elif kind == "part":
        into, message = make("part", "all"), "holds the part 1/2; name another folder"
    else:
        shutil.rmtree(part.folder)
        part.folder.mkdir()
        error, message = PyclsError, "no study was carried out there"
    with pytest.raises(error, match=message):
        merge(into, part)
    assert not list(into.folder.glob("*/logs/*")) or kind == "part"
