"""tools/sweep_analyze.py as a user runs it: pycls's sweep files, and a run that pycls wrote."""

import base64
import html
import re
import shutil

import matplotlib.font_manager  # noqa: F401  the first to come says on stderr that it takes long
import pytest
from sweep_files import DATA, OURS, RATES, write
from synthetic_sweep import collect_simulated, rate_runs, record, write_sweep_json

_PICTURE = re.compile(r'src="data:image/svg\+xml;base64,([^"]*)"')
# What the ANALYZE section of each of pycls's sweep files asks for.
SECTIONS = {
    "cifar_optim": ["Metrics", "Complexity", "Best runs: errors by epoch"],
    "cifar_regnet": [
        "Metrics", "Complexity", "Best runs: errors by epoch", "Best runs: networks",
    ],
    "cifar_best": [
        "Error distributions, split", "Complexity", "Best runs: errors by epoch",
        "Best runs: networks",
    ],
}  # fmt: skip


def pictures(page):
    return [base64.b64decode(found).decode() for found in _PICTURE.findall(page)]


def errors(process):
    assert "Traceback" not in process.stderr
    return [line for line in process.stderr.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_a_sweep_file_of_pycls_gives_what_it_asks_for(tool, tool_here, tmp_path, path):
    folder = tmp_path / "studies" / "cifar" / path.stem
    assert tool_here("sweep_setup", "--sweep-cfg", path).returncode == 0
    process = tool_here("sweep_analyze", "--sweep-cfg", path)
    assert process.returncode == 2
    assert "collect the runs first: tools/sweep_collect.py" in errors(process)[0]
    collect_simulated(folder)
    process = tool("sweep_analyze", "--sweep-cfg", path)
    assert (process.returncode, process.stderr) == (0, "")
    page = (folder / "analysis.html").read_text()
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "Error distributions", *SECTIONS[path.stem], "Methods",
    ]  # fmt: skip
    assert html.escape("lowest top-1 test error of the EMA of all epochs") in page  # pycls's
    drawn = " ".join(pictures(page))
    assert "epochs=400" in drawn if path.stem == "cifar_best" else "000000" in page
    if path.stem == "cifar_regnet":
        assert len(pictures(page)) == 5  # EDF; metrics; complexity; curves; networks
        assert "w_a " in drawn  # the networks' own parameters


def test_a_run_of_pycls_is_collected_and_analysed_as_it_is(tool, tool_here, tmp_path):
    folder = tmp_path / "studies" / "tiny"
    folder.mkdir(parents=True)
    for name in ("cfgs", "logs"):
        shutil.copytree(DATA / "pycls_run" / name, folder / name)
    wanted = {
        "METRICS": ["lr", "anynet_ds"],
        "COMPLEXITY": ["flops", "epoch_fw_bw"],
        "PLOT_CURVES_BEST": 1,
        "PLOT_MODELS_BEST": 1,
    }
    path = write(tmp_path / "tiny.yaml", RATES, {("NAME",): "tiny", ("ANALYZE",): wanted})
    assert tool("sweep_collect", "--sweep-cfg", path).returncode == 0
    process = tool("sweep_analyze", "--sweep-cfg", path)
    assert (process.returncode, process.stderr) == (0, "")
    assert "1 run unfinished, with the error of the epochs there are: 000000 (2 of 3)" in (
        process.stdout
    )
    assert "Complexity: no run has logged epoch_fw_bw; it is left out." in process.stdout
    page = (folder / "analysis.html").read_text()
    assert "tiny: 1 run, lowest 89.50 % (run 000000)" in page
    curves, networks = pictures(page)[1:]
    assert all(text in curves for text in ("train 89.4, test 89.5, EMA 91.5", "(2 of 3 epochs)"))
    assert "w 8, 16" in networks
    for error, value in (("ema_min", "91.50"), ("min", "89.50")):
        assert tool_here("sweep_analyze", "--sweep-cfg", path, "--error", error).returncode == 0
        assert f"lowest {value} % (run 000000)" in (folder / "analysis.html").read_text()


def test_sweeps_compared_and_runs_named(tool, tmp_path):
    extra = {("ANALYZE", "EXTRA_SWEEP_NAMES"): ["group/b"], ("ANALYZE", "METRICS"): ["lr", "wd"]}
    path = write(tmp_path / "a.yaml", RATES, extra)
    assert tool("sweep_setup", "--sweep-cfg", path).returncode == 0
    root = tmp_path / "studies" / "group"
    failed = record("000002", {}, [], err="out of memory")
    write_sweep_json(root / "rates", [*rate_runs(2), failed])
    write_sweep_json(root / "b", rate_runs(12, 1))
    process = tool("sweep_analyze", "--sweep-cfg", path, "--out", "compared.html")
    assert (process.returncode, process.stderr) == (0, "")
    named = process.stdout.splitlines()[0]
    assert "rates: 4 runs without an error that counts" in named
    assert "000002 (no epoch was tested; last on stderr: out of memory)" in named
    assert "000005 (has no log)" in named
    assert not (root / "rates" / "analysis.html").exists()
    page = (tmp_path / "compared.html").read_text()
    assert "Metrics: trends" in page
    assert named in html.unescape(page)


def test_networks_of_every_kind(tool, tmp_path):
    effnet = {"DEPTHS": [2, 1], "WIDTHS": [24, 40], "EXP_RATIOS": [1, 6], "KERNELS": [3, 5]}
    regnet = {"DEPTH": 4, "W0": 8, "WA": 8.0, "WM": 2.0, "GROUP_W": 4, "BOT_MUL": 0.5}
    nets = [
        {"MODEL": {"TYPE": "effnet"}, "EN": effnet},
        {"MODEL": {"TYPE": "regnet"}, "REGNET": regnet},
        {"MODEL": {"TYPE": "regnet"}, "REGNET": {**regnet, "W0": "wide"}},
        {"MODEL": {"TYPE": "vit"}},
        {},
    ]
    runs = [record(f"{n:06d}", {**net, "DESC": ""}, [9.0 + n]) for n, net in enumerate(nets)]
    write_sweep_json(tmp_path / "studies" / "group" / "rates", runs)
    path = write(tmp_path / "a.yaml", RATES, {("ANALYZE", "PLOT_MODELS_BEST"): 9})
    process = tool("sweep_analyze", "--sweep-cfg", path, "--out", "nets.html")
    assert (process.returncode, process.stderr) == (0, "")
    drawn = pictures((tmp_path / "nets.html").read_text())[-1]
    for text in ("w 24, 40", "exp 1, 6", "k 3, 5", "w_a 8, w_0 8, w_m 2", "b 2", "d 1, 1, 2"):
        assert text in drawn
    for kind, times in (("regnet: has no", 1), ("vit: has no", 1), ("network: has no", 1)):
        assert drawn.count(kind) == times


def test_mistakes_are_named_and_change_nothing(tool, tool_here, tmp_path):
    path = write(tmp_path / "a.yaml", RATES)
    folder = tmp_path / "studies" / "group" / "rates"
    write_sweep_json(folder, rate_runs(4))
    command = ["sweep_analyze", "--sweep-cfg", path]
    assert tool(*command).returncode == 0
    before = (folder / "analysis.html").read_bytes()
    for given, said in [
        (("ANALYZE.METRICS", "[lrr]"), "did you mean 'lr'? expected one of"),
        (("ANALYZE.PRE_FILTERS", "{lr: [7, 8, 9]}"), "none of 4 runs is within"),
        (("ANALYZE.PRE_FILTERS", "{lr: 7}"), "three numbers each"),
        (("ANALYZE.EXTRA_SWEEP_NAMES", "[group/rates]"), "occurs twice among"),
        (("ANALYZE.EXTRA_SWEEP_NAMES", "[none]"), "studies/none/sweep.json: not there"),
    ]:
        process = tool_here(*command, *given)
        assert process.returncode == 2
        assert said in errors(process)[0]
    assert (folder / "analysis.html").read_bytes() == before
    assert "expected a file" in errors(tool_here(*command, "--out", "no/where.html"))[0]
