"""Random numbers that belong to a sample, not to a generator's state.

Each number is a hash of (seed, epoch, stream, position of the image in its prepared set).
The same image in the same epoch of the same seed therefore gets the same augmentation
whatever the batch size, the number of workers, the process that was killed and started
again, or the view (a subset of classes) that it is read through. The numbers do not depend
on NumPy's generators, whose streams may change between versions.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

# Streams: what a number is used for. A value, once released, keeps its meaning.
STREAM_ORDER = 0
STREAM_CROP_Y = 1
STREAM_CROP_X = 2
STREAM_FLIP = 3
STREAM_LIGHTING = 4  # and the next two: one for each colour axis
STREAM_POLICY = 7
STREAM_BOX = 100  # and all after it: four for each try at a random resized crop
STREAM_AUGMENT = 1000  # and all after it: three for each operation in turn

_MASK = (1 << 64) - 1
# Increment and multipliers of splitmix64 (Steele, Lea, Flood 2014, "Fast splittable
# pseudorandom number generators"): output i is the mix of key + i * _GAMMA.
_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9
_MULTIPLIER_2 = 0x94D049BB133111EB

_UInt64 = npt.NDArray[np.uint64]


def _mix_int(value: int) -> int:
    value &= _MASK
    value = ((value ^ (value >> 30)) * _MULTIPLIER_1) & _MASK
    value = ((value ^ (value >> 27)) * _MULTIPLIER_2) & _MASK
    return value ^ (value >> 31)


def _mix_array(values: _UInt64) -> _UInt64:
    """Mix in place; unsigned arithmetic wraps, as it should."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(_MULTIPLIER_1)
    values ^= values >> np.uint64(27)
    values *= np.uint64(_MULTIPLIER_2)
    values ^= values >> np.uint64(31)
    return values


def make_key(*parts: int) -> int:
    """Hash integers (any size, any sign, in this order) to one 64-bit key."""
    key = 0
    for part in parts:
        key = _mix_int(key + _GAMMA + _mix_int(part + _GAMMA))
    return key


def text_key(*parts: object) -> int:
    """Hash texts and numbers to one 64-bit key, for draws that belong to names."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "little")


def hash_positions(key: int, positions: npt.ArrayLike) -> _UInt64:
    """Return one 64-bit hash for each of N positions (integers from 0), by a 64-bit key."""
    counters = np.asarray(positions).astype(np.uint64)
    counters += np.uint64(1)
    counters *= np.uint64(_GAMMA)
    counters += np.uint64(key)
    return _mix_array(counters)


def sample_bits(seed: int, epoch: int, stream: int, positions: npt.ArrayLike) -> _UInt64:
    """Return 64 random bits for each sample.

    Args:
        seed: the run's seed.
        epoch: 0-based epoch.
        stream: what the numbers are for, one of the STREAM constants.
        positions: positions of the images in their prepared set, N.

    Returns:
        uint64, N.
    """
    return hash_positions(make_key(seed, epoch, stream), positions)


def to_uniform(bits: _UInt64) -> npt.NDArray[np.float64]:
    """Turn 64 random bits each into floats in [0, 1), of 53 bits."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def to_integers(bits: _UInt64, high: int) -> npt.NDArray[np.int64]:
    """Turn 64 random bits each into integers in [0, high), for high up to 2**32.

    The upper 32 bits are multiplied and shifted, which is uniform up to high / 2**32.
    """
    if not 1 <= high <= 1 << 32:
        raise ValueError(f"high is {high}; expected 1 to 2**32")
    return (((bits >> np.uint64(32)) * np.uint64(high)) >> np.uint64(32)).astype(np.int64)


def sample_uniform(
    seed: int, epoch: int, stream: int, positions: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Return one float in [0, 1) for each sample; arguments as :func:`sample_bits`."""
    return to_uniform(sample_bits(seed, epoch, stream, positions))


def sample_integers(
    seed: int, epoch: int, stream: int, positions: npt.ArrayLike, high: int
) -> npt.NDArray[np.int64]:
    """Return one integer in [0, high) for each sample; arguments as :func:`sample_bits`."""
    return to_integers(sample_bits(seed, epoch, stream, positions), high)


def sample_normal(
    seed: int, epoch: int, stream: int, positions: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Return one standard normal number for each sample; arguments as :func:`sample_bits`.

    Box and Muller (1958): the upper 32 bits make the radius, the lower 32 the angle.
    """
    bits = sample_bits(seed, epoch, stream, positions)
    # In (0, 1], so that the logarithm is finite.
    upper = ((bits >> np.uint64(32)).astype(np.float64) + 1) * 2.0**-32
    lower = (bits & np.uint64(0xFFFFFFFF)).astype(np.float64) * 2.0**-32
    return np.sqrt(-2 * np.log(upper)) * np.cos(2 * np.pi * lower)


def epoch_order(seed: int, epoch: int, indices: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the order in which an epoch goes through the samples.

    Args:
        seed: the run's seed.
        epoch: 0-based epoch.
        indices: positions of the images in their prepared set, N, without repeats.

    Returns:
        A permutation of 0 .. N-1, to index `indices` with. The images of a subset come in
        the same relative order as in the whole set.
    """
    indices = np.asarray(indices)
    bits = sample_bits(seed, epoch, STREAM_ORDER, indices)
    return np.lexsort((indices, bits)).astype(np.int64)


def shuffled(key: int, count: int) -> npt.NDArray[np.int64]:
    """Return a permutation of 0 .. count-1 that belongs to `key`."""
    return np.argsort(hash_positions(key, np.arange(count)), kind="stable").astype(np.int64)


def order_names(names: Iterable[str], *salt: object) -> list[str]:
    """Return names in an order drawn from `salt`, whatever order they came in."""
    return sorted(names, key=lambda name: (text_key(*salt, name), name))
