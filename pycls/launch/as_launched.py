"""The files of a study or sweep as they were launched: an edit counts from the next launch."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from pycls import files

_DIGITS = 16  # of the digest, in the folder's name


def keep_files(paths: Sequence[Path], folder: Path) -> Path:
    """Copy text files to where they stay as they are, at the same places to each other.

    What they name relative to themselves is so found among the copies.

    Args:
        paths: the files.
        folder: where copies are kept, each set in a folder named after its contents.

    Returns:
        The copy of the first.
    """
    # Of their names, not resolved: what names a file by a link finds it by that name.
    places = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100
    top = Path(os.path.commonpath([place.parent for place in places]))
    texts = {
        str(place.relative_to(top)): path.read_text(encoding="utf-8")
        for place, path in zip(places, paths, strict=True)
    }
    digest = hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()[:_DIGITS]
    files.write_texts(folder / digest, texts)
    return folder / digest / places[0].relative_to(top)
