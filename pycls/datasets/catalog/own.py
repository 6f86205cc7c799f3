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
        "options": {"test_folder": "", "level": 0},
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
    "arrays": {
        "title": "Arrays",
        "description": "images of your own in NumPy's files (give it a --name)",
        "reader": "containers.arrays:read_arrays",
        "options": {"class_names": "", "test_split": ""},
        "download": "a .npz file, or .npy files, with arrays such as train_images, train_labels, "
        "test_images, test_labels (or X_train, y_train, ...; or X, y)",
    },
    "parquet": {
        "title": "Parquet files",
        "description": "encoded images with labels in Parquet files, such as Hugging Face's (give "
        "it a --name; needs pyarrow)",
        "reader": "containers.parquet:read_parquet",
        "options": {
            "image_column": "",
            "label_column": "",
            "group_column": "",
            "class_names": "",
            "test_split": "",
        },
        "download": "a Parquet file, or a folder with those of one set "
        "('data/train-00000-of-00001.parquet')",
    },
    "webdataset": {
        "title": "WebDataset",
        "description": "tar files of images and labels of equal names (give it a --name)",
        "reader": "containers.webdataset:read_webdataset",
        "options": {"label_key": "", "class_names": "", "test_split": ""},
        "download": "a tar file, or a folder with those of one set ('train-0000.tar'), with "
        "images and labels ('0001.jpg' and '0001.cls')",
    },
}


def _make_entry(key: str, layout: Mapping[str, Any]) -> CatalogEntry:
    options = split_pipeline(256, **layout.get("options", {}))
    common = {"num_classes": 0, "source": "the user's own", "licence": "the user's own"}
    return CatalogEntry(key=key, **{**common, **layout, "options": options})


OWN = tuple(_make_entry(key, layout) for key, layout in LAYOUTS.items())
