import numpy as np
import pytest

from pycls.errors import ConfigError
from pycls.spaces.bounds import Bounds

COLUMNS = {
    "flops": np.array([10, 20, 30, 40]),
    "params": np.array([1, 2, 3, 4]),
    "acts": np.array([5, 5, 5, 5]),
    "depth": np.array([[1, 1], [9, 9], [1, 2], [2, 3]]),
}


def test_rows_must_lie_in_every_bound_and_meet_every_condition():
    bounds = Bounds({"flops": (20, 40), "params": None, "acts": (0, 5)}, ["depth.sum() < 5"])
    assert bounds.names == {"flops", "acts", "depth"}
    assert bounds.accept(COLUMNS).tolist() == [False, False, True, False]


def test_what_each_rejects_is_counted_over_all_calls():
    where = ["depth.sum() < 5", "params >= 1"]
    bounds = Bounds({"flops": (15, 35), "num_stages": (2, 2)}, where)
    for _ in range(2):
        bounds.accept(COLUMNS | {"num_stages": np.array([2, 2, 3, 1])})
    lines = bounds.describe().splitlines()
    assert "  flops seen: 10 to 40; 2 were below 15 and 2 above 35" in lines
    assert "  params seen: 1 to 4" in lines
    assert "  acts seen: 5 to 5" in lines
    assert "  num_stages seen: 1 to 3; 2 were below 2 and 2 above 2" in lines
    assert "  depth seen: 1 to 9" in lines
    assert "  'depth.sum() < 5' rejected 4 of 8" in lines
    assert "  'params >= 1' rejected 0 of 8" in lines


def test_bounds_that_are_no_integers_are_exact():
    values = {"flops": np.array([2**53, 2**53 + 1, 2**53 + 2])}
    assert Bounds({"flops": (2**53 + 1, 2**53 + 1)}).accept(values).tolist() == [0, 1, 0]
    assert Bounds({"flops": (0.5, float("inf"))}).accept({"flops": np.array([0, 1])}).tolist() == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"num_stages": (4, 3)},), "num_stages: the bounds 4, 3 are the wrong way round"),
        (({}, "flops > 3"), "where is 'flops > 3', expected a list of expressions"),
        (({}, [3]), "where: 3 is no expression"),
        (({}, ["flop > 3"]), "where: expression 'flop > 3', column 1.*did you mean 'flops'"),
        (({}, ["lr > 3"], ("lr2",), "EXPRESSIONS"), "EXPRESSIONS: expression 'lr > 3'"),
    ],
)
def test_what_cannot_be_used_is_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Bounds(*arguments)
