"""Training speed on the CPU against a plain training loop, network by network, in one run.

Networks are drawn from the 360 to 400 MF population (simple stem, strides 2-2-2-2) and trained
on 32 x 32 images, 10 classes, batches of 128, in float32. "Plain" is a loop as they are
usually written, in pycls's order of operations: contiguous layout, one image after the other
through NumPy in the process, soft labels, errors and loss read in every iteration, PyTorch's
default SGD, an average of all weights every 32 iterations. "Ours" is what tools/train_net.py
runs. Each has a process of its own, one works at a time, in turns; of several rounds the
fastest counts, for both. The ratio is what to quote; the rates belong to the machine.

With a checkout of facebookresearch/pycls, whole processes of training are compared instead, in
turns: its tools/run_net.py (by way of pycls_on_cpu.py) and our tools/train_net.py, 4,100 random
images, 500 to test, two epochs, everything else as pycls has it by default.

    python dev/bench_training.py [--quick] [--json FILE]
    python dev/bench_training.py --pycls FOLDER [--quick] [--json FILE] [KEY VALUE ...]
"""

import argparse
import copy
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pycls.core.allocator import keep_freed_memory

ROOT = Path(__file__).resolve().parents[1]
BATCH, CLASSES, PIXELS, PAD = 128, 10, 32, 4
ITERATIONS = 32  # of a measurement: one update of the average falls into each
IMAGES = BATCH * ITERATIONS
ALPHA = 1e-3
# (the process it runs in, mixed precision) of each column.
WAYS = {"plain": ("plain", False), "ours": ("ours", False), "ours, bf16": ("ours", True)}
KINDS = ("compute", "whole")


def main() -> None:
    """Measure every network both ways and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", type=int, default=16, help="how many (%(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="fastest of (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="3 networks, 1 round")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--pycls", type=Path, help="a checkout of pycls itself to compare with")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("opts", nargs="*", help="keys and values for both, with --pycls")
    args = parser.parse_args()
    if args.worker:
        way, threads, folder = args.worker
        _serve(way, int(threads), Path(folder))
        return
    if args.quick:
        args.networks, args.rounds = 3, 1
    if args.pycls:
        compared = _compare_processes(args)
        if args.json:
            from pycls.files import write_json

            write_json(args.json, compared)
        return
    rows = _compare(args.networks, args.rounds, args.threads)
    summary = _summarise(rows)
    _show(rows, summary)
    if args.json:
        from pycls.files import write_json

        settings = {"batch": BATCH, "pixels": PIXELS, "threads": args.threads}
        write_json(args.json, {**settings, "rounds": args.rounds, **summary, "rows": rows})


# ------------------------------------------------------------ the one who asks


def _population(networks: int) -> Any:
    from pycls.spaces.anynet import AnyNetX

    space = AnyNetX(resolution=224, strides=(2, 2, 2, 2), stem_type="simple_stem_in", stem_w=32)
    return space.sample(networks, seed=0, flops=(3.6e8, 4e8))


def _compare(networks: int, rounds: int, threads: int) -> list[dict[str, Any]]:
    """Return a row of figures for each network."""
    population = _population(networks)
    rates: list[dict[str, float]] = [{} for _ in population]
    shares: list[dict[str, float]] = [{} for _ in population]
    with tempfile.TemporaryDirectory() as folder:
        _make_set(Path(folder) / "random")
        workers = {way: _start(way, threads, folder) for way in ("plain", "ours")}
        try:
            # The first measurement of a process is slow, whatever it is of.
            for worker, mixed in WAYS.values():
                _ask(workers[worker], "compute", population.row(0).overrides(), mixed)
            for _ in range(rounds):
                for member, rate, share in zip(population, rates, shares, strict=True):
                    for kind in KINDS:
                        for way, (worker, mixed) in WAYS.items():
                            answer = _ask(workers[worker], kind, member.overrides(), mixed)
                            name = f"{way}, {kind}"
                            rate[name] = max(rate.get(name, 0.0), answer)
                    share.update(_ask(workers["ours"], "parts", member.overrides(), False))
                    print(".", end="", file=sys.stderr, flush=True)
        finally:
            for process in workers.values():
                process.communicate()
            print(file=sys.stderr)
    return [
        {"arch": member.arch, "params": member.params, "rates": rate, "shares": share}
        for member, rate, share in zip(population, rates, shares, strict=True)
    ]


def _start(way: str, threads: int, folder: str) -> "subprocess.Popen[str]":
    command = [sys.executable, __file__, "--worker", way, str(threads), folder]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(process: "subprocess.Popen[str]", kind: str, network: list[Any], mixed: bool) -> Any:
    """Let a process measure, and return what it found."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(json.dumps([kind, network, mixed]), file=process.stdin, flush=True)
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit("a measuring process has ended; see its message above")
    return json.loads(answer)


def _make_set(path: Path) -> None:
    import numpy as np

    generator = np.random.default_rng(0)
    count = IMAGES + CLASSES
    images = generator.integers(0, 256, (count, PIXELS, PIXELS, 3), dtype=np.uint8)
    _write_set(path, images, np.arange(count) % CLASSES, IMAGES)


def _write_set(path: Path, images: Any, labels: Any, train: int) -> None:
    """Write a prepared set whose first `train` images are the training side."""
    import numpy as np

    from pycls.datasets.store.writer import SetFacts, write_store

    split = (np.arange(len(images)) >= train).astype(np.uint8)
    facts = SetFacts(path.name, "Random", "random pixels", "generated", "none", "the last ones")
    write_store(path, images, labels, split, tuple(map(str, range(CLASSES))), facts)


def _summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for kind in KINDS:
        for way in list(WAYS)[1:]:
            ratios = [r["rates"][f"{way}, {kind}"] / r["rates"][f"plain, {kind}"] for r in rows]
            for row, ratio in zip(rows, ratios, strict=True):
                row.setdefault("ratios", {})[f"{way}, {kind}"] = ratio
            medians = [statistics.median(r["rates"][f"{w}, {kind}"] for r in rows) for w in WAYS]
            by_way = dict(zip(WAYS, medians, strict=True))
            summary[f"{way}, {kind}"] = {
                "ratio_of_medians": by_way[way] / by_way["plain"],
                "median_ratio": statistics.median(ratios),
                "smallest_ratio": min(ratios),
                "largest_ratio": max(ratios),
                "median_rate": by_way[way],
                "median_rate_plain": by_way["plain"],
            }
    parts = rows[0]["shares"]
    summary["shares"] = {p: statistics.median(r["shares"][p] for r in rows) for p in parts}
    return summary


def _show(rows: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    print("images a second, step alone | with the loader; in brackets the ratio to plain")
    print(f"{'network':8} {'Mparams':>7}", end="")
    print(f" | {'plain':>6} {'ours':>14} {'ours, bf16':>14}" * len(KINDS), end="")
    print(" | outside forward and backward, of it the update")
    for row in rows:
        print(f"{row['arch']:8} {row['params'] / 1e6:7.1f}", end="")
        for kind in KINDS:
            print(f" | {row['rates'][f'plain, {kind}']:6.0f}", end="")
            for way in list(WAYS)[1:]:
                name = f"{way}, {kind}"
                print(f" {row['rates'][name]:6.0f} ({row['ratios'][name]:5.2f})", end="")
        outside = 100 * (1 - row["shares"]["forward"] - row["shares"]["backward"])
        print(f" | {outside:5.1f} % {100 * row['shares']['update']:5.1f} %")
    for kind in KINDS:
        for way in list(WAYS)[1:]:
            part = summary[f"{way}, {kind}"]
            print(
                f"{way}, {kind}: median {part['median_rate']:.0f} images/s against "
                f"{part['median_rate_plain']:.0f} (ratio {part['ratio_of_medians']:.2f}); ratio "
                f"by network: median {part['median_ratio']:.2f}, smallest "
                f"{part['smallest_ratio']:.2f}, largest {part['largest_ratio']:.2f}"
            )
    shares = ", ".join(f"{p} {100 * share:.1f} %" for p, share in summary["shares"].items())
    print(f"median shares of an iteration of ours, with the loader: {shares}")


# --------------------------------------------- whole processes, and pycls itself


def _compare_processes(args: argparse.Namespace) -> dict[str, Any]:
    """Print and return the seconds of whole trainings of each network, and the ratios."""
    rows = []
    print(f"seconds of a whole training, {args.threads} threads, fastest of {args.rounds}")
    print(f"{'network':8} {'pycls':>8} {'ours':>8} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _make_cifar(folder)
        for member in _population(args.networks):
            fastest = {"pycls": float("inf"), "ours": float("inf")}
            for turn in range(args.rounds):
                for way in fastest:
                    out = folder / f"{way}_{member.arch}_{turn}"
                    seconds = _time_process(way, member.overrides(), folder, out, args)
                    fastest[way] = min(fastest[way], seconds)
            ratio = fastest["pycls"] / fastest["ours"]
            rows.append({"arch": member.arch, **fastest, "ratio": ratio})
            print(
                f"{member.arch:8} {fastest['pycls']:8.2f} {fastest['ours']:8.2f} {ratio:7.2f}",
                flush=True,
            )
    ratios = [row["ratio"] for row in rows]
    print(
        f"ratio: median {statistics.median(ratios):.2f}, smallest {min(ratios):.2f}, "
        f"largest {max(ratios):.2f}"
    )
    return {"threads": args.threads, "rounds": args.rounds, "rows": rows}


def _make_cifar(folder: Path) -> None:
    """Write random images as CIFAR-10's files, and the same ones as a prepared set."""
    import pickle

    import numpy as np

    (folder / "cifar").mkdir()
    generator = np.random.default_rng(0)
    train, test = 4100, 500
    data = generator.integers(0, 256, (train + test, 3 * PIXELS**2), dtype=np.uint8)
    labels = generator.integers(0, CLASSES, train + test)
    names = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
    edges = (*range(0, train + 1, train // 5), train + test)
    for name, start, end in zip(names, edges[:-1], edges[1:], strict=True):
        part = {b"data": data[start:end], b"labels": labels[start:end].tolist()}
        (folder / "cifar" / name).write_bytes(pickle.dumps(part))
    images = data.reshape(-1, 3, PIXELS, PIXELS).transpose(0, 2, 3, 1).copy()
    _write_set(folder / "data" / "cifar10", images, labels, train)


def _time_process(
    way: str, network: list[Any], folder: Path, out: Path, args: argparse.Namespace
) -> float:
    """Return the seconds of one training, from the start of its process to the end."""
    words = [
        *network, "MODEL.NUM_CLASSES", CLASSES, "TRAIN.DATASET", "cifar10", "TEST.DATASET",
        "cifar10", "TEST.SPLIT", "test", "TRAIN.IM_SIZE", PIXELS, "TEST.IM_SIZE", PIXELS,
        "TRAIN.BATCH_SIZE", BATCH, "TEST.BATCH_SIZE", BATCH, "OPTIM.MAX_EPOCH", 2,
        "OPTIM.BASE_LR", 0.01, "OPTIM.WEIGHT_DECAY", 5e-5, "NUM_GPUS", 1, "PREC_TIME.NUM_ITER", 0,
        "OUT_DIR", out, "LOG_DEST", "file", "DATA_LOADER.NUM_WORKERS", 0, *args.opts,
    ]  # fmt: skip
    config = folder / "empty.yaml"
    config.write_text("DESC: a comparison\n")
    if way == "pycls":
        linked = args.pycls / "pycls" / "datasets" / "data"
        linked.mkdir(exist_ok=True)
        (linked / "cifar10").unlink(missing_ok=True)
        (linked / "cifar10").symlink_to(folder / "cifar")
        tool = [ROOT / "dev" / "pycls_on_cpu.py", args.pycls, args.threads, "--mode", "train"]
        tool += ["--cfg", config]
    else:
        tool = [ROOT / "tools" / "train_net.py", "--cfg", config]
        words += ["DATA.DIR", folder / "data", "NUM_THREADS", args.threads, "DEVICE", "cpu"]
    command = [str(word) for word in (sys.executable, *tool, *words)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return time.perf_counter() - start


# ------------------------------------------------------- the ones who measure


def _serve(way: str, threads: int, folder: Path) -> None:
    """Answer every line of the standard input with a measurement, until it ends."""
    if way == "ours":
        keep_freed_memory()
    import torch

    torch.set_num_threads(threads)
    torch.set_flush_denormal(way == "ours")
    for line in sys.stdin:
        kind, network, mixed = json.loads(line)
        if kind == "parts":
            answer: Any = _time_parts(_cfg(network, mixed), folder)
        else:
            make = _plain if way == "plain" else _ours
            train, batches = make(_cfg(network, mixed), folder)
            fixed = next(batches(0))
            # Warm up, kernels and memory; and the average once.
            for iteration in (30, 31):
                train(*fixed, iteration)
            source = batches(0) if kind == "whole" else (fixed for _ in range(ITERATIONS))
            start = time.perf_counter()
            count = 0
            for iteration, (images, labels) in enumerate(source):
                train(images, labels, iteration)
                count += len(labels)
            answer = count / (time.perf_counter() - start)
        print(json.dumps(answer), flush=True)


Train = Callable[[Any, Any, int], None]
Batches = Callable[[int], Iterator[Any]]


def _cfg(network: list[Any], mixed: bool) -> Any:
    from pycls.core.config import load_cfg

    common = {
        "MODEL.NUM_CLASSES": CLASSES, "TRAIN.IM_SIZE": PIXELS, "TRAIN.BATCH_SIZE": BATCH,
        "TRAIN.MIXED_PRECISION": mixed, "TRAIN.MIXED_DTYPE": "bfloat16",
        "OPTIM.BASE_LR": 0.01, "OPTIM.WEIGHT_DECAY": 5e-5,
    }  # fmt: skip
    return load_cfg(None, [*network, *(word for pair in common.items() for word in pair)])


def _ours(cfg: Any, folder: Path, timed: dict[str, float] | None = None) -> tuple[Train, Batches]:
    """Return (train, batches) of the trainer's own parts, put together as it does."""
    import torch

    from pycls.core.ema import Ema
    from pycls.core.env import move_model
    from pycls.core.meters import Meter
    from pycls.core.optimizer import build_optimizer
    from pycls.core.precision import Precision
    from pycls.core.step import TrainStep
    from pycls.datasets.loading.loader import Loader
    from pycls.datasets.opening.dataset import open_dataset
    from pycls.models.builders import build_model

    device = torch.device("cpu")
    model = move_model(build_model(cfg), cfg, device).train()
    ema = Ema(model)
    optimizer = build_optimizer(model, cfg)
    precision = Precision(cfg, device)
    network = model
    if timed is not None:
        network = _wrap_timers(model, optimizer, precision, timed)
    step = TrainStep(network, optimizer, precision, cfg, 5)
    meter = Meter(ITERATIONS, 1, cfg.LOG_PERIOD, device)
    loader = Loader(
        open_dataset(folder / "random", "train"), batch_size=BATCH, im_size=PIXELS, train=True,
        seed=1, pad=PAD,
    )  # fmt: skip

    def train(images: Any, labels: Any, iteration: int) -> None:
        result = step(images, labels, 0.01, 0, iteration)
        if (iteration + 1) % cfg.OPTIM.EMA_UPDATE_PERIOD == 0:
            ema.update(model, ALPHA)
        meter.update(result.wrong, result.loss, len(labels))
        if meter.is_log_iter():
            meter.iter_stats(0)

    return train, loader.epoch


def _wrap_timers(model: Any, optimizer: Any, precision: Any, timed: dict[str, float]) -> Any:
    """Add the seconds of forward, backward and update to `timed`; return the timed network."""
    import torch

    def timer(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            result = function(*args, **options)
            timed[name] = timed.get(name, 0.0) + time.perf_counter() - start
            return result

        return call

    class Timed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        forward = staticmethod(timer("forward", model))

    precision.backward = timer("backward", precision.backward)
    optimizer.step = timer("update", optimizer.step)
    return Timed()


def _time_parts(cfg: Any, folder: Path) -> dict[str, float]:
    """Return the shares of an iteration of ours, with the loader."""
    timed: dict[str, float] = {}
    train, batches = _ours(cfg, folder, timed)
    fixed = next(batches(0))
    for iteration in (30, 31):
        train(*fixed, iteration)
    timed.clear()
    loading, start = 0.0, time.perf_counter()
    iterator = batches(0)
    for iteration in range(ITERATIONS):
        asked = time.perf_counter()
        images, labels = next(iterator)
        loading += time.perf_counter() - asked
        train(images, labels, iteration)
    total = time.perf_counter() - start
    shares = {name: seconds / total for name, seconds in timed.items()}
    shares["loader"] = loading / total
    return {**shares, "rest": 1.0 - sum(shares.values())}


def _plain(cfg: Any, folder: Path) -> tuple[Train, Batches]:
    """Return (train, batches) as they are usually written."""
    import numpy as np
    import torch
    from torch.utils.data import DataLoader

    from pycls.datasets.opening.dataset import open_dataset
    from pycls.models.builders import build_model

    if cfg.TRAIN.MIXED_PRECISION:
        raise SystemExit("the plain way is float32")
    model = build_model(cfg).train()
    average = copy.deepcopy(model)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-5, nesterov=True
    )
    dataset = open_dataset(folder / "random", "train")
    held = np.array(dataset.images[dataset.indices])
    mean, std = dataset.mean.astype(np.float32), dataset.std.astype(np.float32)
    errors: list[tuple[float, float, float]] = []

    class PerImage(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(held)

        def __getitem__(self, row: int) -> tuple[Any, int]:
            image = (held[row].astype(np.float32) / 255 - mean) / std
            image = np.pad(image, ((PAD, PAD), (PAD, PAD), (0, 0)))
            top, left = np.random.randint(0, 2 * PAD + 1, 2)
            image = image[top : top + PIXELS, left : left + PIXELS]
            if np.random.random() < 0.5:
                image = image[:, ::-1]
            return np.ascontiguousarray(image.transpose(2, 0, 1)), int(dataset.labels[row])

    def train(images: Any, labels: Any, iteration: int) -> None:
        images, labels = images.clone(), labels.clone()  # stands for the copy to the device
        soft = torch.zeros(len(labels), CLASSES).scatter_(1, labels[:, None], 1.0)
        logits = model(images)
        loss = torch.nn.functional.cross_entropy(logits, soft)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (iteration + 1) % cfg.OPTIM.EMA_UPDATE_PERIOD == 0:
            current = model.state_dict()
            with torch.no_grad():
                for name, value in average.state_dict().items():
                    value.copy_(value * (1.0 - ALPHA) + current[name] * ALPHA)
        best = logits.topk(5, dim=1, largest=True, sorted=True).indices.t()
        right = best.eq(labels.view(1, -1).expand_as(best))
        top1, top5 = (
            (1.0 - right[:k].reshape(-1).float().sum() / len(labels)) * 100.0 for k in (1, 5)
        )
        errors.append((loss.item(), top1.item(), top5.item()))

    loader = DataLoader(PerImage(), batch_size=BATCH, shuffle=True, drop_last=True, num_workers=0)
    return train, lambda epoch: iter(loader)


if __name__ == "__main__":
    main()
