"""Images that nearly look alike: the same picture encoded or resized another way.

Each image gets a perceptual hash: its grey thumbnail of 32 x 32 pixels goes through the discrete
cosine transform, of which 64 low frequencies (without the mean) give one bit each, above or
below their median (C. Zauner, Implementation and Benchmarking of Perceptual Image Hash
Functions, 2010). Only images that share one of the eight bytes of it are compared (hashes that
differ in at most 7 bits do), and of the many that share a common one, only neighbours in the
order of their hashes. Hashes of fine textures collide, so that what decides are the thumbnails:
the correlation of their pixels.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pycls.datasets.store.store import ImageArray, IntArray

# Measured on crops of textures (docs/datasets/README.md): re-encoded and resized images stay
# above, different crops of one surface below.
LEAST_CORRELATION = 0.985
_MOST_BITS = 16
_THUMBNAIL = 32
# Places of the 64 lowest frequencies but the mean, lowest first: smooth images have no others, so
# that the bits of the higher ones are noise.
_PLACES = np.arange(_THUMBNAIL**2)
_LOW = np.argsort(_PLACES // _THUMBNAIL + _PLACES % _THUMBNAIL, kind="stable")[1:65]
# Images of one bucket that are compared with each other; of larger ones with so many next ones.
_MOST_IN_BUCKET = 64
_BLOCK = 1 << 15

_Bytes = npt.NDArray[np.uint8]


def find_near_duplicates(
    images: ImageArray, positions: Sequence[int] | None = None
) -> list[list[int]]:
    """Return the images that nearly look alike.

    Args:
        images: uint8, N x H x W x 3.
        positions: those to look at; all by default.

    Returns:
        Positions of images that are alike, directly or through others, a list of at least two
        for each kind, ascending.
    """
    chosen = np.arange(len(images)) if positions is None else np.asarray(positions)
    hashes = np.zeros((len(chosen), 8), dtype=np.uint8)
    thumbnails = np.zeros((len(chosen), _THUMBNAIL**2), dtype=np.uint8)
    for row, position in enumerate(chosen.tolist()):
        hashes[row], thumbnails[row] = _describe(images[position])
    parents = np.arange(len(chosen))

    def find(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = int(parents[row])
        return row

    for one, two in _find_pairs(hashes, thumbnails):
        first, second = sorted((find(one), find(two)))
        parents[second] = first
    clusters: dict[int, list[int]] = {}
    for row in range(len(chosen)):
        clusters.setdefault(find(row), []).append(int(chosen[row]))
    return [cluster for cluster in clusters.values() if len(cluster) > 1]


def _describe(image: ImageArray) -> tuple[_Bytes, _Bytes]:
    """Return the hash (8 bytes) and the thumbnail (1024 grey values) of an image."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    waves = cv2.dct(small.astype(np.float32)).ravel()[_LOW]
    return np.packbits(waves > np.median(waves)), small.ravel().astype(np.uint8)


def _find_pairs(hashes: _Bytes, thumbnails: _Bytes) -> Iterator[tuple[int, int]]:
    for part in range(hashes.shape[1]):
        # Within a bucket, neighbours by the rest of the hash.
        keys = [hashes[:, (part + place) % 8] for place in range(7, -1, -1)]
        order = np.lexsort(keys)
        bucket = hashes[order, part]
        for step in range(1, _MOST_IN_BUCKET):
            if step >= len(order):
                break
            same = np.flatnonzero(bucket[step:] == bucket[:-step])
            for start in range(0, len(same), _BLOCK):
                places = same[start : start + _BLOCK]
                yield from _judge(order[places], order[places + step], hashes, thumbnails)


def _judge(
    one: IntArray, two: IntArray, hashes: _Bytes, thumbnails: _Bytes
) -> Iterator[tuple[int, int]]:
    bits = np.bitwise_count(hashes[one] ^ hashes[two]).sum(axis=1)
    near = bits <= _MOST_BITS
    one, two = one[near], two[near]
    if len(one):
        alike = _correlate(thumbnails[one], thumbnails[two]) >= LEAST_CORRELATION
        yield from zip(one[alike].tolist(), two[alike].tolist(), strict=True)


def _correlate(one: _Bytes, two: _Bytes) -> npt.NDArray[np.float64]:
    """Return the correlation of the pixels of thumbnails, row by row; flat ones as if equal."""
    first, second = (
        values - values.mean(axis=1, keepdims=True)
        for values in (one.astype(np.float32), two.astype(np.float32))
    )
    norms = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    product = (first * second).sum(axis=1)
    # Of two images without any structure, one colour is as good as the other only if it is near.
    flat = np.abs(one.mean(axis=1) - two.mean(axis=1)) <= 1
    return np.where(norms > 0, product / np.maximum(norms, 1e-9), np.where(flat, 1.0, 0.0))
