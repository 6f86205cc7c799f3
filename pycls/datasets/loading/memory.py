"""The memory that this process may use, by the machine and its control groups."""

import os
from collections.abc import Iterator
from pathlib import Path


def memory_limit() -> int:
    """Return the bytes that this process may use: what the machine has, or its group's limit."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([pages, *_group_limits(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))])


def _group_limits(root: Path, membership: Path) -> Iterator[int]:
    """Yield the limits of the control groups that the process is in, of either version."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            top, file = root, "memory.max"
        elif "memory" in controllers.split(","):
            top, file = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = top / name.lstrip("/")
        # A limit further up counts too.
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                limit = _read_limit(folder / file)
                if limit is not None:
                    yield limit


def _read_limit(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        # No such group in this container, or "max".
        return None
