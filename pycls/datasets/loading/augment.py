"""AutoAugment and RandAugment as pycls has them, drawn for each image and epoch.

AutoAugment (Cubuk et al., 2019) draws one of 25 pairs of operations; the policy is "v0" of the
EfficientNet code. RandAugment (Cubuk et al., 2020) draws operations evenly from 15; as in pycls
all of them grow with the magnitude, from nothing at 0, so far as an operation can.
"""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pycls.datasets import randomness
from pycls.datasets.loading import image_ops
from pycls.errors import ConfigError

# (operation, probability, magnitude) of AutoAugment's policy v0.
_POLICY_V0 = (
    (("equalize", 0.8, 0.1), ("shear_y", 0.8, 0.4)),
    (("color", 0.4, 0.9), ("equalize", 0.6, 0.3)),
    (("color", 0.4, 0.1), ("rotate", 0.6, 0.8)),
    (("solarize", 0.8, 0.3), ("equalize", 0.4, 0.7)),
    (("solarize", 0.4, 0.2), ("solarize", 0.6, 0.2)),
    (("color", 0.2, 0.0), ("equalize", 0.8, 0.8)),
    (("equalize", 0.4, 0.8), ("solarize_add", 0.8, 0.3)),
    (("shear_x", 0.2, 0.9), ("rotate", 0.6, 0.8)),
    (("color", 0.6, 0.1), ("equalize", 1.0, 0.2)),
    (("invert", 0.4, 0.9), ("rotate", 0.6, 0.0)),
    (("equalize", 1.0, 0.9), ("shear_y", 0.6, 0.3)),
    (("color", 0.4, 0.7), ("equalize", 0.6, 0.0)),
    (("posterize", 0.4, 0.6), ("auto_contrast", 0.4, 0.7)),
    (("solarize", 0.6, 0.8), ("color", 0.6, 0.9)),
    (("solarize", 0.2, 0.4), ("rotate", 0.8, 0.9)),
    (("rotate", 1.0, 0.7), ("trans_y", 0.8, 0.9)),
    (("shear_x", 0.0, 0.0), ("solarize", 0.8, 0.4)),
    (("shear_y", 0.8, 0.0), ("color", 0.6, 0.4)),
    (("color", 1.0, 0.0), ("rotate", 0.6, 0.2)),
    (("equalize", 0.8, 0.4), ("equalize", 0.0, 0.8)),
    (("equalize", 1.0, 0.4), ("auto_contrast", 0.6, 0.2)),
    (("shear_y", 0.4, 0.7), ("solarize_add", 0.6, 0.7)),
    (("posterize", 0.8, 0.2), ("solarize", 0.6, 1.0)),
    (("solarize", 0.6, 0.8), ("equalize", 0.6, 0.1)),
    (("color", 0.8, 0.6), ("rotate", 0.4, 0.5)),
)

_RAND_AUGMENT = re.compile(r"RandAugment(?:_N(\d+))?(?:_M(\d*\.?\d+))?(?:_P(\d*\.?\d+))?")
_DEFAULT_MAGNITUDE = 0.5

_SIGNED = {"rotate": 30.0, "shear_x": 0.3, "shear_y": 0.3, "trans_x": 0.45, "trans_y": 0.45}
_ENHANCING = ("color", "contrast", "brightness", "sharpness")
_MAX_ADDED = 110.0
# Principal components of the RGB values of ImageNet's training images: the standard deviations
# along the axes, in units where white is 1, and the axes, as columns (pycls, datasets/imagenet).
_AXIS_STDS = np.array([0.2175, 0.0188, 0.0045])
_AXES = np.array(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)


@dataclass(frozen=True)
class _Variant:
    """An operation as a policy has it, with its arguments for both signs."""

    name: str
    probability: float
    arguments: tuple[float, float]


@dataclass(frozen=True)
class Draws:
    """What happens to each of N images, in K steps.

    Attributes:
        operations: int64, N x K, places in `image_ops.NAMES`; -1 for nothing.
        arguments: float64, N x K, what the operations take.
    """

    operations: npt.NDArray[np.int64]
    arguments: npt.NDArray[np.float64]

    def __getitem__(self, part: slice) -> "Draws":
        return Draws(self.operations[part], self.arguments[part])


class Augment:
    """A policy of augmentation.

    Args:
        text: "AutoAugment", or "RandAugment" with optional parts in this order: _N and the
            number of operations (2), _M and the magnitude from 0 to 1 (0.5; pycls has no
            default), _P and the probability of each operation (1), such as
            "RandAugment_N2_M0.5".

    Raises:
        ConfigError: another text, or a number outside its range.
    """

    def __init__(self, text: str) -> None:
        random = _parse(text)
        # For each step what can happen in it; one choice is for both steps, or each has its own.
        self._steps: tuple[tuple[_Variant, ...], ...]
        self._drawn_together = random is None
        if random is None:
            self._steps = tuple(
                tuple(_Variant(name, p, _fixed_arguments(name, m)) for name, p, m in column)
                for column in zip(*_POLICY_V0, strict=True)
            )
        else:
            count, magnitude, probability = random
            step = tuple(
                _Variant(name, probability, _growing_arguments(name, magnitude))
                for name in image_ops.NAMES
            )
            self._steps = (step,) * count

    @property
    def steps(self) -> int:
        """How many operations an image goes through, at most."""
        return len(self._steps)

    def sample(self, seed: int, epoch: int, positions: npt.NDArray[np.int64]) -> Draws:
        """Draw what happens to images in an epoch: to each by itself, whatever the others are.

        Args:
            seed: the run's seed.
            epoch: 0-based epoch.
            positions: N, positions of the images in their prepared set.
        """
        shape = (len(positions), len(self._steps))
        draws = Draws(np.empty(shape, dtype=np.int64), np.empty(shape))
        for number, variants in enumerate(self._steps):
            stream = randomness.STREAM_AUGMENT + 3 * number
            choice = randomness.STREAM_POLICY if self._drawn_together else stream
            chosen = randomness.sample_integers(seed, epoch, choice, positions, len(variants))
            applied = randomness.sample_uniform(seed, epoch, stream + 1, positions)
            sign = randomness.sample_integers(seed, epoch, stream + 2, positions, 2)
            codes = np.array([image_ops.NAMES.index(variant.name) for variant in variants])
            likely = np.array([variant.probability for variant in variants])
            arguments = np.array([variant.arguments for variant in variants])
            draws.operations[:, number] = np.where(applied < likely[chosen], codes[chosen], -1)
            draws.arguments[:, number] = arguments[chosen, sign]
        return draws


def apply_draws(images: Tensor, draws: Draws) -> None:
    """Augment images (uint8, N x H x W x 3, contiguous) in place, as was drawn for each."""
    for step in range(draws.operations.shape[1]):
        image_ops.apply_operations(images, draws.operations[:, step], draws.arguments[:, step])


def _parse(text: str) -> tuple[int, float, float] | None:
    """Return number of operations, magnitude and probability; None for AutoAugment."""
    if text == "AutoAugment":
        return None
    match = _RAND_AUGMENT.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"augmentation {text!r}; expected 'AutoAugment', or 'RandAugment' with optional _N, "
            "_M and _P parts such as 'RandAugment_N2_M0.5'"
        )
    count, magnitude, probability = match.groups()
    steps = int(count) if count else 2
    strength = float(magnitude) if magnitude else _DEFAULT_MAGNITUDE
    likely = float(probability) if probability else 1.0
    if steps < 1 or strength > 1 or likely > 1:
        raise ConfigError(
            f"augmentation {text!r}: {steps} operations, magnitude {strength:g}, probability "
            f"{likely:g}; expected at least 1 operation, the others from 0 to 1"
        )
    return steps, strength, likely


def _fixed_arguments(name: str, magnitude: float) -> tuple[float, float]:
    """Return the arguments of both signs in AutoAugment's scale, at a magnitude of 0 to 1."""
    if name in _ENHANCING:
        return _twice(0.1 + 1.8 * magnitude)
    if name == "posterize":
        # With no bit left the image would be black.
        return _twice(max(1, int(4 * magnitude)))
    if name == "solarize":
        return _twice(int(256 * magnitude))
    return _common_arguments(name, magnitude)


def _growing_arguments(name: str, magnitude: float) -> tuple[float, float]:
    """Return the arguments of both signs in pycls's RandAugment, at a magnitude of 0 to 1."""
    if name in _ENHANCING:
        return 1 + 0.9 * magnitude, 1 - 0.9 * magnitude
    if name == "posterize":
        return _twice(max(1, 4 - int(4 * magnitude)))
    if name == "solarize":
        return _twice(256 - 256 * magnitude)
    return _common_arguments(name, magnitude)


def _common_arguments(name: str, magnitude: float) -> tuple[float, float]:
    if name in _SIGNED:
        return magnitude * _SIGNED[name], -magnitude * _SIGNED[name]
    return _twice(magnitude * _MAX_ADDED if name == "solarize_add" else 0.0)


def _twice(value: float) -> tuple[float, float]:
    return value, value


def sample_lighting(
    seed: int, epoch: int, positions: npt.ArrayLike, std: float
) -> npt.NDArray[np.float32]:
    """Draw what is added to all pixels of each image.

    Args:
        seed: the run's seed.
        epoch: 0-based epoch.
        positions: positions of the images in their prepared set, N.
        std: standard deviation of the draws, in standard deviations of each axis.

    Returns:
        float32, N x 3 (red, green, blue), in units where white is 1.
    """
    normal = np.stack(
        [
            randomness.sample_normal(seed, epoch, randomness.STREAM_LIGHTING + axis, positions)
            for axis in range(3)
        ],
        axis=1,
    )
    return (std * (normal * _AXIS_STDS) @ _AXES.T).astype(np.float32)
