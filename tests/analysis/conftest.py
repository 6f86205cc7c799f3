import pytest
from synthetic_study import write_study


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory):
    """A simulated study of 32 architectures with one failed run; read only."""
    return write_study(tmp_path_factory.mktemp("study"))
