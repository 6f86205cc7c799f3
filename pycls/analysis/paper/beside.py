"""The outputs of the paper, written by a second process while the first draws its own figures."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pycls
from pycls.analysis.paper.write import Written, write_outputs
from pycls.cores import usable_cores

# Architectures from which on drawing takes longer than starting a process.
MIN_ARCHITECTURES = 200
FORMATS = ("svg",)  # PDFs take most of the time, for their fonts; tools/figures.py makes them


class Writer:
    """Writes the outputs: in a process of its own once :meth:`start` was called, or on demand."""

    def __init__(self, folder: Path, out_dir: Path) -> None:
        self._folder, self._out_dir = folder, out_dir
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the process."""
        root = str(Path(pycls.__file__).resolve().parents[1])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            # Without -P, a folder `pycls` where this was started would come first.
            [sys.executable, "-P", "-m", __name__, str(self._folder), str(self._out_dir)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what goes wrong goes wrong again here, and is said
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"},
        )

    def outputs(self) -> list[Written]:
        """Return what became of each; see :func:`pycls.analysis.paper.write.write_outputs`."""
        if self._process is not None:
            text, _ = self._process.communicate()
            if self._process.returncode == 0:
                entries = json.loads(text)
                return [
                    Written(
                        **each
                        | {"paths": tuple(map(Path, each["paths"]))}
                        | {"printed": tuple(map(tuple, each["printed"]))}
                    )
                    for each in entries
                ]
        return write_outputs(self._folder, self._out_dir, formats=FORMATS)

    def stop(self) -> None:
        """End the process, if it is still at work."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@contextmanager
def writer(folder: Path, out_dir: Path, architectures: int) -> Iterator[Writer]:
    """Give a writer of the outputs that works beside this process where that is worth while.

    Args:
        folder: of the study.
        out_dir: of the outputs.
        architectures: of the study's population.
    """
    made = Writer(folder, out_dir)
    if architectures >= MIN_ARCHITECTURES and usable_cores() > 1:
        made.start()
    try:
        yield made
    finally:
        made.stop()


def main() -> None:
    """Write the outputs, and print what became of them as JSON."""
    folder, out_dir = sys.argv[1:]
    entries = [asdict(each) for each in write_outputs(folder, out_dir, formats=FORMATS)]
    print(json.dumps(entries, default=str))


if __name__ == "__main__":
    main()
