"""Room for VMs left out: on a host that could hold one, what is there makes way and finds a place elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from solvers.clock import Clock, CutOffError
from solvers.evaluate import evaluate
from solvers.problem import HostClass, IntArray, Problem
from solvers.result import HostPattern, Result
from solvers.starts.best_fit import solve_greedy

CONFINED = 10
"""How much dearer a VM is to send away that may not be on every host."""
TIMES = 6
"""Times that hosts are cleared."""
AT_ONCE = 32
"""VMs for which hosts are cleared at a time."""


def made_way(problem: Problem, found: Result, *, seed: int, clock: Clock) -> Result:
    """Return an answer to a problem without rules and present VMs that leaves fewer VMs out, the known one where none
    is found.

    For each VM left out, the largest first, a host that may hold it is cleared as far as it must be: that one whose VMs
    are the smallest together; the greedy engine places these anew: a round.
    """
    best, values = found, evaluate(problem, found.patterns, found.unplaced)
    for turn in range(TIMES):
        if not any(best.unplaced) or not clock.next_round():
            break
        try:
            near = Result(status="feasible", objectives=(), patterns=_cleared(problem, best, clock.check))
            other = solve_greedy(problem, seed=seed + turn, warm_start=near, check=clock.check)
        except CutOffError:
            clock.cut_round()
            break
        if not other.patterns:
            break
        now = evaluate(problem, other.patterns, other.unplaced)
        if now >= values:
            break
        best, values = other, now
    return best


def _cleared(problem: Problem, found: Result, check: Callable[[], None]) -> tuple[HostPattern, ...]:
    """Return the patterns with each VM left out on a host, and without the VMs that made way for it."""
    patterns = list(found.patterns)
    confined = ~np.array([one.allowed for one in problem.classes]).all(axis=0)
    vcpus = np.array([max(1, flavor.vcpus) for flavor in problem.flavors], dtype=np.int64)
    dear = vcpus * np.where(confined, CONFINED, 1)
    kept: set[int] = set()
    waiting = [f for f, many in enumerate(found.unplaced) for _ in range(many)]
    for flavor in sorted(waiting, key=lambda f: (-int(vcpus[f]), f))[:AT_ONCE]:
        check()
        options = []
        for at, pattern in enumerate(patterns):
            one = problem.classes[pattern.host_class]
            place = _place(problem, one, flavor) if one.allowed[flavor] and at not in kept else None
            if place is not None:
                stay = _beside(problem, one, place, pattern.placements, dear)
                gone = Counter(dict(pattern.placements))
                gone.subtract(dict(stay))
                of = problem.shapes[one.shape].flavor
                options.append((sum(int(dear[of[q]]) * many for q, many in gone.items()), at, place, stay))
        if options:
            _, at, place, stay = min(options, key=lambda option: option[:2])
            pattern = patterns[at]
            held = Counter(dict(stay))
            held[place] += 1
            new = HostPattern(host_class=pattern.host_class, count=1, placements=tuple(sorted(held.items())))
            if pattern.count > 1:
                rest = HostPattern(
                    host_class=pattern.host_class, count=pattern.count - 1, placements=pattern.placements
                )
                patterns.append(rest)
            patterns[at] = new
            kept.add(at)
    return tuple(patterns)


def _place(problem: Problem, one: HostClass, flavor: int) -> int | None:
    """Return a placement of a flavor that an empty host of a class has room for."""
    shape = problem.shapes[one.shape]
    own = np.flatnonzero(shape.flavor == flavor)
    able = own[(shape.use[own] <= one.capacity).all(axis=1) & ~shape.stay_only[own]]
    return int(able[0]) if len(able) else None


def _beside(
    problem: Problem, one: HostClass, place: int, held: Sequence[tuple[int, int]], dear: IntArray
) -> tuple[tuple[int, int], ...]:
    """Return which of the VMs on a host can stay beside one more, the dearest first."""
    shape = problem.shapes[one.shape]
    room = one.capacity - shape.use[place]
    stay: Counter[int] = Counter()
    for other, many in sorted(held, key=lambda pair: (-int(dear[shape.flavor[pair[0]]]), pair[0])):
        for _ in range(many):
            if (shape.use[other] <= room).all():
                room = room - shape.use[other]
                stay[other] += 1
    return tuple(sorted(stay.items()))
