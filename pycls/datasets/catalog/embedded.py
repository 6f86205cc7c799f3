"""Entries of the data sets that come inside installed packages."""

from dataclasses import asdict

from pycls.datasets.catalog.entry import CatalogEntry
from pycls.datasets.readers.patches import PatchOptions

_READERS = "pycls.datasets.readers.embedded"
_SKIMAGE = "scikit-image (skimage.data)"
_SKLEARN = "scikit-learn (sklearn.datasets)"

# Difficulty is chosen so that a small network neither fails nor reaches 0 % error: small
# patches, all of one mean brightness, the grey ones also of one contrast.
EMBEDDED: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        key="digits",
        title="Digits",
        description="handwritten digits, grey",
        num_classes=10,
        im_size=8,
        error_metric="top1",
        source=f"{_SKLEARN}: load_digits, the test part of UCI's 'Optical Recognition of "
        "Handwritten Digits'",
        licence="CC BY 4.0",
        reader=f"{_READERS}:read_digits",
        train_images=1078,
        test_images=719,
        # 719 test images: one error is 0.14 %.
        options={"size": 8, "test_share": 0.4, "seed": 1},
        mirror=False,
    ),
    CatalogEntry(
        key="faces",
        title="Faces",
        description="faces and pieces of background, grey, reduced from 25 x 25 pixels",
        num_classes=2,
        im_size=8,
        error_metric="top1",
        source=f"{_SKIMAGE}: lfw_subset, from 'Labeled Faces in the Wild'",
        licence="none stated",
        reader=f"{_READERS}:read_faces",
        train_images=100,
        test_images=100,
        # 200 images in all; 100 test images make one error 1 %.
        options={"size": 8, "test_share": 0.5, "seed": 1},
    ),
    CatalogEntry(
        key="monochrome",
        title="Monochrome",
        description="patches of five grey pictures: a cameraman, a cell, a clock, coins, the moon",
        num_classes=5,
        im_size=8,
        error_metric="top1",
        source=f"{_SKIMAGE}: camera, cell, clock, coins, moon",
        licence="camera, cell: CC0; clock: public domain; coins: no known restrictions; "
        "moon: none stated",
        reader=f"{_READERS}:read_monochrome",
        train_images=1500,
        test_images=2000,
        options=asdict(PatchOptions(size=8, area=16, train=300, test=400, level="standard")),
    ),
    CatalogEntry(
        key="photographs",
        title="Photographs",
        description="patches of seven colour photographs at half their resolution: an astronaut, "
        "a cat, a Chinese temple, a cup of coffee, a flower, a motorcycle, a rocket",
        num_classes=7,
        im_size=8,
        error_metric="top1",
        source=f"{_SKIMAGE}: astronaut, chelsea, coffee, rocket, stereo_motorcycle (left "
        f"picture); {_SKLEARN}: china, flower",
        licence="astronaut, rocket: public domain; chelsea, coffee: CC0; china, flower: CC BY "
        "2.0; motorcycle: none stated (Middlebury 2014 stereo benchmark)",
        reader=f"{_READERS}:read_photographs",
        train_images=2100,
        test_images=2100,
        options=asdict(PatchOptions(size=8, scale=2, area=16, train=300, test=300, level="centre")),
    ),
    CatalogEntry(
        key="scientific",
        title="Scientific",
        description="grey patches of three scientific pictures: a deep field of the Hubble "
        "telescope, stained tissue, a retina",
        num_classes=3,
        im_size=8,
        error_metric="top1",
        source=f"{_SKIMAGE}: hubble_deep_field, immunohistochemistry, retina",
        licence="hubble_deep_field: public domain; immunohistochemistry: no known "
        "restrictions; retina: CC0",
        reader=f"{_READERS}:read_scientific",
        train_images=1500,
        test_images=2100,
        options=asdict(
            PatchOptions(size=8, area=32, train=500, test=700, level="standard", grey=True)
        ),
    ),
    CatalogEntry(
        key="textures",
        title="Textures",
        description="patches of three surfaces, grey: brick, grass, gravel",
        num_classes=3,
        im_size=8,
        error_metric="top1",
        source=f"{_SKIMAGE}: brick, grass, gravel, from CC0Textures",
        licence="CC0",
        reader=f"{_READERS}:read_textures",
        train_images=1500,
        test_images=2100,
        options=asdict(PatchOptions(size=8, area=32, train=500, test=700, level="standard")),
    ),
    # For the effect of classes of uneven size; all other embedded sets have even ones.
    CatalogEntry(
        key="uneven_textures",
        title="Uneven textures",
        description="patches of three surfaces, grey: grass, gravel, and four times as many of "
        "brick",
        num_classes=3,
        im_size=8,
        error_metric="top1",
        source=f"{_SKIMAGE}: brick, grass, gravel, from CC0Textures",
        licence="CC0",
        reader=f"{_READERS}:read_uneven_textures",
        train_images=1500,
        test_images=2100,
        options={
            "factor": 4,
            **asdict(PatchOptions(size=8, area=32, train=250, test=350, level="standard")),
        },
    ),
)
