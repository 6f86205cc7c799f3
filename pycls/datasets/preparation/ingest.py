"""The preparation of a downloaded set, in parallel and from where it was interrupted.

Worker processes decode the images, bring them to their size and write each to its place. What is
done is entered in a journal, with hashes of pixels and files; the work folder describes it. Then
copies are told by their pixels, the images that stay are divided into sides, and the places of
those that do not are filled from the end.
"""

import contextlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pycls import files
from pycls.cores import usable_cores
from pycls.datasets.preparation.decode_work import CopyArrays, DecodeFiles, HashFiles
from pycls.datasets.preparation.decoded import Decoded
from pycls.datasets.preparation.near_duplicates import find_near_duplicates
from pycls.datasets.preparation.plan import describe_work, make_plan
from pycls.datasets.preparation.set_report import REPORT_FILE
from pycls.datasets.preparation.source_record import write_record
from pycls.datasets.preparation.work_folder import (
    Journal,
    WorkFolder,
    read_journal,
    sync_file,
)
from pycls.datasets.preparation.worker_pool import run_tasks
from pycls.datasets.readers.base import Listing
from pycls.datasets.sources.decode import MOST_PIXELS, Decoding
from pycls.datasets.sources.formats import HEIC_HINT
from pycls.datasets.sources.sieve import MOST_UNPACKED
from pycls.datasets.sources.sources import Source
from pycls.datasets.store.store import ARRAY_FILES, ImageArray, IntArray
from pycls.datasets.store.writer import SetFacts, count_images, finish_store, start_images
from pycls.errors import DataError
from pycls.progress import Progress

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
        max_pixels: images of more pixels are not read.
        max_unpacked: what archives may unpack to, in bytes, if over 200 times their size.
    """

    workers: int | None
    progress: Progress
    drop_unreadable: bool
    lock: int
    max_pixels: int = MOST_PIXELS
    max_unpacked: int = MOST_UNPACKED


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
    options = recipe["options"]
    size = options["size"]
    images = _Images(work, listing, size)
    _begin(work, describe_work(listing, recipe), execution)
    decoded = _decode(work, source, images, options, execution)
    _judge_unreadable(decoded.unreadable, len(listing.items), execution.drop_unreadable)
    near = _find_near(work, images, decoded, options, execution)
    plan = make_plan(listing, decoded, options, near)
    if work.read_finish() is None:
        images.close_gaps(plan.kept)
        work.write_finish({"unreadable": sorted(decoded.unreadable)})
    order = images.cut(plan.kept)
    place = np.searchsorted(plan.kept, order)
    labels = np.array([listing.items[at].label for at in order.tolist()], dtype=np.int64)
    split = plan.split[place]
    facts = make_facts(plan.split_rule)
    counts = count_images(labels, split, listing.class_names)
    report = plan.report.format(f"{facts.title} ({facts.name})", plan.split_rule, counts)
    files.write_text(work.set_path / REPORT_FILE, report)
    write_record(work.set_path, listing, decoded)
    more = {
        **extra,
        "notes": plan.report.notes,
        "class_titles": dict(listing.class_titles),
        "groups": plan.num_groups,
    }
    sums = decoded.sum_channels(order[split == 0], size * size)
    total = (work.set_path / ARRAY_FILES[0]).stat().st_size
    with _stage(execution.progress, "computing the checksum", total, 0, "bytes"):
        finish_store(
            work.set_path, path, (size, size), sums, labels, split, listing.class_names, facts,
            decoded.digests[order], [listing.items[at].name for at in order.tolist()], more,
            execution.progress.advance, None if plan.groups is None else plan.groups[place],
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


def _decode(
    work: WorkFolder,
    source: Source,
    images: "_Images",
    options: Mapping[str, Any],
    execution: Execution,
) -> Decoded:
    """Decode all images that are not decoded yet; return what they turned out to be."""
    listing = images.listing
    places = dict(enumerate(images.make_tasks(source)))
    done = _take_up(work, source, listing, places, execution)
    if work.read_finish() is not None and len(done) < len(places):
        # The images are in their final places, into which no other can be decoded.
        work.reset()
        done = {}
    if work.read_finish() is None:
        images.check_space()
        images.start(done)
    fit = (images.path, images.offset, options["size"], options["aspect"])
    how = Decoding(
        most_pixels=execution.max_pixels,
        turn=options.get("orientation") == "apply",
        white=options.get("white", 0.0),
    )
    work_on: Any = DecodeFiles(source, *fit, how)
    if listing.pixels is not None:
        # An array lies in this process's memory, and there is little to do for it.
        work_on, execution = CopyArrays(listing.pixels, *fit), replace(execution, workers=1)
    tasks = {n: (inside, [listing.items[at] for at in inside]) for n, inside in places.items()}
    journal = Journal(work.images_path, images.path)
    stage = ("decoding", "images")
    _do_tasks(work_on, tasks, lambda task: len(task[1]), done, journal, stage, execution)
    decoded = Decoded(len(listing.items))
    for number in sorted(done):
        decoded.add(places[number], Decoded.unpack(done[number]))
    return decoded


def _take_up(
    work: WorkFolder,
    source: Source,
    listing: Listing,
    places: Mapping[int, Sequence[int]],
    execution: Execution,
) -> dict[int, Any]:
    """Return the records of the tasks that are done and whose files are still the same.

    The listing's names and sizes are; where a time is another, the bytes are compared.
    """
    finish = work.read_finish()
    done = {
        number: record
        for number, record in read_journal(work.images_path).items()
        # A file that could not be read may have been mended: its task is done again.
        if number in places and (finish is not None or not record["unreadable"])
    }
    doubtful: dict[int, Any] = {}
    expected: dict[int, list[bytes]] = {}
    for number, record in done.items():
        found = Decoded.unpack(record)
        items = [listing.items[at] for at in places[number]]
        changed = [at for at in found.find_changed(items) if at not in found.unreadable]
        if changed:
            doubtful[number] = [items[at].member for at in changed]
            expected[number] = [found.files[at].tobytes() for at in changed]
    if doubtful:
        compared: dict[int, Any] = {}
        stage = ("comparing files of another time", "files")
        _do_tasks(HashFiles(source), doubtful, len, compared, None, stage, execution)
        for number, hashes in compared.items():
            if hashes != expected[number]:
                del done[number]
    return done


def _find_near(
    work: WorkFolder,
    images: "_Images",
    decoded: Decoded,
    options: Mapping[str, Any],
    execution: Execution,
) -> list[list[int]]:
    """Return the images that nearly look alike, where the options ask for them."""
    if options.get("near_duplicates") != "group":
        return []
    if work.read_finish() is None:
        # Once the images are in their final places, they are no longer in the listing's.
        execution.progress.say("looking for images that nearly look alike")
        readable = [at for at in range(len(decoded.times)) if at not in decoded.unreadable]
        work.write_near(find_near_duplicates(images.open(), readable))
    return work.read_near()


def _judge_unreadable(unreadable: Mapping[int, str], total: int, drop: bool) -> None:
    if not unreadable or drop:
        return
    named = [unreadable[position] for position in sorted(unreadable)[:_MOST_NAMED]]
    more = len(unreadable) - len(named)
    lines = "".join(f"\n  {text}" for text in named) + (f"\n  and {more} more" if more else "")
    raise DataError(
        f"{len(unreadable)} of {total:,} images cannot be read; {_advise(unreadable.values())}, or "
        "leave them out with --drop-unreadable. The others are done: the same command goes on "
        f"from here.{lines}"
    )


def _advise(reasons: Collection[str]) -> str:
    """Return what to do about images that cannot be read, by why they cannot."""
    known = {
        "--max-pixels": "raise the limit with --max-pixels or make smaller what is too large",
        HEIC_HINT: "install pillow-heif for HEIC",
    }
    advice = [what for mark, what in known.items() if any(mark in why for why in reasons)]
    if any(all(mark not in why for mark in known) for why in reasons):
        advice.append("mend what is damaged (unpack or download it again)")
    return "; ".join(advice)


def _do_tasks(
    work_on: Callable[[Any], Any],
    tasks: Mapping[int, Any],
    count: Callable[[Any], int],
    done: dict[int, Any],
    journal: Journal | None,
    stage: tuple[str, str],
    execution: Execution,
) -> None:
    """Do the tasks that are not done yet, and enter their results in `done` and the journal.

    Without a journal, in `done` only. `count` gives the units there are to a task, `stage` says
    what is done, and its unit.
    """
    counts = {number: count(task) for number, task in tasks.items()}
    before = sum(counts[number] for number in tasks if number in done)
    opened = [(number, task) for number, task in tasks.items() if number not in done]
    workers = usable_cores() if execution.workers is None else execution.workers
    results = run_tasks(work_on, opened, min(workers, len(opened)), [execution.lock])
    name, unit = stage
    with (
        _stage(execution.progress, name, sum(counts.values()), before, unit),
        journal or contextlib.nullcontext(),
        contextlib.closing(results),
    ):
        for number, result in results:
            done[number] = result
            if journal is not None:
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
    """The file of images of a listing, as it is filled and as it is cut to those that stay."""

    def __init__(self, work: WorkFolder, listing: Listing, size: int) -> None:
        self.path = work.set_path / ARRAY_FILES[0]
        self._journal_path = work.images_path
        self.listing = listing
        self.offset = 0
        self._total = len(listing.items)
        self._size = size
        self._row_bytes = size * size * 3

    def open(self) -> ImageArray:
        """Return the images as a memory map."""
        shape = (self._total, self._size, self._size, 3)
        return np.memmap(self.path, np.uint8, "r", self.offset, shape)

    def check_space(self) -> None:
        """Compare the space that is still needed with what is free."""
        needed = self._total * self._row_bytes
        if self.path.exists():
            needed -= self.path.stat().st_blocks * 512
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise DataError(
                f"{self.path.parents[2]}: {self._total:,} images of {self._size} x "
                f"{self._size} pixels need {needed / 1e9:.2f} GB more, and {free / 1e9:.2f} GB are "
                "free; free some space, choose another --out or a smaller --size"
            )

    def start(self, done: dict[int, Any]) -> None:
        """Make the file, or take up the one that is there; without it, nothing is done."""
        if not self.path.exists():
            self._journal_path.unlink(missing_ok=True)
            done.clear()
        self.offset = start_images(self.path, self._total, (self._size, self._size))

    def make_tasks(self, source: Source) -> list[Sequence[int]]:
        """Divide the images' positions; what is read at once is kept together."""
        target = min(max(_TASK_BYTES // self._row_bytes, 1), _MOST_TASK_IMAGES)
        members = [item.member for item in self.listing.items if item.member is not None]
        order = source.reading_order(members) if members else range(self._total)
        units: Sequence[object] = source.reading_units(members) or range(self._total)
        tasks: list[Sequence[int]] = []
        start = 0
        while start < self._total:
            stop = min(start + target, self._total)
            while (
                stop < min(start + target * _STRETCH, self._total)
                and units[order[stop]] == units[order[stop - 1]]
            ):
                stop += 1
            tasks.append(order[start:stop])
            start = stop
        return tasks

    def close_gaps(self, kept: IntArray) -> None:
        """Move images from the end to the places of those that do not stay; may be repeated."""
        order = self._order(kept)
        moved = np.flatnonzero(order != np.arange(len(order))).tolist()
        if not moved:
            return
        with files.naming(self.path), self.path.open("r+b") as file:
            for position in moved:
                file.seek(self.offset + int(order[position]) * self._row_bytes)
                row = file.read(self._row_bytes)
                file.seek(self.offset + position * self._row_bytes)
                file.write(row)
        sync_file(self.path)

    def cut(self, kept: IntArray) -> IntArray:
        """Shorten the file to the images that stay; return which image is where."""
        order = self._order(kept)
        self.offset = start_images(self.path, len(order), (self._size, self._size))
        return order

    def _order(self, kept: IntArray) -> IntArray:
        stays = np.zeros(self._total, dtype=bool)
        stays[kept] = True
        order = np.arange(len(kept))
        gaps = np.flatnonzero(~stays[: len(kept)])
        order[gaps] = len(kept) + np.flatnonzero(stays[len(kept) :])
        return order
