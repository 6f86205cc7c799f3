"""What is done in steps, between which the process may do something else."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
# Its end has a result.
Steps = Generator[None, None, T]


def to_the_end(steps: Steps[T]) -> T:
    """Do all steps, one after another, and return their result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
