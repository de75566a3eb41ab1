"""Prove the exact engine's bounds once more with another solver: the same counts, without symmetry rows, by HiGHS."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from ortools.math_opt.python import mathopt

from solvers.backends.cpsat_rows import Sum
from solvers.exact.model import ExactModel
from solvers.problem import Problem

ROUNDING = 1e-6
"""HiGHS works in floating point: a bound that misses a whole number by less is taken for it."""
_PRINTING = threading.Lock()
"""One at a time: the way standard output is led is the process's, not a thread's."""


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


def _judge(goal: str, part: str, claimed: int, found: mathopt.SolveResult, constant: int) -> Opinion:
    low = found.termination.objective_bounds.dual_bound
    high = found.termination.objective_bounds.primal_bound
    bound = None if math.isinf(low) or math.isnan(low) else math.ceil(low - ROUNDING) + constant
    verdict: Literal["confirmed", "refuted", "open"] = "open"
    if not math.isinf(high) and round(high) + constant < claimed:
        verdict = "refuted"
    elif bound is not None and bound >= claimed:
        verdict = "confirmed"
    return Opinion(goal=goal, part=part, claimed=claimed, bound=bound, verdict=verdict)


def mathopt_model(source: ExactModel) -> tuple[mathopt.Model, list[mathopt.Variable]]:
    """Return the rows of the exact engine's model for another solver, and its variables in the same order."""
    model = mathopt.Model()
    variables = [
        model.add_integer_variable(lb=variable.domain[0], ub=variable.domain[1]) for variable in source.proto.variables
    ]
    for constraint in source.proto.constraints:
        linear = constraint.linear
        row = mathopt.LinearSum(c * variables[v] for v, c in zip(linear.vars, linear.coeffs, strict=True))
        model.add_linear_constraint(lb=_finite(linear.domain[0], -1), ub=_finite(linear.domain[1], 1), expr=row)
    return model, variables


def run_highs(model: mathopt.Model, time_limit_s: float, *, node_limit: int | None = None) -> mathopt.SolveResult:
    """Solve to proven optimality or a limit; what HiGHS prints of itself goes to standard error, not to a result."""
    parameters = mathopt.SolveParameters(
        time_limit=timedelta(seconds=max(0.0, time_limit_s)),
        node_limit=node_limit,
        relative_gap_tolerance=0.0,
        absolute_gap_tolerance=0.0,
    )
    with _PRINTING:
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        try:
            return mathopt.solve(model, mathopt.SolverType.HIGHS, params=parameters)
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def expression(total: Sum, variables: Sequence[mathopt.Variable]) -> mathopt.LinearSum:
    """Return an expression of the exact engine's model over another solver's variables, its constant left out."""
    index, factor = total.arrays()
    return mathopt.LinearSum(int(c) * variables[int(v)] for v, c in zip(index, factor, strict=True))


def _finite(limit: int, sign: int) -> float:
    """Return a row's limit; CP-SAT writes an open end as the largest 64-bit number."""
    return sign * math.inf if abs(limit) >= 2**62 else float(limit)
