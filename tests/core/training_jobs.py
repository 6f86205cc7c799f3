"""What processes of the interruption tests run; imported by their fork server."""

import sys
import warnings

from pycls.core.config import load_cfg
from pycls.core.trainer import train_model
from pycls.errors import PyclsError


def train(path):
    """Train as a file says, and leave with a tool's exit code."""
    warnings.simplefilter("ignore")
    try:
        train_model(load_cfg(path))
    except PyclsError as error:
        sys.exit(error.exit_code)
