import sys
from pathlib import Path

# Small studies, for what the documentation does with one.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "analysis"))
