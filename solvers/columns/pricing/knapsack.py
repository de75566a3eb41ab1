"""Knapsack tables of a node: the best value of what fits into what is left of its binding rows, and how to read it
back.

``values[a, b, ...]`` is the most that items within a, b, ... steps are worth. Items in any number are taken in powers
of two (1, 2, 4, ... and a rest), so a table takes a few vectorised maxima an item. All integers: the same on every
machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solvers.problem import BoolArray, IntArray


@dataclass(frozen=True, slots=True)
class Item:
    """Up to `bound` copies of something worth `value` each that takes `use` steps; `tag` is the caller's name for
    it.
    """

    use: tuple[int, ...]
    value: int
    bound: int
    tag: int


@dataclass(frozen=True, slots=True)
class Table:
    """The values, and a step an item and power of two: (item, copies, where taking them was better)."""

    values: IntArray
    steps: tuple[tuple[Item, int, BoolArray], ...]

    def read(self, at: Sequence[int]) -> dict[int, int]:
        """Return tag -> copies of the best choice with `at` steps left."""
        left = list(at)
        out: dict[int, int] = {}
        for item, copies, better in reversed(self.steps):
            if better[tuple(left)]:
                out[item.tag] = out.get(item.tag, 0) + copies
                for k, use in enumerate(item.use):
                    left[k] -= copies * use
        return out


def table_of(items: Sequence[Item], levels: Sequence[int], base: Table | None = None) -> Table:
    """Return the table of `items` over ``levels + 1`` steps a row, on top of `base` (at least as large) where given."""
    shape = tuple(level + 1 for level in levels)
    corner = tuple(slice(0, size) for size in shape)
    values = np.zeros(shape, dtype=np.int64) if base is None else base.values[corner]
    steps = [] if base is None else list(base.steps)
    for item in items:
        if item.value <= 0:
            continue
        most, copies = min(_room(item.use, levels, item.bound), item.bound), 1
        while most > 0:
            copies = min(copies, most)
            most -= copies
            source = tuple(slice(0, size - copies * use) for size, use in zip(shape, item.use, strict=True))
            target = tuple(slice(copies * use, size) for size, use in zip(shape, item.use, strict=True))
            taken = values[source] + copies * item.value
            better = np.zeros(shape, dtype=np.bool_)
            better[target] = taken > values[target]
            values = values.copy()
            np.maximum(values[target], taken, out=values[target])
            steps.append((item, copies, better))
            copies *= 2
    return Table(values, tuple(steps))


def undominated(items: Sequence[Item], levels: Sequence[int]) -> list[Item]:
    """Leave out items that another one in unlimited number beats in value and use; of equals the first stays."""
    order = sorted(range(len(items)), key=lambda k: (-items[k].value, items[k].use, k))
    kept: list[Item] = []
    unlimited: list[Item] = []
    for k in order:
        item = items[k]
        if item.value <= 0 or any(all(u <= v for u, v in zip(o.use, item.use, strict=True)) for o in unlimited):
            continue
        kept.append(item)
        # What takes nothing is limited by its number alone: it stands in the way of nothing else.
        if any(item.use) and item.bound >= _room(item.use, levels, item.bound):
            unlimited.append(item)
    return kept


def _room(use: Sequence[int], levels: Sequence[int], otherwise: int) -> int:
    """Return how many copies fit into an empty table; `otherwise` for what takes nothing."""
    return min((level // u for level, u in zip(levels, use, strict=True) if u), default=otherwise)
