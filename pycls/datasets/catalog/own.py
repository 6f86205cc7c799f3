"""Entries of the layouts that images of one's own may have; a reader of another adds one here."""

from typing import Any

from pycls.datasets.catalog.entry import CatalogEntry, split_pipeline


def _own(
    key: str, title: str, description: str, reader: str, download: str, **options: Any
) -> CatalogEntry:
    return CatalogEntry(
        key=key,
        title=title,
        description=f"{description} (give it a --name)",
        num_classes=0,
        source="the user's own",
        licence="the user's own",
        reader=reader,
        options=split_pipeline(256, **options),
        download=download,
    )


OWN: tuple[CatalogEntry, ...] = (
    _own(
        "folder",
        "Class folders",
        "images of your own, one folder a class",
        reader="folder:read_folder",
        download="a folder or archive with one folder a class, within 'train/' and 'test/' "
        "(or 'val/') folders where there is a split",
        test_folder="",
    ),
    _own(
        "csv",
        "Table of images",
        "images of your own, listed in a table",
        reader="csv_table:read_csv",
        download="a table with the columns path and label, and group and split where you have "
        "them, beside the images",
        table="",
    ),
)
