"""From a study's results to statistics, figures, tables and a report.

Reads files and imports neither torch nor the rest of the package, so that results can be
analysed where nothing was trained. Modules are imported by name; the one function most
scripts start with is at hand here.
"""

from typing import Any

__all__ = ["load_results"]


def __getattr__(name: str) -> Any:
    """Import :func:`load_results` on first use, which keeps pandas out of other imports."""
    if name == "load_results":
        from pycls.analysis.results import load_results

        return load_results
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
