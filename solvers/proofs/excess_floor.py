"""What has no place at least, whatever so few moves mend: a VM that leaves takes no more off a row than it uses.

What has no place on a host is the most that any family of rows over sets without a common node counts (`Shortage`), so
one family, the worst as all stays, bounds it from below. Each of its rows lacks, after some VMs left, what it lacks now
less what they take of it, and never less than immovable VMs alone lack: that is convex in how many leave, the largest
first. Of all rows together the largest steps bound what the moves allowed can mend.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from solvers.objective import Objective
from solvers.problem import HostClass, IntArray, Problem, Shape, Shortage
from solvers.proofs.savings import Savings, saved


def excess_floor(problem: Problem, objective: Objective) -> int:
    """Return an integer that no plan's excess, of the objective's part, is below; 0 where the objective has none.

    All placements of all flavors have to be known: a VM that is nowhere in particular takes the least it could.
    """
    if objective.shortage is None:
        return 0
    budget = problem.budget
    # Where only changes of host are limited, a VM may lie anywhere on its host.
    fixed = budget.moves is not None
    left = budget.moves if fixed else budget.migrations
    total = 0
    steps: Savings = []
    for host_class in problem.classes:
        shape = problem.shapes[host_class.shape]
        if host_class.room is None:
            continue
        vms = _vms(problem, shape, host_class, fixed=fixed)
        now, own = _mending([one for one in shape.shortages if one.part == objective.shortage], host_class.ceiling, vms)
        total += now * host_class.count
        steps.extend((step, many * host_class.count) for step, many in own)
    return total - saved(steps, left)


def _vms(problem: Problem, shape: Shape, host_class: HostClass, *, fixed: bool) -> list[tuple[IntArray, int]]:
    """Return what VMs on a host of the class take of each row (K,), the least of the places they may have, and how many
    they are.
    """
    found = []
    for placement, many in host_class.content:
        flavor = int(shape.flavor[placement])
        known = fixed and not problem.flavors[flavor].settles
        found.append((shape.use[placement] if known else shape.use[shape.flavor == flavor].min(axis=0), many))
    for flavor, many in host_class.floating:
        uses = shape.use[shape.flavor == flavor]
        if len(uses):
            found.append((uses.min(axis=0), many))
    return found


def _mending(shortages: Sequence[Shortage], ceiling: IntArray, vms: list[tuple[IntArray, int]]) -> tuple[int, Savings]:
    """Return what a host lacks now, by the worst family of each shortage, and the steps in which VMs that leave mend
    that: a VM that leaves is one move, whatever it mends of all of them together.
    """
    load = sum((many * use for use, many in vms), np.zeros(len(ceiling), dtype=np.int64))
    over = np.maximum(0, load - ceiling)
    each: dict[int, int] = defaultdict(int)
    for shortage in shortages:
        for row, unit in max(shortage.apart, key=lambda rows: sum(int(over[row]) * unit for row, unit in rows)):
            each[row] += unit
    # What moves can mend of each row; -1 stands for VMs on several of them.
    most = {row: unit * int(over[row] - max(0, -ceiling[row])) for row, unit in each.items()}
    most[-1] = sum(most.values())
    sizes: dict[int, Savings] = defaultdict(list)
    for use, many in vms:
        taken = [(row, unit * int(use[row])) for row, unit in each.items() if use[row]]
        if taken:
            sizes[taken[0][0] if len(taken) == 1 else -1].append((sum(size for _, size in taken), many))
    return sum(int(over[row]) * unit for row, unit in each.items()), [
        step for row, own in sizes.items() for step in _steps(own, most[row])
    ]


def _steps(sizes: Savings, most: int) -> Savings:
    """Return the sizes, the largest first, cut off where they come to the most together."""
    found: Savings = []
    for size, many in sorted(sizes, reverse=True):
        whole = min(many, most // size)
        if whole:
            found.append((size, whole))
            most -= whole * size
        if most and whole < many:
            found.append((most, 1))
            most = 0
    return found
