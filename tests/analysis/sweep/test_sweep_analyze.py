"""Analysis of a collected sweep: errors, metrics, filters, good values, the page."""

import math

import matplotlib as mpl
import numpy as np
import pytest
from figure_texts import check_texts
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from synthetic_sweep import curve, describe, rate_runs, rates_cfg, record, write_sweep_json

from pycls.analysis.figures.networks import NetworkStages
from pycls.analysis.figures.style import RC
from pycls.analysis.sweep.curves import curve_figure
from pycls.analysis.sweep.metrics import METRICS, apply_filters, metric_table, metric_values
from pycls.analysis.sweep.networks import SweepNetwork, model_figure
from pycls.analysis.sweep.panels import good_values, trend_figure, value_figures
from pycls.analysis.sweep.sweep_json import ERRORS, load_sweep, sweep_notes
from pycls.core.config.defaults import default_cfg
from pycls.core.config.load import cfg_to_dict
from pycls.errors import ConfigError

NAN = math.nan


def test_each_error_is_what_it_says(load_runs):
    runs = [record("000000", rates_cfg(1), [50.0, 20.0, 30.0], ema=[60.0, NAN, 40.0])]
    found = {name: load_runs(runs, error=name).runs[0].error for name in ERRORS}
    assert found == {"final": 30.0, "min": 20.0, "ema_final": 40.0, "ema_min": 40.0}
    with pytest.raises(ConfigError, match="expected one of final, min, ema_final, ema_min"):
        load_runs(runs, error="lowest")


def test_runs_without_an_error_are_named_with_their_reason(load_runs):
    good, cfg = record("000000", rates_cfg(1), curve(8)), rates_cfg(1)
    no_ema = record("000004", cfg, [3.0])
    del no_ema["test_ema_epoch"]
    runs = [
        good,
        record("000001", cfg, [50.0, NAN], planned=6, err="Traceback\nRunError: loss is inf\n\n"),
        record("000002", cfg, [], err=""),
        record("000000", cfg, curve(1)),
        {**record("000003", cfg, curve(5)), "cfg": None},
        no_ema,
        "nothing",
    ]
    sweep = load_runs(runs, planned=["000000", "000009"], error="ema_final")
    assert [run.name for run in sweep.runs] == ["000000"]
    assert sweep.runs[0].error == 7.5  # the first of the two, not the better one
    reasons = dict(sweep.left_out)
    assert reasons.keys() == {f"00000{n}" for n in (0, 1, 2, 3, 4, 9)} | {"entry 7"}
    assert "occurs twice" in reasons["000000"]
    assert (
        "not a number, last at epoch 2 of 6; last on stderr: RunError: loss is inf"
        in (reasons["000001"])
    )
    assert reasons["000002"] == "no epoch was tested"
    assert reasons["000003"] == "has no configuration in its log"
    assert reasons["000004"] == "no epoch of the EMA was tested"
    assert reasons["000009"] == "has no log"
    note = sweep_notes(sweep)[0]
    assert note.startswith("rates: 7 runs without an error that counts: ")
    assert all(name in note for name in reasons)


def test_notes_name_unfinished_runs_unequal_epochs_and_constant_errors(load_runs):
    runs = [record(f"00000{n}", rates_cfg(1), [9.0] * 3, planned=3 + n) for n in range(3)]
    notes = sweep_notes(load_runs(runs))
    assert "2 runs unfinished" in notes[0]
    assert "000001 (3 of 4), 000002 (3 of 5)" in notes[0]
    assert notes[1].endswith("compared: 1 of 3, 1 of 4, 1 of 5.")
    assert "same error" in notes[2]
    assert sweep_notes(load_runs(rate_runs(5))) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "the file is empty: has any run begun"),
        ('[{"cfg": {}', "line 1: .*; expected JSON; collect the runs again"),
        ("{}", "expected a list with an object a run"),
        ('[{"log_file": "logs/000007/stdout.log"}]', "none of 1 runs .* 000007: has no conf"),
        (None, "not there; collect the runs first: tools/sweep_collect.py"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, said):
    path = tmp_path / "sweep.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_sweep(path, "rates")


def test_every_metric_of_pycls_on_a_complete_configuration(load_runs):
    cfg = cfg_to_dict(default_cfg())
    cfg["OPTIM"] |= {"BASE_LR": 0.01, "WEIGHT_DECAY": 1e-4, "EMA_BETA": 1e-5}
    cfg["OPTIM"] |= {"EMA_UPDATE_PERIOD": 32, "EMA_ALPHA": 1e-3, "MAX_EPOCH": 4}
    cfg["BN"]["CUSTOM_WEIGHT_DECAY"] = 1e-5
    cfg["REGNET"] |= {"DEPTH": 13, "W0": 48, "WA": 20.5, "WM": 2.5, "GROUP_W": 16, "BOT_MUL": 0.5}
    cfg["ANYNET"] |= {"DEPTHS": [1, 4], "WIDTHS": [64, 32], "GROUP_WS": [8, 16]}
    cfg["ANYNET"]["BOT_MULS"] = [0.5, 1.0]
    cfg["EN"] |= {"DEPTHS": [2, 3], "WIDTHS": [24, 16], "STRIDES": [1, 2], "EXP_RATIOS": [1, 6]}
    cost = {"flops": 4 * 10**8, "params": 5 * 10**6, "acts": 6 * 10**6}
    sweep = load_runs([record("000000", cfg, [40.0, 30.0, 35.0], planned=4, complexity=cost)])
    values = {name: metric_values(sweep.runs, name)[0] for name in METRICS}
    expected = {
        "error_ema": 29.5, "error_tst": 30.0, "ema_gain": 0.5, "done": 0.75, "epochs": 4,
        "flops": 0.4, "params": 5.0, "acts": 6.0, "memory": 2.006, "resolution": 224,
        "epoch_fw_bw": 12.5, "epoch_time": 4.1, "batch_size": 128, "regnet_depth": 13,
        "regnet_w0": 48, "regnet_wa": 20.5, "regnet_wm": 2.5, "regnet_gw": 16, "regnet_bm": 0.5,
        "anynet_ds": [1, 4], "anynet_ws": [64, 32], "anynet_gs": [8, 16],
        "anynet_bs": [0.5, 1.0], "anynet_d": 5, "anynet_w": 64, "anynet_g": 16, "anynet_b": 1.0,
        "effnet_ds": [2, 3], "effnet_ws": [24, 16], "effnet_ss": [1, 2], "effnet_bs": [1, 6],
        "effnet_d": 5, "effnet_w": 24, "lr": -2.0, "min_lr": 0.0, "wd": -4.0, "lr_wd": -6.0,
        "bn_wd": -5.0, "momentum": 0.9, "ema_alpha": -3.0, "ema_beta": -5.0, "ema_update": 5.0,
    }  # fmt: skip
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        assert values[name] == pytest.approx(value), name


def test_any_value_of_the_file_is_a_metric(load_runs):
    sweep = load_runs([record("000000", rates_cfg(0.5), [40.0, 30.0])])
    found = {
        name: metric_values(sweep.runs, name)[0]
        for name in ("cfg.OPTIM.BASE_LR", "OPTIM.BASE_LR", "complexity.acts", "train_epoch.loss")
    }
    assert list(found.values()) == [0.5, 0.5, 3 * 10**6, 30.0]
    table = metric_table([sweep], ["error", "anynet_ds", "cfg.TRAIN.DATASET"])
    row = table.models.iloc[0]
    assert row["metric anynet_ds, stage 2"] == 2.0
    assert table.labels["metric anynet_ds, stage 2"] == "depth d, stage 2"
    assert row["metric cfg.TRAIN.DATASET"] == "digits"
    assert row["metric error"] == 30.0


def test_an_unknown_metric_is_refused_with_the_nearest_one(load_runs):
    sweep = load_runs(rate_runs(4))
    with pytest.raises(ConfigError, match="'regnet_dept': none of 4 runs has it; did you mean 'r"):
        metric_values(sweep.runs, "regnet_dept")
    with pytest.raises(ConfigError, match=r"cfg\.OPTIM\.LR"):
        metric_table([sweep], ["cfg.OPTIM.LR"])
    with pytest.raises(ConfigError, match=r"filter cfg\.DESC: expected numbers"):
        apply_filters(sweep, {"cfg.DESC": [0, 0, 1]})


@given(low=st.floats(-4, 1), high=st.floats(-4, 1), done=st.sampled_from([[0, 1, 1], [1, 1, 1]]))
@settings(max_examples=30)
def test_filters_keep_the_closed_range_of_the_transformed_value(sweep_of_40, low, high, done):
    kept = apply_filters(sweep_of_40, {"lr": [low, 99, high], "done": done}).runs
    assert [run.name for run in kept] == [
        run.name
        for run in sweep_of_40.runs
        if low <= math.log10(run.record["cfg"]["OPTIM"]["BASE_LR"]) <= high
        and (done[0] == 0 or len(run.record["test_epoch"]["epoch_ind"]) == 6)
    ]


@pytest.fixture(scope="module")
def sweep_of_40(tmp_path_factory):
    runs = rate_runs(40)
    runs[3] = record("000003", rates_cfg(0.1), curve(7)[:3], planned=6)
    return load_sweep(write_sweep_json(tmp_path_factory.mktemp("s"), runs), "rates")


def test_good_values_find_the_rate_that_matters_and_agree_with_pycls(sweep_of_40):
    table = metric_table([sweep_of_40], ["lr", "wd"])
    ranges = good_values(table).set_index("label")
    lr, wd = ranges.loc["log10 of learning rate"], ranges.loc["log10 of weight decay"]
    assert -1.8 < lr["low"] < -1 < lr["high"] < -0.2
    assert wd["high"] - wd["low"] > 1.2  # of 2: says little
    # pycls draws searches at random; the exact probabilities are what its draws tend to.
    rng, models = np.random.default_rng(0), table.models
    errors, values = models["error"].to_numpy(), models["metric lr"].to_numpy()
    drawn = rng.integers(len(errors), size=(20_000, 10))
    best = values[drawn[np.arange(20_000), errors[drawn].argmin(axis=1)]]
    for name, level in (("low", 0.025), ("median", 0.5), ("high", 0.975)):
        assert np.mean(best < lr[name]) - 0.01 <= level <= np.mean(best <= lr[name]) + 0.01


def check_slanted(figure):
    """Check slanted names under axes for themselves: their boxes overlap, the texts do not."""
    with mpl.rc_context(RC):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        for axes in figure.axes:
            labels = [label for label in axes.get_xticklabels() if label.get_rotation()]
            if labels:
                boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
                assert all(box.x0 >= -1 and box.y0 >= -1 for box in boxes)
                places = [axes.transData.transform((x, 0))[0] for x in axes.get_xticks()]
                height = labels[0].get_fontsize() / 72 * figure.dpi
                distance = min(np.diff(places)) * math.sin(math.radians(labels[0].get_rotation()))
                assert distance > height
                axes.set_xticks([])
    return check_texts(figure)


@pytest.mark.slow
def test_texts_of_all_figures_are_readable(load_runs):
    names = ["lr", "wd", "lr_wd", "anynet_ds", "cfg.DESC", "memory", "epoch_fw_bw", "ema_update"]
    runs = rate_runs(30)
    for place, run in enumerate(runs):
        run["cfg"]["OPTIM"]["EMA_UPDATE_PERIOD"] = 2 ** (place % 5)
    one, other = load_runs(runs), load_runs(rate_runs(12, 1), "epochs=100_and_more")
    fourth = load_runs(rate_runs(5, 3), "epochs=100")
    third = load_runs(rate_runs(3, 2), "w")
    alone = metric_table([one], names)
    assert all(check_texts(figure) > 20 for _, figure in value_figures(alone, "top-1 error (%)"))
    several = metric_table([one, other, third, fourth], names[:5])
    figures = value_figures(several, "top-1 error (%)")
    assert [title for title, _ in figures] == [*several.labels.values()]
    assert all(check_slanted(figure) > 10 for _, figure in figures)
    assert check_slanted(trend_figure(several)) > 20
    best = one.by_error()[:8]
    assert check_texts(curve_figure(best)) > 40
    long = NetworkStages("", [1, 2, 12, 2], [48, 120, 336, 888], [1.0] * 4, [8, 24, 24, 24])
    regnet = SweepNetwork(long, "regnet", [48 + 27 * i for i in range(17)], "w_a 27.9, w_0 48")
    nets = [
        regnet,
        SweepNetwork(None, "resnet"),
        *[describe(run.record["cfg"]) for run in best[2:]],
    ]
    assert check_texts(model_figure(best, nets)) > 40


def test_figures_show_the_runs_own_numbers(load_runs):
    runs = [record("a", rates_cfg(0.1), [30.0, 8.25], ema=[40.0, 9.0]), *rate_runs(6)]
    (run,) = [run for run in load_runs(runs).runs if run.name == "a"]
    axes = curve_figure([run]).axes[0]
    train, test, ema = (line.get_xydata().tolist() for line in axes.get_lines()[:3])
    assert train == [[1, 34.0], [2, 12.25]]
    assert test == [[1, 30.0], [2, 8.25]]
    assert ema == [[1, 40.0], [2, 9.0]]
    net = SweepNetwork(NetworkStages("", [1, 2], [16, 32]), "anynet", [10.0, 20.0, 30.0])
    linear, blocks, starts = model_figure([run], [net]).axes[0].get_lines()
    assert blocks.get_xydata().tolist() == [[1, 16], [2, 32], [3, 32]]
    assert starts.get_xydata().tolist() == [[1, 16], [2, 32]]
    assert linear.get_ydata().tolist() == [10, 20, 30]
