"""The data sets known by name: what they are and which reader makes them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any

from pycls.datasets.readers.patches import PatchOptions
from pycls.errors import ConfigError

_EMBEDDED = "pycls.datasets.readers.embedded"


@dataclass(frozen=True)
class CatalogEntry:
    """One data set.

    Attributes:
        key: name on command lines and in studies.
        title: name in reports.
        description: what is on the images.
        num_classes: number of classes.
        im_size: side of the images in pixels at the default options.
        error_metric: "top1" or "top5".
        source: where the images come from.
        licence: what the source says about use.
        reader: "module:function" that makes the set; it takes the options as keywords and
            returns a :class:`~pycls.datasets.readers.base.RawSet`.
        options: the reader's options with their defaults, all recorded in the prepared set.
        mirror: whether a mirrored image still shows its class.
        version: of the reader; another one means other images for the same options.
    """

    key: str
    title: str
    description: str
    num_classes: int
    im_size: int
    error_metric: str
    source: str
    licence: str
    reader: str
    options: Mapping[str, Any] = field(default_factory=dict)
    mirror: bool = True
    version: int = 1

    def load_reader(self) -> Callable[..., Any]:
        """Import the reader; only now are the packages it needs imported."""
        module, function = self.reader.split(":")
        reader: Callable[..., Any] = getattr(import_module(module), function)
        return reader


_SKIMAGE = "scikit-image (skimage.data)"
_SKLEARN = "scikit-learn (sklearn.datasets)"

# Difficulty is chosen so that a small network neither fails nor reaches 0 % error: small
# patches, all of one mean brightness, the grey ones also of one contrast.
_ENTRIES = (
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
        reader=f"{_EMBEDDED}:read_digits",
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
        reader=f"{_EMBEDDED}:read_faces",
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
        reader=f"{_EMBEDDED}:read_monochrome",
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
        reader=f"{_EMBEDDED}:read_photographs",
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
        reader=f"{_EMBEDDED}:read_scientific",
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
        reader=f"{_EMBEDDED}:read_textures",
        options=asdict(PatchOptions(size=8, area=32, train=500, test=700, level="standard")),
    ),
)

CATALOG: Mapping[str, CatalogEntry] = {entry.key: entry for entry in _ENTRIES}


def find_entry(key: str) -> CatalogEntry:
    """Return the entry of a data set.

    Raises:
        ConfigError: there is none of that name.
    """
    if key not in CATALOG:
        raise ConfigError(f"unknown data set '{key}'; known are {', '.join(CATALOG)}")
    return CATALOG[key]
