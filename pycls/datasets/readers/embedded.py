"""Readers of the real images that come inside installed packages."""

from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from pycls.datasets.readers.base import RawSet
from pycls.datasets.readers.patches import PatchOptions, cut_patches
from pycls.datasets.sources.decode import fit_image
from pycls.datasets.splits import stratified_split
from pycls.datasets.store.store import ImageArray
from pycls.errors import ConfigError, DataError

MONOCHROME = ("camera", "cell", "clock", "coins", "moon")
PHOTOGRAPHS = ("astronaut", "chelsea", "china", "coffee", "flower", "motorcycle", "rocket")
SCIENTIFIC = ("hubble_deep_field", "immunohistochemistry", "retina")
TEXTURES = ("brick", "grass", "gravel")


def read_digits(size: int, test_share: float, seed: int) -> RawSet:
    """Read scikit-learn's 1797 handwritten digits, 8 x 8 pixels.

    Args:
        size: side of the images in pixels; other than 8, they are resized bilinearly.
        test_share: share of each class on the test side.
        seed: seed of the split.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    # Grey levels are 0 to 16.
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
    names = tuple(str(name) for name in digits.target_names)
    return _split_grey(grey, digits.target, names, size, test_share, seed)


def read_faces(size: int, test_share: float, seed: int) -> RawSet:
    """Read scikit-image's 100 faces and 100 pieces of background, 25 x 25 pixels.

    Args:
        size: side of the images in pixels; other than 25, they are resized bilinearly.
        test_share: share of each class on the test side.
        seed: seed of the split.
    """
    # In 0..1; the faces come first.
    pictures = _load_bundled("lfw_subset")
    grey = np.round(pictures * 255).astype(np.uint8)
    labels = np.repeat([0, 1], len(grey) // 2)
    return _split_grey(grey, labels, ("face", "background"), size, test_share, seed)


def read_monochrome(**options: Any) -> RawSet:
    """Cut patches of five grey pictures; options of :class:`PatchOptions`."""
    return _read_pictures(MONOCHROME, options)


def read_photographs(**options: Any) -> RawSet:
    """Cut patches of seven colour photographs; options of :class:`PatchOptions`."""
    return _read_pictures(PHOTOGRAPHS, options)


def read_scientific(**options: Any) -> RawSet:
    """Cut patches of three scientific pictures; options of :class:`PatchOptions`."""
    return _read_pictures(SCIENTIFIC, options)


def read_textures(**options: Any) -> RawSet:
    """Cut patches of brick, grass and gravel; options of :class:`PatchOptions`."""
    return _read_pictures(TEXTURES, options)


def read_uneven_textures(factor: int, **options: Any) -> RawSet:
    """Cut `factor` times as many patches of brick as of grass and gravel.

    Args:
        factor: how many times as many, at least 2.
        **options: options of :class:`PatchOptions`; their counts are those of grass and gravel.
    """
    if factor < 2:
        raise ConfigError(f"factor {factor}: expected at least 2")
    wanted = PatchOptions(**options)
    more = replace(wanted, train=wanted.train * factor, test=wanted.test * factor)
    pictures = {name: load_picture(name) for name in TEXTURES}
    parts = [
        cut_patches({name: picture}, more if name == TEXTURES[0] else wanted)
        for name, picture in pictures.items()
    ]
    return RawSet(
        images=np.concatenate([np.asarray(part.images) for part in parts]),
        labels=np.repeat(np.arange(len(parts)), [len(part.labels) for part in parts]),
        split=np.concatenate([part.split for part in parts]),
        class_names=TEXTURES,
        split_rule=parts[0].split_rule,
    )


def load_picture(name: str) -> ImageArray:
    """Load a picture by its class name.

    Returns:
        uint8, H x W for a grey picture, H x W x 3 for a coloured one.

    Raises:
        DataError: the installed package does not hold it.
    """
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        return np.asarray(load_sample_image(f"{name}.jpg"))
    if name == "motorcycle":
        return np.asarray(_load_bundled("stereo_motorcycle")[0])
    return np.asarray(_load_bundled(name))


def _read_pictures(names: tuple[str, ...], options: dict[str, Any]) -> RawSet:
    return cut_patches({name: load_picture(name) for name in names}, PatchOptions(**options))


def _load_bundled(name: str) -> Any:
    import skimage.data

    try:
        return getattr(skimage.data, name)()
    except (AttributeError, ImportError, OSError) as error:
        # Other releases leave some pictures to a download.
        raise DataError(
            f"the picture '{name}' does not come with scikit-image {version('scikit-image')} "
            f"({error}); install the version in requirements.txt"
        ) from None


def _split_grey(
    grey: ImageArray,
    labels: npt.ArrayLike,
    class_names: tuple[str, ...],
    size: int,
    test_share: float,
    seed: int,
) -> RawSet:
    if not 0 < test_share < 1:
        raise ConfigError(f"test_share {test_share}: expected a number between 0 and 1")
    labels = np.asarray(labels, dtype=np.int64)
    pictures = np.repeat(grey[..., None], 3, axis=3)
    return RawSet(
        images=np.stack([fit_image(picture, size, "squash") for picture in pictures]),
        labels=labels,
        split=stratified_split(labels, range(len(labels)), test_share, seed),
        class_names=class_names,
        split_rule=f"{test_share:.0%} of each class, drawn with seed {seed}, is the test side",
    )
