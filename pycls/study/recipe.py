"""What a study assumes where its file does not say: a training recipe by the size of a set.

A start, not a result: images enough to see something and no more, steps of a size that pycls's own
recipes take, one checkpoint a run.
"""

import math
from collections.abc import Mapping
from typing import Any

# Of every study, unless it says otherwise: pycls keeps every epoch's, gigabytes for small networks.
KEEP_LAST: Mapping[str, Any] = {"CHECKPOINT": {"KEEP": "last"}}

# Training steps that small networks have about enough of, at a batch of any size here.
_STEPS = 3000
_LEAST_EPOCHS, _MOST_EPOCHS = 5, 60
_LEAST_BATCH, _LARGEST_BATCH = 16, 256
_BATCHES_OF_AN_EPOCH = 40
# As in pycls's recipes, learning rate and batch size in proportion (Goyal et al., 2017).
_RATE_OF_AN_IMAGE = 0.1 / 128


def assumed_recipe(train_images: int) -> dict[str, Any]:
    """Return configuration keys to train small networks with on so many images.

    Batches are powers of two; epochs such that there are about 3,000 steps, from 5 to 60.
    """
    power = round(math.log2(max(1, train_images / _BATCHES_OF_AN_EPOCH)))
    batch = min(_LARGEST_BATCH, max(_LEAST_BATCH, 2**power))
    steps = max(1, train_images // batch)
    epochs = min(_MOST_EPOCHS, max(_LEAST_EPOCHS, round(_STEPS / steps)))
    return {
        "OPTIM": {
            "MAX_EPOCH": epochs,
            "BASE_LR": round(batch * _RATE_OF_AN_IMAGE, 5),
            "LR_POLICY": "cos",
            "WARMUP_EPOCHS": min(5, epochs // 10),
            "MOMENTUM": 0.9,
            "NESTEROV": True,
            "WEIGHT_DECAY": 5e-5,
        },
        "TRAIN": {"BATCH_SIZE": batch},
    }


def assumed_space(im_size: int, num_classes: int) -> tuple[dict[str, Any], tuple[float, float]]:
    """Return arguments of a design space for images of a size, and bounds of flops.

    The bounds are those of the published study, 360 to 400 million multiply-adds at 224 x 224
    pixels, in proportion to the pixels. Small images keep their size in the stem.
    """
    is_small = im_size <= 64
    space = {
        "num_stages": 3 if is_small else 4,
        "strides": [1, 2, 2] if is_small else [1, 2, 2, 2],
        "stem_type": "res_stem_cifar" if is_small else "res_stem_in",
        "stem_w": 16 if is_small else 32,
        "depth": [1, 6] if is_small else [1, 8],
        "width": [8, 128] if is_small else [16, 512],
        "bot_mul": [0.25, 1.0],
        "group_w": [1, 16] if is_small else [1, 32],
        "resolution": im_size,
        "num_classes": num_classes,
    }
    most = 400e6 * (im_size / 224) ** 2
    return space, (_two_digits(0.9 * most), _two_digits(most))


def _two_digits(value: float) -> float:
    return float(f"{value:.1e}")
