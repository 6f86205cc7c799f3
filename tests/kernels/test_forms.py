"""The choice of a layer's form: the committed table, and what happens without it."""

import csv
import subprocess
import sys
import textwrap

import pytest
import torch

from pycls.kernels import forms
from pycls.models.layers import Conv2d, conv2d, count_forms, table_name, use_forms

AVX2 = forms.find_table("cpu", "avx2")
MEASURED = pytest.mark.parametrize("table", [AVX2, forms.find_table("cpu", "avx512")])


def test_committed_table_chooses_the_fastest_form_measured():
    with forms.TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["layer"] for row in rows} == {"convolution", "norm"}
    for row in rows:
        times = {n.removesuffix("_ms"): float(v) for n, v in row.items() if n.endswith("_ms") and v}
        # Another form than the library must win clearly.
        fastest = min(times.values())
        assert times[row["form"]] <= fastest / 0.89, row


@MEASURED
def test_shapes_that_were_measured_keep_their_form(table):
    assert len(table.convolutions) > 200
    for (taps, groups, w_in, w_out, stride, side), form in table.convolutions:
        assert table.of_convolution(taps, groups, w_in, w_out, stride, side * side) == form


@MEASURED
@pytest.mark.parametrize("width", [1, 2, 4])
def test_narrow_groups_on_few_pixels_never_wait_for_the_library(width, table):
    assert table.of_convolution(9, 32, width, width, 1, 4) == "direct"


@MEASURED
def test_library_is_never_asked_for_a_gradient_that_crashes(table):
    # 1 x 1, stride 2, fewer than 8 channels: see docs/benchmarks.md.
    for w_in in range(1, 6):
        for w_out in (1, 4, 24, 300, 2000):
            for side in (1, 2, 7, 16, 28, 112):
                form = table.of_convolution(1, 1, w_in, w_out, 2, side**2)
                assert form in ("direct", "matrices"), (w_in, w_out, side)


def test_kinds_that_were_not_measured():
    nothing = forms.find_table("cpu", "riscv64")
    assert nothing.of_convolution(9, 8, 1, 1, 1, 4) == "library"
    assert nothing.of_norm(8, 8, 2, 2) == "library"


def test_without_a_table_a_layer_is_the_librarys():
    torch.manual_seed(0)
    layer = conv2d(8, 8, 3, groups=8)
    x = torch.randn(2, 8, 2, 2)
    expected = torch.nn.functional.conv2d(x, layer.weight, padding=1, groups=8)
    assert torch.equal(layer(x), expected)
    assert layer.form == "library"
    use_forms(layer, AVX2)
    assert table_name(layer) == {"device": "cpu", "instruction_set": "avx2"}
    torch.testing.assert_close(layer(x), expected)
    assert count_forms(layer)["convolutions"] == {"direct": 1}
    use_forms(layer, None)
    assert table_name(layer) is None
    assert torch.equal(layer(x), expected)


@pytest.mark.parametrize(
    "x",
    [torch.randn(2, 8, 2, 2).bfloat16(), torch.randn(0, 8, 2, 2), torch.randn(8, 2, 2)],
    ids=["bfloat16", "no image", "no batch"],
)
def test_batches_that_kernels_do_not_take_go_to_the_library(x):
    layer = Conv2d(8, 8, 3, padding=1, groups=8, bias=False).to(x.dtype)
    use_forms(layer, AVX2)
    assert layer(x).shape == x.shape
    assert layer.form == "library"


def test_autocast_goes_to_the_library():
    layer = Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    use_forms(layer, AVX2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.randn(2, 8, 2, 2)).dtype == torch.bfloat16
    assert layer.form == "library"


def test_layer_with_a_bias_or_of_an_unknown_shape_still_computes():
    for layer in (Conv2d(8, 8, 3, padding=1, groups=8), Conv2d(4, 8, 1, stride=2, padding=1)):
        expected = layer(torch.ones(2, layer.in_channels, 2, 2))
        use_forms(layer, AVX2)
        torch.testing.assert_close(layer(torch.ones(2, layer.in_channels, 2, 2)), expected)


def test_without_the_compiler_all_is_the_librarys():
    code = """
        import sys
        sys.modules["llvmlite"] = None  # as where it is not installed
        import torch
        from pycls.kernels import forms
        from pycls.models.layers import conv2d, use_forms
        assert "llvmlite" in forms.why_unavailable()
        layer = conv2d(8, 8, 3, groups=8)
        use_forms(layer, forms.own_table())
        layer(torch.randn(2, 8, 2, 2)).sum().backward()
        assert layer.form == "library"
        assert forms.find_table("cpu", "avx2").instruction_set == "none"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
