import re
import shutil

import pytest
from report_page import Page
from synthetic_study import Plan, plan_of, write_study

from pycls.analysis.paper import beside
from pycls.analysis.report.report import write_report
from pycls.analysis.statistics import Correlation, Difference
from pycls.analysis.wording import (
    MINUS,
    difference_relation,
    listing,
    number,
    p_text,
    relation,
    summary,
)
from pycls.errors import ConfigError

pytestmark = pytest.mark.slow

TABLES = {"rho", "choice", "forest", "structure", "drivers", "pairs", "best", "datasets", "noise"}
TABLES |= {"race", "replay", "prediction", "top", "several"}
FIGURES = {"replay", "forest", "edf", "depth", "width", "noise"}


@pytest.fixture(scope="module")
def written(study_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "study"
    shutil.copytree(study_folder, folder)
    return write_report(folder)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_page_holds_figures_and_tables_and_all_links_resolve(written):
    page = Page(written)
    assert {p.stem for p in (written.parent / "figures").glob("*.svg")} == FIGURES
    assert {p.stem for p in (written.parent / "figures").glob("*.pdf")} == FIGURES
    page.check_links(written.parent)
    assert {f"figures/{name}.svg" for name in FIGURES} <= set(page.links)
    tables = {p.stem for p in (written.parent / "tables").glob("*.csv")}
    assert tables == TABLES
    assert {f"{name}.csv" for name in tables} <= page.downloads


def test_the_page_needs_neither_network_nor_files_beside_it(written):
    text = written.read_text()
    sources = re.findall(r'<img src="([^"]*)"', text)
    for source in sources:  # an image reaches nothing outside itself
        text = text.replace(source, "")
    assert "://" not in text
    assert not re.search(r"url\(|@import|<script[^>]* src=|<link", text)
    assert len(sources) > len(FIGURES)
    assert all(source.startswith("data:image/svg+xml;charset=utf-8,<svg") for source in sources)
    page = Page(written)
    links = [link for link in page.links if not link.startswith(("#", "data:"))]
    assert {link.partition("/")[0] for link in links} <= {"figures", "paper"}  # downloads only


def test_the_answer_comes_first_with_n_interval_and_p(written):
    page = Page(written)
    headings = re.findall(r"<h2>(.*?)</h2>", written.read_text())
    assert headings[:3] == ["The answer", "What to choose", "Data sets against each other"]
    assert headings[-2:] == ["What was run", "Methods"]
    assert "positive for 1, negative for 1 and not distinguishable from zero for 1" in page.text
    row = next(row for row in page.rows if row[0] == "Photograph patches" and len(row) == 18)
    assert re.fullmatch(r"0\.\d\d \[0\.\d\d, 0\.\d\d\]", row[2])
    assert re.fullmatch(r"0\.\d\d to 0\.\d\d", row[3])
    assert row[4] == "32"
    assert row[5] == "< 0.001"
    assert row[7] == "Digits-5"


def test_noise_bounds_what_two_trainings_would_share(written):
    text = Page(written).text
    found = re.search(r"two trainings of this population there would be about (0\.\d\d)", text)
    assert 0.9 < float(found[1]) < 1  # the repeats' deviation is 0.15, the population's about 1


def test_failed_runs_are_named_and_escaped(written):
    text = written.read_text()
    assert "197 runs planned: 196 done, 1 failed, 0 missing." in text
    assert "textures/000007" in text
    assert "loss is &lt;NaN&gt; &amp; the run" in text
    assert "textures failed: a0007" in Page(written).text
    assert "&lt;b&gt;not bold&lt;/b&gt;" in text


def test_the_same_inputs_give_the_same_bytes_and_old_figures_go(written, monkeypatch):
    # Of a large population, a process of its own writes the outputs of the paper.
    monkeypatch.setattr(beside, "MIN_ARCHITECTURES", 1)
    monkeypatch.setattr(beside, "usable_cores", lambda: 2)
    monkeypatch.setattr(beside, "write_outputs", lambda *_, **__: pytest.fail("written here"))
    report = written.parent
    before = contents(report)
    (report / "figures" / "old.svg").write_text("<svg/>")
    (report / "tables" / "old.csv").write_text("a\n")
    (report / "tables" / ".rho.csv.1.partial").write_text("a")
    assert write_report(report.parent) == written
    assert contents(report) == before


@pytest.mark.parametrize(
    ("plan", "expected", "names"),
    [
        (
            plan_of("digits", "digits_5", "faces", archs=3, failed=()),
            "cannot be said: there are too few errors",
            FIGURES - {"replay"},
        ),
        (
            plan_of("digits", "textures", "faces", archs=8, failed=()),
            "The study names no family members.",
            FIGURES,
        ),
        (
            plan_of("digits", "digits_5", "digits_2", archs=8, failed=(), repeats=0),
            "The study names no targets, so there is nothing to predict.",
            FIGURES - {"forest", "noise", "replay"},
        ),
    ],
)
def test_unusual_studies_are_reported_in_words(tmp_path, plan, expected, names):
    path = write_report(write_study(tmp_path / "study", plan))
    assert expected in Page(path).text
    assert {p.stem for p in (path.parent / "figures").glob("*.svg")} == names


def test_a_study_without_results_is_reported(tmp_path):
    plan = Plan(archs=3, failed=(), repeats=0)
    plan.missing = tuple((key, arch) for key in plan.classes for arch in range(3))
    page = Page(write_report(write_study(tmp_path / "study", plan)))
    assert "No run of the population has finished" in page.text
    assert "There are no figures" in page.text
    assert not any(link.startswith("figures/") for link in page.links)
    for row in page.rows:
        assert not any(cell.startswith("nan") for cell in row)


def test_status_and_timings_may_be_absent(tmp_path):
    plan = plan_of("digits", "textures", archs=8, targets=(), repeats=0)
    folder = write_study(tmp_path / "study", plan)
    for name in ("status.json", "timings.csv"):
        (folder / name).unlink()
    text = Page(write_report(folder)).text
    assert "16 runs planned: 15 done, 1 failed, 0 missing." in text
    assert "The recorded runs took" not in text


def test_a_mistake_leaves_the_old_report_as_it_was(written, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(written.parent.parent, folder)
    before = contents(folder / "report")
    (folder / "results.csv").write_text("run,error\n1,2\n")
    with pytest.raises(ConfigError, match="missing columns"):
        write_report(folder)
    assert contents(folder / "report") == before
    (folder / "timings.csv").write_text("run\nx\n")
    shutil.copy(written.parent.parent / "results.csv", folder)
    with pytest.raises(ConfigError, match=r"timings\.csv"):
        write_report(folder)
    assert contents(folder / "report") == before


@pytest.mark.parametrize(
    ("correlation", "words"),
    [
        (Correlation(0.6, 32, 0.3, 0.8, 0.0001), "tend to have lower error on B: "),
        (Correlation(-0.6, 32, -0.8, -0.3, 0.0001), "tend to have higher error on B: "),
        (Correlation(0.1, 32, -0.2, 0.4, 0.5), "The interval includes zero"),
        (Correlation(0.01, 900, -0.05, 0.07, 0.5), "says next to nothing about B"),
        (Correlation(*[float("nan")] * 1, 3, *[float("nan")] * 3), "at least 4 architectures"),
        (Correlation(*[float("nan")] * 1, 9, *[float("nan")] * 3), "values of one side are equal"),
    ],
)
def test_sentences_follow_the_interval(correlation, words):
    assert words in relation(correlation, "A", "B")


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Difference(0.3, 32, 0.1, 0.5), "is higher than with"),
        (Difference(-0.3, 32, -0.5, -0.1), "is lower than with"),
        (Difference(0.3, 32, -0.1, 0.5), "do not show whether"),
        (Difference(0.01, 900, -0.05, 0.07), "differ by less than 0.1"),
        (Difference(float("nan"), 2, float("nan"), float("nan")), "cannot be compared"),
    ],
)
def test_difference_sentences_follow_the_interval(difference, words):
    assert words in difference_relation(difference, "M", "R")


def test_summary_counts_targets():
    above, below = Correlation(0.6, 32, 0.3, 0.8, 0.001), Correlation(-0.6, 32, -0.8, -0.3, 0.001)
    undefined = Correlation(float("nan"), 3, float("nan"), float("nan"), float("nan"))
    higher = Difference(0.3, 32, 0.1, 0.5)
    text = " ".join(summary([above, above, below, undefined], [higher] * 4, "R"))
    assert "Of the 4 targets" in text
    assert "positive for 2, negative for 1 and undefined for 1" in text
    assert "higher for 4" in text


def test_numbers_for_people():
    assert number(-0.456, 2) == f"{MINUS}0.46"
    assert number(-0.001, 2) == "0.00"
    assert [number(value) for value in (0.16751, 8.456, 123.4)] == ["0.168", "8.46", "123"]
    assert p_text(0.0004) == "p < 0.001"
    assert p_text(0.0456) == "p = 0.046"
    assert listing(["a", "b", "c"]) == "a, b and c"
