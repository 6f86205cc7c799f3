"""A CIFAR-10 of a few images, laid out as its download is."""

import pickle

import numpy as np

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
IMAGES_OF_A_FILE = 10


def write_cifar10(folder):
    """Write the five files of training images and the one of test images; return the folder."""
    rng = np.random.default_rng(0)
    batches = folder / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        content = {
            b"batch_label": name.encode(),
            b"labels": list(range(IMAGES_OF_A_FILE)),
            b"data": rng.integers(0, 256, (IMAGES_OF_A_FILE, 3072), dtype=np.uint8),
            b"filenames": [f"{name}_{i}.png".encode() for i in range(IMAGES_OF_A_FILE)],
        }
        (batches / name).write_bytes(pickle.dumps(content))
    meta = {b"label_names": [name.encode() for name in CLASSES], b"num_cases_per_batch": 10}
    (batches / "batches.meta").write_bytes(pickle.dumps(meta))
    return folder
