"""What the sections found: on disk after every figure, one file for all."""

import contextlib
import json
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Results:
    """The figures of one section, in a file of its own until :func:`gather`.

    Args:
        folder: where the sections' files are.
        name: the section.
        until: when its time is up, by time.monotonic().
    """

    def __init__(self, folder: Path, name: str, until: float) -> None:
        self._path = folder / f"{name}.json"
        self.until = until
        self.data: dict[str, Any] = {"rows": [], "errors": [], "cut_off": False}
        self._save()

    def left(self, seconds: float) -> bool:
        """Say whether so many seconds are left; note it where they are not."""
        if self.until - time.monotonic() >= seconds:
            return True
        self.data["cut_off"] = True
        self._save()
        return False

    def row(self, **values: Any) -> None:
        """Add a row of figures."""
        self.data["rows"].append(values)
        self._save()
        shown = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
        print("  " + ", ".join(shown), flush=True)

    def facts(self, **values: Any) -> None:
        """Add single facts."""
        self.data |= values
        self._save()

    @contextlib.contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Note an error, and go on with what comes after it."""
        try:
            yield
        except Exception as error:
            text = f"{type(error).__name__}: {error}"[:1500]
            self.data["errors"].append({"what": what, "error": text})
            self._save()
            print(f"  FAILED {what}: {text[:300]}", flush=True)
            traceback.print_exc(limit=8)

    def _save(self) -> None:
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self.data, default=str))
        partial.replace(self._path)


def gather(folder: Path, out: Path, order: list[str], ended: dict[str, str]) -> dict[str, Any]:
    """Write the sections' figures as one file, in an order, and return them.

    Args:
        folder: the sections' files.
        out: the file.
        order: names of the sections.
        ended: section -> how it ended, where not well.
    """
    found: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    for name in order:
        path = folder / f"{name}.json"
        if path.exists():
            found[name] = json.loads(path.read_text())
        elif name in ended:  # not even begun: what an earlier check found is none of this one
            found[name] = {"rows": [], "errors": []}
        if name in ended:
            found[name]["ended"] = ended[name]
    partial = out.with_suffix(".partial")
    partial.write_text(json.dumps(found, indent=1) + "\n")
    partial.replace(out)
    return found
