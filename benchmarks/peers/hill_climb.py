"""A hill climb over single moves, as planners script it: the VM that wins most goes to the place where it costs least.

It knows costs of places and of loads, and room; of a limited number of moves each takes one. It proves nothing.
"""

from __future__ import annotations

import time
from collections import Counter

import numpy as np

from benchmarks.peers.answer import PeerAnswer
from solvers.evaluate import evaluate, violations
from solvers.problem import IntArray, Problem
from solvers.result import HostPattern


def hill_climb(problem: Problem, start: tuple[HostPattern, ...], unplaced: tuple[int, ...], goal: int) -> PeerAnswer:
    """Move VMs of an answer one by one while a move lowers objective number `goal` and the limit on moves lasts.

    Parameters
    ----------
    start, unplaced : the answer to begin with, nothing moved. Only costs of placements count.
    """
    began = time.perf_counter()
    key = problem.objectives[goal].cost
    host_class = [p.host_class for p in start for _ in range(p.count)]
    held = [Counter(dict(p.placements)) for p in start for _ in range(p.count)]
    shapes = [problem.shapes[problem.classes[number].shape] for number in host_class]
    room: list[IntArray] = []
    for number, own, shape in zip(host_class, held, shapes, strict=True):
        left = problem.classes[number].capacity.copy()
        for placement, many in own.items():
            left -= many * shape.use[placement]
        room.append(left)
    costs = [np.zeros(s.placements, dtype=np.int64) if key is None else s.cost.get(key) for s in shapes]
    moves = problem.budget.moves if problem.budget.moves is not None else 1 << 40
    waiting = sorted(
        (
            (-int(cost[placement]), host, placement)
            for host, (own, cost) in enumerate(zip(held, costs, strict=True))
            if cost is not None
            for placement, many in own.items()
            for _ in range(many)
            if cost[placement] > 0
        ),
    )
    for worst, host, placement in waiting:
        if moves <= 0:
            break
        flavor = int(shapes[host].flavor[placement])
        best = (-worst, -1, -1)
        for other, (shape, cost) in enumerate(zip(shapes, costs, strict=True)):
            if not problem.classes[host_class[other]].allowed[flavor] or cost is None:
                continue
            places = np.flatnonzero((shape.flavor == flavor) & ~shape.stay_only)
            fits = places[np.all(np.maximum(0, room[other]) >= shape.use[places], axis=1)]
            if len(fits) and int(cost[fits].min()) < best[0]:
                best = (int(cost[fits].min()), other, int(fits[int(cost[fits].argmin())]))
        if best[1] < 0:
            continue
        room[host] += shapes[host].use[placement]
        held[host][placement] -= 1
        room[best[1]] -= shapes[best[1]].use[best[2]]
        held[best[1]][best[2]] += 1
        moves -= 1
    patterns = tuple(
        HostPattern(host_class=number, count=1, placements=tuple(sorted((p, n) for p, n in own.items() if n)))
        for number, own in zip(host_class, held, strict=True)
    )
    seconds = time.perf_counter() - began
    broken = violations(problem, patterns, unplaced)
    return PeerAnswer(
        values=evaluate(problem, patterns, unplaced),
        bounds=(None,) * len(problem.objectives),
        status="feasible" if not broken else f"broken: {broken[0]}",
        seconds=seconds,
        patterns=patterns,
    )
