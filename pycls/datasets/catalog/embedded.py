"""Entries of the data sets that come inside installed packages."""

from typing import Any

from pycls.datasets.catalog.entry import CatalogEntry

_SKIMAGE = "scikit-image (skimage.data)"
_SKLEARN = "scikit-learn (sklearn.datasets)"
_TEXTURES = f"{_SKIMAGE}: brick, grass, gravel, from CC0Textures"


def _pictures(
    key: str,
    num_classes: int,
    *,
    train: int,
    test: int,
    scale: int = 1,
    area: int = 32,
    level: str = "standard",
    grey: bool = False,
    factor: int = 1,
    **words: Any,
) -> CatalogEntry:
    """Return the entry of a set of patches; `factor` times as many of the first class."""
    cut = {"size": 8, "scale": scale, "area": area, "train": train, "test": test}
    counted = num_classes - 1 + factor
    return CatalogEntry(
        key=key,
        title=key.capitalize().replace("_", " "),
        num_classes=num_classes,
        reader=f"embedded:read_{key}",
        options={
            **({"factor": factor} if factor > 1 else {}),
            **cut, "level": level, "grey": grey, "seed": 1,
        },
        images=(train * counted, test * counted),
        **words,
    )  # fmt: skip


# Difficulty is chosen so that a small network neither fails nor reaches 0 % error: small
# patches, all of one mean brightness, the grey ones also of one contrast.
EMBEDDED: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        key="digits",
        title="Digits",
        description="handwritten digits, grey",
        num_classes=10,
        source=f"{_SKLEARN}: load_digits, the test part of UCI's 'Optical Recognition of "
        "Handwritten Digits'",
        licence="CC BY 4.0",
        reader="embedded:read_digits",
        images=(1078, 719),
        # 719 test images: one error is 0.14 %.
        options={"size": 8, "test_share": 0.4, "seed": 1},
        mirror=False,
    ),
    CatalogEntry(
        key="faces",
        title="Faces",
        description="faces and pieces of background, grey, reduced from 25 x 25 pixels",
        num_classes=2,
        source=f"{_SKIMAGE}: lfw_subset, from 'Labeled Faces in the Wild'",
        licence="none stated",
        reader="embedded:read_faces",
        images=(100, 100),
        # 200 images in all; 100 test images make one error 1 %.
        options={"size": 8, "test_share": 0.5, "seed": 1},
    ),
    _pictures(
        "monochrome",
        5,
        description="patches of five grey pictures: a cameraman, a cell, a clock, coins, the moon",
        source=f"{_SKIMAGE}: camera, cell, clock, coins, moon",
        licence="camera, cell: CC0; clock: public domain; coins: no known restrictions; "
        "moon: none stated",
        train=300,
        test=400,
        area=16,
    ),
    _pictures(
        "photographs",
        7,
        description="patches of seven colour photographs at half their resolution: an astronaut, "
        "a cat, a Chinese temple, a cup of coffee, a flower, a motorcycle, a rocket",
        source=f"{_SKIMAGE}: astronaut, chelsea, coffee, rocket, stereo_motorcycle (left "
        f"picture); {_SKLEARN}: china, flower",
        licence="astronaut, rocket: public domain; chelsea, coffee: CC0; china, flower: CC BY "
        "2.0; motorcycle: none stated (Middlebury 2014 stereo benchmark)",
        train=300,
        test=300,
        scale=2,
        area=16,
        level="centre",
    ),
    _pictures(
        "scientific",
        3,
        description="grey patches of three scientific pictures: a deep field of the Hubble "
        "telescope, stained tissue, a retina",
        source=f"{_SKIMAGE}: hubble_deep_field, immunohistochemistry, retina",
        licence="hubble_deep_field: public domain; immunohistochemistry: no known "
        "restrictions; retina: CC0",
        train=500,
        test=700,
        grey=True,
    ),
    _pictures(
        "textures",
        3,
        description="patches of three surfaces, grey: brick, grass, gravel",
        source=_TEXTURES,
        licence="CC0",
        train=500,
        test=700,
    ),
    # For the effect of classes of uneven size; all other embedded sets have even ones.
    _pictures(
        "uneven_textures",
        3,
        description="patches of three surfaces, grey: grass, gravel, and four times as many of "
        "brick",
        source=_TEXTURES,
        licence="CC0",
        train=250,
        test=350,
        factor=4,
    ),
)
