"""Prove bounds once more in another way: by prices of moves or of loads where these do, else the same counts, without
symmetry rows, by HiGHS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ortools.math_opt.python import mathopt

from solvers.backends.highs import expression, mathopt_model, run_highs
from solvers.exact.model import ExactModel
from solvers.problem import Problem
from solvers.proofs.loads_by_prices import bound_by_prices
from solvers.proofs.without_room import bound_without_room

HIGHS, PRICES, LOADS = "HiGHS", "prices of moves", "prices of loads"
LARGEST = 200_000
"""Places in all classes of hosts above which HiGHS is not asked: its model alone would take minutes."""
ROUNDING = 1e-6
"""HiGHS works in floating point: a bound that misses a whole number by less is taken for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What is said of one objective: by whom, its own bound, and whether the claimed one is confirmed, refuted, or
    neither in time.
    """

    goal: str
    part: str
    claimed: int
    bound: int | None
    verdict: Literal["confirmed", "refuted", "open"]
    by: str = HIGHS


def second_opinion(
    problem: Problem,
    values: Sequence[int],
    bounds: Sequence[int | None],
    lists: Sequence[Sequence[Mapping[str, Any]]] = (),
    *,
    time_limit_s: float = 60.0,
) -> tuple[Opinion, ...]:
    """Prove each objective with the earlier ones held at `values`, and compare with the claimed `bounds`.

    A bound is confirmed when nothing below it exists; refuted when HiGHS finds an answer below it. Objectives without
    a claimed bound are only held. `lists` are the prices of loads that an objective has beside its bound.
    `time_limit_s` is for each objective; small problems take well under a second.
    Where places were not listed, or there are too many, HiGHS is not asked.
    """
    told: dict[int, Opinion] = {}
    for number, claimed in enumerate(bounds):
        if claimed is not None:
            told[number] = _by_prices(problem, values, number, claimed, lists[number] if lists else ())
    places = sum(problem.shapes[one.shape].placements for one in problem.classes)
    left = [number for number, opinion in told.items() if opinion.verdict == "open"]
    if left and places <= LARGEST and problem.is_complete:
        told |= _by_highs(problem, values, {number: told[number].claimed for number in left}, time_limit_s)
    return tuple(told.values())


def _by_prices(
    problem: Problem, values: Sequence[int], number: int, claimed: int, lists: Sequence[Mapping[str, Any]]
) -> Opinion:
    objective = problem.objectives[number]
    bound, by = bound_without_room(problem, values, number), PRICES
    if lists and (bound is None or bound < claimed):
        bound, by = bound_by_prices(problem, values, number, lists), LOADS
    verdict: Literal["confirmed", "open"] = "confirmed" if bound is not None and bound >= claimed else "open"
    return Opinion(goal=objective.goal, part=objective.part, claimed=claimed, bound=bound, verdict=verdict, by=by)


def _by_highs(
    problem: Problem, values: Sequence[int], claims: Mapping[int, int], time_limit_s: float
) -> dict[int, Opinion]:
    source = ExactModel(problem, symmetry=False)
    model, variables = mathopt_model(source)
    out = {}
    for number, (objective, total) in enumerate(zip(problem.objectives, source.objectives, strict=True)):
        goal = expression(total, variables)
        if number in claims:
            model.minimize(goal)
            found = run_highs(model, time_limit_s)
            out[number] = _judge(objective.goal, objective.part, claims[number], found, total.constant)
        model.add_linear_constraint(goal <= values[number] - total.constant)
    return out


def _judge(goal: str, part: str, claimed: int, found: mathopt.SolveResult | None, constant: int) -> Opinion:
    bounds = None if found is None else found.termination.objective_bounds
    low, high = (-math.inf, math.inf) if bounds is None else (bounds.dual_bound, bounds.primal_bound)
    bound = None if math.isinf(low) or math.isnan(low) else math.ceil(low - ROUNDING) + constant
    verdict: Literal["confirmed", "refuted", "open"] = "open"
    if not math.isinf(high) and round(high) + constant < claimed:
        verdict = "refuted"
    elif bound is not None and bound >= claimed:
        verdict = "confirmed"
    return Opinion(goal=goal, part=part, claimed=claimed, bound=bound, verdict=verdict)
