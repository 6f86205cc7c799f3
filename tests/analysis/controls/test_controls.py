import csv
import json
import math

import numpy as np
import pandas as pd
import pytest
from synthetic_appendix import EPOCHS, LONG, write_appendix, write_pair
from synthetic_study import Plan, write_study

from pycls.analysis.controls import controls
from pycls.analysis.controls.comparisons import balanced, pretrained, variants
from pycls.analysis.controls.curves import continued, duration_curves
from pycls.analysis.controls.population import (
    networks,
    published_error,
    top1_topk,
    training_errors,
    training_noise,
)
from pycls.analysis.inputs.curves_csv import load_curves
from pycls.analysis.inputs.evidence import load_evidence
from pycls.analysis.inputs.study_json import load_study
from pycls.analysis.report.report import write_report
from pycls.analysis.statistics import compare_rhos, spearman
from pycls.errors import ConfigError, DataError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A study of all kinds of control experiments beside its base; read only."""
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def evidence(pair):
    return load_evidence(pair, load_study(pair))


def rewrite(path, function):
    """Change the rows of a CSV table in place."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    changed = function(rows)
    rows = rows if changed is None else changed
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def rewrite_json(path, function):
    record = json.loads(path.read_text())
    function(record)
    path.write_text(json.dumps(record))


def column(evidence, sweep, base=False):
    return (evidence.bases[0] if base else evidence.sweeps)[sweep].errors


def test_variants_are_set_beside_the_regular_runs_reference_and_member(evidence):
    experiment = variants(evidence)
    table, rhos = experiment.tables["variants"], experiment.tables["variants_rho"]
    assert set(table["sweep"]) == {"photographs_stem", "photographs_long"}
    assert len(table) == 2 * 32
    row = table[(table["sweep"] == "photographs_stem") & (table["arch"] == "a0004")].iloc[0]
    assert row["error"] == column(evidence, "photographs_stem")["a0004"]
    assert row["error_of"] == column(evidence, "photographs", base=True)["a0004"]
    assert row["error_reference"] == column(evidence, "digits", base=True)["a0004"]
    assert row["error_member"] == column(evidence, "digits_5", base=True)["a0004"]
    row = rhos[(rhos["sweep"] == "photographs_long") & (rhos["role"] == "reference")].iloc[0]
    long, regular, reference = (
        column(evidence, name, base)
        for name, base in (("photographs_long", 0), ("photographs", 1), ("digits", 1))
    )
    assert row["compared_with"] == "digits"
    assert row["rho"] == spearman(long, reference).rho
    assert row["rho_of"] == spearman(regular, reference).rho
    difference = compare_rhos(regular, long, reference)
    assert row["difference"] == difference.difference
    assert (row["ci_low_difference"], row["ci_high_difference"]) == (
        difference.ci_low,
        difference.ci_high,
    )
    assert [finding.what for finding in experiment.findings][:2] == [
        "Photograph patches, other stem against Photograph patches",
        "Photograph patches, other stem against Digits",
    ]


def test_known_networks_stand_beside_published_errors(evidence):
    table = networks(evidence).tables["networks"].set_index("network")
    assert table["error"].to_dict() == {"R-56": 5.5, "AnyNet-110": 5.1, "Mine": 7.0}
    assert table.loc["R-56", "published"] == 5.91
    assert table.loc["AnyNet-110", "published"] == 5.59
    assert math.isnan(table.loc["Mine", "published"])


@pytest.mark.parametrize(
    ("network", "dataset", "error"),
    [
        ("R-110_nds_1gpu", "cifar10", 5.23),
        ("resnet-56", "cifar10_networks", 5.91),
        ("anynet_R-56", "cifar10", 5.68),
        ("R-56", "cifar100", None),
        ("R-56", "digits", None),
        ("R-560", "cifar10", None),
        ("V-56", "cifar10", None),
    ],
)
def test_published_errors_are_cifar10s_only(network, dataset, error):
    found = published_error(network, dataset)
    assert found == error if error else math.isnan(found)


def test_curves_of_longer_training_and_their_ranks(evidence):
    experiment = duration_curves(evidence)
    curves, ranks = experiment.tables["curves"], experiment.tables["curve_ranks"]
    assert curves["arch"].nunique() == 20
    assert curves.groupby("arch")["epoch"].max().eq(LONG).all()
    assert len(ranks) == LONG - 1
    assert ranks["n"].eq(32).all()
    assert ranks.loc[ranks["epoch"] == EPOCHS, "rho"].item() == pytest.approx(1)
    assert f"epoch {EPOCHS}" in experiment.findings[0].what


def test_continued_training_counts_epochs_on_and_follows_ranks(evidence):
    experiment = continued(evidence)
    table, curves = experiment.tables["continued"], experiment.tables["continued_curves"]
    assert table["group"].tolist() == ["best"] * 5 + ["worst"] * 5
    assert table["rank_regular"].tolist() == list(range(1, 11))
    assert table["rank_change"].eq(0).all()
    of_one = curves[curves["arch"] == table["arch"].iloc[0]]
    assert of_one["epoch"].tolist() == list(range(1, 5 * EPOCHS + 1))
    assert of_one["phase"].tolist() == ["regular"] * EPOCHS + ["continued"] * 4 * EPOCHS
    assert "0 of the best ended above" in experiment.findings[0].note


def test_a_resumed_log_keeps_its_epochs_and_crossings_are_counted(tmp_path):
    folder = write_pair(tmp_path)

    def shift(rows):
        for row in rows:
            if row["sweep"] == "faces_continued":
                row["epoch"] = str(int(row["epoch"]) + EPOCHS)

    def cross(rows):
        ours = [row for row in rows if row["sweep"] == "faces_continued"]
        best = min(ours, key=lambda row: float(row["error"]))
        best["error"] = "99.0"

    rewrite(folder / "curves.csv", shift)
    rewrite(folder / "results.csv", cross)
    experiment = continued(load_evidence(folder, load_study(folder)))
    assert experiment.tables["continued_curves"]["epoch"].max() == 5 * EPOCHS
    assert "1 of the best ended above" in experiment.findings[0].note
    table = experiment.tables["continued"]
    assert table["rank_change"].tolist() == [9.0] + [-1.0] * 9


def test_training_noise_beside_the_population(evidence):
    experiment = training_noise(evidence)
    runs, noise = experiment.tables["repeats"], experiment.tables["noise"]
    assert noise["n_seeds"].tolist() == [6, 6, 5]  # two of the study's, one of the base's
    row = noise.iloc[0]
    seeds = runs[(runs["sweep"] == "digits_repeats") & (runs["arch"] == row["arch"])]["error"]
    population = column(evidence, "digits", base=True)
    assert row["sd"] == pytest.approx(np.std(seeds, ddof=1))
    assert row["q25"] == np.percentile(population, 25)
    assert row["ratio"] == pytest.approx(population.std() / seeds.std())
    assert row["noise_share"] == pytest.approx(row["ratio"] ** -2)
    assert row["percentile"] == pytest.approx(100 * (population < seeds.mean()).mean())


def test_top_k_is_compared_where_there_are_more_classes_than_k(evidence):
    tables = top1_topk(evidence).tables
    assert tables["topk_rho"]["dataset"].tolist() == ["digits", "photographs"]
    assert tables["topk_rho"]["rho"].to_numpy() == pytest.approx(1)
    assert tables["topk_rho"]["k"].eq(5).all()
    assert len(tables["topk"]) == 64


def test_training_errors_are_set_against_depth(evidence):
    tables = training_errors(evidence).tables
    rho = tables["training_rho"].set_index("dataset")
    assert rho["rho"].to_numpy() == pytest.approx(1)
    assert rho.loc["textures", "n"] == 31
    depth = evidence.main["faces"].done.set_index("arch")["cum_depth"].astype(float)
    assert rho.loc["faces", "rho_test"] == spearman(depth, column(evidence, "faces", True)).rho


def test_balanced_sets_with_their_class_distributions(evidence):
    tables = balanced(evidence).tables
    assert tables["balanced_rho"]["n"].tolist() == [31]
    assert tables["balanced_rho"]["rho"].item() > 0.95
    train = tables["classes"][tables["classes"]["side"] == "train"]
    assert train["dataset"].tolist() == ["textures"] * 3 + ["textures_balanced"] * 3
    assert train["images"].tolist() == [90, 30, 20, 30, 30, 20]
    assert train["share"].tolist()[:3] == [90 / 140, 30 / 140, 20 / 140]


def test_pretraining_gains_and_follows_the_reference(evidence):
    table = pretrained(evidence).tables["pretrained_rho"].set_index(["sweep", "role"])
    scratch = spearman(column(evidence, "faces", True), column(evidence, "digits", True)).rho
    row = table.loc[("faces_pretrained", "reference")]
    assert row["rho"] == pytest.approx(1)
    assert row["rho_of"] == scratch
    assert row["difference"] == pytest.approx(1 - scratch)
    gain = (column(evidence, "faces", True) - column(evidence, "faces_pretrained")).mean()
    assert table.loc[("faces_pretrained", "of"), "mean_gain"] == pytest.approx(gain)
    assert set(table.index.get_level_values("role")) == {"of", "reference"}


def test_the_summary_has_a_row_per_finding_and_one_per_gap(pair, evidence):
    experiments = controls.control_experiments(load_evidence(pair, load_study(pair)))
    assert [experiment.reason for experiment in experiments] == [""] * 9
    summary = controls.appendix_table(experiments)
    assert list(summary) == ["what", "question", "n", "rho", "ci_low", "ci_high", "note"]
    assert len(summary) == sum(len(experiment.findings) for experiment in experiments)
    sweeps = controls.sweep_table(evidence).set_index("sweep")
    assert sweeps.loc["faces_continued", "of"] == "faces"
    assert sweeps.loc["digits_repeats", "planned"] == 12


def test_missing_runs_give_reasons(tmp_path):
    folder = write_pair(tmp_path)

    def unfinish(rows):
        for row in rows:
            if row["sweep"] in ("networks", "photographs_stem", "photographs_long"):
                row["status"], row["error"] = "missing", ""

    rewrite(folder / "results.csv", unfinish)
    rewrite_json(folder / "study.json", lambda s: s["sweeps"].pop("textures_balanced"))
    rewrite(
        folder / "results.csv",
        lambda rows: [row for row in rows if row["sweep"] != "textures_balanced"],
    )
    reasons = {
        e.name: e.reason
        for e in controls.control_experiments(load_evidence(folder, load_study(folder)))
    }
    assert reasons["variants"] == "No run of photographs_stem, photographs_long has finished."
    assert reasons["networks"] == "No run of networks has finished."
    assert reasons["curves"] == ""  # its curves are there
    assert "no sweep for it (control: balanced)" in reasons["balanced"]
    assert reasons["pretrained"] == ""
    (folder / "curves.csv").unlink()
    (tmp_path / "base" / "results.csv").unlink()
    experiments = controls.control_experiments(load_evidence(folder, load_study(folder)))
    reasons = {e.name: e.reason for e in experiments}
    for name in ("continued", "topk", "training", "pretrained"):
        assert reasons[name] == "The results of its base, the study 'simulated', were not found."
    assert reasons["curves"] == "No run of photographs_long has finished."
    assert reasons["repeats"] == ""
    gaps = controls.appendix_table(experiments).set_index("what")
    assert gaps.loc["Pretraining", "n"] == 0
    assert gaps.loc["Pretraining", "note"] == reasons["pretrained"]


def test_finished_runs_without_curves_say_what_to_do(tmp_path):
    folder = write_pair(tmp_path)
    (folder / "curves.csv").unlink()
    study = load_study(folder)
    experiments = {e.name: e for e in controls.control_experiments(load_evidence(folder, study))}
    assert "collect the study again" in experiments["curves"].reason
    assert "continued" in experiments["continued"].tables


def test_controls_may_be_named_like_the_sweeps_of_the_base(tmp_path):
    folder = write_pair(tmp_path)
    expected = pretrained(load_evidence(folder, load_study(folder)))

    def rename(study):
        study["sweeps"]["faces"] = study["sweeps"].pop("faces_pretrained")

    def rename_rows(rows):
        for row in rows:
            row["sweep"] = row["sweep"].replace("faces_pretrained", "faces")

    rewrite_json(folder / "study.json", rename)
    rewrite(folder / "results.csv", rename_rows)
    found = pretrained(load_evidence(folder, load_study(folder)))
    ours, theirs = (e.tables["pretrained_rho"].sort_values("rho") for e in (found, expected))
    np.testing.assert_array_equal(ours["rho"], theirs["rho"])
    np.testing.assert_array_equal(ours["rho_of"], theirs["rho_of"])


def test_the_base_of_a_base_is_looked_at_too(tmp_path):
    """Repeats of a longer training, which is itself a control experiment beside the base."""
    first = write_pair(tmp_path)
    folder = tmp_path / "repeats"
    folder.mkdir()
    rows = pd.read_csv(first / "results.csv", dtype=str, keep_default_na=False)
    rows = rows[(rows["sweep"] == "photographs_long") & (rows["arch"] == "a0004")]
    many = pd.concat([rows.assign(run=f"r/{i}", seed=str(i), error=str(9 + i)) for i in range(3)])
    many.assign(sweep="long_repeats").to_csv(folder / "results.csv", index=False)
    study = json.loads((first / "study.json").read_text())
    base = {"name": "appendix", "folder": "nowhere/appendix", "study": None}  # found beside it
    sweep = {"dataset": "photographs_long", "role": "control", "control": "repeats", "runs": 3}
    study |= {"base": base, "sweeps": {"long_repeats": {**sweep, "of": "photographs_long"}}}
    (folder / "study.json").write_text(json.dumps(study))
    evidence = load_evidence(folder, load_study(folder))
    assert evidence.reference == "digits"
    assert [len(sweeps) for sweeps in evidence.bases] == [8, 7]
    row = training_noise(evidence).tables["noise"].iloc[0]
    long = column(evidence, "photographs_long", base=True)
    assert (row["mean"], row["sd"], row["n_population"]) == (10, 1, 32)
    assert row["mean_population"] == pytest.approx(long.mean())
    rewrite_json(tmp_path / "base" / "study.json", lambda s: s.update(base=base))
    with pytest.raises(ConfigError, match="is its own base"):
        load_study(folder)


def test_a_study_may_look_at_some_sweeps_of_its_base_alone(tmp_path):
    folder = write_pair(tmp_path)

    def look(study):
        study |= {"sweeps": {}, "datasets": {}, "uses": ["photographs"]}

    rewrite_json(folder / "study.json", look)
    (folder / "results.csv").write_text((folder / "results.csv").read_text().split("\n")[0] + "\n")
    experiments = {
        e.name: e for e in controls.control_experiments(load_evidence(folder, load_study(folder)))
    }
    assert experiments["topk"].tables["topk_rho"]["dataset"].tolist() == ["photographs"]
    assert experiments["training"].tables["training_rho"]["dataset"].tolist() == ["photographs"]
    assert "no sweep for it (control: stem or duration)" in experiments["variants"].reason
    page = write_report(folder).read_text()
    assert "0 runs planned" in page
    assert "It looks at runs of the study" in page


def test_sweeps_that_wait_for_others_say_so(tmp_path):
    folder = write_pair(tmp_path)
    waiting = "is chosen by the errors of faces, of whose 32 runs 3 are finished"
    rewrite_json(
        folder / "study.json", lambda s: s["sweeps"]["faces_continued"].update(waiting=waiting)
    )
    rewrite(
        folder / "results.csv",
        lambda rows: [row for row in rows if row["sweep"] != "faces_continued"],
    )
    evidence = load_evidence(folder, load_study(folder))
    assert continued(evidence).reason == f"faces_continued {waiting}."
    planned = controls.sweep_table(evidence).set_index("sweep")["planned"]
    assert planned["faces_continued"] == 10


def test_errors_on_the_whole_training_side_come_first(tmp_path):
    folder = write_pair(tmp_path)

    def measure(rows):
        for row in rows:
            row["full_train_top1_err"] = "" if row["sweep"] == "digits" else "3.5"
            row["full_train_topk_err"] = "0"

    rewrite(tmp_path / "base" / "results.csv", measure)
    evidence = load_evidence(folder, load_study(folder))
    table = training_errors(evidence).tables["training"]
    full = table[table["dataset"] == "faces"]
    assert full["full"].all()
    assert full["train_error"].eq(3.5).all()
    other = table[table["dataset"] == "digits"]
    assert not other["full"].any()
    assert other["train_error"].eq(other["cum_depth"]).all()


def test_controls_within_one_study_need_no_base(tmp_path):
    folder = write_pair(tmp_path)
    base = tmp_path / "base"
    rows = [pd.read_csv(place / "results.csv", dtype=str) for place in (base, folder)]
    pd.concat(rows).to_csv(folder / "results.csv", index=False)

    def unite(study):
        described = json.loads((base / "study.json").read_text())
        study["sweeps"] |= described["sweeps"]
        study["datasets"] = described["datasets"] | study["datasets"]
        study |= {name: described[name] for name in ("reference", "family", "targets")}
        study["base"] = None

    expected = controls.appendix_table(
        controls.control_experiments(load_evidence(folder, load_study(folder)))
    )
    rewrite_json(folder / "study.json", unite)
    study = load_study(folder)
    assert study.dataset_keys() == load_study(base).dataset_keys()
    found = controls.appendix_table(controls.control_experiments(load_evidence(folder, study)))
    assert set(found["what"]) == set(expected["what"])
    key = ["what", "n", "rho"]
    assert sorted(found[key].dropna().values.tolist()) == sorted(
        expected[key].dropna().values.tolist()
    )


def test_two_populations_and_several_seeds_are_named(tmp_path):
    other = write_study(tmp_path / "other", Plan(archs=32, seed=3))
    folder = write_pair(tmp_path)
    rewrite_json(folder / "study.json", lambda s: s["base"].update(folder="../other"))
    with pytest.raises(DataError, match=r"architecture a0000 has depth_1.*two populations"):
        load_evidence(folder, load_study(folder))
    assert other.is_dir()

    def reseed(rows):
        return [*rows, {**rows[0], "run": "photographs_stem/x", "seed": "2"}]

    rewrite_json(folder / "study.json", lambda s: s["base"].update(folder="../base"))
    rewrite(folder / "results.csv", reseed)
    with pytest.raises(DataError, match=r"photographs_stem.*a0000 has several finished runs"):
        controls.control_experiments(load_evidence(folder, load_study(folder)))


def test_a_damaged_table_of_curves_is_named(tmp_path):
    assert load_curves(tmp_path).empty
    path = tmp_path / "curves.csv"
    path.write_text("run,sweep,arch\nx,y,z\n")
    with pytest.raises(ConfigError, match=r"curves\.csv: expected a CSV table"):
        load_curves(tmp_path)
    header = "run,sweep,arch,seed,epoch,test_top1_err,test_topk_err,train_top1_err,train_topk_err"
    path.write_text(f"{header}\na/0,NA,a0,1,1,5.0,,7.5,nan\n")
    curves = load_curves(tmp_path)
    assert curves["sweep"].tolist() == ["NA"]
    assert curves["test_topk_err"].isna().all()
    path.write_text(f"{header}\na/0,a,a0,one,1,5.0,,7.5,nan\n")
    with pytest.raises(ConfigError, match="one"):
        load_curves(tmp_path)


def test_few_architectures_give_undefined_rhos_not_errors(tmp_path):
    base = write_study(tmp_path / "base", Plan(archs=3, failed=(), topk=True))
    folder = write_appendix(tmp_path / "appendix", base)
    experiments = controls.control_experiments(load_evidence(folder, load_study(folder)))
    summary = controls.appendix_table(experiments)
    compared = summary[summary["what"].str.contains("against")]
    assert len(compared) > 5
    assert compared["rho"].isna().all()
    assert compared["n"].eq(3).all()
