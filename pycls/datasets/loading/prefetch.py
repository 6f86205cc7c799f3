"""Computing the next batches in threads while the present one is used."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(make: Callable[[int], T], count: int, threads: int) -> Iterator[T]:
    """Yield ``make(0)``, ``make(1)``, ... in this order, made ahead by threads.

    At most `threads` + 1 results are made or being made and not yet taken. An error in `make`
    is raised where its result would have come. Closing the iterator early ends the threads, and
    waits for what they are doing. The threads belong to the iteration: a process that is forked
    in the midst of one can begin its own.

    Args:
        make: called with 0 .. count - 1, by several threads at once.
        count: how many.
        threads: how many threads, at least 1.
    """
    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="pycls-prefetch") as pool:
        try:
            for number in range(count):
                pending.append(pool.submit(make, number))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
