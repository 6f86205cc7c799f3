"""What the readers of sets with one folder a class share."""

from collections.abc import Iterable

from pycls.datasets.readers.layout import name_some, path_parts
from pycls.datasets.sources import Member, Source
from pycls.errors import DataError


def refuse_unknown_folders(
    source: Source, members: Iterable[Member], others: Iterable[Member], expected: str
) -> None:
    """Check that beside the class folders there is no folder of images that is no class.

    Args:
        source: the files.
        members: images in class folders.
        others: images in none.
        expected: the classes, for the message.

    Raises:
        DataError: there is such a folder.
    """
    # A class folder is where images lie: its parent is two levels above them.
    parents = {path_parts(member.name)[:-2] for member in members}
    on_the_way = {parent[:depth] for parent in parents for depth in range(len(parent) + 1)}
    unknown = {
        "/".join(folder[: depth + 1])
        for folder in (path_parts(member.name)[:-1] for member in others)
        for depth in range(len(folder))
        if folder[:depth] in parents and folder[: depth + 1] not in on_the_way
    }
    if unknown:
        raise DataError(
            f"{source.path}: unknown class folder {name_some(sorted(unknown))}; expected "
            f"{expected}; remove it, or prepare the folders as 'folder'"
        )


def note_strays(others: Iterable[Member]) -> list[str]:
    """Return a note on images that lie in no class folder, if there are some."""
    names = [member.name for member in others]
    return [f"left out, since it lies in no class folder: {name_some(names)}"] if names else []
