"""The entry of a data set in the catalogue: all that is known before it is prepared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pycls.registry import import_object

_READERS = "pycls.datasets.readers"


@dataclass(frozen=True)
class CatalogEntry:
    """One data set.

    Attributes:
        key: name on command lines and in studies.
        title: name in reports.
        description: what is on the images.
        num_classes: number of classes; 0: as many as are found.
        source: where the images come from.
        licence: what the source says about use.
        reader: "module:function" that reads the set; the module is one of
            `pycls.datasets.readers`. An embedded set's takes the options as keywords and
            returns a :class:`~pycls.datasets.readers.base.RawSet`; that of a downloaded one
            takes a :class:`~pycls.datasets.sources.sources.Source` and its own options and
            returns a :class:`~pycls.datasets.readers.base.Listing`.
        options: options with their defaults, all recorded in the prepared set.
        error_metric: "top1" or "top5" (paper, Table 2).
        mirror: whether a mirrored image still shows its class.
        version: of the reader; another one means other images for the same options.
        images: published or computed sizes of the train and the test side; None: not known.
        exact: whether these two are counts, and not estimates (a split by groups, a size
            published in round numbers). Preparation may leave out some: see the set's report.
        class_counts: published number of images of each class, both sides together; empty
            where it is not published.
        epochs: training length in the study (paper, Table 2); None: not in the study.
        class_names: in the order of their numbers, where the files have numbers only.
        citation: whom to cite.
        download: what to download, in words; "" for an embedded set.
        page: where it is published.
        part_of: key of the set that its images come from; "" for none.
        archives: whether an archive in the folder that is given counts as a folder.
        compared: whether the classes and images found are compared with those above; a set's own
            reader does that itself.
        mean: known channel means of the train side in 0..1, to check against; (): not known.
        std: known channel standard deviations of the train side, in 0..1.
    """

    key: str
    title: str
    description: str
    num_classes: int
    source: str
    licence: str
    reader: str
    options: Mapping[str, Any]
    error_metric: str = "top1"
    mirror: bool = True
    version: int = 1
    images: tuple[int, int] | None = None
    exact: bool = True
    class_counts: Mapping[str, int] = field(default_factory=dict)
    epochs: int | None = None
    class_names: tuple[str, ...] = ()
    citation: str = ""
    download: str = ""
    page: str = ""
    part_of: str = ""
    archives: bool = True
    compared: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def raw(self) -> bool:
        """Whether it is made from a download that the user names."""
        return bool(self.download)

    @property
    def im_size(self) -> int:
        """Side of the images in pixels at the default options (paper, Table 1)."""
        return int(self.options["size"])

    def load_reader(self) -> Callable[..., Any]:
        """Import the reader; only now are the packages it needs imported."""
        reader: Callable[..., Any] = import_object(f"{_READERS}.{self.reader}")
        return reader


def pipeline(size: int, **own: Any) -> dict[str, Any]:
    """Return the options of a set with an official split; `own` are its reader's."""
    return {"size": size, "aspect": "crop", "seed": 1, **own}


def split_pipeline(size: int, **own: Any) -> dict[str, Any]:
    """Return the options of a set whose test side is drawn, or given by a list."""
    return pipeline(size, test_share=0.1, split="groups", test_files="", **own)
