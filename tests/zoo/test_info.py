"""Information on networks: parts by hand, sums equal to pycls's counts, tables that read back."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycls.core.config import load_cfg
from pycls.core.config.load import flatten_cfg, parse_cfg
from pycls.models.counting import complexity
from pycls.models.scaler import scale_cfg
from pycls.zoo import info_text
from pycls.zoo.info import network_info, short_cfg_text

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = json.loads((ROOT / "tests" / "data" / "model_complexity.json").read_text())
FAMILIES = {
    "configs/dds_baselines/regnetx/RegNetX-400MF_dds_8gpu.yaml": "regnetx",
    "configs/dds_baselines/regnety/RegNetY-400MF_dds_8gpu.yaml": "regnety",
    "configs/dds_baselines/effnet/EN-B0_dds_8gpu.yaml": "effnet",
    "configs/archive/cifar/resnet/R-56_nds_1gpu.yaml": "resnet",
    "configs/archive/cifar/anynet/V-56_nds_1gpu.yaml": "anynet",
    "configs/archive/imagenet/resnet/X-50-32x4d_step_1gpu.yaml": "resnext",
}
SMALL = [
    "MODEL.TYPE", "anynet", "MODEL.NUM_CLASSES", 5, "TRAIN.IM_SIZE", 9,
    "ANYNET.STEM_TYPE", "res_stem_in", "ANYNET.STEM_W", 4, "ANYNET.DEPTHS", [1, 2],
    "ANYNET.WIDTHS", [4, 8], "ANYNET.STRIDES", [1, 2], "ANYNET.BOT_MULS", [1.0, 0.5],
    "ANYNET.GROUP_WS", [2, 4],
]  # fmt: skip
VIT = [
    "MODEL.TYPE", "vit", "MODEL.NUM_CLASSES", 3, "TRAIN.IM_SIZE", 8, "VIT.PATCH_SIZE", 4,
    "VIT.NUM_LAYERS", 2, "VIT.NUM_HEADS", 2, "VIT.HIDDEN_DIM", 6, "VIT.MLP_DIM", 10,
]  # fmt: skip


def info_of(overrides=(), path=None, **options):
    return network_info(load_cfg(path, overrides), **options)


def column(info, name):
    return [getattr(part, name) for part in info.parts]


@pytest.mark.parametrize("path", FAMILIES)
def test_parts_sum_to_pyclss_complexity(path):
    info = info_of(path=ROOT / path)
    sums = {name: sum(column(info, name)) for name in ("flops", "params", "acts")}
    assert sums == GOLDEN[path]
    assert info.family == FAMILIES[path]


def test_parts_of_a_small_network_by_hand():
    info = info_of(SMALL)
    assert column(info, "name") == ["stem", "s1", "s2", "head"]
    # 9 pixels: 5 after the convolution, 3 after the pooling.
    assert column(info, "size") == [(3, 3), (3, 3), (2, 2), (1, 1)]
    stem = 7 * 7 * 3 * 4
    # Width 4 to 4, two groups of 2: 1x1, 3x3, 1x1, and no projection.
    s1 = 4 * 4 + 9 * 2 * 4 + 4 * 4
    # Bottleneck 4, one group: with stride and projection, then 8 to 8.
    first, second = (4 * 4, 9 * 4 * 4 + 4 * 8 + 4 * 8), 8 * 4 + 9 * 4 * 4 + 4 * 8
    assert column(info, "flops") == [
        stem * 25, s1 * 9, first[0] * 9 + first[1] * 4 + second * 4, 8 * 5 + 5
    ]  # fmt: skip
    assert column(info, "params") == [
        stem + 8, s1 + 3 * 8, sum(first) + second + 2 * (4 + 4 + 8 + 8 + 4 + 4 + 8), 8 * 5 + 5
    ]  # fmt: skip
    assert column(info, "acts") == [100 + 36, 3 * 36, 4 * 9 + 4 * (4 + 8 + 8) + 4 * 16, 5]
    assert column(info, "bottleneck_ratio") == [None, 1.0, 2.0, None]
    assert column(info, "group_w") == [None, 2, 4, None]
    assert column(info, "stride") == [4, 1, 2, None]
    assert (info.cum_depth, info.cum_width) == (3, 12)


def test_stages_of_published_networks():
    regnet = info_of(path=ROOT / "configs/dds_baselines/regnetx/RegNetX-400MF_dds_8gpu.yaml")
    stages = regnet.blocks
    assert [part.name for part in stages] == ["s1", "s2", "s3", "s4"]
    assert [part.depth for part in stages] == [1, 2, 7, 12]
    assert [part.width for part in stages] == [32, 64, 160, 384]
    assert [part.group_w for part in stages] == [16] * 4
    assert [part.size[0] for part in stages] == [56, 28, 14, 7]
    resnet = info_of(path=ROOT / "configs/archive/imagenet/resnet/R-50-1x64d_step_1gpu.yaml")
    assert [part.bottleneck_ratio for part in resnet.blocks] == [4.0] * 4
    assert [part.group_w for part in resnet.blocks] == [64, 128, 256, 512]  # one group
    effnet = info_of(path=ROOT / "configs/dds_baselines/effnet/EN-B0_dds_8gpu.yaml")
    assert [part.kernel for part in effnet.blocks] == [3, 3, 5, 3, 5, 5, 3]
    assert [part.exp_ratio for part in effnet.blocks] == [1, 6, 6, 6, 6, 6, 6]
    assert {part.group_w for part in effnet.parts} == {None}
    basic = info_of(path=ROOT / "configs/archive/cifar/resnet/R-56_nds_1gpu.yaml")
    assert {part.bottleneck_ratio for part in basic.parts} == {None}


def test_group_width_is_the_networks_own():
    # 8 // 3 = 2 groups, which have 4 channels.
    info = info_of([*SMALL, "ANYNET.BOT_MULS", [1.0, 1.0], "ANYNET.GROUP_WS", [4, 3]])
    assert [part.group_w for part in info.blocks] == [4, 4]


def test_vision_transformer():
    info = info_of(VIT)
    assert column(info, "name") == ["stem", "embedding", "encoder", "head"]
    assert column(info, "size") == [(2, 2), (), (5,), (1, 1)]
    assert column(info, "params")[1] == 6 + 5 * 6  # class token, positions
    assert (info.parts[1].flops, info.parts[1].acts) == (0, 0)
    assert [(p.depth, p.width, p.heads, p.mlp_dim) for p in info.blocks] == [(2, 6, 2, 10)]
    cfg = load_cfg(None, VIT)
    assert {n: getattr(info, n) for n in ("flops", "params", "acts")} == complexity(cfg)
    pooled = info_of([*VIT, "VIT.CLASSIFIER_TYPE", "pooled"])
    assert (pooled.parts[1].params, pooled.parts[2].size) == (4 * 6, (4,))


@pytest.mark.parametrize("path", [*FAMILIES, "configs/embedded/digits_anynet.yaml"])
def test_short_text_reads_back(path):
    cfg = load_cfg(ROOT / path)
    text = short_cfg_text(cfg)
    assert flatten_cfg(parse_cfg(text, "short")) == flatten_cfg(cfg)
    assert "LAUNCH" not in text


def test_short_text_of_a_scaled_regnet_holds_no_regnet():
    cfg = load_cfg(
        ROOT / "configs/dds_baselines/regnetx/RegNetX-400MF_dds_8gpu.yaml",
        ["MODEL.SCALING_TYPE", "d1_w8_g8_r1", "MODEL.SCALING_FACTOR", 2.0],
    )
    scaled = scale_cfg(cfg)
    text = short_cfg_text(scaled)
    assert "REGNET" not in text
    assert "SCALING" not in text
    assert complexity(parse_cfg(text, "short")) == complexity(scaled)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (397_678_568, "F", "397.7 MF"),
        (999_999, "F", "1.000 MF"),
        (999_960_000, "F", "1000 MF"),
        (4_089_184_256, "F", "4.089 GF"),
        (25_557_032, "", "25.56 M"),
        (2_434, "", "0.002434 M"),
        (0, "", "0 M"),
    ],
)
def test_human_units(value, unit, text):
    assert info_text.human(value, unit) == text


@given(st.integers(1, 10**13))
def test_human_units_keep_four_digits(value):
    number, prefix = info_text.human(value).split()
    assert float(number) * {"M": 1e6, "G": 1e9}[prefix] == pytest.approx(value, rel=5.1e-4)


def test_text_tables():
    info = info_of(SMALL, name="net.yaml")
    text = info_text.describe(info)
    assert f"({info.flops:,})" in text
    *_, stem, s1, s2, head, total = text.splitlines()
    assert stem.split()[:4] == ["stem", "3", "x", "3"]
    assert [line.split()[0] for line in (s1, s2, head, total)] == ["s1", "s2", "head", "total"]
    shares = [float(line.split()[-3]) for line in (stem, s1, s2, head)]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert len({len(line) for line in (stem, s1, s2, head, total)}) == 1  # aligned
    assert "kernel" not in text


def test_csv_tables_hold_exact_numbers():
    small, vit = info_of(SMALL, name="a,b.yaml"), info_of(VIT, name="vit.yaml")
    rows = list(csv.DictReader(io.StringIO(info_text.overview_csv([small, vit]))))
    assert [row["config"] for row in rows] == ["a,b.yaml", "vit.yaml"]
    assert rows[0] == {
        "config": "a,b.yaml", "family": "anynet", "im_size": "9", "num_classes": "5",
        "flops": str(small.flops), "params": str(small.params), "acts": str(small.acts),
        "cum_depth": "3", "cum_width": "12",
    }  # fmt: skip
    parts = list(csv.DictReader(io.StringIO(info_text.stages_csv([small, vit]))))
    assert sum(int(p["params"]) for p in parts if p["config"] == "vit.yaml") == vit.params
    assert [p["out_height"] for p in parts[:4]] == ["3", "3", "2", "1"]
    assert [p["tokens"] for p in parts[4:]] == ["", "", "5", ""]


def test_scaled_networks_stand_beside_the_original():
    origin = info_of(SMALL)
    wider = [*SMALL, "ANYNET.WIDTHS", [8, 16]]
    info = info_of(wider, name="net.yaml", scaled_from=origin)
    text = info_text.describe(info)
    assert f"({origin.flops:,})" in text
    assert f"{info.flops / origin.flops:.3f}" in text
    (row,) = csv.DictReader(io.StringIO(info_text.overview_csv([info])))
    assert (row["flops"], row["original_flops"]) == (str(info.flops), str(origin.flops))
