"""Division of images or picture areas into a train and a test side."""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from pycls.datasets.randomness import shuffled, text_key
from pycls.errors import DataError


def stratified_split(
    labels: npt.ArrayLike, identities: Sequence[Hashable], test_share: float, seed: int
) -> npt.NDArray[np.uint8]:
    """Give a share of each class to the test side.

    Whether an image is drawn depends on its class, its identity and the seed, not on the
    order of the images.

    Args:
        labels: N integers.
        identities: N distinct names (or numbers), such as file names.
        test_share: share of each class, between 0 and 1; at least one image, not all.
        seed: which draw.

    Returns:
        uint8, N: 0 for train, 1 for test.

    Raises:
        DataError: an identity occurs twice, or a class has fewer than 2 images.
    """
    labels = np.asarray(labels)
    if len(set(identities)) != len(identities):
        raise DataError("cannot split: two images have one identity")
    keys = np.array([text_key("split", seed, identity) for identity in identities])
    split = np.zeros(len(labels), dtype=np.uint8)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DataError(f"cannot split class {label}: it has {len(members)} image")
        wanted = round(len(members) * test_share)
        count = min(max(wanted, 1), len(members) - 1)
        split[members[np.argsort(keys[members], kind="stable")][:count]] = 1
    return split


def split_areas(
    picture: str, rows: int, columns: int, test_share: float, seed: int
) -> npt.NDArray[np.uint8]:
    """Give a share of a picture's grid of areas to the test side.

    Args:
        picture: the picture's name; every picture has a draw of its own.
        rows: areas from top to bottom.
        columns: areas from left to right.
        test_share: share of the areas, between 0 and 1; at least one area, not all.
        seed: which draw.

    Returns:
        uint8, rows x columns: 0 for train, 1 for test.

    Raises:
        DataError: there are fewer than 2 areas.
    """
    total = rows * columns
    if total < 2:
        raise DataError(
            f"picture '{picture}' holds {total} areas of the asked size, expected at least 2; "
            "choose smaller areas or a smaller scale"
        )
    count = min(max(round(total * test_share), 1), total - 1)
    order = shuffled(text_key("areas", seed, picture), total)
    sides = np.zeros(total, dtype=np.uint8)
    sides[order[:count]] = 1
    return sides.reshape(rows, columns)
