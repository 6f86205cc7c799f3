"""What of a download is not looked at: litter of systems and programs, and what users exclude.

All of it is kept account of.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from pycls.errors import DataError

# Packed images become at most a few times as large; what becomes more than 200 times as large is
# an attack or a mistake, and harmless only where it is small.
MOST_UNPACKED = 1_000_000_000
MOST_EXPANSION = 200
# In lower case; whatever begins with a dot is hidden and litter too.
_LITTER = frozenset(
    {
        "__macosx",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "ehthumbs_vista.db",
        "@eadir",
        "@recycle",
        "#recycle",
        "$recycle.bin",
        "recycler",
        "recycled",
        "temporary items",
        "network trash folder",
        "system volume information",
        "lost+found",
        "__pycache__",
        "picasa.ini",
        "icon\r",
    }
)


# "~$" stands before the locks of office programs, "@Syno..." behind attributes on a network disk,
# ":..." behind those that Windows kept.
_LITTER_FORMS = re.compile(
    r"\..*|.*~|~\$.*|.*@syno\w+|found\.[0-9]{3}|.*:(encryptable|zone\.identifier)", re.DOTALL
)


def is_litter(name: str) -> bool:
    """Say whether a path names what systems and programs leave behind, not the set's publisher."""
    return any(
        part in _LITTER or _LITTER_FORMS.fullmatch(part) is not None
        for part in name.lower().split("/")
    )


def is_matched(name: str, patterns: Sequence[str]) -> bool:
    """Say whether a path, or a folder on its way, matches one of some patterns of names.

    A pattern with "/" is compared with the path from the top, one without with each part.
    """
    parts = name.split("/")
    for pattern in patterns:
        wanted = pattern.strip("/")
        ways = (
            ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
            if "/" in wanted
            else parts
        )
        if any(fnmatchcase(way, wanted) for way in ways):
            return True
    return False


class Sieve:
    """Decides which files of a source are looked at, and keeps account of the others.

    Attributes:
        litter: files that systems and programs left behind.
        excluded: files that the user leaves out.
        unmatched: patterns of the user's that have matched nothing so far.
        folders: all folders in which either would not lie, the empty ones included.
        guessed: files in zips whose names are in no encoding that is known for sure.
        max_unpacked: what an archive may unpack to, in bytes, if over 200 times its size.
        packed: bytes of the archives on disk.
        unpacked: bytes that they and those within them become.
    """

    def __init__(self, exclude: Sequence[str] = (), max_unpacked: int = MOST_UNPACKED) -> None:
        self.max_unpacked = max_unpacked
        self.exclude = tuple(exclude)
        self.unmatched = set(exclude)
        self.litter: list[str] = []
        self.excluded: list[str] = []
        self.guessed: list[str] = []
        self.packed = 0
        self.unpacked = 0
        self.folders: set[str] = set()

    def most_bytes(self, packed: int) -> int:
        """Return what an archive may become that takes so many bytes on disk, packed as it is."""
        return max(self.max_unpacked, MOST_EXPANSION * packed)

    def check_expansion(self, packed: int, unpacked: int, where: str) -> None:
        """Refuse an archive that becomes so much larger that it would only fill memory and disk.

        Raises:
            DataError: it does, alone or with those before it.
        """
        self.unpacked += unpacked
        for before, after, what in (
            (packed, unpacked, "its"),
            (self.packed, self.unpacked, "with the archives before it and those within,"),
        ):
            if after > self.most_bytes(before):
                raise DataError(
                    f"{where}: refused, since {what} {before:,} bytes become {after:,}, more than "
                    f"{MOST_EXPANSION} times as many; if it is what you want to read, raise the "
                    "limit (--max-unpacked-gb)"
                )

    def keeps(self, name: str, is_folder: bool = False) -> bool:
        """Say whether a file or folder is looked at; enter it into the account."""
        if is_litter(name):
            kept, out = False, self.litter
        elif self.exclude and is_matched(name, self.exclude):
            kept, out = False, self.excluded
            self.unmatched -= {pattern for pattern in self.unmatched if is_matched(name, [pattern])}
        else:
            kept, out = True, []
        if is_folder and kept:
            self.folders.add(name)
        elif not is_folder:
            out.append(name)
        return kept
