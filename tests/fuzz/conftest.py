import pytest


@pytest.fixture(scope="module")
def any_path(tmp_path_factory):
    """Return a path for the examples of a module, one after the other."""
    return tmp_path_factory.mktemp("any") / "any"
