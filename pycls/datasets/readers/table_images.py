"""The finding of the files that a table names, by paths as people write them."""

import os
import posixpath
import re
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath

from pycls.datasets.readers import layout
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import ConfigError, DataError

# A path from the top of another machine, or to beside the folder that was given.
_ELSEWHERE = re.compile(r"/|[A-Za-z]:/|\.\.(/|$)")

# No system has longer paths.
_MOST_LETTERS = 4096


class TableImages:
    """Finds images by the paths a table gives.

    Args:
        source: where they are.
        folder: only files below this folder are meant; "" for all.

    Raises:
        ConfigError: there is no file in that folder.
    """

    def __init__(self, source: Source, folder: str = ""):
        self._source = source
        self._folder = folder.strip("/")
        self._elsewhere = 0  # images that do not lie where their paths say
        self._other_kind = 0  # images with another suffix than their paths
        if folder and not self._files:
            raise ConfigError(
                f"image_folder '{folder}': there is no image in it below {source.root}"
            )

    def find(self, path: str, table_folder: str, place: str) -> tuple[str, Member]:
        """Return what an image is called, its path, and its file.

        It is looked for from the table's folder, from the top and, if just one file bears its
        name, anywhere, with its suffix, without, and with another. Of a path that leads elsewhere
        (of another machine, "../input/...") as much of the end counts as fits.

        Args:
            path: as the table gives it.
            table_folder: where the table lies, below the source's root.
            place: table and line, for messages.

        Raises:
            DataError: there is no such file, or several are possible.
        """
        if len(path) > _MOST_LETTERS:
            raise DataError(f"{place}: there is no file '{path[:60]}...' ({len(path):,} letters)")
        name = self._make_relative(path.replace("\\", "/"))
        tops = dict.fromkeys((posixpath.join(table_folder, self._folder), self._folder))
        if not self._folder:
            tops = dict.fromkeys((table_folder, ""))
        is_elsewhere = _ELSEWHERE.match(name) is not None
        places = [posixpath.normpath(posixpath.join(top, name)) for top in tops]
        places = [inside for inside in places if not inside.startswith(("/", ".."))]
        for inside in places:
            member = self._source.at(inside)
            if member:
                return name, member
        parts = [part for part in name.split("/") if part != ".."]
        ends = [f"*/{'/'.join(parts[start:])}" for start in range(len(parts))]
        for inside in (*places, *(ends if is_elsewhere else ends[-1:])):
            if found := self._look_up(inside, place):
                self._elsewhere += inside.startswith("*/")
                return (found.name if is_elsewhere else self._complete(name, found)), found
        for inside in (*places, ends[-1]):
            suffix = PurePosixPath(inside).suffix
            if suffix[1:].isalpha() and (found := self._look_up(_without_suffix(inside), place)):
                self._other_kind += 1
                return found.name, found
        outside = f"; it leads outside of {self._source.root}" if is_elsewhere else ""
        raise DataError(
            f"{place}: there is no file '{path}' in the table's folder or in "
            f"{self._source.path}{outside}"
        )

    def notes(self) -> list[str]:
        """Return notes on images that lie elsewhere, or are called otherwise, than paths say."""
        counts = {
            "do not lie where their paths say and were found by their names": self._elsewhere,
            "have another suffix than their paths": self._other_kind,
        }
        return [f"{count:,} images {what}" for what, count in counts.items() if count]

    def _make_relative(self, path: str) -> str:
        """Return an absolute path below the root as one from the root, and others as they are."""
        path = path.removeprefix("file://")
        for root in (self._source.root.absolute(), Path(os.path.realpath(self._source.root))):
            if Path(path).is_relative_to(root):
                path = Path(path).relative_to(root).as_posix()
        return posixpath.normpath(path)

    def _look_up(self, path: str, place: str) -> Member | None:
        key = "/".join(layout.path_parts(path))
        # Of files in a folder all ends are needed only for paths that lead elsewhere.
        index = self._ends if key.startswith("*/") and key.count("/") > 1 else self._files
        found = index.get(key, [])
        if len({(layout.path_parts(member.name), member.size) for member in found}) > 1:
            names = layout.name_some([member.name for member in found])
            raise DataError(
                f"{place}: '{path.removeprefix('*/')}' may be any of {names}; write its path in "
                "full, or say with the option image_folder where the images lie"
            )
        return found[0] if found else None

    @cached_property
    def _files(self) -> dict[str, list[Member]]:
        """The images by path as if archives were unpacked, and by name below "*/".

        Each with its suffix and without.
        """
        index: defaultdict[str, list[Member]] = defaultdict(list)
        for member in self._source.files():
            if not layout.is_image(member.name):
                continue
            path = "/".join(layout.path_parts(member.name))
            if self._folder and f"/{self._folder}/" not in f"/{path}":
                continue
            for key in (path, "*/" + posixpath.basename(path)):
                index[key].append(member)
                index[_without_suffix(key)].append(member)
        return index

    @cached_property
    def _ends(self) -> dict[str, list[Member]]:
        """The images by the ends of their paths, of two parts and more, below "*/"."""
        index: defaultdict[str, list[Member]] = defaultdict(list)
        for path, members in self._files.items():
            parts = path.split("/")
            for start in range(len(parts) - 1 if parts[0] != "*" else 0):
                index["/".join(("*", *parts[start:]))] += members
        return index

    @staticmethod
    def _complete(name: str, member: Member) -> str:
        """Return a path with the suffix of its file."""
        return name if layout.is_image(name) else name + PurePosixPath(member.name).suffix


def _without_suffix(path: str) -> str:
    return path[: len(path) - len(PurePosixPath(path).suffix)]
