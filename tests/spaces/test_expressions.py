import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.errors import ConfigError
from pycls.spaces.expressions import Expression

COLUMNS = {
    "depth": np.array([[1, 2, 3], [4, 5, 6], [2, 2, 2]]),
    "width": np.array([[8, 16, 24], [8, 8, 8], [64, 32, 16]]),
    "bot_mul": np.array([[0.5, 1.0, 0.25], [1.0, 1.0, 1.0], [0.5, 0.5, 0.5]]),
    "flops": np.array([100, 2**52 + 1, 300]),
    "OPTIM.BASE_LR": np.array([0.1, 0.5, 2.0]),
    "OPTIM.WEIGHT_DECAY": np.array([0.3, 0.5, 0.0]),
    "OPTIM.NESTEROV": np.array([True, False, True]),
    "OPTIM.OPTIMIZER": np.array(["sgd", "adam", "sgd"], dtype=object),
    "REGNET.WA": np.array([20.1, 20.0, 30.0]),
}


def holds(text):
    return Expression(text, COLUMNS).evaluate(COLUMNS).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("depth.sum() <= 6", [True, False, True]),
        ("flops > 200", [False, True, True]),
        ("flops == 4503599627370497", [False, True, False]),
        ("REGNET.WA > 20", [True, False, True]),
        ("OPTIM.BASE_LR * 2 < OPTIM.WEIGHT_DECAY", [True, False, False]),
        ("2 <= depth[0] < 4", [False, False, True]),
        ("depth[-1] == 6 or depth[0] == 1", [True, True, False]),
        ("not depth.max() > 3", [True, False, True]),
        ("(depth >= 2).all() and flops < 1e6", [False, False, True]),
        ("(depth > 2 and width > 16).any()", [True, False, False]),
        ("(depth > 2).sum() == 1", [True, False, False]),
        ("(depth * width).sum() > 120", [False, False, True]),
        ("(width * OPTIM.BASE_LR).max() > 100", [False, False, True]),
        ("(OPTIM.BASE_LR * width).min() <= 0.8", [True, False, False]),
        ("depth.prod() == 8", [False, False, True]),
        ("depth.mean() == 5", [False, True, False]),
        ("bot_mul.min() == 0.5", [False, False, True]),
        ("abs(OPTIM.BASE_LR - 0.5) < 1e-9", [False, True, False]),
        ("log2(width).sum() == 9", [False, True, False]),
        ("sqrt(depth[0]) == 2 or log(OPTIM.BASE_LR) > 0.6", [False, True, True]),
        ("-depth[0] < -3", [False, True, False]),
        ("depth[0] // 2 * 2 == depth[0]", [False, True, True]),
        ("depth[0] % 2 == 1", [True, False, False]),
        ("2 ** depth[0] > 3", [False, True, True]),
        ("flops / OPTIM.WEIGHT_DECAY > 1e18", [False, False, True]),
        ("OPTIM.WEIGHT_DECAY / OPTIM.WEIGHT_DECAY == 1", [True, True, False]),
        ("OPTIM.OPTIMIZER == 'sgd'", [True, False, True]),
        ("OPTIM.OPTIMIZER != 'sgd' or OPTIM.NESTEROV", [True, True, True]),
        ("not OPTIM.NESTEROV", [False, True, False]),
        ("OPTIM.NESTEROV == True", [True, False, True]),
        ("OPTIM.OPTIMIZER == 3", [False, False, False]),
        ("  flops > 200 ", [False, True, True]),
        ("flops < 9 ** 9 ** 9 ** 9", [True, True, True]),
        ("flops > 0 and (depth > 0).any()", [True, True, True]),
    ],
)
def test_what_expressions_mean(text, expected):
    assert holds(text) == expected


def test_the_columns_needed_are_told():
    expression = Expression("depth.sum() <= 20 and OPTIM.BASE_LR < 1", COLUMNS)
    assert expression.names == {"depth", "OPTIM.BASE_LR"}
    few = {name: COLUMNS[name] for name in expression.names}
    assert expression.evaluate(few).tolist() == [True, True, False]


BREAK_OUTS = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "depth.__class__",
    "depth.sum.__globals__",
    "depth.tofile('/tmp/x')",
    "depth.dump('/tmp/x')",
    "flops.ctypes",
    "OPTIM.__class__",
    "(lambda: 1)() > flops",
    "[x for x in depth]",
    "{**depth}",
    "f'{depth}' == 'a'",
    "depth if flops else width",
    "(flops := 1) > 0",
    "eval('1') > flops",
    "exec('1') > flops",
    "getattr(depth, 'sum')() > 1",
    "sum(depth) > 1",
    "np.load('x') > flops",
    "depth.sum(axis=0) > 1",
    "depth.sum(0) > 1",
    "log(depth, depth) > 1",
    "depth[flops] > 1",
    "depth[0:2] > 1",
    "depth[0, 1] > 1",
    "depth['a'] > 1",
    "depth[10**9**9] > 1",
    "flops > 1; flops",
    "import os",
    "flops in depth",
    "flops is 3",
    "flops > None",
    "flops > b'x'",
    "flops > 1j",
    "flops > ...",
    "~depth > 1",
    "depth @ width > 1",
    "depth << 3 > 1",
    "*depth",
    "yield flops",
    "await flops",
    "(-" * 400 + "flops" + ")" * 400 + "> 0",
    "not " * 300 + "flops > 0",
    "(" * 900 + "flops" + ")" * 900 + "> 0",
    "flops > 1\0",
    "flops > " + "1" * 1900,
    "flops" + " " * 3000,
    "",
]


@pytest.mark.parametrize("text", BREAK_OUTS, ids=range(len(BREAK_OUTS)))
def test_nothing_of_python_can_be_reached(text):
    with pytest.raises(ConfigError, match=r"expression|characters"):
        Expression(text, COLUMNS, "here").evaluate(COLUMNS)


WORDS = (
    "depth flops OPTIM.BASE_LR . ( ) [ ] 0 1 2.5 + - * / ** % < <= == and or not .sum() .any() "
    "abs( , 'a' True"
)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS.split(" ")), max_size=14).map(" ".join))
def test_any_text_gives_truth_values_or_an_explanation(text):
    try:
        result = Expression(text, COLUMNS).evaluate(COLUMNS)
    except ConfigError:
        return
    assert result.dtype == np.bool_
    assert result.shape == (3,)


@settings(max_examples=100)
@given(
    rows=st.lists(
        st.tuples(st.integers(1, 16), st.integers(1, 16), st.floats(0.01, 100)),
        min_size=1,
        max_size=20,
    ),
    limit=st.integers(2, 32),
)
def test_rows_are_judged_as_one_by_one(rows, limit):
    columns = {
        "depth": np.array([row[:2] for row in rows]),
        "K.RATE": np.array([row[2] for row in rows]),
    }
    text = f"depth.sum() <= {limit} and log(K.RATE) / 2 < depth[1] - 3 or depth.max() == 7"
    expected = [
        (a + b <= limit and math.log(rate) / 2 < b - 3) or max(a, b) == 7 for a, b, rate in rows
    ]
    assert Expression(text, columns).evaluate(columns).tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dept.sum() < 3", r"column 1: the name 'dept' is not known; did you mean 'depth'\?"),
        ("flops > 3 and OPTIM.BASE_L < 1", "column 15: the name 'OPTIM.BASE_L' is not known"),
        ("flops > ", "column "),
        ("flops >> 3", "column 1: 'flops >> 3' is not possible here"),
        ("flops.sum() > 3", "column 1: one value a row, where a list"),
        ("flops[0] > 3", "one value a row, where a list"),
        ("depth[3] > 3", r"column 1: \[3\] of 3 values"),
        ("depth > 3", r"one answer a stage; close with .all\(\) or .any\(\)"),
        ("depth.sum()", "gives a number; expected a condition"),
        ("flops and depth[0]", "a number, where a condition is needed"),
        ("not flops", "a number, where a condition is needed"),
        ("depth.any()", "a number, where a condition is needed"),
        ("OPTIM.OPTIMIZER < 3", "a text or list, where a number is needed"),
        ("OPTIM.OPTIMIZER + 1 > 3", "a text or list, where a number is needed"),
        ("1 < 2", "names no column"),
    ],
)
def test_mistakes_are_named_with_the_column(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        Expression(text, COLUMNS, "sweep.yaml, line 3").evaluate(COLUMNS)
    assert str(caught.value).startswith(f"sweep.yaml, line 3: expression '{text}'")
    assert "known names: depth, width" in str(caught.value)


def test_lists_of_unequal_lengths_do_not_go_together():
    columns = {"a": np.ones((2, 3)), "b": np.ones((2, 4))}
    with pytest.raises(ConfigError, match="lists of 3 and 4 values"):
        Expression("(a < b).any()", columns).evaluate(columns)
