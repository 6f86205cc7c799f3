"""Fixtures that several parts of the suite share."""

import gc
import json
import os
import signal
from pathlib import Path

import hypothesis
import pytest

TESTS = Path(__file__).parent
DATA = TESTS / "data"
# Those that hold what pycls itself gave; the tests that take one are marked `golden`.
GOLDEN = {"models_golden", "models_golden_float64", "training_golden"}
SLOW_FOLDERS = {TESTS / "integration", TESTS / "on_slurm"}

# Threads that wait for each other in small networks take the cores from what runs beside them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # of those that are given more threads

# Ignored by what a script has started in the background, and by all that this starts in turn.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.set_threshold(2000, 10, 20)  # fewer rounds through everything than by default

# The same examples each time, and none is failed for the time it takes on a busy machine. `make
# soak` draws others, and more of them.
EXAMPLES = int(os.environ.get("PYCLS_SOAK_EXAMPLES", "0"))
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=EXAMPLES or 100)
hypothesis.settings.load_profile("soak" if EXAMPLES else "suite")


def pytest_xdist_auto_num_workers():
    """Return one process more than there are cores: some tests wait for most of their time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (cores or 1) + 1


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items):
    """Mark what follows from a test's place or fixtures."""
    for item in items:
        if GOLDEN & set(getattr(item, "fixturenames", ())):
            item.add_marker("golden")
        if item.path.parent in SLOW_FOLDERS:
            item.add_marker("slow")


@pytest.fixture(scope="module", autouse=True)
def _loaded_is_not_garbage():
    """Take what is there by now out of the garbage collector's rounds.

    Those are imported libraries for the most part, over a million objects, and looking through
    them again and again would take up to a fifth of the time of a module.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def forked_python():
    """Have what is started as sys.executable forked where it may be; see forked_tools."""
    import forked_tools

    with forked_tools.in_place_of_python():
        yield


@pytest.fixture(scope="session")
def cifar_dir(tmp_path_factory):
    """Return a folder of prepared sets that holds a CIFAR-10 of 60 images."""
    from cifar_files import write_cifar10

    from pycls.datasets.preparation.prepare import prepare

    folder = tmp_path_factory.mktemp("cifar")
    prepare("cifar10", folder / "data", raw=write_cifar10(folder / "raw"))
    return folder / "data"


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
    """Return a folder of prepared sets that holds the digits."""
    from pycls.datasets.preparation.prepare import prepare

    folder = tmp_path_factory.mktemp("prepared")
    prepare("digits", folder)
    return folder


@pytest.fixture
def digits_cfg(digits_dir, tmp_path):
    """Return a function (*overrides) -> configuration of a small network on the digits."""
    from pycls.core.config import load_cfg

    def make(*overrides):
        path = Path(__file__).parent.parent / "configs" / "embedded" / "digits_anynet.yaml"
        where = ["DATA.DIR", str(digits_dir), "OUT_DIR", str(tmp_path / "run"), "DEVICE", "cpu"]
        return load_cfg(path, [*where, "NUM_THREADS", 1, "OPTIM.MAX_EPOCH", 3, *overrides])

    return make


@pytest.fixture(scope="session")
def models_golden():
    """Return the vectors that pycls itself gave for networks."""
    return json.loads((DATA / "models_golden.json").read_text())


@pytest.fixture(scope="session")
def models_golden_float64():
    """Return what pycls itself gave for the same networks in float64, by configuration."""
    return json.loads((DATA / "models_golden_float64.json").read_text())


@pytest.fixture(scope="session")
def training_golden():
    """Return the vectors that pycls itself gave for schedules, losses, widths and scaling."""
    return json.loads((DATA / "training_golden.json").read_text())
