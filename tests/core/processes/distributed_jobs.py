"""What the processes of test_distributed.py run."""

import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path

CPU = "cpu"


def no_torch(world):
    return {"rank": world.rank, "size": world.size, "torch": "torch" in sys.modules}


def meter_goes_on(world):
    """Return the errors of an epoch that was interrupted after two of three iterations."""
    import torch

    from pycls.core.meters import Meter
    from pycls.core.processes.group import process_group

    def add(meter, first):
        wrong = torch.tensor([first + world.rank, 0])
        meter.update(wrong, torch.tensor(1.0), 10)

    device = torch.device(CPU)
    with process_group(world, device):
        meter, later = (Meter(3, 1, 2, device, world) for _ in range(2))
        add(meter, 1)
        add(meter, 3)
        later.restore(from_main(world, meter.state()))
        add(later, 5)
        add(meter, 5)
        return [m.iter_stats(0)["top1_err"] for m in (meter, later)] + [
            m.epoch_stats(0)["top1_err"] for m in (meter, later)
        ]


def raise_config_error(world, rank):
    from pycls.errors import ConfigError

    if world.rank == rank:
        raise ConfigError("KEY is wrong; mend it")
    time.sleep(3600)


def raise_in_all(world):
    from pycls.errors import DataError

    raise DataError("the data set is damaged")


def warn_in_all(world):
    warnings.warn("said once", stacklevel=1)
    # One write for text and line end: both processes write to the same pipe.
    os.write(1, b"printed\n")


def defect(world):
    if world.rank == 1:
        raise KeyError("a defect of the program")
    time.sleep(3600)


def full_disk(world):
    raise OSError(28, "No space left", "/some/file")


def leave(world, rank, code):
    if world.rank == rank:
        os._exit(code)
    time.sleep(3600)


def deaf_to_sigterm(world, folder):
    """Leave with 7, once another process is there that does not listen."""
    deaf = Path(folder) / "deaf"
    if world.rank == 1:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        deaf.touch()
        time.sleep(3600)
    while not deaf.exists():
        time.sleep(0.01)
    sys.exit(7)


def die_in_training(world, how):
    """Lose the last process in the middle of an exchange: the others wait for it."""
    import torch

    from pycls.core.processes.group import process_group, sum_over

    with process_group(world, torch.device(CPU)):
        sum_over(world, torch.ones(3))
        if world.rank == world.size - 1:
            if how == "raise":
                from pycls.errors import RunError

                raise RunError("the loss is nan")
            os.kill(os.getpid(), signal.SIGKILL)
        sum_over(world, torch.ones(3))


def fail_in_flight(world):
    """Raise in one process while an exchange is under way that the other never joins."""
    import torch
    import torch.distributed as dist

    from pycls.core.processes.group import process_group, sum_over
    from pycls.errors import RunError

    with process_group(world, torch.device(CPU)):
        if world.rank == 1:
            _ = dist.all_reduce(torch.ones(3), async_op=True)
            raise RunError("the loss is nan")
        dist.recv(torch.ones(3), src=1)
        sum_over(world, torch.ones(3))


def wait_for_signal(world, folder):
    """Say that one is there; leave with 75 when signalled, as an interrupted training does."""
    got = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, frame: got.append(number))
    (Path(folder) / f"pid{world.rank}").write_text(str(os.getpid()))
    while not got:
        time.sleep(0.01)
    (Path(folder) / f"got{world.rank}").write_text(signal.Signals(got[0]).name)
    sys.exit(75)


def hang(world, folder):
    """Never let another thread of this process run again."""
    import ctypes

    (Path(folder) / f"pid{world.rank}").write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(3600)  # unlike CDLL, holds the interpreter lock


def wait_unprepared(world, folder):
    (Path(folder) / f"pid{world.rank}").write_text(str(os.getpid()))
    time.sleep(3600)


def collectives(world):
    """Use each of the collectives; what the processes disagree on raises."""
    import torch

    from pycls.core.processes.group import (
        any_over,
        buffers_from_main,
        cpu_threads,
        local_device,
        mean_over,
        process_group,
        sum_over,
        wait_for_all,
        wrap,
    )

    device = local_device(world, torch.device(CPU))
    rank, result = world.rank, {"threads": cpu_threads(world)}
    for _ in range(2):  # a second group after the first
        with process_group(world, device):
            counts = torch.tensor([2**53 + 1, rank], dtype=torch.int64)
            assert sum_over(world, counts) is counts
            result["int64"] = counts.tolist()
            errors = torch.tensor([0.1 * (rank + 1)], dtype=torch.float64)
            result["float64"] = sum_over(world, errors).item()
            result["mean"] = mean_over(world, torch.tensor([float(rank)])).item()
            result["any"] = [any_over(world, rank == 1), any_over(world, False)]
            result["object"] = from_main(world, {"rank": rank, "list": [1, "a"]})
            wait_for_all(world)
            torch.manual_seed(rank)
            bare = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
            bare[1].running_mean.fill_(rank + 5)
            model = wrap(bare, world, device)
            assert model is bare if world.size == 1 else model.module is bare
            result["same"] = _same(world, bare.state_dict())
            bare[1].running_mean.fill_(rank + 7)
            bare[1].num_batches_tracked.fill_(rank + 3)
            buffers_from_main(world, bare)
            result["buffers"] = [bare[1].running_mean[0].item(), int(bare[1].num_batches_tracked)]
            assert _same(world, bare.state_dict())
    return result


def from_main(world, value):
    """Return the main process's value in every process."""
    import torch
    import torch.distributed as dist

    if world.size == 1:
        return value
    values = [value if world.is_main else None]
    dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
    return values[0]


def _same(world, state):
    from pycls.core.processes.group import any_over

    theirs = from_main(world, state)
    return not any_over(world, any(not v.equal(theirs[name]) for name, v in state.items()))


def train_steps(world, steps):
    """Train a small network on this process's share of fixed batches; return its weights."""
    import torch
    import torch.nn.functional as F

    from pycls.core.processes.group import process_group, wrap

    with process_group(world, torch.device(CPU)):
        torch.manual_seed(3)
        net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 4)
        )
        net = net.double().to(memory_format=torch.channels_last)
        model = wrap(net, world, torch.device(CPU))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        images, labels = torch.randn(12, 3, 8, 8).double(), torch.arange(12) % 4
        share = slice(world.rank, None, world.size)
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(images[share]), labels[share]).backward()
            optimizer.step()
        return [p.flatten().tolist() for p in net.parameters()]


def several(world, calls):
    """Do several of these jobs, one after another: [[name, arguments], ...]."""
    return [globals()[name](world, *args) for name, args in calls]


def main():
    """Be started by torchrun, by hand with Slurm's variables, or as a launcher: JOB [ARGS]."""
    from pycls.core.processes.launch_local import launch
    from pycls.core.processes.world import find_world
    from pycls.errors import run_tool

    job, args = globals()[sys.argv[1]], json.loads(sys.argv[2])
    num_gpus = int(sys.argv[3])
    ports = tuple(json.loads(sys.argv[4])) if len(sys.argv) > 4 else (10000, 65000)

    def call():
        world = find_world(os.environ, num_gpus, ports)
        if world is None:
            import distributed_jobs  # the launcher's children know it by this name

            job_there = getattr(distributed_jobs, job.__name__)
            print(json.dumps(launch(job_there, args, num_gpus)))
        else:
            result = job(world, *args)
            if world.is_main:
                print(json.dumps(result))

    run_tool(call)


if __name__ == "__main__":
    main()
