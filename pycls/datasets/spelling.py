"""Names that look alike: the case of letters, and accents as letters of their own or not."""

import unicodedata
from collections.abc import Iterable, Sequence


def spelling_key(name: str) -> str:
    """Return what names share that differ in case, or in how accents are encoded, only."""
    return unicodedata.normalize("NFC", name).casefold()


def as_known(names: Sequence[str], known: Iterable[str]) -> list[str]:
    """Return names as they are known, where only the encoding of accents differs.

    Keyboards compose a letter and its accent; some systems' file names have them apart.
    """
    known = list(known)
    composed = {unicodedata.normalize("NFC", name): name for name in known}
    exact = set(known)
    return [
        name if name in exact else composed.get(unicodedata.normalize("NFC", name), name)
        for name in names
    ]
