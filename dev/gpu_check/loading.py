"""What the data alone can give: images a second of a loader, held on the device and streamed."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gpu_check.results import Results
from gpu_check.scale import Scale
from gpu_check.timing import wait
from pycls.datasets.loading.loader import Loader
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.store.writer import SetFacts, write_store
from pycls.gpu_devices import is_gpu

_EPOCHS = 2  # after one that does not count
_AUGMENTED = {"augment": "RandAugment_N2_M0.5"}
# What batches are made by: the library's operations, one by one or captured, or our own kernel.
_HOW: dict[str, dict[str, Any]] = {
    "": {},
    "captured": {"captured": True},
    "own kernel": {"own_kernel": True},
    "augmented": _AUGMENTED,
    "augmented, captured": {**_AUGMENTED, "captured": True},
}


def loading(scale: Scale, results: Results) -> None:
    """Go through epochs of random images: resized crops of large ones, padded ones of small."""
    cases = [
        ("resized", scale.large, scale.large + 32, 40 if scale.tiny else 4000),
        ("padded", scale.small, scale.small, 40 if scale.tiny else 50000),
    ]
    with TemporaryDirectory() as folder:
        for crop, size, stored, count in cases:
            path = random_set(Path(folder) / crop, count, stored)
            ways = [(True, 1, ""), (False, 1, ""), (False, 8, "")]
            ways += [(True, 1, "augmented")] if crop == "padded" else []
            if is_gpu(scale.device):
                hows = ("captured", "own kernel")
                ways += [(held, 8, how) for how in hows for held in (True, False)]
                ways += [(True, 1, "augmented, captured")] if crop == "padded" else []
            for held, threads, how in ways:
                if not results.left(0 if scale.tiny else 6):
                    return
                name = "held" if held else f"streamed by {threads} threads"
                name += f", {how}" if how else ""
                with results.guarded(f"{crop}, {name}"):
                    loader = Loader(
                        open_dataset(path, "train"), batch_size=scale.batch, im_size=size,
                        train=True, seed=1, device=scale.device, crop=crop, pad=4, threads=threads,
                        max_resident_bytes=None if held else 0, **_HOW[how],
                    )  # fmt: skip
                    results.row(crop=crop, size=size, images=name, img_s=_rate(loader))


def random_set(path: Path, count: int, size: int) -> Path:
    """Write a set of random images of two classes; every tenth is on the test side."""
    rng = np.random.default_rng(0)
    few = rng.integers(0, 256, (8, size, size, 3), dtype=np.uint8)
    images = (np.roll(few[i % 8], i, axis=1) for i in range(count))
    places = np.arange(count)
    split = (places % 10 == 9).astype(np.uint8)
    facts = SetFacts(path.name, path.name, "random pixels", "a generator", "none", "every tenth")
    return write_store(path, images, places // 3 % 2, split, ("a", "b"), facts)


def _rate(loader: Loader) -> float:
    count = 0
    for epoch in range(_EPOCHS + 1):
        if epoch == 1:
            wait(loader.device)
            start = time.perf_counter()
        for _, labels in loader.epoch(epoch):
            count += len(labels) if epoch else 0
    wait(loader.device)
    return count / (time.perf_counter() - start)
