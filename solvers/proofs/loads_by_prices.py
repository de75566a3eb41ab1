"""What given prices of rows prove of loads, and of the moves that it takes to even them: code of its own for whoever
checks a certificate, which shares nothing with who found the prices.

Weak duality: with a price for a unit of each row a load costs at least what lies above its price, and VMs pay the
prices of what they take. Whoever stays pays for its place, whoever moves at least the least that it would pay anywhere
and λ more; with k moves allowed all pay at least Σ min(stays, least + λ) - λ k, whatever λ ≥ 0 is. Where loads are to
cost no more than M, that holds of the moves k that it takes: they are at least (Σ min(stays, least + λ) - M) / λ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.objective import Changes, Hinges, HostCosts, Objective, PlacementCosts, StayPenalties, Unplaced
from solvers.problem import Hinge, HostClass, IntArray, Problem

LARGEST = 2**61
"""Prices times what a VM takes above this are not looked at."""


def bound_by_prices(
    problem: Problem, values: Sequence[int | None], number: int, lists: Sequence[Mapping[str, Any]]
) -> int | None:
    """Return an integer that no plan's value of an objective is below which is no worse than `values` in earlier ones;
    None where the prices prove nothing.

    Parameters
    ----------
    lists : of each the objective `of` whose loads have prices, in so many parts of its unit (`scale`); `rows`, for each
        class the price of every row that its hinges lie on, those of lower number first; and whether places on a VM's
        own host are `free`, so that it is changes of host that count.
    """
    if not problem.is_complete:
        return None
    objective = problem.objectives[number]
    bounds = [_of_loads(problem, objective, one) for one in lists if one["of"] == number]
    bounds.append(_of_changes(problem, values, number, [one for one in lists if 0 <= one["of"] < number]))
    return max((bound for bound in bounds if bound is not None), default=None)


def _of_loads(problem: Problem, objective: Objective, prices: Mapping[str, Any]) -> int | None:
    paid = _paid(problem, objective, prices)
    if paid is None:
        return None
    budget = problem.budget
    limits = [budget.moves, budget.migrations] if prices["free"] else [budget.moves]
    moves = min((limit for limit in limits if limit is not None), default=None)
    return -(-paid.least(moves) // int(prices["scale"]))


def _of_changes(
    problem: Problem, values: Sequence[int | None], number: int, lists: Sequence[Mapping[str, Any]]
) -> int | None:
    """Return what changes of VMs cost at least for the loads that have prices to cost no more than `values`."""
    objective = problem.objectives[number]
    changes = objective.term(Changes)
    if changes is None or len(objective.terms) > 1 or min(changes.moves, changes.migrations) < 0:
        return None
    moves = migrations = 0
    for prices in lists:
        most = values[prices["of"]]
        paid = _paid(problem, problem.objectives[prices["of"]], prices)
        if paid is None or most is None:
            continue
        fewest = paid.fewest(most * int(prices["scale"]))
        moves = max(moves, fewest)
        migrations = max(migrations, fewest if prices["free"] else 0)
    return changes.moves * moves + changes.migrations * migrations


@dataclass(frozen=True, slots=True)
class _Paid:
    """`base` is what loads cost above their prices, `vms` counts VMs by what they pay where they stay and at least."""

    base: int
    vms: Counter[tuple[int, int]]

    def _at(self, price: int) -> int:
        return self.base + sum(min(stays, least + price) * many for (stays, least), many in self.vms.items())

    def least(self, moves: int | None) -> int:
        """Return what all costs at least with so many moves; None for any number."""
        price, left = 0, moves
        for saving, many in self._savings() if left is not None else ():
            price, left = saving, (left or 0) - many
            if left < 0:
                break
        if left is None or left >= 0:
            return self._at(0)
        return self._at(price) - price * (moves or 0)

    def fewest(self, most: int) -> int:
        """Return how many moves it takes at least for all to cost no more than `most`."""
        price, over = 0, self._at(max((saving for saving, _ in self._savings()), default=0)) - most
        for saving, many in self._savings():
            if over <= 0 or saving <= 0:
                break
            price, over = saving, over - saving * many
        return max(0, -(-(self._at(price) - most) // price)) if price else 0

    def _savings(self) -> list[tuple[int, int]]:
        return sorted(((stays - least, many) for (stays, least), many in self.vms.items()), reverse=True)


def _paid(problem: Problem, objective: Objective, prices: Mapping[str, Any]) -> _Paid | None:
    """Return what is paid at some prices; None where they do not fit, or another cost may be below nothing."""
    hinges = objective.term(Hinges)
    if hinges is None or len(prices["rows"]) != len(problem.classes) or _pays(problem, objective):
        return None
    lie_on = [_by_row(shape.hinges, hinges.goal) for shape in problem.shapes]
    if any(hinge.slope < 0 or hinge.scale <= 0 for rows in lie_on for own in rows.values() for hinge in own):
        return None
    base = 0
    nowhere = np.iinfo(np.int64).max
    least = np.full(len(problem.flavors), nowhere)
    at: list[tuple[IntArray, IntArray]] = []
    for one, price in zip(problem.classes, prices["rows"], strict=True):
        rows, shape = lie_on[one.shape], problem.shapes[one.shape]
        use = shape.use[:, list(rows)]
        largest = int(use.sum(axis=1).max(initial=0))
        if len(price) != len(rows) or any(not 0 <= each * max(1, largest) <= LARGEST for each in price):
            return None
        paid = use @ np.array(price, dtype=np.int64)
        own = np.full(len(problem.flavors), nowhere)
        np.minimum.at(own, shape.flavor, paid)
        least = np.where(one.allowed, np.minimum(least, own), least)
        at.append((paid, own))
        base += one.count * sum(
            _above(hinge, one, row, each, int(prices["scale"]))
            for (row, hinge), each in zip(rows.items(), price, strict=True)
        )
    vms: Counter[tuple[int, int]] = Counter()
    for one, (paid, own) in zip(problem.classes, at, strict=True):
        flavors = problem.shapes[one.shape].flavor
        present = [(int(flavors[place]), int(paid[place]), many) for place, many in one.content]
        present += [(flavor, int(own[flavor]), many) for flavor, many in one.floating]
        for flavor, stays, many in present:
            if problem.flavors[flavor].phantom:
                continue
            within = int(own[flavor])
            here = within if prices["free"] or problem.flavors[flavor].settles else stays
            vms[here, min(within, int(least[flavor]))] += many * one.count
    return _Paid(base, vms)


def _pays(problem: Problem, objective: Objective) -> bool:
    """Tell whether a place, a host, a penalty or a VM left out may count less than nothing; other terms count what is
    too much.
    """
    left_out = objective.term(Unplaced)
    if left_out and (left_out.cost < 0).any():
        return True
    costs = objective.term(PlacementCosts)
    if costs and any((shape.cost[costs.key] < 0).any() for shape in problem.shapes if costs.key in shape.cost):
        return True
    if objective.term(StayPenalties) and any((one.stay_penalty < 0).any() for one in problem.classes):
        return True
    return objective.term(HostCosts) is not None and any(one.cost < 0 for one in problem.classes)


def _by_row(hinges: Sequence[Hinge], goal: str) -> dict[int, list[Hinge]]:
    """Return the hinges of a goal by the rows that they lie on, those of lower number first."""
    own = [hinge for hinge in hinges if hinge.goal == goal]
    return {row: [hinge for hinge in own if hinge.row == row] for row in sorted({hinge.row for hinge in own})}


def _above(hinges: Sequence[Hinge], one: HostClass, row: int, price: int, scale: int) -> int:
    """Return the least that a load on a row costs above its price: where the next unit costs no less than that."""
    fixed, low, high = int(one.fixed[row]), 0, max(0, int(one.capacity[row]))

    def cost(load: int) -> int:
        return scale * sum(h.slope * max(0, h.scale * (fixed + load) - h.offset) for h in hinges)

    while low < high:
        middle = (low + high) // 2
        if cost(middle + 1) - cost(middle) >= price:
            high = middle
        else:
            low = middle + 1
    return cost(low) - price * low
