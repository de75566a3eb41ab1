"""Sets of VMs that fill one host, where nearly all VMs differ: many partial sets grow side by side, a VM at a time.

A set is worth what its VMs are, and what is still free is worth the price of the rows; the best of each size go on
(a beam search). Where VMs differ, some of the sets leave next to nothing free, which taking VMs in one order never
finds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.problem import IntArray

WIDTH = 200
"""Most sets of a size that go on."""
LOOKS = 400_000
"""Numbers (sets x VMs x rows) that are looked at for a size: wider beams are too slow for many VMs in many rows."""
LEAST_WIDTH = 24
SETS = 40
"""Sets that are returned."""
EACH = 3
"""How many of these a kind of VM may be in: all kinds shall get sets."""
GRID = 1_000
"""Steps of the dearest row's price in which prices are rounded."""
SHIFT = 16
"""Binary digits of prices behind the point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """What a host may hold: N kinds of VMs, each worth `value` (N,), using `use` (N, K) of the `room` (K,), at most
    `upper` (N,) of each.
    """

    value: IntArray
    use: IntArray
    upper: IntArray
    room: IntArray


def valuable_sets(items: Items, keys: IntArray) -> list[IntArray]:
    """Return sets of items (numbers, repeated where there are several), the most valuable first.

    keys : (N,) random numbers, by which sets are told apart whatever the order that they grew in.
    """
    count, rows = items.use.shape
    width = min(WIDTH, max(LEAST_WIDTH, LOOKS // max(1, count * rows)))
    worth = items.value << SHIFT
    gain = worth - items.use @ _prices(items)
    free = items.room[None].copy()
    spare = items.upper[None].copy()
    sets: IntArray = np.zeros((1, 0), dtype=np.int64)
    value, score, name = (np.zeros(1, dtype=np.int64) for _ in range(3))
    grown: list[tuple[IntArray, IntArray]] = []
    while True:
        line, item = np.nonzero((spare > 0) & (free[:, None, :] >= items.use[None]).all(axis=2))
        if not len(line):
            break
        name = name[line] + keys[item]
        score = score[line] + gain[item]
        _, first = np.unique(name, return_index=True)
        first = first[np.argsort(-score[first], kind="stable")[:width]]
        line, item = line[first], item[first]
        name, score, value = name[first], score[first], value[line] + items.value[item]
        free, spare = free[line] - items.use[item], spare[line]
        spare[np.arange(len(line)), item] -= 1
        sets = np.concatenate([sets[line], item[:, None]], axis=1)
        grown.append((sets, value))
    return _spread(grown, count)


def _prices(items: Items) -> IntArray:
    """Return (K,) what a unit of each row is worth, such that items come near to their value (never below 0)."""
    share = items.use / np.maximum(1, items.room)
    square, side = share.T @ share, share.T @ items.value
    price = np.full(len(items.room), items.value.sum() / max(1e-9, share.sum()))
    for _ in range(50):
        # Least squares without negative prices, by factors (Lee and Seung, 2001).
        price *= side / np.maximum(1e-9, square @ price)
    # A few digits: the last ones of a sum differ from machine to machine.
    coarse = np.rint(price / max(1e-9, price.max()) * GRID) * (price.max() / GRID)
    return np.asarray(coarse / np.maximum(1, items.room) * (1 << SHIFT), dtype=np.int64)


def _spread(grown: list[tuple[IntArray, IntArray]], count: int) -> list[IntArray]:
    """Return the most valuable sets such that no item is in more than a few."""
    if not grown:
        return []
    size = np.repeat(np.arange(len(grown)), [len(value) for _, value in grown])
    number = np.concatenate([np.arange(len(value)) for _, value in grown])
    value = np.concatenate([value for _, value in grown])
    uses = np.zeros(count, dtype=np.int64)
    out: list[IntArray] = []
    for at in np.argsort(-value, kind="stable").tolist():
        one = grown[size[at]][0][number[at]]
        if (uses[one] >= EACH).any():
            continue
        uses[one] += 1
        out.append(one)
        if len(out) == SETS:
            break
    return out
