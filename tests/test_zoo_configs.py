"""The published models' configurations: complete, equal to pycls's, and headed by true figures.

tests/data/pycls_configs.json holds what pycls's own YAML files say, model_*.json what pycls
measured of its models.
"""

import functools
import json
import math
import re
from pathlib import Path

import pytest
import yaml

from pycls.core.config import load_cfg
from pycls.core.config.load import flatten_cfg, layer_cfg
from pycls.models.builders import build_meta_model
from pycls.models.counting import complexity
from pycls.strict_yaml import load_yaml

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"
FOLDERS = ("archive", "dds_baselines", "examples", "sweeps")
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in FOLDERS
    for path in (ROOT / "configs" / folder).rglob("*.yaml")
)
SWEEPS = [name for name in FILES if name.startswith("configs/sweeps/")]
MODELS = [name for name in FILES if name not in SWEEPS]
BASELINES = [name for name in FILES if name.startswith("configs/dds_baselines/")]
REGNETS = [name for name in BASELINES if "/regnet" in name]

COMPLEXITY = re.compile(
    r"Complexity at (\d+) x (\d+): flops ([\d.]+) ([GM])F, params ([\d.]+) M, acts ([\d.]+) M\."
)
ERRORS = re.compile(r": top-1 error ([\d.]+) %, top-5 error ([\d.]+) % \(")
TIMES = re.compile(
    r"forward and backward ([\d.]+) ms \((\d+) images\), test forward ([\d.]+) ms \((\d+) images\)"
)
RECIPE = re.compile(
    r"Recipe: (\d+) epochs, batch (\d+) on (\d) GPUs?, (?:cosine from )?learning rate ([\d.]+)"
    r"(?: after (\d+) epochs of warm-up)?"
)
STAGES = re.compile(r"Stages: depths (\[.*?\]), widths (\[.*?\]), group widths (\[.*?\])\.")


def load_data(name):
    return json.loads((DATA / name).read_text())


def read_header(name):
    """Return the comment lines that open a file, as one line of text."""
    lines = (ROOT / name).read_text().splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("# "))
    return " ".join(line[2:].strip() for line in lines[:end])


@functools.cache
def read_cfg(name):
    """Return a file's configuration; of a sweep, what its runs share."""
    if name in SWEEPS:
        return layer_cfg([(name, load_yaml(ROOT / name)["SETUP"]["BASE_CFG"])])
    return load_cfg(ROOT / name)


@functools.cache
def count(name):
    return complexity(read_cfg(name))


def zoo_name(name):
    """Return what pycls calls a baseline in its tables of errors and times."""
    stem = Path(name).stem.split("_")[0]
    kind, size = stem.split("-")[:2]
    names = {"EN": "EfficientNet", "R": "ResNet", "X": "ResNeXt"}
    return f"{names.get(kind, kind)}-{size}"


def test_the_same_files_as_pycls():
    assert sorted(load_data("pycls_configs.json")) == FILES
    assert len(FILES) == 69


@pytest.mark.parametrize("name", MODELS)
def test_same_values_as_pycls(name, tmp_path):
    theirs = tmp_path / "pycls.yaml"
    theirs.write_text(yaml.safe_dump(load_data("pycls_configs.json")[name]))
    assert flatten_cfg(read_cfg(name)) == flatten_cfg(load_cfg(theirs))


@pytest.mark.parametrize("name", SWEEPS)
def test_same_sweep_as_pycls(name):
    sweep, theirs = load_yaml(ROOT / name), load_data("pycls_configs.json")[name]
    assert sweep.pop("DESC")  # a description in our own words, which theirs here lacks
    del theirs["DESC"]
    assert sweep == theirs
    assert read_cfg(name).TRAIN.DATASET == "cifar10"


def test_complexity_equals_pycls():
    expected = load_data("model_complexity.json")
    del expected["date-created"]
    assert sorted(expected) == [name for name in MODELS if "/examples/" not in name]
    assert {name: count(name) for name in expected} == expected


@pytest.mark.parametrize("name", FILES)
def test_first_line_says_what_it_is(name):
    first = (ROOT / name).read_text().splitlines()[0]
    assert first.startswith("# ")
    if name in BASELINES:
        assert first.startswith(f"# {zoo_name(name)}, ImageNet: top-1 error ")
    elif name in SWEEPS:
        assert first.startswith("# CIFAR-10 sweep ")
    else:
        depth = re.search(r"-(\d+)[-_]", Path(name).name)
        assert f"-{depth[1] if depth else 50}, " in first


@pytest.mark.parametrize("name", [name for name in FILES if "cifar_regnet" not in name])
def test_header_complexity(name):
    height, width, flops, unit, params, acts = COMPLEXITY.search(read_header(name)).groups()
    assert int(height) == int(width) == read_cfg(name).TRAIN.IM_SIZE
    counts = count(name)
    assert (unit == "G") == (counts["flops"] >= 1e9)
    assert_rounded(flops, counts["flops"] / (1e9 if unit == "G" else 1e6))
    assert_rounded(params, counts["params"] / 1e6)
    assert_rounded(acts, counts["acts"] / 1e6)


def assert_rounded(text, value):
    """Check that a text is a value to four digits."""
    assert len(text.replace(".", "").lstrip("0")) == 4
    assert math.isclose(float(text), float(f"{value:.4g}"), rel_tol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_header_recipe(name):
    cfg = read_cfg(name)
    epochs, batch, gpus, lr, warmup = RECIPE.search(read_header(name)).groups()
    assert int(epochs) == cfg.OPTIM.MAX_EPOCH
    assert int(batch) == cfg.TRAIN.BATCH_SIZE
    assert int(gpus) == cfg.NUM_GPUS
    assert float(lr) == cfg.OPTIM.BASE_LR
    assert int(warmup or 0) == cfg.OPTIM.WARMUP_EPOCHS
    assert ("cosine from" in read_header(name)) == (cfg.OPTIM.LR_POLICY == "cos")
    decay = re.search(r"weight decay (\S+?)\.(?: |$)", read_header(name))[1]
    assert float(decay) == cfg.OPTIM.WEIGHT_DECAY


@pytest.mark.parametrize("name", BASELINES)
def test_header_errors_and_times(name):
    cfg, header, model = read_cfg(name), read_header(name), zoo_name(name)
    top1, top5 = map(float, ERRORS.search(header).groups())
    assert {"top1_err": top1, "top5_err": top5} == load_data("model_error.json")[model]
    train_ms, train_images, test_ms, test_images = TIMES.search(header).groups()
    times_s = load_data("model_timing.json")[model]
    assert float(train_ms) == pytest.approx(times_s["train_fw_bw_time"] * 1e3, abs=1e-9)
    assert float(test_ms) == pytest.approx(times_s["test_fw_time"] * 1e3, abs=1e-9)
    assert int(train_images) == cfg.TRAIN.BATCH_SIZE // cfg.NUM_GPUS
    assert int(test_images) == cfg.TEST.BATCH_SIZE // cfg.NUM_GPUS


def test_every_published_figure_is_in_a_header():
    names = sorted(map(zoo_name, BASELINES))
    for table in ("model_error.json", "model_timing.json"):
        assert names == sorted(set(load_data(table)) - {"date-created"})
    # Elsewhere nothing is claimed.
    for name in sorted(set(FILES) - set(BASELINES)):
        assert not re.search(r"\d %|\d ms", read_header(name)), name


@pytest.mark.parametrize("name", REGNETS)
def test_header_stages_of_regnets(name):
    depths, widths, group_ws = map(json.loads, STAGES.search(read_header(name)).groups())
    shapes = {key: t.shape for key, t in build_meta_model(read_cfg(name)).state_dict().items()}
    stages = range(1, len(depths) + 1)
    assert f"s{len(depths) + 1}.b1.f.b.weight" not in shapes
    for stage, depth in zip(stages, depths, strict=True):
        blocks = {key.split(".")[1] for key in shapes if key.startswith(f"s{stage}.")}
        assert len(blocks) == depth
    assert widths == [shapes[f"s{i}.b1.f.c.weight"][0] for i in stages]
    # A grouped convolution's weight has the channels of one group as its second dimension.
    assert group_ws == [shapes[f"s{i}.b1.f.b.weight"][1] for i in stages]
