"""Kernels are compiled once, kept, and never taken from a damaged file."""

import os
import shutil
import subprocess
import textwrap

import forked_tools
import pytest

CODE = textwrap.dedent(
    """
    import torch
    from pycls.kernels.convolution import direct
    from pycls.kernels.taps import Window
    torch.manual_seed(0)
    x, weight = torch.randn(2, 8, 2, 2), torch.randn(8, 1, 3, 3)
    y = direct(x, weight, 8, Window((2, 2), (3, 3), (1, 1), (1, 1)))
    expected = torch.nn.functional.conv2d(x, weight, padding=1, groups=8)
    torch.testing.assert_close(y, expected)
    print(y.flatten().tolist())
    """
)


def run(cache, **environment):
    """Compute a convolution in a process of its own; return what it gave."""
    process = subprocess.run(
        forked_tools.command("-c", CODE),
        env={**os.environ, "PYCLS_CACHE": str(cache), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return process.stdout


def compiled(cache):
    """Return the time stamps of the kernels that are kept."""
    return {path.name: path.stat().st_mtime_ns for path in (cache / "kernels").glob("*.o")}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return a cache that one process has filled, and what that process gave; read only."""
    folder = tmp_path_factory.mktemp("kept")
    return folder, run(folder, OMP_NUM_THREADS="1")


@pytest.fixture
def filled(kept, tmp_path):
    """Return a copy of the filled cache, and what was given when it was filled."""
    shutil.copytree(kept[0], tmp_path / "cache")
    return tmp_path / "cache", kept[1]


def test_second_process_compiles_nothing(filled):
    cache, first = filled
    before = compiled(cache)
    assert before
    assert run(cache) == first
    assert compiled(cache) == before


@pytest.mark.parametrize("damage", [b"", b"\x00" * 100, None], ids=["empty", "zeros", "cut off"])
def test_damaged_kernel_is_compiled_anew(filled, damage):
    cache, first = filled
    for path in (cache / "kernels").glob("forward_*.o"):
        content = path.read_bytes()
        path.write_bytes(content[:-50] if damage is None else damage)
    assert run(cache) == first
    (path,) = (cache / "kernels").glob("forward_*.o")
    assert path.read_bytes() == content


def test_folder_that_cannot_be_written_costs_time_only(tmp_path):
    (tmp_path / "kernels").write_text("a file where the folder would be")
    assert run(tmp_path)


@pytest.mark.parametrize("threads", ["2", "5"])
def test_number_of_threads_does_not_change_a_sum_over_taps(kept, threads):
    cache, one_thread = kept
    assert run(cache, OMP_NUM_THREADS=threads) == one_thread


def test_many_processes_fill_the_cache_at_once(tmp_path):
    processes = [
        subprocess.Popen(
            forked_tools.command("-c", CODE),
            env={**os.environ, "PYCLS_CACHE": str(tmp_path)},
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    outputs = {process.communicate()[0] for process in processes}
    assert len(outputs) == 1
    assert all(process.returncode == 0 for process in processes)
    assert not list(tmp_path.rglob("*.partial*"))
