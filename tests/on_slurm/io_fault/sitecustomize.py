"""Has a storage fail: where this folder is in PYTHONPATH, as long as there is the file IO_FAULT.

The file holds the name of the error, such as EIO.
"""

import errno
import os

_replace = os.replace


def _replace_if_it_works(source, target, **options):
    try:
        with open(os.environ["IO_FAULT"]) as file:  # noqa: PTH123  # pathlib may not be imported
            number = getattr(errno, file.read() or "EIO")
    except FileNotFoundError:
        return _replace(source, target, **options)
    raise OSError(number, os.strerror(number), target)


os.replace = _replace_if_it_works
