"""Conditions on drawn rows, written as expressions: `depth.sum() <= 20`.

An expression is parsed by Python's own grammar, but only what is listed here has a meaning:
numbers, texts, the names of columns (with dots, such as OPTIM.BASE_LR), arithmetic,
comparisons (chained too), and, or, not, [i], .sum() .min() .max() .mean() .prod() .any()
.all(), abs, log, log2 and sqrt. Nothing of Python can be reached from it. It is evaluated for
all rows at once, in float64.
"""

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.yaml_sections import near_miss

Columns = Mapping[str, NDArray]
_Evaluate = Callable[[Columns], Any]

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
# NumPy's functions of these names.
_FUNCTIONS = ("abs", "log", "log2", "sqrt")
_METHODS = ("sum", "min", "max", "mean", "prod", "any", "all")
_LONGEST = 2000
_DEEPEST = 50


class Expression:
    """A condition on rows.

    Attributes:
        text: the expression as written.
        names: the columns it needs.
    """

    def __init__(self, text: str, known: Iterable[str], where: str = "") -> None:
        """Parse an expression.

        Args:
            text: the expression.
            known: the names that columns may have, with dots where keys have them.
            where: where it stands, for messages.

        Raises:
            ConfigError: says at which column what is wrong, and what is known.
        """
        self.text = text
        self._known = tuple(known)
        self._where = f"{where}: " if where else ""
        self._used: set[str] = set()
        if not isinstance(text, str):
            raise ConfigError(f"{self._where}{text!r} is no expression; expected a text")
        if len(text) > _LONGEST:
            raise ConfigError(f"{self._where}an expression of more than {_LONGEST} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except SyntaxError as error:
            raise self._error(error.offset or 1, str(error.msg)) from None
        except (ValueError, MemoryError, RecursionError):
            raise self._error(1, "cannot be read (nested too deeply, or a character)") from None
        self._evaluate = self._compile(tree.body, 0)
        self.names = frozenset(self._used)
        if not self.names:
            raise self._error(1, "names no column, so it says nothing about a row")

    def evaluate(self, columns: Columns) -> NDArray[np.bool_]:
        """Say which rows meet the condition.

        Args:
            columns: {name: n values, or n x S} for each of `names`.

        Returns:
            n truth values. A comparison with what is no number (0 / 0) is false.

        Raises:
            ConfigError: parts do not go together (a list where one number is needed, a
                stage that does not exist), or the result is no truth value a row.
        """
        with np.errstate(all="ignore"):
            result = np.asarray(self._evaluate(columns))
        if result.dtype != np.bool_:
            raise self._error(1, "gives a number; expected a condition, with a comparison")
        if result.ndim == 2:
            raise self._error(1, "gives one answer a stage; close with .all() or .any()")
        rows = len(next(iter(columns.values())))
        return np.broadcast_to(result, (rows,))

    def _error(self, column: int, problem: str) -> ConfigError:
        return ConfigError(
            f"{self._where}expression '{self.text}', column {column}: {problem}\n"
            f"known names: {', '.join(self._known)}; beside them numbers, + - * / // % **, "
            f"comparisons, and, or, not, [i], {', '.join(f'.{name}()' for name in _METHODS)}, "
            f"{', '.join(f'{name}()' for name in _FUNCTIONS)}"
        )

    def _refuse(self, node: ast.AST, problem: str) -> ConfigError:
        return self._error(getattr(node, "col_offset", 0) + 1, problem)

    def _compile(self, node: ast.expr, depth: int) -> _Evaluate:
        """Return a function from columns to the value of a part."""
        if depth > _DEEPEST:
            raise self._refuse(node, f"nested more than {_DEEPEST} deep")
        if isinstance(node, ast.Constant):
            return self._constant(node)
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self._column(node)
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return self._binary(node, depth + 1)
        if isinstance(node, ast.UnaryOp):
            return self._unary(node, depth + 1)
        if isinstance(node, ast.BoolOp):
            return self._logical(node, depth + 1)
        if isinstance(node, ast.Compare):
            return self._compare(node, depth + 1)
        if isinstance(node, ast.Subscript):
            return self._item(node, depth + 1)
        if isinstance(node, ast.Call):
            return self._call(node, depth + 1)
        raise self._refuse(node, f"'{ast.unparse(node)}' is not possible here")

    def _constant(self, node: ast.Constant) -> _Evaluate:
        value: Any = node.value
        if isinstance(value, bool):
            value = np.bool_(value)
        elif isinstance(value, (int, float)):
            try:
                value = np.float64(value)
            except OverflowError:
                raise self._refuse(node, "the number is too large") from None
        elif not isinstance(value, str):
            raise self._refuse(node, f"{value!r} is not possible here")
        return lambda columns: value

    def _column(self, node: ast.Name | ast.Attribute) -> _Evaluate:
        name = _dotted(node)
        if name is None or name not in self._known:
            shown = name or ast.unparse(node)
            hint = near_miss(shown, self._known)
            raise self._refuse(node, f"the name '{shown}' is not known; {hint}".rstrip("; "))
        self._used.add(name)

        def read(columns: Columns) -> Any:
            values = np.asarray(columns[name])
            if values.dtype.kind in "iuf":
                return values.astype(np.float64)
            return values

        return read

    def _binary(self, node: ast.BinOp, depth: int) -> _Evaluate:
        left, right = self._compile(node.left, depth), self._compile(node.right, depth)
        combine = _BINARY[type(node.op)]

        def evaluate(columns: Columns) -> Any:
            pair = self._aligned(node, left(columns), right(columns))
            return combine(*(self._number(node, value) for value in pair))

        return evaluate

    def _unary(self, node: ast.UnaryOp, depth: int) -> _Evaluate:
        operand = self._compile(node.operand, depth)
        if isinstance(node.op, ast.Not):
            return lambda columns: np.logical_not(self._truth(node, operand(columns)))
        if isinstance(node.op, (ast.USub, ast.UAdd)):
            sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
            return lambda columns: sign * self._number(node, operand(columns))
        raise self._refuse(node, "~ is not possible here; write 'not'")

    def _logical(self, node: ast.BoolOp, depth: int) -> _Evaluate:
        parts = [self._compile(value, depth) for value in node.values]
        combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or

        def evaluate(columns: Columns) -> Any:
            result = self._truth(node, parts[0](columns))
            for part in parts[1:]:
                pair = self._aligned(node, result, self._truth(node, part(columns)))
                result = combine(*pair)
            return result

        return evaluate

    def _compare(self, node: ast.Compare, depth: int) -> _Evaluate:
        for op in node.ops:
            if type(op) not in _COMPARISONS:
                raise self._refuse(node, "in, not in and is are not possible here")
        parts = [self._compile(part, depth) for part in (node.left, *node.comparators)]
        compare = [_COMPARISONS[type(op)] for op in node.ops]

        def evaluate(columns: Columns) -> Any:
            values = [part(columns) for part in parts]
            result: Any = np.bool_(True)
            for i, one in enumerate(compare):
                left, right = self._aligned(node, values[i], values[i + 1])
                if one not in (operator.eq, operator.ne):
                    left, right = self._number(node, left), self._number(node, right)
                answer = np.asarray(one(left, right)).astype(np.bool_)
                result = np.logical_and(*self._aligned(node, result, answer))
            return result

        return evaluate

    def _item(self, node: ast.Subscript, depth: int) -> _Evaluate:
        operand = self._compile(node.value, depth)
        try:
            index = ast.literal_eval(node.slice)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            index = None
        if not isinstance(index, int) or isinstance(index, bool):
            raise self._refuse(node, "[...] takes the number of a stage, from 0")

        def evaluate(columns: Columns) -> Any:
            values = self._list(node, operand(columns))
            if not -values.shape[1] <= index < values.shape[1]:
                raise self._refuse(node, f"[{index}] of {values.shape[1]} values (0 is the first)")
            return values[:, index]

        return evaluate

    def _call(self, node: ast.Call, depth: int) -> _Evaluate:
        function = node.func
        if node.keywords:
            raise self._refuse(node, "arguments with names are not possible here")
        if isinstance(function, ast.Name) and function.id in _FUNCTIONS:
            if len(node.args) != 1:
                raise self._refuse(node, f"{function.id}() takes one value")
            operand, apply = self._compile(node.args[0], depth), getattr(np, function.id)
            return lambda columns: apply(self._number(node, operand(columns)))
        if isinstance(function, ast.Attribute) and function.attr in _METHODS:
            if node.args:
                raise self._refuse(node, f".{function.attr}() takes no argument")
            operand, reduce = self._compile(function.value, depth), getattr(np, function.attr)
            needs_truth = function.attr in ("any", "all")
            check = self._truth if needs_truth else self._number
            return lambda columns: reduce(check(node, self._list(node, operand(columns))), axis=1)
        raise self._refuse(node, f"'{ast.unparse(function)}' cannot be called")

    def _aligned(self, node: ast.AST, left: Any, right: Any) -> tuple[Any, Any]:
        """Return two values that broadcast: one number a row beside a list a row."""
        sizes = [np.ndim(left), np.ndim(right)]
        if sizes == [1, 2]:
            left = np.asarray(left)[:, np.newaxis]
        elif sizes == [2, 1]:
            right = np.asarray(right)[:, np.newaxis]
        elif sizes == [2, 2] and left.shape[1] != right.shape[1]:
            raise self._refuse(node, f"lists of {left.shape[1]} and {right.shape[1]} values")
        return left, right

    def _number(self, node: ast.AST, value: Any) -> Any:
        kind = np.asarray(value).dtype.kind
        if kind not in "bf":
            raise self._refuse(node, "a text or list, where a number is needed")
        return np.asarray(value, dtype=np.float64) if kind == "b" else value

    def _truth(self, node: ast.AST, value: Any) -> Any:
        if np.asarray(value).dtype.kind != "b":
            raise self._refuse(node, "a number, where a condition is needed; write a comparison")
        return value

    def _list(self, node: ast.AST, value: Any) -> NDArray:
        if np.ndim(value) != 2:
            raise self._refuse(node, "one value a row, where a list (one value a stage) is needed")
        return value


def _dotted(node: ast.expr) -> str | None:
    """Return the name that a chain of attributes spells; None if it is anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])
