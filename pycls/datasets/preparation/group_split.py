"""Division of images into a train and a test side by whole groups.

Groups (photographs, patients, copies of one image) may span classes, so that no division may
meet the wanted share of every class. Of few groups all divisions are compared. Of more, a greedy
pass in an order drawn from the seed comes first; then single groups change sides, or two change
places, as long as that brings the shares nearer. That may stick, so there are several attempts, of
which the best counts: the one whose largest deviation of a class's share is smallest. Where all
of them leave a class on one side, integer programming finds a division or shows that there is
none. For groups of one image the result is that of
:func:`pycls.datasets.splits.stratified_split`.
"""

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pycls.datasets.randomness import text_key
from pycls.errors import DataError

_ATTEMPTS = 10
# Up to so many groups, all divisions are compared.
_FEW_GROUPS = 14
# A division that misses the share of no class by more than this is not searched further.
_GOOD_SHARE = 0.002
_MOST_PASSES = 50
# Exchanges are tried only where they matter (few groups that span classes) and are cheap.
_MOST_PAIRS = 500_000
_BLOCK = 1 << 12
# Gains of less than this, in squared shares, are rounding.
_LEAST_GAIN = 1e-12

_Floats = npt.NDArray[np.float64]


def split_groups(
    labels: npt.ArrayLike,
    groups: Sequence[Hashable],
    test_share: float,
    seed: int,
    strata: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
) -> npt.NDArray[np.uint8]:
    """Give about a share of each class to the test side, whole groups only.

    Which side a group falls on depends on the seed, the names of the groups and what they
    hold, not on the order of the images.

    Args:
        labels: N integers from 0.
        groups: N names; images of one name go to one side. An image that belongs to no
            group is a group of its own.
        test_share: wanted share of each class, between 0 and 1; at least one image, not all.
        seed: which draw.
        strata: N names; the share is kept in each stratum of a class too.
        class_names: names in label order, for messages.

    Returns:
        uint8, N: 0 for train, 1 for test. Every class is on both sides.

    Raises:
        DataError: a class has fewer than two groups, or no division puts every class on both
            sides.
    """
    labels = np.asarray(labels, dtype=np.int64)
    names = (
        [str(label) for label in range(labels.max() + 1)] if class_names is None else class_names
    )
    unique = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    members = np.array([unique[group] for group in groups])
    _check_classes(labels, members, names)
    table = _count_cells(labels, members, strata, len(unique), test_share)
    sizes = np.bincount(members)

    def draw_order(attempt: int) -> npt.NDArray[np.int64]:
        salt = (attempt,) if attempt else ()
        # Names break ties, so that the order of the images does not.
        order = sorted(
            unique, key=lambda group: (text_key("split", seed, group, *salt), str(group))
        )
        numbers = np.array([unique[group] for group in order])
        # A large group that comes early may be where only its leaving together with the coming
        # of many small ones would be a gain: every other attempt begins with the small ones.
        return numbers[np.argsort(sizes[numbers], kind="stable")] if attempt % 2 else numbers

    if sizes.max() > 1 and len(unique) <= _FEW_GROUPS:
        side = _compare_all(table, draw_order(0), test_share, names)
    else:
        side = _search_often(table, draw_order, test_share, names)
    return side[members].astype(np.uint8)


def _search_often(
    table: "_Table",
    draw_order: Callable[[int], npt.NDArray[np.int64]],
    test_share: float,
    names: Sequence[str],
) -> npt.NDArray[np.int8]:
    """Return the side of each group by the best of several searches."""
    # Of images without groups every attempt gives the shares that are wanted.
    singles = int(table.totals[: table.num_classes].sum()) == len(table.starts) - 1
    best: tuple[int, float, float] | None = None
    side = np.zeros(0, dtype=np.int8)
    for attempt in range(_ATTEMPTS):
        search = _Search(table, draw_order(attempt))
        search.run()
        rank = search.rank(test_share)
        if best is None or rank < best:
            best, side, missing = rank, search.side, search.missing()
        if not best[0] and (singles or search.is_good(test_share)):
            break
    if missing:
        search = _Search(table, draw_order(0), _solve(table, [names[label] for label in missing]))
        search.run()
        side = search.side
    return side


def _compare_all(
    table: "_Table", order: npt.NDArray[np.int64], test_share: float, names: Sequence[str]
) -> npt.NDArray[np.int8]:
    """Return the best division; the order decides among equally good ones.

    Raises:
        DataError: none puts every class on both sides.
    """
    count = len(order)
    held = np.zeros((count, len(table.totals)))
    for place, group in enumerate(order):
        part = slice(table.starts[group], table.starts[group + 1])
        held[place, table.cells[part]] = table.counts[part]
    totals = np.maximum(table.totals, 1)
    classes = np.flatnonzero(table.totals[: table.num_classes])
    best: tuple[float, ...] = (np.inf,)
    chosen = 0
    for start in range(0, 1 << count, _BLOCK):
        masks = np.arange(start, min(start + _BLOCK, 1 << count))
        tested = (masks[:, None] >> np.arange(count) & 1) @ held
        inside = tested[:, classes]
        missing = ((inside == 0) | (inside == table.totals[classes])).sum(axis=1)
        deviation = np.abs(inside / totals[classes] - test_share).max(axis=1)
        loss = (((tested - table.wanted) / totals) ** 2).sum(axis=1)
        # Rounding of the sums is no reason to prefer a division.
        ranks = np.round(np.stack([loss, deviation, missing]), 9)
        first = int(np.lexsort(ranks)[0])
        rank = tuple(ranks[::-1, first])
        if rank < best:
            best, chosen = rank, int(masks[first])
    side = np.zeros(count, dtype=np.int8)
    side[order] = chosen >> np.arange(count) & 1
    if best[0]:
        tested = side[order] @ held
        lacking = (tested[classes] == 0) | (tested[classes] == table.totals[classes])
        raise _undividable([names[label] for label in classes[lacking]])
    return side


def _solve(table: "_Table", names: Sequence[str]) -> npt.NDArray[np.int8]:
    """Return a division that puts every class on both sides.

    Raises:
        DataError: there is none.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    count = len(table.starts) - 1
    groups = np.repeat(np.arange(count), np.diff(table.starts))
    inside = table.cells < table.num_classes
    there = np.flatnonzero(table.totals[: table.num_classes])
    rows = np.searchsorted(there, table.cells[inside])
    shape = (len(there), count)
    holds = csr_array((np.ones(len(rows)), (rows, groups[inside])), shape=shape)
    found = milp(
        np.ones(count),
        integrality=np.ones(count),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(holds, 1, np.bincount(rows) - 1),
    )
    if found.x is None:
        raise _undividable(names)
    return np.round(found.x).astype(np.int8)


def _undividable(names: Sequence[str]) -> DataError:
    return DataError(
        "no division by whole groups puts every class on both sides; it fails for "
        f"{', '.join(names[:10])}: their images are in few groups, shared with other classes"
    )


def _check_classes(
    labels: npt.NDArray[np.int64], members: npt.NDArray[np.int64], names: Sequence[str]
) -> None:
    for label in np.unique(labels):
        inside = members[labels == label]
        if len(inside) < 2:
            raise DataError(f"cannot split class {names[label]}: it has {len(inside)} image")
        if len(np.unique(inside)) < 2:
            raise DataError(
                f"cannot split class {names[label]}: its {len(inside)} images are one group, which "
                "has to stay on one side"
            )


@dataclass(frozen=True)
class _Table:
    """How many images of each cell each group holds; a cell is a class or a class's stratum.

    `cells[starts[g] : starts[g + 1]]` are the cells of group g, `counts` their images.
    """

    starts: npt.NDArray[np.int64]
    cells: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    totals: npt.NDArray[np.int64]
    wanted: _Floats
    num_classes: int


def _count_cells(
    labels: npt.NDArray[np.int64],
    members: npt.NDArray[np.int64],
    strata: Sequence[str] | None,
    num_groups: int,
    test_share: float,
) -> _Table:
    num_classes = int(labels.max()) + 1
    numbers = [labels]
    if strata is not None and len(set(strata)) > 1:
        ranks = {name: rank for rank, name in enumerate(sorted(set(strata)))}
        codes = np.array([ranks[name] for name in strata])
        numbers.append(num_classes + labels * len(ranks) + codes)
    cells = np.concatenate(numbers)
    size = int(cells.max()) + 1
    pairs, counts = np.unique(np.tile(members, len(numbers)) * size + cells, return_counts=True)
    totals = np.bincount(cells, minlength=size)
    wanted = np.asarray(totals * test_share, dtype=np.float64)
    whole = np.round(wanted[:num_classes])
    wanted[:num_classes] = np.clip(whole, 1, np.maximum(totals[:num_classes] - 1, 1))
    starts = np.searchsorted(pairs, np.arange(num_groups + 1) * size)
    return _Table(starts, pairs % size, counts, totals, wanted, num_classes)


class _Search:
    """The state of one search: the side of each group and how much of each cell is tested."""

    def __init__(
        self,
        table: _Table,
        order: npt.NDArray[np.int64],
        side: npt.NDArray[np.int8] | None = None,
    ) -> None:
        self._order = order.tolist()
        self._totals = table.totals.tolist()
        self._wanted = table.wanted.tolist()
        self._num_classes = table.num_classes
        bounds = table.starts.tolist()
        cells, counts = table.cells.tolist(), table.counts.tolist()
        self._parts = [
            tuple(zip(cells[low:high], counts[low:high], strict=True))
            for low, high in itertools.pairwise(bounds)
        ]
        self._tested = [0] * len(self._totals)
        self.side = np.zeros(len(self._parts), dtype=np.int8)
        for group in np.flatnonzero(side).tolist() if side is not None else ():
            self._flip(group)

    def run(self) -> None:
        """Search until no single change, and no exchange of two, is a gain."""
        for _ in range(_MOST_PASSES):
            changed = False
            for group in self._order:
                if self._is_gain(*self._weigh([group])):
                    self._flip(group)
                    changed = True
            if not changed and not self._exchange():
                return

    def missing(self) -> list[int]:
        """Return the classes that are not on both sides."""
        return [
            cell
            for cell in range(self._num_classes)
            if self._totals[cell] and self._tested[cell] in (0, self._totals[cell])
        ]

    def rank(self, test_share: float) -> tuple[int, float, float]:
        """Return what makes a division better the smaller it is.

        Classes missing on a side, the largest deviation of a class's share, and the squared
        deviations of all cells.
        """
        loss = sum(
            ((tested - wanted) / total) ** 2
            for tested, wanted, total in zip(self._tested, self._wanted, self._totals, strict=True)
            if total
        )
        deviation = max(deviation for deviation, _ in self._deviations(test_share))
        return len(self.missing()), deviation, loss

    def is_good(self, test_share: float) -> bool:
        """Say whether no class misses its share by more than rounding or next to nothing."""
        return all(
            deviation <= max(_GOOD_SHARE, 0.5 / total)
            or (total * test_share < 1 and self._tested[cell] == 1)
            for cell, (deviation, total) in enumerate(self._deviations(test_share))
        )

    def _deviations(self, test_share: float) -> list[tuple[float, int]]:
        """Return for each class how far its share is from the wanted one, and its images."""
        return [
            (abs(tested / total - test_share) if total else 0.0, max(total, 1))
            for tested, total in zip(
                self._tested[: self._num_classes], self._totals[: self._num_classes], strict=True
            )
        ]

    def _weigh(self, groups: Sequence[int]) -> tuple[int, float]:
        """What changing these groups' sides adds: classes missing on a side; squared shares."""
        moves: dict[int, int] = {}
        for group in groups:
            sign = -1 if self.side[group] else 1
            for cell, count in self._parts[group]:
                moves[cell] = moves.get(cell, 0) + sign * count
        missing, loss = 0, 0.0
        for cell, move in moves.items():
            before, total = self._tested[cell], self._totals[cell]
            after = before + move
            loss += move * (2 * (before - self._wanted[cell]) + move) / (total * total)
            if cell < self._num_classes:
                missing += (after in (0, total)) - (before in (0, total))
        return missing, loss

    @staticmethod
    def _is_gain(missing: int, loss: float) -> bool:
        return missing < 0 or (missing == 0 and loss < -_LEAST_GAIN)

    def _flip(self, group: int) -> None:
        sign = -1 if self.side[group] else 1
        for cell, count in self._parts[group]:
            self._tested[cell] += sign * count
        self.side[group] ^= 1

    def _exchange(self) -> bool:
        """Let pairs of groups change places where that is a gain; say whether any did."""
        tested = [group for group in self._order if self.side[group]]
        trained = [group for group in self._order if not self.side[group]]
        if len(tested) * len(trained) > _MOST_PAIRS:
            return False
        changed = False
        for test, train in itertools.product(tested, trained):
            if self.side[test] and not self.side[train] and self._is_gain(
                *self._weigh([test, train])
            ):  # fmt: skip
                self._flip(test)
                self._flip(train)
                changed = True
        return changed
