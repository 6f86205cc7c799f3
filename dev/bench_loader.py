"""Images per second of the loader against a plain per-image NumPy pipeline, in one run.

Batches of 128, 4 pixels of padding (1 for 8-pixel images), random crop, flip and normalisation;
then RandAugment alone (N 2, M 0.5) by our operations, by Pillow image by image as pycls does, and
by torchvision's kernels for groups that drew the same. The ratio is what to quote; the rates
belong to the machine.

    python dev/bench_loader.py [--threads 1] [--device cuda] [--json FILE]
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from pycls import files
from pycls.datasets.augment import Augment, Draws, apply_draws
from pycls.datasets.dataset import Dataset, open_dataset
from pycls.datasets.image_ops import NAMES
from pycls.datasets.loader import Loader
from pycls.datasets.store_writer import SetFacts, write_store
from pycls.torchvision_import import import_torchvision

BATCH = 128
COUNTS = {8: 8192, 16: 8192, 32: 8192, 64: 4096}
REPEATS = 5
POLICY = "RandAugment_N2_M0.5"
AUGMENT_PIXELS = (32, 224)


def main() -> None:
    """Measure every size and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = [_measure(size, count, args.device) for size, count in COUNTS.items()]
    print(f"{'pixels':>6} {'plain':>9} {'resident':>9} {'mapped':>9} {'augmented':>9} {'test':>9} ")
    for row in rows:
        print(
            f"{row['pixels']:6d} {row['plain']:9.0f} {row['resident']:9.0f} {row['mapped']:9.0f} "
            f"{row['augmented']:9.0f} {row['test']:9.0f}   resident / plain "
            f"{row['resident'] / row['plain']:.1f}, mapped / plain "
            f"{row['mapped'] / row['plain']:.1f}, {1000 * BATCH / row['resident']:.3f} ms a batch"
        )
    augmenting = [_measure_augmentation(size, args.device) for size in AUGMENT_PIXELS]
    print(f"{POLICY}\n{'pixels':>6} {'ours':>9} {'Pillow':>9} {'torchvision':>11}")
    for row in augmenting:
        print(
            f"{row['pixels']:6d} {row['ours']:9.0f} {row['pillow']:9.0f} {row['torchvision']:11.0f}"
        )
    if args.json:
        settings = {"device": args.device, "threads": args.threads, "batch": BATCH}
        files.write_json(args.json, {**settings, "rows": rows, "augmentation": augmenting})


def _measure(size: int, count: int, device: str) -> dict[str, Any]:
    pad = 4 if size > 8 else 1
    with tempfile.TemporaryDirectory() as folder:
        dataset = open_dataset(_make_set(Path(folder) / "random", size, count), "train")
        common: dict[str, Any] = {
            "batch_size": BATCH, "im_size": size, "seed": 1, "pad": pad, "device": device,
        }  # fmt: skip
        resident = Loader(dataset, train=True, **common)
        mapped = Loader(dataset, train=True, max_resident_bytes=0, **common)
        augmented = Loader(dataset, train=True, augment=POLICY, **common)
        test = Loader(dataset, train=False, **common)
        pipelines: dict[str, Callable[[int], Iterator[Any]]] = {
            "plain": lambda epoch: _plain_batches(dataset, size, pad, device, epoch),
            "resident": resident.epoch,
            "mapped": mapped.epoch,
            "augmented": augmented.epoch,
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


def _measure_augmentation(size: int, device: str) -> dict[str, Any]:
    import_torchvision()
    images = torch.randint(0, 256, (BATCH, size, size, 3), dtype=torch.uint8)
    draws = Augment(POLICY).sample(1, 0, np.arange(BATCH * (REPEATS + 1)))
    on_device = images.to(device)
    ways: dict[str, Callable[[Draws], Any]] = {
        "ours": lambda part: apply_draws(on_device.clone(), part),
        "pillow": lambda part: _augment_by_pillow(images.numpy(), part),
        "torchvision": lambda part: _augment_by_torchvision(on_device.clone(), part),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(REPEATS + 1):
        part = draws[number * BATCH : (number + 1) * BATCH]
        for name, way in ways.items():
            start = time.perf_counter()
            way(part)
            if device != "cpu":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - start)
    rates = {name: BATCH / statistics.median(spent[1:]) for name, spent in times.items()}
    return {"pixels": size, **rates}


def _augment_by_pillow(images: Any, draws: Draws) -> Any:
    augmented = []
    for array, codes, arguments in zip(images, draws.operations, draws.arguments, strict=True):
        image = Image.fromarray(array)
        for code, argument in zip(codes, arguments, strict=True):
            image = _apply_pillow(NAMES[code], image, float(argument))
        augmented.append(np.asarray(image))
    return torch.from_numpy(np.stack(augmented))


def _apply_pillow(name: str, image: Image.Image, v: float) -> Image.Image:
    if name in ("auto_contrast", "equalize", "invert"):
        return getattr(ImageOps, name.replace("_", ""))(image)
    if name == "posterize":
        return ImageOps.posterize(image, int(v))
    if name == "solarize":
        return image.point(lambda i: i if i < v else 255 - i)
    if name == "solarize_add":
        return image.point(lambda i: min(255, v + i) if i < 128 else i)
    if name in ("brightness", "contrast", "color", "sharpness"):
        return getattr(ImageEnhance, name.title())(image).enhance(v)
    grey: Any = {"resample": Image.Resampling.BILINEAR, "fillcolor": (128, 128, 128)}
    if name == "rotate":
        return image.rotate(v, **grey)
    width, height = image.size
    entries = {
        "shear_x": (1, v, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, v, 1, 0),
        "trans_x": (1, 0, v * width, 0, 1, 0),
        "trans_y": (1, 0, 0, 0, 1, v * height),
    }
    return image.transform(image.size, Image.Transform.AFFINE, entries[name], **grey)


def _augment_by_torchvision(images: torch.Tensor, draws: Draws) -> torch.Tensor:
    images = images.permute(0, 3, 1, 2)
    for codes, arguments in zip(draws.operations.T, draws.arguments.T, strict=True):
        for code, argument in set(zip(codes.tolist(), arguments.tolist(), strict=True)):
            rows = torch.from_numpy(np.flatnonzero((codes == code) & (arguments == argument)))
            rows = rows.to(images.device)
            images[rows] = _apply_torchvision(NAMES[code], images[rows], argument)
    return images


def _apply_torchvision(name: str, images: torch.Tensor, v: float) -> torch.Tensor:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as tv

    if name in ("auto_contrast", "equalize", "invert"):
        return getattr(tv, name.replace("_", ""))(images)
    if name in ("posterize", "solarize"):
        return getattr(tv, name)(images, min(255, int(v)))
    if name == "solarize_add":
        return torch.where(images < 128, images + int(v), images)
    if name in ("brightness", "contrast", "color", "sharpness"):
        return getattr(tv, "adjust_" + name.replace("color", "saturation"))(images, v)
    grey: Any = {"interpolation": InterpolationMode.BILINEAR, "fill": [128.0] * 3}
    if name == "rotate":
        return tv.rotate(images, v, **grey)
    degrees, pixels = math.degrees(math.atan(v)), round(v * images.shape[-1])
    shear = [degrees * (name == "shear_x"), degrees * (name == "shear_y")]
    shift = [pixels * (name == "trans_x"), pixels * (name == "trans_y")]
    return tv.affine(images, 0.0, shift, 1.0, shear, **grey)


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
