"""What loads cost at least where few VMs may move: a price for a unit of each row, under which every VM stands alone.

For any prices p ≥ 0 of the rows of hosts and any plan, with L the loads of a host's rows and C their convex costs,

    Σ_rows C(L)  ≥  Σ_rows min_{0 ≤ l ≤ capacity} (C(l) − p·l)  +  Σ_rows p·L

and the last sum is one of VMs: each costs what it takes of rows times their prices. A VM that is not moved costs what
it costs where it is, any other one at least the least that it costs anywhere it may come to, and no more than so many
move: what the largest savings leave is below every plan (`savings`), of all resources together, VMs in one piece.
Whatever the prices, that is a proof in whole numbers. Good ones are the duals of a linear program in which load comes
and goes in parts of VMs (Lagrangian duality: at best they prove what that program costs); it needs no proof itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from solvers.backends.linear import Linear, row_duals
from solvers.objective import Objective
from solvers.problem import Hinge, HostClass, IntArray, Problem
from solvers.proofs.savings import Savings, moves_to_save, saved

MOST_COLUMNS = 200_000
"""Above so many columns of the linear program no prices are looked for."""
MOST_COLUMNS_ANEW = 40_000
"""Above so many the moves that it takes at least are not looked for: each cost that is reached has its own program."""
MOST_ITERATIONS = 100_000
"""Steps of the simplex method after which it gives up."""
PARTS = 1024
"""Prices are in so many parts of a unit of cost."""
_RANGE = 2**61

Prices = tuple[tuple[int, ...], ...]
"""For each class the prices of the rows that hinges lie on, those of lower number first, in `PARTS`."""


@dataclass(frozen=True, slots=True)
class Priced:
    """What all costs without a move, and what moves save: in `PARTS` of a unit. `limit` is how many may be made; where
    places on a VM's own host are `free` it is of changes of host.
    """

    total: int
    savings: Savings
    limit: int | None
    prices: Prices
    free: bool

    @property
    def floor(self) -> int:
        """An integer below every plan's costs of loads."""
        return -(-(self.total - saved(self.savings, self.limit)) // PARTS)

    def moves(self, most: int) -> int:
        """How many moves it takes at least for loads to cost no more than `most`."""
        return moves_to_save(self.savings, self.total - most * PARTS)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a class that hinges lie on: `row` (R,), their hinges, and each price (R,) in `PARTS`."""

    of: HostClass
    row: IntArray
    hinges: tuple[tuple[Hinge, ...], ...]
    price: IntArray

    def base(self) -> int:
        """Return Σ_rows min (C(l) − p·l) of one host, in `PARTS`."""
        total = 0
        for row, hinges, price in zip(self.row.tolist(), self.hinges, self.price.tolist(), strict=True):
            most, fixed = int(self.of.capacity[row]), int(self.of.fixed[row])
            breaks = {0, most}
            for hinge in hinges:
                at = hinge.offset // hinge.scale - fixed
                breaks |= {min(most, max(0, at)), min(most, max(0, at + 1))}
            # A convex function of whole loads is least at an end or beside a break.
            total += min(PARTS * cost_of(hinges, fixed + load) - price * load for load in breaks)
        return total


def cost_of(hinges: tuple[Hinge, ...], load: int) -> int:
    """Return what a row's load costs."""
    return sum(hinge.slope * max(0, hinge.scale * load - hinge.offset) for hinge in hinges)


def priced(problem: Problem, objective: Objective) -> tuple[Priced, ...]:
    """Return what loads cost at least by prices, for the moves allowed and for the changes of host allowed; empty where
    nothing is known. It is found once a problem and goal.
    """
    key = ("load prices", objective.hinge)
    if key not in problem.found:
        problem.found[key] = tuple(_priced(problem, objective))
    found: tuple[Priced, ...] = problem.found[key]
    return found


def priced_without_limit(problem: Problem, objective: Objective) -> Priced | None:
    """Return what loads cost at least by prices where any VM may move; None where nothing is known."""
    if objective.hinge is None or not _is_known(problem):
        return None
    rows = _rows(problem, objective.hinge, None, free=True)
    return None if rows is None else _sums(problem, rows, None, free=True)


def least_moves_to(problem: Problem, objective: Objective, most: int, *, free: bool) -> int:
    """Return how many VMs change host or node at least for loads to cost no more than `most`, where places on its own
    host are `free` how many change host; 0 where nothing is known.
    """
    found = priced_moves(problem, objective, most, free=free)
    return 0 if found is None else found.moves(most)


def priced_moves(problem: Problem, objective: Objective, most: int, *, free: bool) -> Priced | None:
    """Return what proves `least_moves_to`, None where nothing is known.

    The proof is the same; its prices are those of the program that asks for fewest moves instead of least costs.
    """
    if objective.hinge is None or not _is_known(problem):
        return None
    key = ("moves to", objective.hinge, most, free)
    if key not in problem.found:
        rows = _rows(problem, objective.hinge, problem.budget.moves, free=free, most=most)
        problem.found[key] = None if rows is None else _sums(problem, rows, None, free=free)
    found: Priced | None = problem.found[key]
    return found


def _is_known(problem: Problem) -> bool:
    return problem.is_complete and not all(one.is_empty for one in problem.classes)


def _priced(problem: Problem, objective: Objective) -> Iterator[Priced]:
    budget = problem.budget
    if objective.hinge is None or (budget.moves is None and budget.migrations is None):
        return
    if not _is_known(problem):
        return
    for limit, free in ((budget.moves, False), (budget.migrations, True)):
        if limit is not None and (rows := _rows(problem, objective.hinge, limit, free=free)) is not None:
            yield _sums(problem, rows, limit, free=free)


def _sums(problem: Problem, rows: list[_Rows], limit: int | None, *, free: bool) -> Priced:
    """Return the proof for prices; where places on a VM's own host are `free`, it costs the least of them."""
    costs = [one.price @ problem.shapes[one.of.shape].use[:, one.row].T for one in rows]
    never = np.iinfo(np.int64).max
    least = np.full(len(problem.flavors), never)
    own: list[IntArray] = []
    for one, cost in zip(rows, costs, strict=True):
        shape = problem.shapes[one.of.shape]
        here = np.full(len(problem.flavors), never)
        np.minimum.at(here, shape.flavor, cost)
        own.append(here)
        least = np.minimum(least, np.where(one.of.allowed, here, never))
    total = 0
    savings: Savings = []
    for number, (one, cost, here) in enumerate(zip(rows, costs, own, strict=True)):
        total += one.base() * one.of.count
        for flavor, now, many in _present(problem, number):
            stays = int(here[flavor]) if now is None or free else int(cost[now])
            elsewhere = min(int(least[flavor]), int(here[flavor]))
            total += stays * many * one.of.count
            if stays > elsewhere:
                savings.append((stays - elsewhere, many * one.of.count))
    return Priced(total, savings, limit, tuple(tuple(one.price.tolist()) for one in rows), free)


def _present(problem: Problem, number: int) -> Iterator[tuple[int, int | None, int]]:
    """Yield (flavor, placement now, VMs) of what is on a host of a class; None where no place there is a move."""
    one = problem.classes[number]
    flavors = problem.shapes[one.shape].flavor
    for placement, many in one.content:
        flavor = int(flavors[placement])
        if not problem.flavors[flavor].phantom:
            yield flavor, None if problem.flavors[flavor].settles else placement, many
    for flavor, many in one.floating:
        yield flavor, None, many


def _rows(problem: Problem, goal: str, limit: int | None, *, free: bool, most: int | None = None) -> list[_Rows] | None:
    """Return the rows of all classes with their prices; None where there are none, or too many.

    Prices are of least costs with so many moves, or of fewest moves for costs of no more than `most`.
    """
    by_shape: list[tuple[IntArray, tuple[tuple[Hinge, ...], ...]]] = []
    for shape in problem.shapes:
        own = [hinge for hinge in shape.hinges if hinge.goal == goal]
        if any(hinge.scale <= 0 or hinge.slope < 0 for hinge in own):
            return None
        lie_on = sorted({hinge.row for hinge in own})
        hinges = tuple(tuple(hinge for hinge in own if hinge.row == row) for row in lie_on)
        by_shape.append((np.array(lie_on, dtype=np.int64), hinges))
    program = _Program.of(problem, by_shape, limit, free=free, most=most)
    duals = None if program is None else row_duals(program.linear, iterations=MOST_ITERATIONS)
    if program is None or duals is None:
        return None
    unit = 1.0
    if most is not None:
        # A price is what a unit of load takes of moves, over what a unit of cost does.
        if duals[program.cost] > -1e-12:
            return None
        unit = -1.0 / duals[program.cost]
    found = []
    for number, one in enumerate(problem.classes):
        row, hinges = by_shape[one.shape]
        first = program.first[number]
        price = np.maximum(0, np.rint(PARTS * unit * np.array(duals[first : first + len(row)]))).astype(np.int64)
        largest = int(problem.shapes[one.shape].use[:, row].sum(axis=1).max(initial=0))
        if int(price.max(initial=0)) * max(1, largest) > _RANGE:
            return None
        found.append(_Rows(one, row, hinges, price))
    return found


@dataclass(frozen=True, slots=True)
class _Program:
    """Pieces of loads, VMs that leave and VMs that come, in parts; row `first[c]` on are those of class c, row `cost`
    is what loads may cost.
    """

    linear: Linear
    first: list[int]
    cost: int

    @classmethod
    def of(
        cls,
        problem: Problem,
        by_shape: list[tuple[IntArray, tuple[tuple[Hinge, ...], ...]]],
        limit: int | None,
        *,
        free: bool,
        most: int | None,
    ) -> _Program | None:
        """Return the program; None where it is too large."""
        columns = sum(
            sum(map(len, by_shape[one.shape][1])) + problem.shapes[one.shape].placements + len(one.content)
            for one in problem.classes
        )
        if columns > (MOST_COLUMNS if most is None else MOST_COLUMNS_ANEW) or not any(len(row) for row, _ in by_shape):
            return None
        linear = Linear()
        moved = linear.row(0.0, np.inf if limit is None else float(limit))
        fixed = sum(
            one.count * cost_of(own, int(one.fixed[row]))
            for one in problem.classes
            for row, own in zip(by_shape[one.shape][0].tolist(), by_shape[one.shape][1], strict=True)
        )
        cost = linear.row(-np.inf, np.inf if most is None else float(most - fixed))
        a_move = 0.0 if most is None else 1.0
        balance = [linear.row(0.0, 0.0) for _ in problem.flavors]
        first: list[int] = []
        for number, one in enumerate(problem.classes):
            row, hinges = by_shape[one.shape]
            use = problem.shapes[one.shape].use[:, row]
            first.append(len(linear.low))
            load = np.zeros(len(row), dtype=np.int64)
            leaves: dict[tuple[int, int | None], int] = {}
            for flavor, now, many in _present(problem, number):
                # A VM without a place here, and one that changes places as it likes, leaves from wherever that is.
                place = None if free else now
                leaves[flavor, place] = leaves.get((flavor, place), 0) + many
                if place is not None:
                    load += many * use[place]
            rows = [linear.row(float(each), float(each)) for each in (load * one.count).tolist()]
            for at, own, loaded in zip(rows, hinges, row.tolist(), strict=True):
                _pieces(linear, at, own, one, loaded, None if most is None else cost)
            for (flavor, place), many in leaves.items():
                left = [(moved, 1.0), (balance[flavor], 1.0)]
                if place is not None:
                    linear.column(0.0, float(many * one.count), a_move, left + _taken(rows, use[place], 1))
                else:
                    here = linear.row(float(many * one.count), float(many * one.count))
                    linear.column(0.0, np.inf, a_move, [(here, 1.0), *left])
                    _come(linear, problem, one, use, rows, flavor, here)
            for flavor in np.unique(problem.shapes[one.shape].flavor).tolist():
                present = any(flavor == other for other, _ in leaves)
                if not problem.flavors[flavor].phantom and (one.allowed[flavor] or present):
                    _come(linear, problem, one, use, rows, flavor, balance[flavor], -1.0)
        return cls(linear, first, cost)


def _taken(rows: list[int], units: IntArray, sign: int) -> list[tuple[int, float]]:
    return [(at, float(sign * each)) for at, each in zip(rows, units.tolist(), strict=True) if each]


def _come(
    linear: Linear,
    problem: Problem,
    one: HostClass,
    use: IntArray,
    rows: list[int],
    flavor: int,
    row: int,
    sign: float = 1.0,
) -> None:
    """Add a column for each way in which VMs of a flavor load a host of a class."""
    for units in np.unique(use[problem.shapes[one.shape].flavor == flavor], axis=0):
        linear.column(0.0, np.inf, 0.0, [(row, sign), *_taken(rows, units, -1)])


def _pieces(linear: Linear, at: int, hinges: tuple[Hinge, ...], one: HostClass, row: int, cost: int | None) -> None:
    """Add the pieces of a row's cost, from nothing there to its capacity; they cost, or count in the row `cost`."""
    fixed, most = int(one.fixed[row]), float(one.capacity[row])
    breaks = sorted({0.0, most} | {min(most, max(0.0, hinge.offset / hinge.scale - fixed)) for hinge in hinges})
    for begin, end in pairwise(breaks):
        slope = sum(h.slope * h.scale for h in hinges if h.offset / h.scale - fixed <= begin)
        counted = [] if cost is None else [(cost, float(slope))]
        linear.column(0.0, (end - begin) * one.count, float(slope) if cost is None else 0.0, [(at, 1.0), *counted])
