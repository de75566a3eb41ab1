"""First answers for few hosts: one host after the other is filled, each VM chosen for the room that is left there.

Best fit looks at one VM and all hosts; this looks at one host and all VMs, which is better where several resources run
short at different places (Panigrahy and others, "Heuristics for Vector Bin Packing", 2011).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from solvers.evaluate import evaluate
from solvers.problem import IntArray, Problem
from solvers.result import HostPattern, Result
from solvers.starts.best_fit import hosts_used, solve_greedy

MOST_WORK = 5_000_000
"""Above so many VMs × placements an answer of this kind is not sought: it looks at all placements for each VM."""

Floats = NDArray[np.float64]
Score = Callable[[Floats, Floats, Floats], Floats]
"""Of shares (P, rows) of a host, room (rows,) and weights (rows,): how well each placement suits the room, (P,)."""


def _dot(share: Floats, room: Floats, weight: Floats) -> Floats:
    return np.asarray(share @ (room * weight), dtype=np.float64)


def _cosine(share: Floats, room: Floats, weight: Floats) -> Floats:
    length = np.maximum(1e-12, np.sqrt((share * share).sum(axis=1)))
    return np.asarray(_dot(share, room, weight) / length, dtype=np.float64)


def _distance(share: Floats, room: Floats, weight: Floats) -> Floats:
    return np.asarray(-(((room - share) ** 2) @ weight), dtype=np.float64)


SCORES: tuple[Score, ...] = (_dot, _cosine, _distance)


def fewer_hosts(problem: Problem, best: Result, *, seed: int = 0) -> Result:
    """Return an answer that fills host by host where one is better than `best` in the order of objectives; else `best`.

    It is sought where fewest hosts are a goal, on an empty fleet without rules over hosts.
    """
    if not best.patterns or not _suits(problem) or (hosts_used(best) <= 1 and not any(best.unplaced)):
        return best
    value = evaluate(problem, best.patterns, best.unplaced)
    for score in SCORES:
        start = Result(status="feasible", objectives=(), patterns=filled(problem, score))
        found = solve_greedy(problem, seed=seed, warm_start=start)
        if found.patterns and (mine := evaluate(problem, found.patterns, found.unplaced)) < value:
            best, value = found, mine
    return best


def _suits(problem: Problem) -> bool:
    empty = not any(cls.content or cls.floating or cls.fixed_members for cls in problem.classes)
    fewest = any(objective.host_cost for objective in problem.objectives)
    work = int(problem.demand().sum()) * sum(shape.placements for shape in problem.shapes)
    return empty and fewest and not problem.rules and work <= MOST_WORK


def filled(problem: Problem, score: Score, *, alike: bool = False) -> tuple[HostPattern, ...]:
    """Return hosts filled one after the other, those that hold most for their cost first; the rest stay empty.

    alike : fill as many hosts as one with half of what that leaves of its VMs: of many VMs of few sizes as good.
    """
    left = np.where([flavor.phantom for flavor in problem.flavors], 0, problem.demand())
    cheapest = [_cheapest(problem, number) for number in range(len(problem.shapes))]
    patterns = []
    for number in _order(problem):
        host_class = problem.classes[number]
        use = problem.shapes[host_class.shape].use
        flavor = problem.shapes[host_class.shape].flavor
        chosen = cheapest[host_class.shape] & host_class.allowed[flavor]
        hosts: Counter[tuple[tuple[int, int], ...]] = Counter()
        while hosts.total() < host_class.count:
            content = _one_host(host_class.capacity, use, flavor, np.flatnonzero(chosen), left, score)
            if not content:
                break
            hosts[content] += 1
            if alike:
                more = _more_alike(content, flavor, left, host_class.count - hosts.total())
                hosts[content] += more
                for place, many in content:
                    left[flavor[place]] -= more * many
        hosts[()] += host_class.count - sum(hosts.values())
        patterns += [HostPattern(host_class=number, count=n, placements=held) for held, n in hosts.items() if n]
    return tuple(patterns)


def _more_alike(content: tuple[tuple[int, int], ...], flavor: IntArray, left: IntArray, hosts: int) -> int:
    """Return how many of so many hosts hold the same with half of what is left of its VMs, 0 for few."""
    needed: Counter[int] = Counter()
    for place, many in content:
        needed[int(flavor[place])] += many
    return min(hosts, min(int(left[one]) // many for one, many in needed.items()) // 2)


def _one_host(
    capacity: IntArray, use: IntArray, flavor: IntArray, chosen: IntArray, left: IntArray, score: Score
) -> tuple[tuple[int, int], ...]:
    """Fill one host, taking what it holds from `left` (F,); return its placements with their counts."""
    scale = np.maximum(1, capacity).astype(np.float64)
    room = capacity.copy()
    held: Counter[int] = Counter()
    wanted = use[chosen] / scale
    first = {int(f): n for n, f in reversed(list(enumerate(flavor[chosen].tolist())))}
    while True:
        fits = (left[flavor[chosen]] > 0) & (use[chosen] <= room).all(axis=1)
        if not fits.any():
            return tuple(sorted(held.items()))
        weight = np.sum([int(left[f]) * wanted[n] for f, n in first.items()], axis=0)
        here = np.flatnonzero(fits)
        best = int(chosen[here[np.argmax(score(wanted[here], room / scale, weight))]])
        held[best] += 1
        room -= use[best]
        left[flavor[best]] -= 1


def _cheapest(problem: Problem, number: int) -> NDArray[np.bool_]:
    """Return (P,): placements that cost least of their flavor in the objectives before the hosts'."""
    shape = problem.shapes[number]
    keep = ~shape.stay_only
    for objective in problem.objectives:
        if objective.host_cost:
            break
        if objective.cost is None or objective.cost not in shape.cost:
            continue
        cost = shape.cost[objective.cost]
        least = np.full(len(problem.flavors), np.iinfo(np.int64).max)
        np.minimum.at(least, shape.flavor[keep], cost[keep])
        keep &= cost == least[shape.flavor]
    return keep


def _order(problem: Problem) -> list[int]:
    """Return the classes in the order of what their hosts hold for what one costs, most first."""
    most: dict[str, int] = {}
    for cls in problem.classes:
        for (_, name), amount in zip(problem.shapes[cls.shape].row_names, cls.capacity.tolist(), strict=True):
            most[name] = max(most.get(name, 1), amount)

    def worth(number: int) -> tuple[float, int]:
        cls = problem.classes[number]
        names = [name for _, name in problem.shapes[cls.shape].row_names]
        room = sum(amount / most[name] for name, amount in zip(names, cls.capacity.tolist(), strict=True))
        return (-room / max(1, cls.cost), number)

    return sorted(range(len(problem.classes)), key=worth)
