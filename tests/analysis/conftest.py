import pytest
from synthetic_study import write_study
from synthetic_sweep import write_sweep_json

from pycls.analysis.figures.style import RC
from pycls.analysis.sweep.sweep_json import load_sweep


@pytest.fixture(scope="module", autouse=True)
def given_fonttype():
    """Keep the fonts of PDFs as drawings meanwhile; return what they are kept as otherwise.

    To cut a TrueType font down to the letters of a figure takes more time than to draw it.
    """
    given = RC["pdf.fonttype"]
    RC["pdf.fonttype"] = 3
    yield given
    RC["pdf.fonttype"] = given


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory):
    """A simulated study of 32 architectures with one failed run; read only."""
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def load_runs(tmp_path):
    """Return a function (runs, options of load_sweep) -> the sweep."""

    def load_runs(runs, name="rates", **options):
        return load_sweep(write_sweep_json(tmp_path / name, runs), name, **options)

    return load_runs
