#!/usr/bin/env python3
"""Runs pycls/commands/analyze.py of this checkout (installed: pycls-analyze)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pycls_studies import run

run("analyze")
