"""The finding of the files that a table names, by paths as people write them."""

import os
import posixpath
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath

from pycls.datasets.readers import layout
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import ConfigError, DataError


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
        if folder and not self._files:
            raise ConfigError(
                f"image_folder '{folder}': there is no image in it below {source.root}"
            )

    def find(self, path: str, table_folder: str, place: str) -> tuple[str, Member]:
        """Return what an image is called, its path, and its file.

        It is looked for from the table's folder, from the top and, if just one file bears its
        name, anywhere, with its suffix and without.

        Args:
            path: as the table gives it.
            table_folder: where the table lies, below the source's root.
            place: table and line, for messages.

        Raises:
            DataError: there is no such file, or several are possible.
        """
        name = self._make_relative(path.replace("\\", "/"), place)
        tops = dict.fromkeys((posixpath.join(table_folder, self._folder), self._folder))
        if not self._folder:
            tops = dict.fromkeys((table_folder, ""))
        places = [posixpath.normpath(posixpath.join(top, name)) for top in tops]
        places = [inside for inside in places if not inside.startswith(("/", ".."))]
        if not places:
            raise DataError(
                f"{place}: '{path}' leads outside of {self._source.root}; expected a path below "
                "it: give the folder that holds table and images, with the option table"
            )
        for inside in places:
            member = self._source.at(inside)
            if member:
                return name, member
        for inside in places:
            if found := self._look_up(inside, place):
                return self._complete(name, found), found
        if found := self._look_up("*/" + posixpath.basename(name), place):
            self._elsewhere += 1
            return self._complete(name, found), found
        raise DataError(
            f"{place}: there is no file '{path}' in the table's folder or in {self._source.path}"
        )

    def notes(self) -> list[str]:
        """Return a note on images that lie elsewhere than their paths say."""
        if not self._elsewhere:
            return []
        return [
            f"{self._elsewhere:,} images do not lie where their paths say and were found by their "
            "names"
        ]

    def _make_relative(self, path: str, place: str) -> str:
        """Return an absolute path below the root as one from the root, and others as they are."""
        if not path.startswith("/"):
            return posixpath.normpath(path)
        for root in (self._source.root.absolute(), Path(os.path.realpath(self._source.root))):
            if Path(path).is_relative_to(root):
                return posixpath.normpath(Path(path).relative_to(root).as_posix())
        raise DataError(
            f"{place}: '{path}' leads outside of {self._source.root}; expected a path below it, or "
            "one from the table's folder"
        )

    def _look_up(self, path: str, place: str) -> Member | None:
        found = self._files.get("/".join(layout.path_parts(path)), [])
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

    @staticmethod
    def _complete(name: str, member: Member) -> str:
        """Return a path with the suffix of its file."""
        return name if layout.is_image(name) else name + PurePosixPath(member.name).suffix


def _without_suffix(path: str) -> str:
    return path[: len(path) - len(PurePosixPath(path).suffix)]
