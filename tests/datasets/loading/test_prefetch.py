import threading
import time

import pytest
from processes import wait_until

from pycls.datasets.loading.streamed import prefetch


def own_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("pycls-prefetch")]


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_results_come_in_order(threads, count):
    def make(number):
        time.sleep((number * 7 % 3) / 1000)
        return number

    assert list(prefetch(make, count, threads)) == list(range(count))
    assert not own_threads()


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_is_made_than_the_bound(threads):
    made, lock, most = [0], threading.Lock(), []

    def make(number):
        with lock:
            made[0] += 1
        return number

    for taken, _ in enumerate(prefetch(make, 40, threads), start=1):
        wait_until(lambda taken=taken: made[0] > taken or taken == 40)
        time.sleep(0.002)
        most.append(made[0] - taken)
    assert max(most) <= threads + 1


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_where_its_result_would(threads):
    def make(number):
        if number == 4:
            raise ValueError("number 4 is broken")
        return number

    found = []
    with pytest.raises(ValueError, match="number 4 is broken"):
        found.extend(prefetch(make, 10, threads))
    assert not own_threads()
    taken = prefetch(make, 10, threads)
    assert [next(taken) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="number 4 is broken"):
        next(taken)


def test_leaving_early_ends_the_threads():
    made = []
    for number in prefetch(lambda n: made.append(n) or n, 1000, 2):
        if number == 3:
            assert own_threads()
            break
    assert not own_threads()
    assert len(made) < 10


def test_nothing_is_made_before_it_is_asked_for():
    taken = prefetch(pytest.fail, 5, 2)
    assert not own_threads()
    taken.close()
