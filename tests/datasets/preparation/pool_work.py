"""Work that the processes of a pool can import."""

import os

from pycls.errors import DataError


class Work:
    """Does what its argument says."""

    def __call__(self, argument):
        what, value = argument
        if what == "square":
            return value * value, os.getpid()
        if what == "die":
            os.kill(os.getpid(), value)
        if what == "data":
            raise DataError(f"{value} is damaged")
        if what == "disk":
            raise OSError(28, "No space left on device", value)
        raise ZeroDivisionError(value)
