"""What placements cost at least if every place had room for everybody: prices of moves prove it, at any size.

Weak duality: whoever stays costs what it costs now, whoever moves at least the least that its flavor costs anywhere
and, at a price λ ≥ 0 a move, λ more. With k moves allowed every plan costs at least Σ min(now, least + λ) - λ k,
whatever λ is; VMs that come and may not stay out cost their least beside it. All in whole numbers. It is another proof
than the sum of savings by which `floors` finds such bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from solvers.objective import Hinges, HostCosts, Objective, Unplaced
from solvers.problem import IntArray, Problem


def bound_without_room(problem: Problem, values: Sequence[int | None], number: int) -> int | None:
    """Return an integer that no plan's value of an objective is below which is no worse than `values` in earlier ones;
    None where this proof does not reach.

    It does not where a cost is negative, or where some places were not listed and nothing is known of what they cost.
    """
    objective = problem.objectives[number]
    if _pays(problem, objective):
        return None
    if (key := objective.cost) is None:
        return 0
    if not _known(problem):
        return None
    least = _least(problem, key)
    if least is None:
        return None
    base = 0
    if any(
        _leaves_none(problem, held, value) for held, value in zip(problem.objectives[:number], values, strict=False)
    ):
        base += sum(
            flavor.arriving * int(cost)
            for flavor, cost in zip(problem.flavors, least, strict=True)
            if not flavor.phantom
        )
    staying: Counter[tuple[int, int]] = Counter()
    for host_class in problem.classes:
        shape = problem.shapes[host_class.shape]
        for placement, many in host_class.content:
            flavor = int(shape.flavor[placement])
            now = int(shape.cost[key][placement]) if key in shape.cost else 0
            cheapest = min(now, int(least[flavor]))
            if problem.flavors[flavor].settles:
                base += cheapest * many * host_class.count
            else:
                staying[now, cheapest] += many * host_class.count
        base += sum(int(least[flavor]) * many for flavor, many in host_class.floating) * host_class.count
    moves = problem.budget.moves
    price = _price(staying, moves)
    lowest = sum(min(now, cheapest + price) * many for (now, cheapest), many in staying.items())
    return base + lowest - (0 if moves is None else price * moves)


def _pays(problem: Problem, objective: Objective) -> bool:
    """Tell whether a load or a host may count less than nothing; other terms count what there is too much of."""
    hinges = objective.term(Hinges)
    if hinges and any(one.slope < 0 for shape in problem.shapes for one in shape.hinges if one.goal == hinges.goal):
        return True
    return objective.term(HostCosts) is not None and any(one.cost < 0 for one in problem.classes)


def _leaves_none(problem: Problem, objective: Objective, value: int | None) -> bool:
    """Tell whether an objective of this value leaves no VM out that comes."""
    cost = objective.unplaced
    if value != 0 or cost is None or objective.terms != (objective.term(Unplaced),):
        return False
    return all(int(paid) > 0 for flavor, paid in zip(problem.flavors, cost, strict=True) if flavor.arriving)


def _known(problem: Problem) -> bool:
    """Tell whether what was not listed has a least cost, and nobody is there now who could be placed so."""
    return all(
        problem.shapes[one.shape].complete or (one.is_empty and problem.shapes[one.shape].unlisted)
        for one in problem.classes
    )


def _least(problem: Problem, key: str) -> IntArray | None:
    """Return (F,) the least that a VM of each flavor costs where it comes to; 0 where it can come nowhere."""
    flavors = [np.flatnonzero(~shape.stay_only) for shape in problem.shapes]
    costs = [shape.cost.get(key, np.zeros(shape.placements, dtype=np.int64)) for shape in problem.shapes]
    if any(len(cost) and int(cost.min()) < 0 for cost in costs):
        return None
    if not flavors:  # no host works
        return np.zeros(len(problem.flavors), dtype=np.int64)
    of = np.concatenate([shape.flavor[open_] for shape, open_ in zip(problem.shapes, flavors, strict=True)])
    paid = np.concatenate([cost[open_] for cost, open_ in zip(costs, flavors, strict=True)])
    order = np.lexsort((paid, of))
    seen, first = np.unique(of[order], return_index=True)
    least = np.zeros(len(problem.flavors), dtype=np.int64)
    least[seen] = paid[order][first]
    for shape in problem.shapes:
        for flavor, cost in shape.unlisted.get(key, {}).items():
            least[flavor] = min(int(least[flavor]), max(0, cost)) if flavor in seen else max(0, cost)
    return least


def _price(staying: Counter[tuple[int, int]], moves: int | None) -> int:
    """Return the price at which the bound is largest: what the first move that is no longer allowed saves."""
    if moves is None:
        return 0
    left = moves
    for saving, many in sorted(((now - cheapest, many) for (now, cheapest), many in staying.items()), reverse=True):
        if left < many:
            return saving
        left -= many
    return 0
