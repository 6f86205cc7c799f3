"""The preparation of a downloaded set, in parallel and from where it was interrupted.

Files that may have copies are hashed, the images that stay are divided into sides, then
decoded and brought to their size by worker processes that write each image to its final place.
What is done is entered in journals; the work folder describes them.
"""

import contextlib
import shutil
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pycls import files
from pycls.cores import usable_cores
from pycls.datasets.preparation.decode_work import CopyArrays, DecodeFiles, HashFiles
from pycls.datasets.preparation.duplicates import (
    find_candidates,
    make_array_keys,
    make_content_keys,
)
from pycls.datasets.preparation.plan import Plan, describe_work, make_plan
from pycls.datasets.preparation.set_report import REPORT_FILE, describe_count
from pycls.datasets.preparation.work_folder import (
    Journal,
    WorkFolder,
    read_journal,
    sync_file,
)
from pycls.datasets.preparation.worker_pool import run_tasks
from pycls.datasets.readers.base import Listing
from pycls.datasets.sources.sources import Source
from pycls.datasets.store.channel_sums import ChannelSums
from pycls.datasets.store.store import ARRAY_FILES, IntArray
from pycls.datasets.store.writer import SetFacts, count_images, finish_store, start_images
from pycls.errors import DataError
from pycls.progress import Progress

_FILES_A_TASK = 64
# A task's images: few enough that a kill costs little and all workers end together.
_TASK_BYTES = 8 << 20
_MOST_TASK_IMAGES = 256
# Parts of one picture stay in one task, which decodes it once, up to this many times as many.
_STRETCH = 16
_MOST_NAMED = 20


@dataclass(frozen=True)
class Execution:
    """How to work; but for `drop_unreadable`, nothing of it changes the result.

    Attributes:
        workers: number of processes; None: one for each usable core.
        progress: receives how far the work is.
        drop_unreadable: leave out images that cannot be read, instead of failing at the end.
        lock: descriptor of the set's lock, which workers hold too.
    """

    workers: int | None
    progress: Progress
    drop_unreadable: bool
    lock: int


def ingest(
    path: Path,
    source: Source,
    listing: Listing,
    make_facts: Callable[[str], SetFacts],
    recipe: Mapping[str, Any],
    extra: Mapping[str, Any],
    execution: Execution,
) -> None:
    """Prepare the set of a listing at `path`, or go on with it.

    Args:
        path: the set's folder.
        source: where the listing's files are.
        listing: what is there, sorted by name.
        make_facts: what the set says about itself, given the words about its split.
        recipe: what is made, with all options; another recipe or listing starts over.
        extra: more for `meta.json`.
        execution: processes, progress and the like.

    Raises:
        DataError: images cannot be read, a class cannot be divided, too little disk space.
        OSError: it could not be written; what is done stays for the next attempt.
    """
    work = WorkFolder(path)
    _begin(work, describe_work(listing, recipe), execution)
    plan = make_plan(listing, _find_keys(work, source, listing, execution), recipe["options"])
    work.begin_images(plan.compute_digest())
    size = recipe["options"]["size"]
    images = _Images(work, plan, size)
    finish = work.read_finish()
    if finish is None:
        finish = _make_images(work, source, images, recipe["options"], execution)
    order = images.cut([position for position, _ in finish["unreadable"]])
    if finish["unreadable"]:
        plan.report.add(
            f"{describe_count(len(finish['unreadable']))} left out, because unreadable",
            "Left out: cannot be read",
            [plan.items[position].name for position, _ in finish["unreadable"]],
        )
    labels, split = plan.labels[order], plan.split[order]
    facts = make_facts(plan.split_rule)
    counts = count_images(labels, split, plan.class_names)
    report = plan.report.format(f"{facts.title} ({facts.name})", plan.split_rule, counts)
    files.write_text(work.set_path / REPORT_FILE, report)
    more = {
        **extra,
        "notes": plan.report.notes,
        "class_titles": dict(plan.class_titles),
        "groups": plan.num_groups,
    }
    total = (work.set_path / ARRAY_FILES[0]).stat().st_size
    with _stage(execution.progress, "computing the checksum", total, 0, "bytes"):
        finish_store(
            work.set_path, path, (size, size), ChannelSums(*finish["sums"]), labels, split,
            plan.class_names, facts, more, execution.progress.advance,
        )  # fmt: skip
    work.remove()


def _begin(work: WorkFolder, description: Mapping[str, Any], execution: Execution) -> None:
    finish = work.read_finish()
    if finish is not None:
        # The places of unreadable images are gone, so they cannot be tried again.
        wanted = finish["unreadable"] and not execution.drop_unreadable
        if wanted or not (work.set_path / ARRAY_FILES[0]).exists():
            work.remove()
    goes_on = work.begin(description)
    if goes_on:
        execution.progress.say("going on with the preparation that was interrupted")
    elif goes_on is False:
        execution.progress.say(
            "an earlier preparation was interrupted; its files or options were others, so it "
            "starts over"
        )


def _find_keys(
    work: WorkFolder, source: Source, listing: Listing, execution: Execution
) -> list[Hashable | None]:
    """Return a value for each image that identical images share; hash what has to be."""
    if listing.pixels is not None:
        return make_array_keys(listing.pixels)
    members = find_candidates(listing.items)
    tasks = {
        number: members[first : first + _FILES_A_TASK]
        for number, first in enumerate(range(0, len(members), _FILES_A_TASK))
    }
    # A file that could not be read may have been mended: its task is done again.
    done = {n: found for n, found in read_journal(work.hashes_path).items() if None not in found}
    if not tasks.keys() <= done.keys():
        journal = Journal(work.hashes_path)
        stage = ("looking for copies", "files")
        _do_tasks(HashFiles(source), tasks, len, done, journal, stage, execution)
    digests_by_name = {
        member.name: digest
        for number, task in tasks.items()
        for member, digest in zip(task, done[number], strict=True)
    }
    return make_content_keys(listing.items, digests_by_name)


def _make_images(
    work: WorkFolder,
    source: Source,
    images: "_Images",
    options: Mapping[str, Any],
    execution: Execution,
) -> dict[str, Any]:
    """Decode all images and close the gaps of unreadable ones; return what was recorded."""
    images.check_space()
    images.start()
    plan, path = images.plan, images.path
    fit = (path, images.offset, options["size"], options["aspect"])
    work_on: Any = DecodeFiles(source, *fit)
    if plan.pixels is not None:
        # An array lies in this process's memory, and there is little to do for it.
        work_on, execution = CopyArrays(plan.pixels, *fit), replace(execution, workers=1)
    tasks = {
        number: (start, plan.items[start:stop], plan.split[start:stop] == 0)
        for number, (start, stop) in enumerate(images.make_tasks())
    }
    # As with the hashes.
    done = {
        n: found for n, found in read_journal(work.images_path).items() if not found["unreadable"]
    }
    journal = Journal(work.images_path, path)
    stage = ("decoding", "images")
    _do_tasks(work_on, tasks, lambda task: len(task[1]), done, journal, stage, execution)
    sums = ChannelSums()
    unreadable: dict[int, str] = {}
    for result in done.values():
        sums.add(ChannelSums(*result["sums"]))
        unreadable.update(result["unreadable"])
    _judge_unreadable(unreadable, len(plan.items), execution.drop_unreadable)
    images.close_gaps(sorted(unreadable))
    finish = {
        "unreadable": [[position, text] for position, text in sorted(unreadable.items())],
        "sums": [sums.pixels, sums.first, sums.second],
    }
    work.write_finish(finish)
    return finish


def _judge_unreadable(unreadable: Mapping[int, str], total: int, drop: bool) -> None:
    if not unreadable or drop:
        return
    named = [unreadable[position] for position in sorted(unreadable)[:_MOST_NAMED]]
    more = len(unreadable) - len(named)
    lines = "".join(f"\n  {text}" for text in named) + (f"\n  and {more} more" if more else "")
    raise DataError(
        f"{len(unreadable)} of {total:,} images cannot be read; mend them (unpack or download "
        "the set again), or leave them out with --drop-unreadable. The others are done: the same "
        f"command goes on from here.{lines}"
    )


def _do_tasks(
    work_on: Callable[[Any], Any],
    tasks: Mapping[int, Any],
    count: Callable[[Any], int],
    done: dict[int, Any],
    journal: Journal,
    stage: tuple[str, str],
    execution: Execution,
) -> None:
    """Do the tasks that are not done yet, and enter their results in `done` and the journal.

    `count` gives the units there are to a task, `stage` says what is done, and its unit.
    """
    counts = {number: count(task) for number, task in tasks.items()}
    before = sum(counts[number] for number in tasks if number in done)
    opened = [(number, task) for number, task in tasks.items() if number not in done]
    workers = usable_cores() if execution.workers is None else execution.workers
    results = run_tasks(work_on, opened, min(workers, len(opened)), [execution.lock])
    name, unit = stage
    with (
        _stage(execution.progress, name, sum(counts.values()), before, unit),
        journal,
        contextlib.closing(results),
    ):
        for number, result in results:
            done[number] = result
            journal.add(number, result)
            execution.progress.advance(counts[number])


@contextlib.contextmanager
def _stage(progress: Progress, name: str, total: int, done: int, unit: str) -> Iterator[None]:
    progress.begin(name, total, done, unit)
    finished = False
    try:
        yield
        finished = True
    finally:
        progress.end(finished)


class _Images:
    """The file of images of a plan, as it is filled."""

    def __init__(self, work: WorkFolder, plan: Plan, size: int) -> None:
        self.path = work.set_path / ARRAY_FILES[0]
        self._journal_path = work.images_path
        self.plan = plan
        self.offset = 0
        self._size = size
        self._row_bytes = size * size * 3

    def check_space(self) -> None:
        """Compare the space that is still needed with what is free."""
        needed = len(self.plan.items) * self._row_bytes
        if self.path.exists():
            needed -= self.path.stat().st_blocks * 512
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise DataError(
                f"{self.path.parents[2]}: {len(self.plan.items):,} images of {self._size} x "
                f"{self._size} pixels need {needed / 1e9:.2f} GB more, and {free / 1e9:.2f} GB are "
                "free; free some space, choose another --out or a smaller --size"
            )

    def start(self) -> None:
        """Make the file, or take up the one that is there."""
        if not self.path.exists():
            # Without it, no journal of it is true.
            self._journal_path.unlink(missing_ok=True)
        self.offset = start_images(self.path, len(self.plan.items), (self._size, self._size))

    def make_tasks(self) -> list[tuple[int, int]]:
        """Divide the images into ranges; parts of one picture are kept together."""
        target = min(max(_TASK_BYTES // self._row_bytes, 1), _MOST_TASK_IMAGES)
        items = self.plan.items
        tasks = []
        start = 0
        while start < len(items):
            stop = min(start + target, len(items))
            while (
                stop < min(start + target * _STRETCH, len(items))
                and items[stop].member is not None
                and items[stop].member is items[stop - 1].member
            ):
                stop += 1
            tasks.append((start, stop))
            start = stop
        return tasks

    def close_gaps(self, missing: Sequence[int]) -> None:
        """Move images from the end to the places of missing ones; may be repeated."""
        if not missing:
            return
        order = self._order(missing)
        with files.naming(self.path), self.path.open("r+b") as file:
            for position in np.flatnonzero(order != np.arange(len(order))).tolist():
                file.seek(self.offset + int(order[position]) * self._row_bytes)
                row = file.read(self._row_bytes)
                file.seek(self.offset + position * self._row_bytes)
                file.write(row)
        sync_file(self.path)

    def cut(self, missing: Sequence[int]) -> IntArray:
        """Shorten the file to the images that are there; return which image is where."""
        order = self._order(missing)
        self.offset = start_images(self.path, len(order), (self._size, self._size))
        return order

    def _order(self, missing: Sequence[int]) -> IntArray:
        total = len(self.plan.items)
        left = total - len(missing)
        order = np.arange(left)
        gaps = [position for position in missing if position < left]
        absent = set(missing)
        order[gaps] = [position for position in range(left, total) if position not in absent]
        return order
