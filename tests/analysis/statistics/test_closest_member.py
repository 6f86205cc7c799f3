import pytest

from pycls.analysis.statistics.proxies import closest_member
from pycls.errors import ConfigError

PAPER = {"imagenet_100": 100, "imagenet_10": 10, "imagenet_5": 5, "imagenet_2": 2}


@pytest.mark.parametrize(
    ("num_classes", "member"),
    [
        (2, "imagenet_2"),
        (9, "imagenet_10"),
        (7, "imagenet_5"),
        (291, "imagenet_100"),
        (6, "imagenet_5"),
        (10, "imagenet_10"),
        (100, "imagenet_100"),
    ],
)
def test_members_of_the_paper(num_classes, member):
    assert closest_member(num_classes, PAPER) == member


@pytest.mark.parametrize("members", [{"five": 5, "nine": 9}, {"nine": 9, "five": 5}])
def test_a_tie_goes_to_the_larger_member(members):
    assert closest_member(7, members) == "nine"


def test_no_members_is_named():
    with pytest.raises(ConfigError, match="family"):
        closest_member(3, {})
