"""Tables of a node: what items within so many steps are worth, whichever of them are left out as dominated."""

from __future__ import annotations

import itertools
import random

import pytest

from solvers.columns.pricing.knapsack import Item, table_of, undominated

LEVELS = (3, 4)


def _best(items: list[Item]) -> int:
    """Return the most that copies of the items are worth that fit, by trying all."""
    best = 0
    for many in itertools.product(*(range(item.bound + 1) for item in items)):
        rows = range(len(LEVELS))
        taken = [sum(n * item.use[row] for n, item in zip(many, items, strict=True)) for row in rows]
        if all(used <= level for used, level in zip(taken, LEVELS, strict=True)):
            best = max(best, sum(n * item.value for n, item in zip(many, items, strict=True)))
    return best


@pytest.mark.parametrize("seed", range(60))
def test_nothing_is_lost_with_dominated_items(seed: int) -> None:
    """The table of what is kept is worth the best of all items: one that takes nothing stands in no other's way."""
    rng = random.Random(seed)
    items = [
        Item((rng.choice((0, 0, 1, 2)), rng.choice((0, 1, 2))), rng.randint(1, 9), rng.randint(1, 3), tag)
        for tag in range(4)
    ]
    assert int(table_of(undominated(items, LEVELS), LEVELS).values[LEVELS]) == _best(items)
