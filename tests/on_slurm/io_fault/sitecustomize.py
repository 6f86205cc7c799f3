"""Has a storage fail: where this folder is in PYTHONPATH, as long as there is the file IO_FAULT."""

import errno
import os

_replace = os.replace


def _replace_if_it_works(source, target, **options):
    if os.path.exists(os.environ["IO_FAULT"]):  # noqa: PTH110  # quicker
        raise OSError(errno.EIO, os.strerror(errno.EIO), target)
    _replace(source, target, **options)


os.replace = _replace_if_it_works
