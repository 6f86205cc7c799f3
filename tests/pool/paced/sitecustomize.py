"""Has trainings take their time, on any processor: where this folder is in PYTHONPATH.

A process that trains looks at its lease in every step, and before every line of its log. Each
look takes PACE_S seconds more until there is the file PACE_UNTIL, so that a test that does
something to a training finds it at work, and need not compute for long.
"""

import os
import time

from pycls.core.runs.lease import Lease

_check = Lease.check


def _check_slowly(lease):
    if not os.path.exists(os.environ["PACE_UNTIL"]):  # noqa: PTH110  # quicker
        time.sleep(float(os.environ["PACE_S"]))
    _check(lease)


Lease.check = _check_slowly
