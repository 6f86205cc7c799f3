"""The page of the analysis of a sweep."""

import contextlib
import html.parser
import json
import math
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_sweep import curve, describe, rate_runs, rates_cfg, record

from pycls.analysis.sweep.metrics import apply_filters, metric_table
from pycls.analysis.sweep.page import write_analysis
from pycls.analysis.sweep.panels import value_figures
from pycls.analysis.sweep.sweep_json import load_sweep
from pycls.errors import ConfigError
from pycls.sweep.keys import defaults

pytestmark = pytest.mark.slow

NAN = math.nan


def options(**changes):
    return {**defaults()["ANALYZE"], **changes}


def page(tmp_path, sweeps, **changes):
    path = tmp_path / "analysis.html"
    notes = write_analysis(path, sweeps, options(**changes), describe, title="rates")
    return path.read_text(), notes


def headings(text):
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_a_metric_that_one_sweep_lacks_and_texts_share_their_places(tmp_path, load_runs):
    first, second, third = rate_runs(6), rate_runs(5, 1), rate_runs(4, 2)
    for runs, texts in ((first, "ba"), (second, "cb")):
        for place, run in enumerate(runs):
            run["cfg"]["TRAIN"]["DATASET"] = texts[place % 2]
            run["cfg"]["REGNET"] = {"DEPTH": place}
    del third[0]["cfg"]["TRAIN"]
    sweeps = [load_runs(first, "one"), load_runs(second, "two"), load_runs(third, "three")]
    table = metric_table(sweeps, ["cfg.TRAIN.DATASET", "regnet_depth"])
    (_, texts), (_, depths) = value_figures(table, "top-1 error (%)")
    names = [[label.get_text() for label in axes.get_xticklabels()] for axes in texts.axes]
    assert names == [["a", "b", "c", "digits"]] * 3
    places = [sorted({*axes.get_lines()[0].get_xdata()}) for axes in texts.axes]
    assert places == [[0, 1], [1, 2], [3]]
    assert depths.axes[2].texts[0].get_text() == "no numbers"
    text, _ = page(tmp_path, sweeps, METRICS=["cfg.TRAIN.DATASET", "regnet_depth"])
    assert "Metrics: trends" in text


class Page(html.parser.HTMLParser):
    """Collects what a page refers to, and refuses tags that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.sources += [value for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_the_same_each_time(tmp_path, load_runs):
    sweeps = [load_runs(rate_runs(20)), load_runs(rate_runs(9, 1), "other")]
    wanted = {
        "METRICS": ["lr", "anynet_ds"],
        "PLOT_CURVES_BEST": 2,
        "PLOT_CURVES_WORST": 1,
        "PLOT_MODELS_BEST": 1,
        "PLOT_MODELS_WORST": 9,
    }
    text, notes = page(tmp_path, sweeps, **wanted)
    assert notes == []
    assert headings(text) == [
        "Error distributions", "Metrics", "Complexity", "Best runs: errors by epoch",
        "Worst runs: errors by epoch", "Best runs: networks", "Worst runs: networks", "Methods",
    ]  # fmt: skip
    sources = Page(text).sources
    pictures = [source for source in sources if source.startswith("data:image/svg+xml;base64,")]
    # an EDF; lr and two depths with their trends; flops with its trend; two each for runs
    assert len(pictures) == 1 + 3 + 1 + 1 + 1 + 4 * 2
    assert all(s.startswith("#") for s in sources if s not in pictures)
    assert "The same in all runs: parameters (M): 2, activations (M): 1." in text
    assert page(tmp_path, sweeps, **wanted)[0] == text


def test_switches_leave_parts_out(tmp_path, load_runs):
    sweep = load_runs(rate_runs(6))
    text, _ = page(tmp_path, [sweep], METRICS=["lr"], COMPLEXITY=[])
    assert headings(text) == ["Error distributions", "Metrics", "Methods"]
    text, _ = page(
        tmp_path, [sweep], METRICS=["lr"], PLOT_METRIC_VALUES=False, PLOT_COMPLEXITY_VALUES=False
    )
    # trends need several sweeps
    assert headings(text) == ["Error distributions", "Methods"]


def test_a_metric_that_was_not_measured_is_named_and_left_out(tmp_path, load_runs):
    runs = rate_runs(5)
    for run in runs:
        del run["epoch_times"], run["complexity"]
    names = ["flops", "params", "acts", "epoch_fw_bw", "epoch_time", "regnet_w0"]
    text, notes = page(tmp_path, [load_runs(runs)], COMPLEXITY=names, PLOT_MODELS_BEST=1)
    assert [note.split(" ")[5].rstrip(";") for note in notes] == [*names[:4], "regnet_w0"]
    assert notes[0] == "Complexity: no run has logged flops; it is left out."
    assert "time of an epoch (s): 4.25" in text


def test_filters_and_splits_on_the_page(tmp_path, load_runs):
    runs = [record(f"{n:06d}", rates_cfg(0.1, epochs=e), curve(9 - n / 9, e), planned=6)
            for n, e in enumerate([6, 6, 6, 3, 3, 2])]  # fmt: skip
    splits = {
        "epochs=6": {"cfg.OPTIM.MAX_EPOCH": [6, 6, 6]},
        "epochs=3": {"cfg.OPTIM.MAX_EPOCH": [3, 3, 3]},
        "epochs=9": {"epochs": [9, 9, 9]},
    }
    text, notes = page(tmp_path, [load_runs(runs)], SPLIT_FILTERS=splits)
    assert "Error distributions, split" in headings(text)
    assert "epochs=6: 3 runs, lowest 8.78 % (run 000002)" in text
    assert "epochs=3: 2 runs" in text
    assert any(n.startswith("epochs=9: no run is within epochs 9") for n in notes)
    assert "1 run in no part: 000005." in notes
    text, _ = page(tmp_path, [load_runs(runs)], PRE_FILTERS={"done": [1, 1, 1]})
    assert "Error distributions, filtered" in headings(text)
    assert "Runs within PRE_FILTERS only: done 1." in text
    _, notes = page(tmp_path, [load_runs(runs), load_runs(runs, "b")], SPLIT_FILTERS=splits)
    assert any("SPLIT_FILTERS has no effect" in note for note in notes)
    (tmp_path / "analysis.html").unlink()
    for changes in (
        {"PRE_FILTERS": {"lr": [5, 5, 5]}},
        {"SPLIT_FILTERS": {"x": {"lr": [5, 5, 5]}}},
    ):
        with pytest.raises(ConfigError, match="none of 6 runs is within"):
            page(tmp_path, [load_runs(runs)], **changes)
    assert not (tmp_path / "analysis.html").exists()


def test_texts_of_runs_are_escaped(tmp_path, load_runs):
    cfg = {**rates_cfg(0.1), "DESC": "<script>alert(1)</script> & \u00fcber"}
    runs = [record("000000", cfg, [9.0]), record("<b>", cfg, [], err="<i>no</i>")]
    text, _ = page(tmp_path, [load_runs(runs)])
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; \u00fcber" in text
    assert "&lt;b&gt; (no epoch was tested; last on stderr: &lt;i&gt;no" in text


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_runs_give_a_page(tmp_path, load_runs, count):
    text, _ = page(
        tmp_path,
        [load_runs(rate_runs(count))],
        METRICS=["lr"],
        PLOT_CURVES_BEST=3,
        PLOT_MODELS_BEST=3,
    )
    assert f"rates: {count} run" in text
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower().split("all settings")[0]


def break_somewhere(node, rng):
    """Replace or remove one value deep inside JSON."""
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = rng.choice(keys)
        inner = node[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
            node = inner
            continue
        if rng.random() < 0.3:
            del node[key]
        else:
            node[key] = rng.choice([None, "text", [], {}, -1, 0, NAN, math.inf, True, [1, "x"]])
        return


@pytest.fixture(scope="module")
def load_broken(tmp_path_factory):
    """Return a function (seed) -> a sweep whose file is broken in some places, None if empty."""
    path = tmp_path_factory.mktemp("broken") / "sweep.json"

    def load_broken(seed):
        rng = random.Random(seed)
        runs = rate_runs(4)
        for _ in range(rng.randint(1, 6)):
            break_somewhere(runs, rng)
            if not runs:
                return None
        path.write_text(json.dumps(runs))
        return load_sweep(path, "rates", planned=[f"{n:06d}" for n in range(4)])

    return load_broken


def test_an_err_that_is_no_text_is_no_traceback(load_runs):
    sweep = load_runs([*rate_runs(3), record("000003", rates_cfg(0.1), [], err=7)])
    assert dict(sweep.left_out) == {"000003": "no epoch was tested"}


BROKEN_METRICS = ["lr", "anynet_ds", "done", "ema_gain"]
SEEDS = st.integers(0, 2**32 - 1)


@given(seed=SEEDS)
@settings(max_examples=200)
def test_broken_records_are_named_or_refused_never_a_traceback(load_broken, seed):
    with contextlib.suppress(ConfigError):
        sweep = load_broken(seed)
        if sweep is None:
            return
        assert all(math.isfinite(run.error) for run in sweep.runs)
        # Whatever the file says of them, four runs were set up.
        named = {*(run.name for run in sweep.runs), *(name for name, _ in sweep.left_out)}
        assert {f"{n:06d}" for n in range(4)} <= named
        kept = apply_filters(sweep, {"done": [0, 1, 1]})
        metric_table([kept], [*BROKEN_METRICS, "memory"])


@given(seed=SEEDS)
@settings(max_examples=8)
def test_broken_records_give_a_page_or_are_refused(load_broken, tmp_path_factory, seed):
    with contextlib.suppress(ConfigError):
        sweep = load_broken(seed)
        if sweep is None:
            return
        wanted = {"METRICS": BROKEN_METRICS, "COMPLEXITY": ["memory"], "PLOT_CURVES_BEST": 2}
        page(tmp_path_factory.mktemp("page"), [sweep], **wanted, PRE_FILTERS={"done": [0, 1, 1]})
