"""VMs of one flavor in what hosts have free: the formula, its two bounds, and the small integer program."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from solvers.slots import Filler, slots


def test_slots_of_uneven_nodes() -> None:
    """Two-cell VMs on nodes of 5, 1 and 1 cells: 2, since each takes two different nodes."""
    assert slots(np.array([[5, 1, 1], [4, 4, 0], [1, 0, 0]]), 2).tolist() == [2, 4, 0]
    assert slots(np.array([[9]]), 2).tolist() == [0]


def most_by_search(use: np.ndarray, free: np.ndarray) -> int:
    """Return the most placements that fit, by trying all."""
    fits = [p for p in range(len(use)) if (use[p] <= free).all()]
    return max((1 + most_by_search(use[p:], free - use[p]) for p in fits), default=0)


@pytest.mark.parametrize("seed", range(40))
def test_bounds_hold_and_the_program_is_exact(seed: int) -> None:
    """On two or three nodes, with cells alike or not, the bounds enclose what a full search finds; CP-SAT finds it."""
    rng = random.Random(seed)
    nodes = rng.choice((2, 3))
    names = [(node, "CPUs") for node in range(nodes)] + [(node, "memory") for node in range(nodes)] + [(None, "disk")]
    rows, touches = [], []
    widths = rng.sample((1, 2), rng.choice((1, 2)))
    for width in widths:
        each, memory, extra = rng.randint(2, 4), rng.randint(1, 3), rng.choice((0, 0, 1))
        for chosen in (
            itertools.permutations(range(nodes), width) if extra else itertools.combinations(range(nodes), width)
        ):
            row = [0] * len(names)
            for slot, node in enumerate(chosen):
                row[node] = each + (extra if slot == 0 else 0)
                row[nodes + node] = memory
            row[-1] = 1
            rows.append(row)
            touches.append([node in chosen for node in range(nodes)])
    use = np.array(rows, dtype=np.int64)
    filler = Filler.of(use, np.array(touches), names)
    free = np.array([[rng.randint(0, 9) for _ in range(2 * nodes)] + [rng.randint(1, 8)] for _ in range(6)])
    found = filler.bounds(free)
    for host in range(len(free)):
        best = most_by_search(use, free[host])
        assert found.least[host] <= best <= found.most[host]
        assert filler.exact(free[host]) == (best, best)


def test_vms_that_must_be_placed_come_first() -> None:
    """One VM of 2 must lie on one of two nodes of 3: a VM of 3 has one place left; where it cannot, nothing fits."""
    names = [(0, "CPUs"), (1, "CPUs")]
    wide, narrow = 3 * np.eye(2, dtype=np.int64), 2 * np.eye(2, dtype=np.int64)
    filler = Filler.of(wide, np.eye(2, dtype=bool), names)
    free = np.array([3, 3])
    assert filler.exact(free) == (2, 2)
    assert filler.exact(free, [(narrow, 1)]) == (1, 1)
    assert filler.exact(free, [(narrow, 3)]) == (0, 0)


def test_rows_alone() -> None:
    """With memory alone for a limit CPUs do not count."""
    names = [(0, "CPUs"), (0, "memory")]
    filler = Filler.of(np.array([[4, 1]]), np.array([[True]]), names)
    free = np.array([[8, 7]])
    assert filler.bounds(free).least.tolist() == [2]
    assert filler.only([1]).bounds(free).most.tolist() == [7]
