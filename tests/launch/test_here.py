"""What a launch on this machine finds out before it divides it."""

import pytest

from pycls.launch.here import _use_gpus
from pycls.launch.work import WorkRun


@pytest.mark.parametrize(
    ("texts", "overrides", "expected"),
    [
        (["OUT_DIR: a\n"], (), True),
        (["DEVICE: cpu\n"], (), False),
        (["DEVICE: cpu\n", "DEVICE: auto\n"], (), True),
        (["DEVICE: cpu\n"], ("DEVICE", "cuda"), True),
        (["OUT_DIR: a\n"], ("DEVICE", "cpu"), False),
    ],
)
def test_runs_that_compute_on_the_cpu_are_not_put_on_gpus(tmp_path, texts, overrides, expected):
    runs = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        runs.append(WorkRun(f"a/{number}", str(number), path, tmp_path, None, None))
    assert _use_gpus(runs, overrides) is expected
