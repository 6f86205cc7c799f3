"""Connects the processes of one training; with one process it does nothing at all."""

import contextlib
import ctypes
import inspect
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pycls.core.processes.faults import Fault, find_fault
from pycls.core.processes.world import LOOPBACK, Meeting, PeerLostError, World
from pycls.cores import usable_cores
from pycls.errors import ConfigError, RunError
from pycls.gpu_devices import is_gpu

TIMEOUT_S = 600.0

# For gloo's threads to let go of tensors, before an interpreter that ends is in their way.
_DRAIN_S = 0.02
# Renamed in PyTorch 2.13 or before.
_SYNC_BUFFERS = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)
_group_numbers = itertools.count()
_stores: dict[Meeting, dist.Store] = {}  # the main process's is the server: kept till it ends


def local_device(world: World, device: torch.device) -> torch.device:
    """Return the device of this process, its own GPU or the CPU; `device` is what DEVICE means.

    Raises:
        ConfigError: there are fewer GPUs than processes here, or DEVICE names one GPU for all.
    """
    if not is_gpu(device) or world.size == 1:
        return device
    if device.index is not None:
        raise ConfigError(
            f"DEVICE is '{device}', one GPU for {world.size} processes; set DEVICE cuda, or "
            "NUM_GPUS 1"
        )
    num_gpus = torch.cuda.device_count()
    if world.local_size <= num_gpus:
        return torch.device("cuda", world.local_rank)
    if num_gpus == 1 and world.started_by == "srun":
        return torch.device("cuda", 0)  # Slurm can show each task its own GPU only.
    raise ConfigError(
        f"NUM_GPUS is {world.size}, {world.local_size} on this machine, but it has {num_gpus} "
        f"GPUs that PyTorch sees (CUDA_VISIBLE_DEVICES hides others); set NUM_GPUS {num_gpus}, or "
        "DEVICE cpu"
    )


def cpu_threads(world: World) -> int:
    """Return the number of CPU threads for this process: its share of the cores.

    Never more than PyTorch would take by itself, so that OMP_NUM_THREADS still counts.
    """
    usable = usable_cores()
    share = usable // world.local_size
    if world.cores is not None:
        share = min(usable, world.cores)
    return max(1, min(torch.get_num_threads(), share))


@contextmanager
def process_group(
    world: World, device: torch.device, backend: str = "nccl", timeout_s: float = TIMEOUT_S
) -> Iterator[None]:
    """Connect the processes of a training for the time of a `with` block.

    Args:
        world: the processes.
        device: of this process (:func:`local_device`); a GPU becomes the current one.
        backend: what exchanges tensors on GPUs (DIST_BACKEND). Those on the CPU go by gloo.
        timeout_s: how long one process waits for the others, in seconds.

    Raises:
        PeerLostError: another process ended, or did not come.
        ConfigError: two processes have one GPU.
        RunError: no port to meet on is free.
    """
    if is_gpu(device) and device.index is not None:
        torch.cuda.set_device(device)
    if world.size == 1:
        yield
        return
    with _peers_explained(world):
        _connect(world, device, backend, timedelta(seconds=timeout_s))
        _keep_forever(dist.group.WORLD)
        try:
            yield
            # The main process keeps the meeting place: it must not leave first.
            wait_for_all(world)
            time.sleep(_DRAIN_S)
        finally:
            dist.destroy_process_group()


def sum_over(world: World, tensor: torch.Tensor) -> torch.Tensor:
    """Replace a tensor by its sum over the processes, in place, and return it."""
    if world.size > 1:
        dist.all_reduce(tensor)
    return tensor


def mean_over(world: World, tensor: torch.Tensor) -> torch.Tensor:
    """Replace a floating-point tensor by its mean over the processes, and return it."""
    return sum_over(world, tensor).div_(world.size)


def any_over(world: World, flag: bool) -> bool:
    """Say, the same in all processes, whether a flag is set in one of them.

    Goes by the CPU: it does not wait for the GPU.
    """
    if world.size == 1:
        return flag
    flags = torch.tensor(int(flag))
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return bool(flags.item())


def wait_for_all(world: World) -> None:
    """Return when every process has come here."""
    any_over(world, False)


def wrap(model: nn.Module, world: World, device: torch.device) -> nn.Module:
    """Return a network whose gradients are means over the processes.

    Parameters and buffers become those of the main process. From then on buffers are each
    process's own, without an exchange at every step; :func:`buffers_from_main` before testing
    gives what an exchange at every step would: the main process's.

    Args:
        model: on `device`, in its final memory layout.
        world: the processes.
        device: of this process.
    """
    if world.size == 1:
        return model
    buffers_from_main(world, model)
    options: dict[str, Any] = {_SYNC_BUFFERS: False, "gradient_as_bucket_view": True}
    if is_gpu(device):
        options["device_ids"] = [device]
    return DistributedDataParallel(model, **options)


@torch.no_grad()
def buffers_from_main(world: World, model: nn.Module) -> None:
    """Give a network the buffers (statistics of batch norm) of the main process."""
    if world.size == 1:
        return
    by_type: dict[torch.dtype, list[torch.Tensor]] = {}
    for buffer in model.buffers():
        by_type.setdefault(buffer.dtype, []).append(buffer)
    for buffers in by_type.values():
        flat = torch.cat([buffer.reshape(-1) for buffer in buffers])
        dist.broadcast(flat, src=0)
        for buffer, values in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
            buffer.copy_(values.view_as(buffer))


def _connect(world: World, device: torch.device, backend: str, timeout: timedelta) -> None:
    # Small things (flags, objects) go by gloo on the CPU, beside what the GPU is busy with.
    backends = f"cpu:gloo,cuda:{backend}" if is_gpu(device) else "gloo"
    if world.meeting is None:
        dist.init_process_group(backends, init_method="env://", timeout=timeout)
        return
    # A second group of the same processes must not read what the first left in the store.
    prefix = f"{world.meeting.name}/{next(_group_numbers)}"
    if world.meeting not in _stores:
        meet = _open_store if world.is_main else _find_store
        _stores[world.meeting] = meet(world.meeting, timeout)
    store = dist.PrefixStore(prefix, _stores[world.meeting])
    dist.init_process_group(
        backends, store=store, rank=world.rank, world_size=world.size, timeout=timeout
    )


def _keep_forever(group: object) -> None:
    """Never let a process group be freed.

    Freeing waits for gloo's threads while it holds Python's interpreter lock; they may wait for
    that lock, to free a tensor, or for a process that is gone (pytorch/pytorch issue 56297).
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(group))


def _open_store(meeting: Meeting, timeout: timedelta) -> dist.Store:
    """Return the store that all processes share, which this one serves."""
    if meeting.listen_fd is not None:
        return _serve_store(meeting.ports[0], meeting.listen_fd, timeout)
    address = LOOPBACK if meeting.hosts == (LOOPBACK,) else ""
    for port in meeting.ports:
        try:
            door = socket.create_server((address, port))
        except OSError:
            continue
        listener = socket.create_server((address, 0))
        store_port = listener.getsockname()[1]
        store = _serve_store(store_port, listener.detach(), timeout)
        answer = f"{meeting.name} {store_port}\n".encode()
        threading.Thread(target=_answer_the_door, args=(door, answer), daemon=True).start()
        return store
    raise RunError(
        f"no port to meet on is free on {meeting.hosts[0]} (tried "
        f"{', '.join(map(str, meeting.ports))}); give another PORT_RANGE"
    )


def _serve_store(port: int, listen_fd: int, timeout: timedelta) -> dist.Store:
    return dist.TCPStore(
        LOOPBACK,
        port,
        is_master=True,
        timeout=timeout,
        wait_for_workers=False,
        master_listen_fd=listen_fd,
    )


def _answer_the_door(door: socket.socket, answer: bytes) -> None:
    """Tell everybody who comes whose training this is, and where its store is."""
    while True:
        with contextlib.suppress(OSError):  # who leaves at once is none of ours
            visitor, _ = door.accept()
            with visitor:
                visitor.sendall(answer)


def _find_store(meeting: Meeting, timeout: timedelta) -> dist.Store:
    """Return the store of this training, once the main process serves it."""
    if meeting.is_open:
        return _join_store(meeting.hosts[0], meeting.ports[0], timeout)
    deadline = time.monotonic() + timeout.total_seconds()
    while time.monotonic() < deadline:
        for port, host in itertools.product(meeting.ports, meeting.hosts):
            store_port = _ask_at(host, port, meeting.name)
            if store_port is not None:
                return _join_store(host, store_port, timeout)
        time.sleep(0.1)
    raise PeerLostError(
        f"the main process was not to be found on {' or '.join(meeting.hosts)} within "
        f"{timeout.total_seconds():.0f} s (ports {', '.join(map(str, meeting.ports))})"
    )


def _join_store(host: str, port: int, timeout: timedelta) -> dist.Store:
    return dist.TCPStore(host, port, is_master=False, timeout=timeout, wait_for_workers=False)


def _ask_at(host: str, port: int, name: str) -> int | None:
    """Return the port of the training's store, or None where its main process is not here."""
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            words = connection.makefile("rb").readline(200).decode(errors="replace").split()
    except OSError:
        return None
    return int(words[1]) if len(words) == 2 and words[0] == name else None


@contextmanager
def _peers_explained(world: World) -> Iterator[None]:
    """Say in words what PyTorch raises when another process is gone, or has the same GPU."""
    try:
        yield
    except RuntimeError as error:
        fault = find_fault(error)
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        if fault is Fault.DUPLICATE_GPU:
            raise ConfigError(
                f"process {world.rank} of {world.size} has the GPU of another one, which NCCL does "
                "not allow; give each process its own (NUM_GPUS at most the number of GPUs; under "
                "srun --gpus-per-task=1), or set DIST_BACKEND gloo"
            ) from error
        if fault is not Fault.PEER_LOST:
            raise
        raise PeerLostError(
            f"process {world.rank} of {world.size} lost the connection to another one, whose own "
            f"message says why ({first_line})"
        ) from error
