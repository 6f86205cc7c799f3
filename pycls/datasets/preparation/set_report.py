"""The report of what a preparation left out, merged or found to differ, for `meta.json` too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pycls.datasets.preparation.duplicates import Resolution
from pycls.datasets.store.store import SIDES

REPORT_FILE = "report.txt"
_MOST_NAMES = 1000
_NAMES_IN_NOTE = 5


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
            shown = "; ".join(lines[:_NAMES_IN_NOTE])
            more = len(lines) - _NAMES_IN_NOTE
            note += f": {shown}" + (f"; and {more} more (report.txt)" if more > 0 else "")
            self.lists[heading] = list(lines)
        self.notes.append(note)

    def add_copies(self, copies: Resolution) -> None:
        """Add what became of identical images."""
        if copies.two_labels:
            count = sum(map(len, copies.two_labels))
            self.add(
                f"{describe_count(count)} left out, because identical ones carry several labels",
                "Left out: identical images with several labels",
                [" = ".join(names) for names in copies.two_labels],
            )
        if copies.both_sides:
            self.add(
                f"{describe_count(len(copies.both_sides))} of the train side left out, because "
                "identical ones are on the test side",
                "Left out of the train side: identical to an image of the test side",
                [f"{train} = {test}" for train, test in copies.both_sides],
            )
        if copies.merged:
            count = sum(map(len, copies.merged))
            self.add(
                f"{count} images have identical ones of the same label and stay, those of each "
                f"kind on one side ({len(copies.merged)} kinds)",
                "Identical images that stay, together on one side",
                [" = ".join(names) for names in copies.merged],
            )

    def format(self, title: str, split_rule: str, counts: Mapping[str, Mapping[str, int]]) -> str:
        """Return the text of `report.txt`; `counts` are {side: {class: images}}."""
        sides = ", ".join(f"{sum(counts[side].values()):,} {side}" for side in SIDES)
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
