"""Prove the exact engine's bounds once more with another solver: the same counts, without symmetry rows, by HiGHS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ortools.math_opt.python import mathopt

from solvers.backends.highs import expression, mathopt_model, run_highs
from solvers.exact.model import ExactModel
from solvers.problem import Problem

ROUNDING = 1e-6
"""HiGHS works in floating point: a bound that misses a whole number by less is taken for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What HiGHS says of one objective: its own bound, and whether the claimed one is confirmed, refuted, or neither
    in time.
    """

    goal: str
    part: str
    claimed: int
    bound: int | None
    verdict: Literal["confirmed", "refuted", "open"]


def second_opinion(
    problem: Problem, values: Sequence[int], bounds: Sequence[int | None], *, time_limit_s: float = 60.0
) -> tuple[Opinion, ...]:
    """Minimise each objective with the earlier ones held at `values`, and compare with the claimed `bounds`.

    A bound is confirmed when HiGHS proves that nothing below it exists; refuted when it finds an answer below it.
    Objectives without a claimed bound are only held. `time_limit_s` is for each objective; small problems take well
    under a second.
    """
    source = ExactModel(problem, symmetry=False)
    model, variables = mathopt_model(source)
    out = []
    for number, (objective, total) in enumerate(zip(problem.objectives, source.objectives, strict=True)):
        goal = expression(total, variables)
        claimed = bounds[number]
        if claimed is not None:
            model.minimize(goal)
            found = run_highs(model, time_limit_s)
            out.append(_judge(objective.goal, objective.part, claimed, found, total.constant))
        model.add_linear_constraint(goal <= values[number] - total.constant)
    return tuple(out)


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
