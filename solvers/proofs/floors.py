"""What every plan costs at least, from the problem alone: by what few moves can save, and by how even loads can be.

Relaxations that need no search. Costs of places: a VM that is not moved costs what it costs now, any other one at
least the least that it costs anywhere, and no more than so many VMs move; what the largest savings leave is below every
plan. Convex costs of loads: wherever VMs are, they take as much of a resource in all, and no more of it changes place
than the largest VMs that may move take; load flows from where it costs most to where it costs least, as if VMs could be
cut.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, gcd, lcm

import numpy as np

from solvers.objective import Objective
from solvers.problem import Hinge, HostClass, IntArray, Problem, Shape
from solvers.proofs.load_prices import least_moves_to
from solvers.proofs.savings import Savings, last_savings, moves_to_save, saved

MOST_SEGMENTS = 400_000
"""Above so many pieces of convex costs the second floor is not computed."""
FINEST = 1_000_000
"""Largest common multiple of the hinges' scales up to which loads are counted in whole steps."""

Segments = list[tuple[int, int]]
"""(slope, length) of pieces of a convex function, from where it begins; lengths in steps."""


def saving_floor(problem: Problem, objective: Objective) -> int:
    """Return what the places of VMs cost at least in an objective: an integer below every plan's costs of placements.

    It is 0 where costs of real VMs are negative, which is no floor at all; nothing is said of phantoms then.
    """
    found = None if objective.cost is None else _savings(problem, objective.cost)
    if found is None:
        return 0
    total, savings = found
    return total - saved(savings, problem.budget.moves)


def move_prices(problem: Problem, objective: Objective) -> list[int]:
    """Return what a move may be worth in an objective, the likeliest first: what the last of those allowed saves at
    most, and what those before it do; none where moves are not what is short.
    """
    if objective.cost is None or problem.budget.moves is None:
        return []
    found = _savings(problem, objective.cost)
    return [] if found is None else last_savings(found[1], problem.budget.moves)


def arrivals_floor(problem: Problem, objective: Objective) -> int:
    """Return what the VMs that come cost at least in an objective where none of them is left out, and where a host
    counts and nothing else is known, the cheapest one that somebody has to be on.
    """
    floor = 0
    arriving = [0 if flavor.phantom else flavor.arriving for flavor in problem.flavors]
    if objective.cost is not None and (least := _least_costs(problem, objective.cost)) is not None:
        floor += sum(many * cost for many, cost in zip(arriving, least.tolist(), strict=True))
    if objective.host_cost and any(arriving):
        cheapest = max(0, min((host_class.cost for host_class in problem.classes), default=0))
        floor += max(0, cheapest - emptying_floor(problem, objective))
    return floor


def emptying_floor(problem: Problem, objective: Objective) -> int:
    """Return what the hosts that are in use cost at least: to empty one takes a move of each VM that it holds.

    Of the moves allowed those hosts are emptied first that cost most a VM, the last one in part (the linear relaxation
    of a knapsack); what they save is a multiple of what all costs are multiples of.
    """
    budget = problem.budget
    limits = [limit for limit in (budget.moves, budget.migrations) if limit is not None]
    if not objective.host_cost or not limits or any(one.cost < 0 for one in problem.classes):
        return 0
    used = [(one, sum(many for _, many in (*one.content, *one.floating))) for one in problem.classes]
    used = [(one, vms) for one, vms in used if vms and one.cost]
    left, saved = Fraction(min(limits)), Fraction(0)
    for one, vms in sorted(used, key=lambda entry: Fraction(entry[1], entry[0].cost)):
        hosts = min(Fraction(one.count), left / vms)
        saved, left = saved + hosts * one.cost, left - hosts * vms
        if left <= 0:
            break
    step = gcd(*(one.cost for one, _ in used))
    total = sum(one.count * one.cost for one, _ in used)
    return total - (int(saved) // step * step if step else 0)


def least_moves(problem: Problem, objective: Objective, most: int) -> int:
    """Return how many VMs have to move at least for an objective to cost no more than `most`.

    The largest savings come first: of fewer moves not even those would do. 0 where nothing is known.
    """
    if objective.cost is None:
        return least_moves_to(problem, objective, most, free=False)
    found = _savings(problem, objective.cost)
    if found is None:
        return 0
    total, savings = found
    return moves_to_save(savings, total + load_floor(problem, objective) - most)


def changes_floor(problem: Problem, changes: Objective, earlier: Iterable[tuple[Objective, int]]) -> int:
    """Return what changes of VMs cost at least for earlier objectives to be no more than these values."""
    moves = migrations = 0
    for objective, most in earlier:
        if changes.moves:
            moves = max(moves, least_moves(problem, objective, most))
        if changes.migrations and objective.cost is None:
            migrations = max(migrations, least_moves_to(problem, objective, most, free=True))
    return changes.moves * max(moves, migrations) + changes.migrations * migrations


def leaving_floor(problem: Problem, kept: int) -> int:
    """Return how many VMs have to change host at least for no more than `kept` penalties of hosts to be left.

    A VM that is where it should not be counts its host's penalty until it leaves; the largest penalties go first.
    """
    present: dict[int, int] = defaultdict(int)
    for number, host_class in enumerate(problem.classes):
        for flavor in np.flatnonzero(host_class.stay_penalty).tolist():
            if not problem.flavors[flavor].phantom and not host_class.is_empty:
                many = int(problem.content_of(number)[flavor]) * host_class.count
                present[int(host_class.stay_penalty[flavor])] += many
    return moves_to_save(present.items(), saved(present.items(), None) - kept)


def _savings(problem: Problem, key: str) -> tuple[int, Savings] | None:
    """Return what places cost without a move, VMs that settle where they cost least, and what moves save.

    None where costs of real VMs are negative.
    """
    least = _least_costs(problem, key)
    if least is None:
        return None
    total = 0
    savings: Savings = []
    for host_class in problem.classes:
        shape = problem.shapes[host_class.shape]
        cost = shape.cost.get(key)
        for placement, many in host_class.content:
            now = 0 if cost is None else int(cost[placement])
            total += now * many * host_class.count
            saving = now - int(least[shape.flavor[placement]])
            if problem.flavors[int(shape.flavor[placement])].settles:
                total -= max(0, saving) * many * host_class.count
            elif saving > 0:
                savings.append((saving, many * host_class.count))
        for flavor, many in host_class.floating:
            total += int(least[flavor]) * many * host_class.count
    return total, savings


def _least_costs(problem: Problem, key: str) -> IntArray | None:
    """Return (F,) what a VM that comes to a place costs at least, 0 where it has none; None if costs are negative."""
    none = np.iinfo(np.int64).max
    least = np.full(len(problem.flavors), none)
    for shape in problem.shapes:
        cost = shape.cost.get(key, np.zeros(shape.placements, dtype=np.int64))
        if (cost < 0).any():
            return None
        keep = ~shape.stay_only
        np.minimum.at(least, shape.flavor[keep], cost[keep])
        for flavor, cost_elsewhere in shape.unlisted.get(key, {}).items():
            least[flavor] = min(int(least[flavor]), max(0, cost_elsewhere))
    return np.where(least == none, 0, least)


def load_floor(problem: Problem, objective: Objective) -> int:
    """Return what the loads cost at least in an objective of hinges, immovable VMs included: below every plan."""
    resources: dict[str, dict[int, list[Hinge]]] = defaultdict(lambda: defaultdict(list))
    for number, shape in enumerate(problem.shapes):
        for hinge in shape.hinges:
            if hinge.goal == objective.hinge:
                resources[str(shape.row_names[hinge.row][1])][number].append(hinge)
    return sum(_of_resource(problem, hinges) for hinges in resources.values())


@dataclass(frozen=True, slots=True)
class _Place:
    """`count` places alike: what their load costs in pieces, with nothing there, and the load now in steps."""

    count: int
    pieces: Segments
    load: int
    base: int


def _of_resource(problem: Problem, hinges: dict[int, list[Hinge]]) -> int:
    """Return the floor of one resource."""
    immovable = sum(
        host_class.count * _cost(hinge, int(host_class.fixed[hinge.row]))
        for host_class in problem.classes
        for hinge in hinges.get(host_class.shape, ())
    )
    if all(host_class.is_empty for host_class in problem.classes):
        return immovable
    step = lcm(*(hinge.scale for own in hinges.values() for hinge in own if hinge.scale > 0))
    sizes = _sizes(problem, hinges)
    wrong = any(hinge.scale <= 0 or hinge.slope < 0 for own in hinges.values() for hinge in own)
    pieces = sum(len(hinges.get(host_class.shape, ())) for host_class in problem.classes)
    if sizes is None or wrong or step > FINEST or pieces > MOST_SEGMENTS:
        return immovable
    budget = problem.budget
    places = []
    for host_class in problem.classes:
        own = hinges.get(host_class.shape)
        if own:
            flavors = problem.shapes[host_class.shape].flavor
            settles = any(problem.flavors[int(flavors[placement])].settles for placement, _ in host_class.content)
            whole = bool(host_class.floating) or settles or budget.moves is None
            places.extend(_places(problem.shapes[host_class.shape], host_class, own, sizes, step, whole=whole))
    limits = [limit for limit in (budget.moves, budget.migrations) if limit is not None]
    if budget.moves is None and budget.migrations is None:
        flow = None
    else:
        flow = step * _largest(problem, sizes, min(limits) if budget.moves is None else budget.moves)
    return max(immovable, _flow(places, flow, step))


def _cost(hinge: Hinge, load: int) -> int:
    return hinge.slope * max(0, hinge.scale * load - hinge.offset)


def _sizes(problem: Problem, hinges: dict[int, list[Hinge]]) -> IntArray | None:
    """Return (F,) what a VM takes of the resource wherever it is; None where that is not the same everywhere."""
    low = np.full(len(problem.flavors), np.iinfo(np.int64).max)
    high = np.full(len(problem.flavors), -1)
    for number, shape in enumerate(problem.shapes):
        rows = sorted({hinge.row for hinge in hinges.get(number, ())})
        taken = shape.use[:, rows].sum(axis=1)
        np.minimum.at(low, shape.flavor, taken)
        np.maximum.at(high, shape.flavor, taken)
    real = np.array([not flavor.phantom for flavor in problem.flavors], dtype=np.bool_)
    low[high < 0] = high[high < 0] = 0
    return low if (low == high)[real].all() else None


def _largest(problem: Problem, sizes: IntArray, moves: int) -> int:
    """Return what the largest VMs that are somewhere now take, as many as may move."""
    present = problem.demand() - np.array([flavor.arriving for flavor in problem.flavors])
    total = 0
    for flavor in np.argsort(-sizes, kind="stable").tolist():
        taken = min(moves, int(present[flavor]))
        total += taken * int(sizes[flavor])
        moves -= taken
    return total


def _places(
    shape: Shape, host_class: HostClass, hinges: list[Hinge], sizes: IntArray, step: int, *, whole: bool
) -> list[_Place]:
    """Return the rows of a class as places, or its hosts as one place each, where VMs change rows without a move."""
    rows = sorted({hinge.row for hinge in hinges})
    loads = dict.fromkeys(rows, 0)
    for placement, many in host_class.content:
        for row in rows:
            loads[row] += many * int(shape.use[placement, row])
    found = []
    for row in rows:
        fixed = int(host_class.fixed[row])
        own = [hinge for hinge in hinges if hinge.row == row]
        pieces = _pieces(own, fixed * step, step)
        found.append(_Place(host_class.count, pieces, loads[row] * step, sum(_cost(hinge, fixed) for hinge in own)))
    if not whole:
        return found
    floating = sum(many * int(sizes[flavor]) for flavor, many in host_class.floating) * step
    return [
        _Place(
            host_class.count,
            sorted(piece for place in found for piece in place.pieces),
            sum(place.load for place in found) + floating,
            sum(place.base for place in found),
        )
    ]


def _pieces(hinges: list[Hinge], begin: int, step: int) -> Segments:
    """Return the pieces of a row's cost from a load on, in units of 1 / step; the last one has no end."""
    breaks = sorted({max(begin, hinge.offset * (step // hinge.scale)) for hinge in hinges} | {begin})
    pieces = []
    for at, end in zip(breaks, [*breaks[1:], None], strict=True):
        slope = sum(hinge.slope * hinge.scale for hinge in hinges if hinge.offset * (step // hinge.scale) <= at)
        pieces.append((slope, 1 << 60 if end is None else end - at))
    return pieces


def _flow(places: list[_Place], most: int | None, step: int) -> int:
    """Return the least cost when at most so much load, in steps, goes from place to place."""
    total = Fraction(0)
    down: list[tuple[int, int]] = []
    up: list[tuple[int, int]] = []
    for place in places:
        left = place.load
        total += place.base * place.count
        for slope, length in place.pieces:
            taken = min(left, length)
            left -= taken
            total += Fraction(place.count * slope * taken, step)
            if taken:
                down.append((slope, taken * place.count))
            if length > taken:
                up.append((slope, (length - taken) * place.count))
    down.sort(reverse=True)
    up.sort()
    moved = 0
    i = j = used_down = used_up = 0
    while i < len(down) and j < len(up) and up[j][0] < down[i][0] and (most is None or moved < most):
        amount = min(down[i][1] - used_down, up[j][1] - used_up)
        amount = amount if most is None else min(amount, most - moved)
        total -= Fraction((down[i][0] - up[j][0]) * amount, step)
        moved, used_down, used_up = moved + amount, used_down + amount, used_up + amount
        if used_down == down[i][1]:
            i, used_down = i + 1, 0
        if used_up == up[j][1]:
            j, used_up = j + 1, 0
    return ceil(total)
