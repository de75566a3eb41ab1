"""A fuller first answer by HiGHS: counts of the cheapest placements only, so that as few VMs as can be are left out.

Where VMs fill the hosts to the last unit, searches that take one host or one VM at a time leave some out, and CP-SAT
takes minutes; branching on a linear program of a few thousand counts takes seconds. Nothing is proven here: bounds are
the engines' work.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from solvers.evaluate import evaluate, violations
from solvers.problem import IntArray, Problem
from solvers.result import Interrupt, Result

FEW_COUNTS, COUNTS = 2_500, 10_000
"""Counts (hosts x placements) of the cheapest placements: so few are searched for all that is left out, to the end; up
to so many for what counts first, to within `NEAR`, since a tree of so many takes half a minute for the rest."""
NEAR = 0.01
"""How far the answer to a large program may be from its bound, relatively: exchanges do the rest in a second."""
WORK = 150_000
"""Nodes of the search times counts: what bounds the work, the same on every machine (a few seconds)."""
ALIKE = 3
"""VMs of a flavor, on average, from which on counting them pays."""


def fill_in(
    problem: Problem, first: Result, *, time_limit_s: float, interrupt: Interrupt | None = None
) -> tuple[Result, bool]:
    """Return an answer that leaves fewer VMs out than the first one, or the first one; and whether there was a search.

    A search that the wall clock or an interrupt cuts off counts as never begun.
    """
    short = [number for number, objective in enumerate(problem.objectives) if objective.unplaced is not None]
    few = _counts(problem) <= COUNTS and int(problem.demand().sum()) >= ALIKE * len(problem.flavors)
    if not (short and few and any(first.unplaced) and _has_room(problem)):
        return first, False
    # Loaded where there is something to fill in: most fleets have nothing, and it takes a fifth of a second.
    from ortools.math_opt.python import mathopt

    from solvers.backends.highs import expression, mathopt_model, run_highs
    from solvers.exact.model import ExactModel

    source = ExactModel(problem, symmetry=False)
    model, variables = mathopt_model(source)
    for spare in source.dear(None):
        variables[spare].upper_bound = 0
    counts = _counts(problem)
    nodes = WORK // max(1, counts)
    large = counts > FEW_COUNTS
    best, value = first, evaluate(problem, first.patterns, first.unplaced)
    for number in range(1 if large else short[-1] + 1):
        goal = expression(source.objectives[number], variables)
        model.minimize(goal)
        near = NEAR if large else 0.0
        found = run_highs(model, time_limit_s, node_limit=nodes, gap=near, interrupt=interrupt)
        if found is None or found.termination.limit is mathopt.Limit.TIME:
            return first, False
        if not found.solutions or found.solutions[0].primal_solution is None:
            break
        values = found.variable_values(variables)
        patterns, unplaced = source.patterns_of(source.complete(np.rint(values).astype(np.int64)))
        if violations(problem, patterns, unplaced):
            break
        reached = evaluate(problem, patterns, unplaced)
        if reached < value:
            best, value = Result(status="feasible", objectives=(), patterns=patterns, unplaced=unplaced), reached
        if not any(best.unplaced):
            break
        model.add_linear_constraint(goal <= value[number] - source.objectives[number].constant)
    return best, True


def _counts(problem: Problem) -> int:
    """Return how many counts the cheapest placements of all hosts have."""
    total = 0
    for host_class in problem.classes:
        shape = problem.shapes[host_class.shape]
        cost = next((shape.cost[o.cost] for o in problem.objectives if o.cost and o.cost in shape.cost), None)
        if cost is None:
            total += host_class.count * shape.placements
            continue
        cheapest = np.full(len(problem.flavors), np.iinfo(np.int64).max)
        np.minimum.at(cheapest, shape.flavor, cost)
        total += host_class.count * int((cost == cheapest[shape.flavor]).sum())
    return total


def _has_room(problem: Problem) -> bool:
    """Tell whether the hosts have as much of each resource in all as the VMs take at least."""
    room: dict[str, int] = defaultdict(int)
    least: dict[str, IntArray] = {}
    for host_class in problem.classes:
        shape = problem.shapes[host_class.shape]
        for row, (_, name) in enumerate(shape.row_names):
            room[name] += host_class.count * int(host_class.capacity[row])
    for shape in problem.shapes:
        for name in room:
            rows = [row for row, (_, other) in enumerate(shape.row_names) if other == name]
            takes = np.full(len(problem.flavors), np.iinfo(np.int64).max)
            np.minimum.at(takes, shape.flavor, shape.use[:, rows].sum(axis=1))
            least[name] = np.minimum(least.get(name, takes), takes)
    demand = np.where([flavor.phantom for flavor in problem.flavors], 0, problem.demand())
    for name, takes in least.items():
        # A flavor that no host can hold at all is left out whatever else is.
        known = takes < np.iinfo(np.int64).max
        if int(takes[known] @ demand[known]) > room[name]:
            return False
    return True
