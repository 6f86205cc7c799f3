"""Entries of the layouts that images of one's own may have; a reader of another adds one here."""

from collections.abc import Mapping
from typing import Any

from pycls.datasets.catalog.entry import CatalogEntry, split_pipeline

# Name -> what its entry says; "options" are the reader's own.
LAYOUTS: dict[str, Mapping[str, Any]] = {
    "folder": {
        "title": "Class folders",
        "description": "images of your own, one folder a class (give it a --name)",
        "reader": "folder:read_folder",
        "options": {"test_folder": ""},
        "download": "a folder or archive with one folder a class, within 'train/' and 'test/' "
        "(or 'val/') folders where there is a split",
    },
    "csv": {
        "title": "Table of images",
        "description": "images of your own, listed in a table (give it a --name)",
        "reader": "csv_table:read_csv",
        "options": {
            "table": "",
            "path_column": "",
            "label_column": "",
            "group_column": "",
            "split_column": "",
            "test_values": "",
            "image_folder": "",
        },
        "download": "a table (comma-separated or the like, or JSON lines) with the columns path "
        "and label, and group and split where you have them, beside the images; options name "
        "other columns",
    },
}


def _make_entry(key: str, layout: Mapping[str, Any]) -> CatalogEntry:
    options = split_pipeline(256, **layout.get("options", {}))
    common = {"num_classes": 0, "source": "the user's own", "licence": "the user's own"}
    return CatalogEntry(key=key, **{**common, **layout, "options": options})


OWN = tuple(_make_entry(key, layout) for key, layout in LAYOUTS.items())
