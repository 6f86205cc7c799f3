#!/usr/bin/env python3
"""Runs pycls/commands/predict.py of this checkout (installed: pycls-predict)."""

import os.path
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
from pycls_studies import run

# Processes that decode images import this file, too.
if __name__ == "__main__":
    run("predict")
