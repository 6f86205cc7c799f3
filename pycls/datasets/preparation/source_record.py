"""The record of the files a set was made of, by which their changes are found later."""

import json
from pathlib import Path
from typing import Any

from pycls import files
from pycls.datasets.preparation.decoded import Decoded
from pycls.datasets.readers.base import Listing
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.datasets.store.store import SOURCE_FILE, compute_digest
from pycls.errors import DataError

_MOST_NAMED = 3


def write_record(folder: Path, listing: Listing, decoded: Decoded) -> None:
    """Write name, and of its file size, time (ns) and hash, of each image into a set's folder."""
    lines = []
    for at, item in enumerate(listing.items):
        if item.member is not None:
            digest = "" if at in decoded.unreadable else decoded.files[at].tobytes().hex()
            row = [item.name, item.member.size, int(decoded.times[at]), digest]
            lines.append(json.dumps(row, ensure_ascii=False))
    files.write_text(folder / SOURCE_FILE, "[\n" + ",\n".join(lines) + "\n]\n")


def describe_changes(folder: Path, source: Source, listing: Listing) -> str:
    """Say how the files of a listing differ from those a set was made of; "" where they do not.

    Names and sizes are compared, and bytes where a time is another. A set without a record (of
    a version before 0.4.0, or of arrays) has nothing to compare with.
    """
    before = _read_record(folder)
    now = {item.name: item.member for item in listing.items if item.member is not None}
    if not before or not now:
        return ""
    hashes = _Hashes(source)
    common = sorted(now.keys() & before.keys())
    order = source.reading_order([now[name] for name in common])
    named = {
        "new": now.keys() - before.keys(),
        "gone": before.keys() - now.keys(),
        "changed": {
            name
            for name in (common[at] for at in order)
            if _is_changed(now[name], before[name], hashes)
        },
    }
    return ", ".join(
        f"{len(names):,} {word} ({', '.join(sorted(names)[:_MOST_NAMED])}"
        f"{', ...' if len(names) > _MOST_NAMED else ''})"
        for word, names in named.items()
        if names
    )


class _Hashes:
    """The hashes of files; parts of one picture follow each other."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._last = ("", "")

    def find(self, member: Member) -> str:
        if self._last[0] != member.name:
            try:
                digest = compute_digest(self._source.read(member)).hex()
            except DataError:
                digest = ""  # preparing it again says what is wrong with it
            self._last = (member.name, digest)
        return self._last[1]


def _is_changed(member: Member, row: list[Any], hashes: _Hashes) -> bool:
    size, time, digest = row
    if member.size != size or member._time == time:
        return bool(member.size != size)
    return hashes.find(member) != digest


def _read_record(folder: Path) -> dict[str, list[Any]]:
    try:
        rows = json.loads((folder / SOURCE_FILE).read_text(encoding="utf-8"))
        return {name: rest for name, *rest in rows}
    except (OSError, ValueError, TypeError):
        return {}
