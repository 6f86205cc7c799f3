"""Images per second of the loader against a plain per-image NumPy pipeline, in one run.

One thread, batches of 128, 4 pixels of padding (1 for 8-pixel images), random crop, flip and
normalisation. The ratio is what to quote; the rates belong to the machine.

    python dev/bench_loader.py [--device cuda] [--json FILE]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pycls import files
from pycls.datasets.dataset import Dataset, open_dataset
from pycls.datasets.loader import Loader
from pycls.datasets.store_writer import SetFacts, write_store

BATCH = 128
COUNTS = {8: 8192, 16: 8192, 32: 8192, 64: 4096}
REPEATS = 5


def main() -> None:
    """Measure every size and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [_measure(size, count, args.device) for size, count in COUNTS.items()]
    print(f"{'pixels':>6} {'plain':>10} {'resident':>10} {'mapped':>10} {'test':>10} ", end="")
    print(f"{'ratio':>6} {'mapped ratio':>12} {'ms/batch':>9}")
    for row in rows:
        print(
            f"{row['pixels']:6d} {row['plain']:10.0f} {row['resident']:10.0f} "
            f"{row['mapped']:10.0f} {row['test']:10.0f} {row['resident'] / row['plain']:6.1f} "
            f"{row['mapped'] / row['plain']:12.1f} {1000 * BATCH / row['resident']:9.3f}"
        )
    if args.json:
        files.write_json(args.json, {"device": args.device, "batch": BATCH, "rows": rows})


def _measure(size: int, count: int, device: str) -> dict[str, Any]:
    pad = 4 if size > 8 else 1
    with tempfile.TemporaryDirectory() as folder:
        dataset = open_dataset(_make_set(Path(folder) / "random", size, count), "train")
        common: dict[str, Any] = {
            "batch_size": BATCH, "im_size": size, "seed": 1, "pad": pad, "device": device,
        }  # fmt: skip
        resident = Loader(dataset, train=True, **common)
        mapped = Loader(dataset, train=True, max_resident_bytes=0, **common)
        test = Loader(dataset, train=False, **common)
        pipelines: dict[str, Callable[[int], Iterator[Any]]] = {
            "plain": lambda epoch: _plain_batches(dataset, size, pad, device, epoch),
            "resident": resident.epoch,
            "mapped": mapped.epoch,
            "test": test.epoch,
        }
        # In turns, so that what else the machine does meets all of them.
        times: dict[str, list[float]] = {name: [] for name in pipelines}
        for epoch in range(REPEATS + 1):
            for name, pipeline in pipelines.items():
                times[name].append(_time_epoch(pipeline, epoch, device))
        rates = {name: count / statistics.median(spent[1:]) for name, spent in times.items()}
    return {"pixels": size, **rates}


def _time_epoch(pipeline: Callable[[int], Iterator[Any]], epoch: int, device: str) -> float:
    start = time.perf_counter()
    for _ in pipeline(epoch):
        pass
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _plain_batches(
    dataset: Dataset, size: int, pad: int, device: str, epoch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One image after the other in NumPy, as loaders of the field do."""
    generator = np.random.default_rng(epoch)
    mean = dataset.mean.astype(np.float32)
    std = dataset.std.astype(np.float32)
    held = np.array(dataset.images[dataset.indices])
    order = generator.permutation(len(held))
    for start in range(0, len(held) - BATCH + 1, BATCH):
        images = []
        for row in order[start : start + BATCH]:
            image = (held[row].astype(np.float32) / 255 - mean) / std
            image = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
            top, left = generator.integers(0, 2 * pad + 1, 2)
            image = image[top : top + size, left : left + size]
            if generator.random() < 0.5:
                image = image[:, ::-1]
            images.append(image.transpose(2, 0, 1))
        labels = torch.from_numpy(dataset.labels[order[start : start + BATCH]])
        yield torch.from_numpy(np.stack(images)).to(device), labels.to(device)


def _make_set(path: Path, size: int, count: int) -> Path:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count + 2, size, size, 3), dtype=np.uint8)
    labels = np.arange(count + 2) % 2
    split = np.zeros(count + 2, dtype=np.uint8)
    split[-2:] = 1
    facts = SetFacts("random", "Random", "random pixels", "generated", "none", "last two")
    return write_store(path, images, labels, split, ("even", "odd"), facts)


if __name__ == "__main__":
    main()
