"""Images per second of RandAugment (N 2, M 0.5) on batches of 128, in one run.

By our operations, by Pillow image by image as pycls does, and by torchvision's kernels for groups
that drew the same.

    python dev/bench_augment.py [--threads 1] [--device cuda] [--json FILE]
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from pycls import files
from pycls.datasets.loading.augment import Augment, Draws, apply_draws
from pycls.datasets.loading.image_ops import NAMES
from pycls.torchvision_import import import_torchvision

BATCH = 128
REPEATS = 5
POLICY = "RandAugment_N2_M0.5"
AUGMENT_PIXELS = (32, 224)


def main() -> None:
    """Measure both sizes and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = [_measure_augmentation(size, args.device) for size in AUGMENT_PIXELS]
    print(f"{POLICY}\n{'pixels':>6} {'ours':>9} {'Pillow':>9} {'torchvision':>11}")
    for row in rows:
        print(
            f"{row['pixels']:6d} {row['ours']:9.0f} {row['pillow']:9.0f} {row['torchvision']:11.0f}"
        )
    if args.json:
        settings = {"device": args.device, "threads": args.threads, "batch": BATCH}
        files.write_json(args.json, {**settings, "augmentation": rows})


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


if __name__ == "__main__":
    main()
