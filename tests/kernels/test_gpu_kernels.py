"""Kernels for GPUs without a GPU: in Triton's interpreter, and through its compiler."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip(
    "triton", reason="triton is not installed (pip install -r requirements-triton.txt)"
)

PROGRAM = Path(__file__).with_name("interpreted_kernels.py")


@pytest.mark.slow
def test_kernels_equal_float64_in_tritons_interpreter():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PROGRAM)],
        capture_output=True, text=True, check=False, env=os.environ | {"TRITON_INTERPRET": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from pycls.kernels import gpu_convolution_code, gpu_crop_code, gpu_norm_code

def compiles(kernel, types, fixed, **options):
    names = kernel.arg_names
    kinds = {name: "constexpr" if name in fixed else types.get(name, "i32") for name in names}
    fixed = {(names.index(name),): value for name, value in fixed.items()}
    source = ASTSource(kernel, kinds, constexprs=fixed)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]

image, real = "*bf16", "*fp32"
types = dict(
    x=image, y=image, gradient=image, second=image, kept=image, parts=real, saved=real, weight=real,
    bias=real, running_mean=real, running_var=real, counter="*i64", momentum="fp32", eps="fp32",
)
tile = dict(UNIT=8, BR=32, BC=32)
assert compiles(gpu_norm_code.sum_forward, types, tile)
# Numbers that are 1 are known at compilation.
assert compiles(gpu_norm_code.finish_forward, types, dict(spans=1, BP=32, BC=32))
flags = dict(TWO=True, RELU=True, FROM_Y=True, KEEPS=True)
assert compiles(gpu_norm_code.sum_backward, types, tile | flags)
fixed = dict(UNIT=8, G=8, T=32, STRIDE=1, BR=64, PRECISION="tf32", height=1, width=1)
assert "mma" in compiles(gpu_convolution_code.sum_weights, types, fixed)
pixels = dict(images="*u8", rows="*i64", drawn="*i64", light=real, scale=real, shift=real)
fixed = dict(BLOCK=1024, CUT=True, RESIZED=True, LIT=True, LAST=True, border=1)
code = compiles(
    gpu_crop_code.make_batch, types | pixels | dict(inverse="fp32"), fixed, enable_fp_fusion=False
)
assert code and "fma" not in code  # the library's operations round one by one
"""


@pytest.mark.slow
def test_kernels_compile_for_a_gpu_that_is_not_here(tmp_path):
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
