"""A problem without what only tells alike VMs apart and hardly costs a host: who of them is on which host is for later.

A row that lets a host hold few members of a group, and hosts that are closed to some VMs of a size, make flavors of
VMs that are alike otherwise: a hundred where there are thirty, and an engine that decides counts works many times as
long. Where the group needs few of the hosts that are there, an answer without the limit has places enough for it, and
its bound is the same or nearly so. Both are left out here: a relaxation, whose bounds hold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Set
from dataclasses import replace

import numpy as np

from solvers.problem import BoolArray, IntArray, Problem
from solvers.reductions.merged import key_of

ROOMY = 4
"""A limit is left out where the hosts would hold so many times what is under it."""


def loosened(problem: Problem, tied: Set[int]) -> Problem:
    """Return the problem without limits of hosts that have room to spare; the same one where there is none.

    Parameters
    ----------
    tied : flavors whose hosts other rules choose: they keep the hosts that they may be on.
    """
    rows = {(shape, row) for shape in range(len(problem.shapes)) for row in _spare_rows(problem, shape)}
    if rows:
        shapes = []
        for number, shape in enumerate(problem.shapes):
            use = shape.use.copy()
            freed = {row for of, row in rows if of == number}
            use[:, list(freed)] = 0
            # The excess over such a row is always 0, and counting it keeps hosts from being taken apart into nodes.
            hinges = tuple(hinge for hinge in shape.hinges if hinge.row not in freed)
            shapes.append(replace(shape, use=use, hinges=hinges))
        problem = replace(problem, shapes=tuple(shapes))
    allowed = _opened(problem, tied)
    if allowed is None:
        return problem
    classes = tuple(replace(one, allowed=allowed[number]) for number, one in enumerate(problem.classes))
    return replace(problem, classes=classes)


def _spare_rows(problem: Problem, at: int) -> list[int]:
    """Return the rows of a shape that count VMs on a host, of a group that fits many times over."""
    shape = problem.shapes[at]
    hosts = [one for one in problem.classes if one.shape == at]
    named = {row for one in shape.shortages for family in one.apart for row, _ in family} | {
        *shape.inside,
        *shape.parts,
    }
    named |= {row for rows in shape.inside.values() for family in rows for row in family}
    named |= {row for row, _ in shape.loads.values()}
    demand = problem.demand()
    out = []
    for row, (node, _) in enumerate(shape.row_names):
        use = shape.use[:, row]
        if node is not None or row in named or not use.any() or use.max() > 1 or not hosts:
            continue
        room = min(int(one.capacity[row]) for one in hosts)
        whole = sum(one.count * int(one.capacity[row]) for one in hosts)
        under = int(demand[np.unique(shape.flavor[use > 0])].sum())
        if room >= 1 and ROOMY * under <= whole:
            out.append(row)
    return out


def _opened(problem: Problem, tied: Set[int]) -> BoolArray | None:
    """Return (classes, F): which hosts VMs may be on where those kept to some of them are like others; None if none."""
    allowed = np.array([one.allowed for one in problem.classes], dtype=np.bool_)
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for number in range(len(problem.flavors)):
        if number not in tied:
            alike[key_of(problem, number, but_hosts=True)].append(number)
    whole = allowed.copy()
    for numbers in alike.values():
        whole[:, numbers] = np.any(allowed[:, numbers], axis=1, keepdims=True)
    kept: IntArray = np.flatnonzero(np.any(whole & ~allowed, axis=0))
    if not len(kept):
        return None
    demand = problem.demand()
    shares = np.array([demand[flavor] / max(1, _most(problem, allowed, flavor)) for flavor in kept.tolist()])
    there = allowed[:, kept].astype(np.float64)
    crowd = np.greater(there.T @ there, 0.0) @ shares
    roomy: IntArray = kept[crowd <= 1 / ROOMY]
    if not len(roomy):
        return None
    allowed[:, roomy] = whole[:, roomy]
    return allowed


def _most(problem: Problem, allowed: BoolArray, flavor: int) -> int:
    """Return how many VMs of a flavor its hosts hold at least, each host in one way."""
    total = 0
    for at, shape in enumerate(problem.shapes):
        own = shape.use[shape.flavor == flavor]
        hosts = [n for n, one in enumerate(problem.classes) if one.shape == at and allowed[n, flavor]]
        if not len(own) or not hosts:
            continue
        room = np.array([problem.classes[n].capacity for n in hosts])
        count = np.array([problem.classes[n].count for n in hosts])
        each = np.max([(room[:, use > 0] // use[use > 0]).min(axis=1) for use in own if use.any()], axis=0, initial=0)
        total += int(count @ each)
    return total
