"""Sets of VMs that fill a host but for a little: listed by sizes alone, all of them where they are few.

A set is a few of the largest VMs in one row, and two more that take what is left to take. Pairs are kept in cells of
two rows, so that those which fit a rest are found by two binary searches (meeting in the middle, as Horowitz and Sahni,
"Computing partitions with applications to the knapsack problem", 1974).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.problem import BoolArray, IntArray

BLOCK = 1 << 15
"""Sets that are worked on at a time: memory."""
PAIRS = 1 << 20
"""Pairs that are looked at together at most, and sets of one size that are kept: memory."""
MOST_SETS = 1 << 21
"""Beginnings of sets that are kept; of more, none are gone on with."""
SHIFT = 1 << 40
"""Above any amount of the second row of a cell."""


@dataclass(slots=True, kw_only=True)
class Fillings:
    """Lists sets of items, `use` (N, K), that leave between 0 and `waste` (K,) of a `capacity` (K,).

    `looks` is how many items and pairs may be looked at. `whole` tells afterwards whether that was enough for all sets.
    """

    capacity: IntArray
    use: IntArray
    waste: IntArray
    looks: int
    whole: bool = True
    _items: IntArray = field(init=False)
    _first: IntArray = field(init=False)
    _second: IntArray = field(init=False)
    _both: IntArray = field(init=False)
    _key: IntArray = field(init=False)
    _rows: tuple[int, int] = field(init=False)
    _width: int = field(init=False)

    def __post_init__(self) -> None:
        """Put items in order of the row that tells them apart best, and pairs in cells."""
        fits = np.flatnonzero((self.use <= self.capacity).all(axis=1))
        use = self.use[fits]
        telling = use.std(axis=0) / (self.waste + 1.0) if len(use) else np.zeros(use.shape[1])
        best = np.argsort(-telling, kind="stable")
        self._rows = int(best[0]), int(best[min(1, len(best) - 1)])
        order = np.argsort(-use[:, self._rows[0]], kind="stable")
        self._items, self.use = fits[order], use[order]
        self._width = int(self.waste[self._rows[0]]) + 1
        first, second = np.triu_indices(len(order), 1)
        both = self.use[first] + self.use[second]
        keep = (both <= self.capacity).all(axis=1)
        key = both[:, self._rows[0]] // self._width * SHIFT + both[:, self._rows[1]]
        sort = np.flatnonzero(keep)[np.argsort(key[keep], kind="stable")]
        self._first, self._second, self._both, self._key = first[sort], second[sort], both[sort], key[sort]

    def list(self) -> list[IntArray]:
        """Return sets as (M, n) item numbers, one array a size n."""
        if not len(self.use):
            return []
        left = self.capacity - self.use
        alone = (left <= self.waste).all(axis=1)
        found = [self._items[np.flatnonzero(alone)][:, None]] if alone.any() else []
        rest = self.capacity[None, :].astype(np.int64)
        chosen: IntArray = np.zeros((1, 0), dtype=np.int64)
        while len(rest):
            completed = self._completed(rest, chosen)
            if len(completed):
                found.append(self._items[completed])
            if self.looks <= 0:
                self.whole = False
                break
            rest, chosen = self._extended(rest, chosen)
        return found

    def _completed(self, rest: IntArray, chosen: IntArray) -> IntArray:
        """Return the sets that pairs of smaller items complete."""
        row, other = self._rows
        last = chosen[:, -1] if chosen.shape[1] else np.full(1, -1)
        if chosen.shape[1]:
            # Two items no larger than the last one have to be enough.
            near = rest[:, row] - self.waste[row] <= 2 * self.use[last, row]
            rest, chosen, last = rest[near], chosen[near], last[near]
        out = [np.zeros((0, chosen.shape[1] + 2), dtype=np.int64)]
        kept = 0
        for begin in range(0, len(rest), BLOCK):
            part = rest[begin : begin + BLOCK]
            least = np.maximum(0, part - self.waste)
            for step in (0, 1):
                cell = least[:, row] // self._width + step
                low = np.searchsorted(self._key, cell * SHIFT + least[:, other])
                high = np.searchsorted(self._key, cell * SHIFT + part[:, other], side="right")
                many = np.where(cell * self._width <= part[:, row], np.maximum(0, high - low), 0)
                upto = np.cumsum(many)
                at = 0
                while at < len(part):
                    if self.looks <= 0 or kept > PAIRS:
                        self.whole = False
                        return np.concatenate(out)
                    before = int(upto[at - 1]) if at else 0
                    end = max(at + 1, int(np.searchsorted(upto, before + PAIRS, side="right")))
                    self.looks -= end - at + int(upto[end - 1]) - before
                    which, pair = self._fitting(part[at:end], last[begin + at : begin + end], low[at:end], many[at:end])
                    both = np.stack([self._first[pair], self._second[pair]], axis=1)
                    out.append(np.concatenate([chosen[begin + at + which], both], axis=1))
                    kept, at = kept + len(which), end
        return np.concatenate(out)

    def _fitting(self, rest: IntArray, last: IntArray, low: IntArray, many: IntArray) -> tuple[IntArray, IntArray]:
        """Return (number of a rest, pair that fits it), of `many` pairs from `low` on for each rest."""
        which = np.repeat(np.arange(len(rest)), many)
        pair = np.arange(len(which)) + np.repeat(low - (np.cumsum(many) - many), many)
        later = self._first[pair] > last[which]
        which, pair = which[later], pair[later]
        over = rest[which] - self._both[pair]
        good = ((over >= 0) & (over <= self.waste)).all(axis=1)
        return which[good], pair[good]

    def _extended(self, rest: IntArray, chosen: IntArray) -> tuple[IntArray, IntArray]:
        """Return the beginnings of sets with one item more, where two more may still follow."""
        count = len(self.use)
        least = 2 * self.use.min(axis=0)
        rests, sets, total = [], [], 0
        step = max(1, BLOCK * 8 // count)
        for begin in range(0, len(rest), step):
            part = rest[begin : begin + step]
            last = chosen[begin : begin + step, -1:] if chosen.shape[1] else np.full((1, 1), -1)
            open_: BoolArray = np.arange(count)[None, :] > last
            row, column = np.nonzero(open_)
            left = part[row] - self.use[column]
            keep = (left >= least).all(axis=1)
            row, column = row[keep], column[keep]
            self.looks -= len(left)
            rests.append(left[keep])
            sets.append(np.concatenate([chosen[begin + row], column[:, None]], axis=1))
            total += len(row)
            if total > MOST_SETS or self.looks <= 0:
                self.whole = False
                return rest[:0], chosen[:0]
        return np.concatenate(rests), np.concatenate(sets)


def least_waste(
    sets: IntArray, capacity: IntArray, use: IntArray, waste: IntArray, most: int
) -> tuple[IntArray, NDArray[np.float64]]:
    """Return at most so many of sets (M, n), those that leave least first, and what they leave in shares of `waste`."""
    left = (capacity - use[sets].sum(axis=1)) / (waste + 1.0)
    total = left.sum(axis=1)
    order = np.argsort(total, kind="stable")[:most]
    return sets[order], total[order]
