"""The report of what a preparation left out, merged or found to differ, for `meta.json` too."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from pycls.datasets.preparation.decoded import Decoded
from pycls.datasets.preparation.duplicates import Resolution
from pycls.datasets.readers.layout import printable
from pycls.datasets.sources.decode import DARK, DARK_BELOW, DEEP, FRAMES, TURNED
from pycls.datasets.store.store import SIDES, VALIDATION, IntArray

REPORT_FILE = "report.txt"
_MOST_NAMES = 1000
_NAMES_IN_NOTE = 5
_KINDS = 8


def describe_count(count: int) -> str:
    """Return "1 image", "2 images" and so on."""
    return f"{count:,} image" + "s" * (count != 1)


@dataclass
class SetReport:
    """Notes in words, and the lists of names behind some of them.

    Attributes:
        notes: one sentence each.
        lists: {heading: one line for each name or group of names}.
    """

    notes: list[str] = field(default_factory=list)
    lists: dict[str, list[str]] = field(default_factory=dict)

    def add(self, note: str, heading: str = "", lines: Sequence[str] = ()) -> None:
        """Add a note, and the names it is about under a heading of their own."""
        if lines:
            lines = [printable(line) for line in lines]
            shown = "; ".join(lines[:_NAMES_IN_NOTE])
            more = len(lines) - _NAMES_IN_NOTE
            note += f": {shown}" + (f"; and {more} more (report.txt)" if more > 0 else "")
            self.lists[heading] = lines
        self.notes.append(note)

    def add_left_out(self, left_out: Mapping[str, Sequence[str]]) -> None:
        """Add the files that are not used, by the reason, with how many of each kind there are."""
        for reason, names in left_out.items():
            kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in names)
            counted = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common(_KINDS))
            files = f"{len(names):,} file{'s' * (len(names) != 1)}"
            self.add(
                f"{files} left out, {reason} ({counted}{', ...' * (len(kinds) > _KINDS)})",
                f"Left out, {reason}",
                list(names),
            )

    def add_copies(self, copies: Resolution) -> None:
        """Add what became of identical images."""
        if copies.two_labels:
            count = sum(map(len, copies.two_labels))
            self.add(
                f"{describe_count(count)} left out, because identical ones carry several labels",
                "Left out: identical images with several labels",
                [" = ".join(names) for names in copies.two_labels],
            )
        words = (*SIDES, VALIDATION)
        for (lost, kept), pairs in sorted(copies.on_two_sides.items()):
            self.add(
                f"{describe_count(len(pairs))} of the {words[lost]} side left out, because "
                f"identical ones are on the {words[kept]} side",
                f"Left out of the {words[lost]} side: identical to an image of the {words[kept]} "
                "side",
                [f"{one} = {other}" for one, other in pairs],
            )
        if copies.merged:
            count = sum(map(len, copies.merged))
            self.add(
                f"{count} images have identical ones of the same label and stay, those of each "
                f"kind on one side ({len(copies.merged)} kinds)",
                "Identical images that stay, together on one side",
                [" = ".join(names) for names in copies.merged],
            )

    def add_near(self, clusters: Sequence[Sequence[str]]) -> None:
        """Add the names of images that nearly look alike, those of each kind together."""
        if clusters:
            self.add(
                f"{describe_count(sum(map(len, clusters)))} nearly look like others and are one "
                f"group with them ({len(clusters)} groups)",
                "Images that nearly look alike, in one group",
                [" ~ ".join(names) for names in clusters],
            )

    def add_remarks(
        self, decoded: Decoded, names: Sequence[str], options: Mapping[str, Any]
    ) -> None:
        """Add what there was to say of images as they were decoded; `names` are theirs."""
        applied = options.get("orientation") == "apply"
        how = "is applied" if applied else "is not applied (--set orientation=apply does it)"
        white = options.get("white")
        rule = f"{white:g} became 255" if white else "the upper 8 of 16, or by their range"
        notes = {
            FRAMES: "with several frames or pages; the first of each is used",
            TURNED: f"with an orientation noted in EXIF data, which {how}",
            DEEP: f"of more than 8 bits a pixel, brought to 8 ({rule})",
            DARK: f"of these nearly black now (all below {DARK_BELOW} of 255); "
            "--set white=N says which value is to become 255 (4095 for 12 bits)",
        }
        for word, note in notes.items():
            if positions := decoded.remarks.get(word):
                self.add(
                    f"{describe_count(len(positions))} {note}",
                    f"Images {note}",
                    [names[position] for position in sorted(positions)],
                )

    def add_shares(
        self,
        labels: IntArray,
        split: npt.NDArray[np.uint8],
        wanted: float,
        class_names: Sequence[str],
    ) -> None:
        """Add what share of each class is on the test side, where groups bent it."""
        totals = np.bincount(labels, minlength=len(class_names))
        tested = np.bincount(labels[split == 1], minlength=len(class_names))
        # Single images would come this near.
        bent = np.abs(tested - totals * wanted) > 1
        if bent.any():
            shares = tested / totals
            low, high = int(shares.argmin()), int(shares.argmax())
            self.add(
                f"asked were {wanted:.1%} of each class for the test side; whole groups give "
                f"{shares[low]:.1%} of {class_names[low]} to {shares[high]:.1%} of "
                f"{class_names[high]}"
            )

    def format(self, title: str, split_rule: str, counts: Mapping[str, Mapping[str, int]]) -> str:
        """Return the text of `report.txt`; `counts` are {side: {class: images}}."""
        sides = ", ".join(f"{sum(found.values()):,} {side}" for side, found in counts.items())
        parts = [
            title,
            f"images: {sides}; classes: {len(counts[SIDES[0]])}",
            f"split: {split_rule}",
            "",
            *[f"- {note}" for note in self.notes or ["nothing was left out or merged"]],
        ]
        for heading, lines in self.lists.items():
            parts += [
                "",
                f"{heading} ({len(lines)})",
                *[f"  {line}" for line in lines[:_MOST_NAMES]],
            ]
            if len(lines) > _MOST_NAMES:
                parts.append(f"  ... and {len(lines) - _MOST_NAMES} more")
        return "\n".join(parts) + "\n"
