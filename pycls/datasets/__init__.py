"""Data sets: prepared once, opened as memory maps, read in batches."""

from pycls.front_door import front_door

__getattr__, __all__ = front_door(
    __name__,
    {
        "Dataset": "pycls.datasets.opening.dataset",
        "open_dataset": "pycls.datasets.opening.dataset",
    },
)
