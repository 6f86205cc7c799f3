import gc
import threading

import numpy as np
import pytest
import torch

from pycls.datasets.loading.buffers import BufferPool

LARGE = (4, 512, 512, 3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("shape", [(2, 3), LARGE, (0, 3)])
def test_tensors_are_what_was_asked_for(shape, dtype):
    tensor = BufferPool().empty(shape, dtype)
    assert tensor.shape == shape
    assert tensor.dtype == dtype
    assert tensor.is_contiguous()
    assert tensor.numel() < 100 or tensor.data_ptr() % 64 == 0
    tensor.fill_(7)
    assert (tensor == 7).all()


def test_memory_is_used_again_when_nobody_holds_it():
    pool = BufferPool()
    first = pool.empty(LARGE, torch.float32)
    address = first.data_ptr()
    assert pool.empty(LARGE, torch.float32).data_ptr() != address
    del first
    again = pool.empty(LARGE, torch.float32)
    other = pool.empty(LARGE, torch.float32)
    assert address in (again.data_ptr(), other.data_ptr())


@pytest.mark.parametrize(
    "hold",
    [
        lambda t: t.permute(0, 3, 1, 2),
        lambda t: t[1:2, 5],
        lambda t: t.view(-1),
        lambda t: t.detach(),
        lambda t: t.numpy(),
        lambda t: t.numpy()[0, ::2],
        lambda t: torch.from_numpy(t.numpy()[1:]),
        lambda t: memoryview(t.numpy()),
        lambda t: (t.clone().requires_grad_() * t).sum(),
    ],
    ids=[
        "permuted",
        "part",
        "flat",
        "detached",
        "array",
        "array part",
        "wrapped",
        "bytes",
        "graph",
    ],
)
def test_memory_that_is_held_in_any_way_stays(hold):
    pool = BufferPool()
    tensor = pool.empty(LARGE, torch.float32).fill_(3)
    held, address = hold(tensor), tensor.data_ptr()
    del tensor
    gc.collect()
    others = [pool.empty(LARGE, torch.float32) for _ in range(4)]
    assert address not in [other.data_ptr() for other in others]
    if isinstance(held, np.ndarray | torch.Tensor) and not getattr(held, "grad_fn", None):
        for other in others:
            other.fill_(9)
        assert (held == 3).all()


def test_no_more_is_kept_than_the_bound():
    pool = BufferPool(most_free=2)
    tensors = [pool.empty(LARGE, torch.uint8) for _ in range(6)]
    del tensors
    assert sum(map(len, pool._free.values())) == 2


def test_many_threads_never_share_a_block():
    pool, wrong = BufferPool(), []

    def work(value):
        for _ in range(50):
            tensor = pool.empty((3 << 20,), torch.uint8)
            tensor[::4096] = value
            if not (tensor[::4096] == value).all():
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
