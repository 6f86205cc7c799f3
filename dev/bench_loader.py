"""Images per second of the loader against plain loaders, in one run; memory of four processes.

small   sets of 8 to 64 pixels: batches of 128, 4 pixels of padding (1 for 8-pixel images), random
        crop, flip and normalisation, against NumPy image by image.
large   random resized crops of 224 with flip, by the time of one core: from a set prepared at 256
        pixels, as uint8 and as normalised float32, and from a tree of JPEGs of 500 x 375, against
        OpenCV and NumPy image by image from the same JPEGs (with PCA lighting, as pycls), in the
        process and, as pycls does, in a worker process.
cold    the prepared set with the page cache dropped before every epoch.
shared  four processes that read the prepared set (3 GB) at the same time: their memory.

The ratio is what to quote; the rates belong to the machine.

    python dev/bench_loader.py [--part PART] [--threads 1] [--device cuda] [--folder DIR]
                               [--json FILE]
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from plain_loaders import file_batches, padded_batches

from pycls import files
from pycls.core.allocator import keep_freed_memory
from pycls.datasets.loading import streamed
from pycls.datasets.loading.image_tree import open_image_tree
from pycls.datasets.loading.loader import Loader
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.store.writer import SetFacts, write_store

PARTS = ("small", "large", "cold", "shared")
BATCH = 128
REPEATS = 5
COUNTS = {8: 8192, 16: 8192, 32: 8192, 64: 4096}
POLICY = "RandAugment_N2_M0.5"

STORED, CROP = 256, 224
LARGE_BYTES = 3 * 10**9
JPEGS = 768
PROCESSES = 4
SHARED_BATCH = 32

Pipelines = Mapping[str, Callable[[int], Iterator[Any]]]


def main() -> None:
    """Measure the parts asked for and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where 3 GB are written for the time")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--read", nargs=2, metavar=("SET", "SEED"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    # As a training does.
    keep_freed_memory()
    if args.read:
        _read_and_tell_memory(args.read[0], int(args.read[1]))
        return
    parts = args.part or PARTS
    results: dict[str, Any] = {"device": args.device, "threads": args.threads, "batch": BATCH}
    if "small" in parts:
        results["small"] = [_measure_small(*item, args.device) for item in COUNTS.items()]
        _print_small(results["small"])
    if set(parts) - {"small"}:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            path = _make_set(Path(folder) / "random", STORED, LARGE_BYTES // (STORED**2 * 3))
            if "large" in parts:
                results["large"] = _measure_large(path, Path(folder) / "tree")
            if "cold" in parts:
                results["cold"] = _measure_cold(path, args.device)
            if "shared" in parts:
                results["shared"] = _measure_shared(path)
    if args.json:
        files.write_json(args.json, results)


def _take_turns(
    pipelines: Pipelines,
    device: str,
    repeats: int = REPEATS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return the images a second of each pipeline; median epoch, the first one left out.

    In turns, so that what else the machine does meets all of them.
    """
    rates: dict[str, list[float]] = {name: [] for name in pipelines}
    for epoch in range(repeats + 1):
        for name, pipeline in pipelines.items():
            start, count = clock(), 0
            for _, labels in pipeline(epoch):
                count += len(labels)
            if device != "cpu":
                torch.cuda.synchronize()
            rates[name].append(count / (clock() - start))
    return {name: statistics.median(found[1:]) for name, found in rates.items()}


def _processor_time() -> float:
    """Return the seconds of processor time of this process and its children that ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


# ------------------------------------------------------------------------------- small images


def _measure_small(size: int, count: int, device: str) -> dict[str, Any]:
    pad = 4 if size > 8 else 1
    with tempfile.TemporaryDirectory() as folder:
        dataset = open_dataset(_make_set(Path(folder) / "random", size, count + 2), "train")
        common: dict[str, Any] = {
            "batch_size": BATCH, "im_size": size, "seed": 1, "pad": pad, "device": device,
        }  # fmt: skip
        pipelines: Pipelines = {
            "plain": lambda epoch: padded_batches(dataset, size, pad, device, epoch, BATCH),
            "held": Loader(dataset, train=True, **common).epoch,
            "read": Loader(dataset, train=True, max_resident_bytes=0, **common).epoch,
            "augmented": Loader(dataset, train=True, augment=POLICY, **common).epoch,
            "test": Loader(dataset, train=False, **common).epoch,
        }
        return {"pixels": size, **_take_turns(pipelines, device)}


def _print_small(rows: list[dict[str, Any]]) -> None:
    names = ("plain", "held", "read", "augmented", "test")
    print(f"{'pixels':>6}" + "".join(f"{name:>11}" for name in names))
    for row in rows:
        ratios = ", ".join(f"{name} / plain {row[name] / row['plain']:.1f}" for name in names[1:3])
        rates = "".join(f"{row[name]:11.0f}" for name in names)
        print(f"{row['pixels']:6d}{rates}   {ratios}", flush=True)


# ------------------------------------------------------------------------------- large images


def _measure_large(path: Path, tree: Path) -> dict[str, float]:
    """Measure on one core, the threads of a pipeline included."""
    jpegs = _make_tree(tree)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    cv2.setNumThreads(0)
    try:
        common: dict[str, Any] = {"batch_size": BATCH, "im_size": CROP, "seed": 1}
        prepared = Loader(open_dataset(path, "train"), train=True, **common)
        testing = Loader(open_dataset(path, "train"), train=False, **common)
        lit = Loader(open_dataset(path, "train"), train=True, lighting=0.1, **common)
        decoding = Loader(open_image_tree(tree, "train"), train=True, lighting=0.1, **common)
        some = 24  # batches of an epoch: enough to measure
        rates = _take_turns(
            {
                "plain, JPEG": lambda epoch: file_batches(jpegs, CROP, BATCH),
                "plain, JPEG, worker": lambda epoch: file_batches(jpegs, CROP, BATCH, 1),
                "JPEG, float32": decoding.epoch,
                "prepared, uint8": lambda epoch: _first(prepared.pixels(epoch), some),
                "prepared, float32": lambda epoch: _first(prepared.epoch(epoch), some),
                "prepared, float32, lighting": lambda epoch: _first(lit.epoch(epoch), some),
                "prepared, test, float32": lambda epoch: _first(testing.epoch(epoch), some),
            },
            "cpu",
            # Of this process alone, all its threads: others may be at work on the core.
            clock=_processor_time,
        )
    finally:
        os.sched_setaffinity(0, cores)
    size = sum(file.stat().st_size for file in jpegs) / len(jpegs) / 1024
    print(f"one core's time; crops of {CROP}; JPEGs of 500 x 375, {size:.0f} KiB; set of {STORED}")
    for name, rate in rates.items():
        print(
            f"{name:30s}{rate:9.0f} images/s"
            f"{rate / rates['plain, JPEG']:8.1f} x, {rate / rates['plain, JPEG, worker']:.1f} x",
            flush=True,
        )
    return rates


def _first(batches: Iterator[Any], count: int) -> Iterator[Any]:
    for _ in range(count):
        yield next(batches)


def _make_tree(path: Path) -> list[Path]:
    """Write JPEGs of parts of two photographs, no two alike."""
    from sklearn.datasets import load_sample_images

    generator = np.random.default_rng(0)
    photographs = load_sample_images().images
    written = []
    for number in range(JPEGS):
        image = photographs[number % 2]
        height, width = 375 * 9 // 10, 500 * 9 // 10
        top = generator.integers(0, image.shape[0] - height)
        left = generator.integers(0, image.shape[1] - width)
        part = cv2.resize(
            np.ascontiguousarray(image[top : top + height, left : left + width]), (500, 375)
        )
        noisy = part + generator.normal(0, 12, part.shape)
        part = np.clip(noisy, 0, 255).astype(np.uint8)
        file = path / "train" / f"class{number % 2}" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), part[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])
        written.append(file)
    return written


# ---------------------------------------------------------------- larger than memory, and shared


def _measure_cold(path: Path, device: str) -> dict[str, float]:
    dataset = open_dataset(path, "train")
    common: dict[str, Any] = {
        "batch_size": BATCH, "im_size": CROP, "seed": 1, "train": True, "device": device,
        "max_resident_bytes": 0,
    }  # fmt: skip
    # As if the set were larger than memory: what is mapped would stay in the cache.
    streamed.memory_limit = lambda: 0
    cached: list[float] = []
    rates: dict[str, float] = {}
    for threads in (1, 2):
        loader = Loader(dataset, threads=threads, **common)

        def cold_epoch(epoch: int, loader: Loader = loader) -> Iterator[Any]:
            _drop_from_cache(path / "images.npy")
            cached.append(_share_in_cache(path / "images.npy"))
            return loader.epoch(epoch)

        found = _take_turns({"cold": cold_epoch}, device, repeats=2)
        rates[f"{threads} threads"] = found["cold"]
    print(f"page cache dropped ({max(cached):.1%} of the set left in it at most), float32 crops")
    for name, rate in rates.items():
        print(f"{name:30s}{rate:9.0f} images/s", flush=True)
    return rates


def _drop_from_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.fdatasync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _share_in_cache(path: Path) -> float:
    """Return which share of a file can be read without waiting for the disk (a sample)."""
    page, hits = bytearray(4096), 0
    places = np.random.default_rng(0).integers(0, path.stat().st_size // 4096, 1000)
    with path.open("rb") as file:
        for place in places.tolist():
            try:
                hits += os.preadv(file.fileno(), [page], place * 4096, os.RWF_NOWAIT) > 0
            except BlockingIOError:
                continue
    return hits / len(places)


def _measure_shared(path: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--read", str(path)]
    processes = [
        subprocess.Popen([*command, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for seed in range(PROCESSES)
    ]
    told = [json.loads(process.stdout.readline()) for process in processes if process.stdout]
    # All have read all of the set, and are still there.
    together = sum(_pss_mb(process.pid) for process in processes)
    for process in processes:
        process.communicate()
    set_mb = (path / "images.npy").stat().st_size / 1e6
    cached_mb = set_mb * _share_in_cache(path / "images.npy")
    print(f"{PROCESSES} processes, each an epoch of one set of {set_mb:.0f} MB")
    print(f"memory of the processes together (PSS) {together:.0f} MB; at their peaks")
    print(
        f"{sum(row['peak_mb'] for row in told):.0f} MB; the set in the page cache {cached_mb:.0f}"
    )
    return {"pss_mb": together, "peak_pss_mb": sum(row["peak_mb"] for row in told),
            "set_mb": set_mb, "cached_mb": cached_mb}  # fmt: skip


def _read_and_tell_memory(path: str, seed: int) -> None:
    """Read an epoch, print the largest memory on the way, and wait."""
    options: dict[str, Any] = {"batch_size": SHARED_BATCH, "im_size": CROP}
    loader = Loader(open_dataset(path, "train"), train=True, seed=seed, **options)
    peak = max(_pss_mb(os.getpid()) for _ in loader.epoch(0))
    print(json.dumps({"peak_mb": peak}), flush=True)
    sys.stdin.read()


def _pss_mb(pid: int) -> float:
    """Return a process's memory in MB, of what it shares its part."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss: *(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def _make_set(path: Path, size: int, count: int) -> Path:
    generator = np.random.default_rng(0)
    block = generator.integers(0, 256, (min(count, 512), size, size, 3), dtype=np.uint8)
    labels = np.arange(count) % 2
    split = np.zeros(count, dtype=np.uint8)
    split[-2:] = 1
    facts = SetFacts("random", "Random", "random pixels", "generated", "none", "last two")
    # One at a time: the whole may not fit into memory.
    images = (block[number % len(block)] for number in range(count))
    return write_store(path, images, labels, split, ("even", "odd"), facts)


if __name__ == "__main__":
    main()
