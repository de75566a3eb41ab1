"""First answers by all simple heuristics at once: every order of VMs with every measure of places, and hosts filled in
turn. The best by all goals in order is taken: but for ties between places none of them is better than the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np

from solvers.evaluate import violations
from solvers.improve.fleet import Fleet, Vector
from solvers.improve.tables import tables_of
from solvers.problem import Problem
from solvers.proofs.first_claims import proven_first
from solvers.result import Result
from solvers.starts.best_fit import hosts_used, rows_of
from solvers.starts.host_after_host import hosts_in_turn
from solvers.starts.lines import Lines
from solvers.starts.vm_by_vm import vms_in_turn

MOST_VMS = 1_500
"""Above so many VMs that arrive the family is not tried."""
MOST_WORK, USUAL_WORK, LITTLE_WORK = 20_000_000, 30_000_000, 3_000_000
"""Numbers (VMs x places x rows) above which no heuristic is tried. Times the heuristics, some 30 ns each: what is
looked at where another order or measure is likely to matter, and elsewhere; heuristics are left away to stay below.
"""
FEW = 12
"""Heuristics that are tried even so where they are likely to matter."""
FEW_ALIKE = 3
"""VMs of a flavor, on average, from which on best fit by flavors does as well."""
LOOKS = 4
"""Answers that the referee looks at, the best first."""


def best_of_family(problem: Problem, first: Result, is_over: Callable[[], bool] = lambda: False) -> Result:
    """Return the best answer, in the order of objectives, of all heuristics and the first one.

    What is on the hosts stays there; only what arrives is placed, and the first answer is taken where that is too much
    work.
    """
    arriving = sum(flavor.arriving for flavor in problem.flavors)
    if not first.patterns or not 0 < arriving <= MOST_VMS or proven_first(problem, first).status == "optimal":
        return first
    tables = tables_of(problem)
    if tables is None:
        return first
    fleet = Fleet.of(tables, first.patterns, first.unplaced)
    best, value = first, fleet.vector()
    take_out_arrivals(fleet)
    work, likely = _work(fleet), _is_likely(problem, first, arriving)
    most = max(USUAL_WORK // max(1, work), FEW) if likely else LITTLE_WORK // max(1, work)
    if not 0 < work <= MOST_WORK or most < FEW:
        return first
    for lines in chain(hosts_in_turn(fleet, most, is_over), vms_in_turn(fleet, most, is_over)):
        for line in _promising(lines, value):
            mark = len(fleet.journal)
            lines.replay(line)
            found = _answer(problem, fleet, first) if fleet.vector() < value and fleet.within_budget() else None
            if found is not None:
                best, value = found, fleet.vector()
            fleet.undo(mark)
            if found is not None:
                break
    return best


def _promising(lines: Lines, value: Vector) -> Iterator[int]:
    """Yield a few lines that seem to be better, the best first."""
    order = np.lexsort(lines.value[::-1])
    for line in order[:LOOKS].tolist():
        if tuple(lines.value[:, line].tolist()) < value:
            yield line


def _answer(problem: Problem, fleet: Fleet, first: Result) -> Result | None:
    patterns, unplaced = fleet.answer()
    if violations(problem, patterns, unplaced):
        return None
    return Result(
        status="feasible",
        objectives=rows_of(problem, fleet.vector()),
        patterns=patterns,
        unplaced=unplaced,
        engine=first.engine,
    )


def take_out_arrivals(fleet: Fleet) -> None:
    """Take VMs that arrive off their hosts again: those at places where none of their flavor was before."""
    flavors = fleet.tables.problem.flavors
    for host, held in enumerate(fleet.held):
        for place, many in list(held.items()):
            flavor = int(fleet.tables.flavor[place])
            homes = fleet.homes.get(flavor)
            if fleet.frozen[flavor] or (homes is not None and host in homes.hosts):
                continue
            for _ in range(min(many, flavors[flavor].arriving - int(fleet.out[flavor]))):
                fleet.remove(host, place)
                fleet.leave_out(flavor)


def _is_likely(problem: Problem, first: Result, arriving: int) -> bool:
    """Tell whether another order or measure is likely to matter: VMs are left out, or few are alike and hosts are
    counted.
    """
    fewest = hosts_used(first) > 1 and any(objective.host_cost for objective in problem.objectives)
    return any(first.unplaced) or (fewest and arriving < FEW_ALIKE * len(problem.flavors))


def _work(fleet: Fleet) -> int:
    """Return VMs x places x rows: of each VM as many places are looked at as the flavor with the most has."""
    tables = fleet.tables
    waiting = [f for f in np.flatnonzero(fleet.out).tolist() if not fleet.frozen[f]]
    widest = max((len(tables.places(f)[0]) for f in waiting), default=0)
    return sum(int(fleet.out[f]) for f in waiting) * widest * int(tables.use.shape[1])
