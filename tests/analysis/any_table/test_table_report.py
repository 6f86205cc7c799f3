import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_texts import check_texts
from report_page import Page
from scipy import stats

from pycls.analysis.any_table.correlations import matrix_table
from pycls.analysis.any_table.figures import matrix_figure, scatter_figures
from pycls.analysis.any_table.read import read_table
from pycls.analysis.any_table.report import write_table_report
from pycls.analysis.any_table.rows import Request

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
AGREEMENT = {"imagenet_v2": 0.95, "imagenet_a": 0.8, "imagenet_r": 0.85, "sketch": 0.75}


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory):
    """A leaderboard of 400 models over five test sets, as people publish them."""
    rng = np.random.default_rng(0)
    quality = rng.standard_normal(400)
    columns = {
        "model": [f"net_{i:03d}.in1k" for i in range(400)],
        "imagenet": np.round(78 + 5 * quality, 3),
    }
    for (name, r), centre in zip(AGREEMENT.items(), (67, 30, 45, 35), strict=True):
        values = centre + 7 * (r * quality + np.sqrt(1 - r * r) * rng.standard_normal(400))
        columns[name] = np.round(values.clip(0.1, 99.9), 3)
    columns |= {"param_count": np.round(rng.uniform(3, 90, 400), 2), "interpolation": "bicubic"}
    table = pd.DataFrame(columns)
    table.loc[5:9, "sketch"] = np.nan
    path = tmp_path_factory.mktemp("board") / "leaderboard.csv"
    table.to_csv(path, index=False)
    return path


def run_tool(*arguments):
    command = [sys.executable, str(ROOT / "tools" / "analyze.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_leaderboard_works_as_it_is(leaderboard, tmp_path):
    result = run_tool(leaderboard, "--reference", "imagenet", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "taken for accuracies" in result.stdout
    assert "param_count (no error, by its name)" in result.stdout
    assert "warning: sketch: no value of 5 architectures" in result.stdout
    table = pd.read_csv(tmp_path / "out" / "correlations.csv")
    assert table["target"].tolist() == list(AGREEMENT)
    board = pd.read_csv(leaderboard)
    for row in table.to_dict("records"):
        pair = board[["imagenet", row["target"]]].dropna()
        assert row["n"] == len(pair)
        expected = stats.spearmanr(*pair.to_numpy().T)
        assert row["rho"] == pytest.approx(expected.statistic, abs=6e-5)
        assert row["kendall_tau_b"] == pytest.approx(
            stats.kendalltau(*pair.to_numpy().T).statistic, abs=6e-5
        )
        assert row["ci_low"] < row["rho"] < row["ci_high"]
        chosen = pair.loc[pair["imagenet"].idxmax(), row["target"]]
        assert row["regret_1"] == pytest.approx(pair[row["target"]].max() - chosen, abs=1e-3)
    assert len(pd.read_csv(tmp_path / "out" / "matrix.csv")) == 10
    page = Page(tmp_path / "out" / "index.html")
    page.check_links(tmp_path / "out")
    assert "positive for 4" in page.text
    assert [row[0] for row in page.rows[1:5]] == list(AGREEMENT)


def test_same_table_gives_the_same_bytes_and_old_figures_go(tmp_path_factory, tmp_path):
    table = wide_table(tmp_path_factory.mktemp("table") / "t.csv", ["a", "b"])
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "scatter_2.svg").write_text("old")
    sums = []
    for _ in range(2):
        write_table_report(table, tmp_path)
        files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
        sums.append([(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files])
    assert sums[0] == sums[1]
    assert [name for name, _ in sums[0]] == [
        *("correlations.csv", "matrix.pdf", "matrix.png", "matrix.svg", "scatter.pdf"),
        *("scatter.png", "scatter.svg", "index.html", "matrix.csv"),
    ]


def wide_table(path, names, n=40):
    rng = np.random.default_rng(1)
    shared = rng.uniform(5, 45, n)
    columns = {name: np.round(shared + rng.uniform(-4, 4, n), 2) for name in names}
    pd.DataFrame({"model": [f"m{i}" for i in range(n)], **columns}).to_csv(path, index=False)
    return read_table(path, Request(names[0], kind="errors"))


def test_texts_of_figures_can_be_read(tmp_path):
    names = [f"a data set with a long name, number {i}" for i in range(15)]
    table = wide_table(tmp_path / "t.csv", names)
    figures = scatter_figures(table)
    assert [len(figure.axes) for figure in figures] == [12, 2]
    for figure in figures:
        assert check_texts(figure) > 8
    figure = matrix_figure(table, matrix_table(table))
    assert len(figure.axes[0].texts) == 15 * 14
    check_texts(figure)
    check_texts(matrix_figure(table, matrix_table(wide_table(tmp_path / "t.csv", names[:2]))))


def test_names_are_escaped(tmp_path):
    names = ['<script>alert("x")</script>', "b & <b>bold", "ünï → ç"]
    write_table_report(wide_table(tmp_path / "<t>.csv", names), tmp_path / "out")
    html = (tmp_path / "out" / "index.html").read_text()
    assert "<script>alert" not in html
    assert html.count("<script") == 2  # the page's data and its own code
    assert "<b>bold" not in html
    page = Page(tmp_path / "out" / "index.html")
    assert names[1] in page.text


def test_tables_with_nothing_to_rank_get_a_report_too(tmp_path):
    path = tmp_path / "t.csv"
    for text in (
        "model,a_err,b_err\nn1,1.5,2\n",
        "model,a_err,b_err\nn1,1.5,\nn2,,3\n",
        "model,a_err,b_err\n" + "".join(f"n{i},{i},7\n" for i in range(9)),
    ):
        path.write_text(text)
        warnings = write_table_report(read_table(path, Request("a_err")), tmp_path / "out")
        assert warnings
        assert "cannot be said" in Page(tmp_path / "out" / "index.html").text
        row = pd.read_csv(tmp_path / "out" / "correlations.csv").iloc[0]
        assert np.isnan(row["rho"])


def test_mistakes_are_one_line_and_write_nothing(leaderboard, tmp_path):
    out = tmp_path / "out"
    targets = ("--targets", "sketch", "model")
    result = run_tool(leaderboard, "--reference", "imagenet", *targets, "--out", out)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "line 2, column 'model': 'net_000.in1k'" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()
