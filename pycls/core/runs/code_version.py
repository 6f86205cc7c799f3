"""The version of the running code: its commit, and that of packages, without importing them."""

import functools
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import pycls

# Beside a copy of the package: the version of what it is a copy of.
SNAPSHOT_FILE = "pycls_snapshot.json"


@functools.cache
def code_version() -> tuple[str | None, bool | None]:
    """Return the commit of the code and whether it has uncommitted changes.

    Of a copy that a launch made, what was the case when it was made. (None, None) where the
    package does not lie in a git checkout of its own.
    """
    root = Path(pycls.__file__).resolve().parent.parent
    try:
        copied = json.loads((root / SNAPSHOT_FILE).read_text(encoding="utf-8"))
        return copied["commit"], copied["dirty"]
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
    if not (root / ".git").exists():
        return None, None
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        commit, status = (
            subprocess.run(
                ["git", "-C", str(root), *command],
                capture_output=True, text=True, check=True, timeout=10, env=environment,
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None, None
    return commit, bool(status)


def package_versions() -> dict[str, str]:
    """Return the versions of Python, PyTorch, NumPy and this package."""
    return {
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "numpy": metadata.version("numpy"),
        "pycls": pycls.__version__,
    }
