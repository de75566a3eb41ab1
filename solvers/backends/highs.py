"""Running HiGHS: the exact engine's rows in another solver's model, and one run that prints nothing."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta

from ortools.math_opt.python import mathopt
from ortools.sat.python import cp_model

from solvers.backends.cpsat import Answer
from solvers.backends.cpsat_rows import Sum
from solvers.exact.model import ExactModel

_PRINTING = threading.Lock()
"""One at a time: the way standard output is led is the process's, not a thread's."""


def mathopt_model(source: ExactModel | cp_model.CpModel) -> tuple[mathopt.Model, list[mathopt.Variable]]:
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


def minimised(source: cp_model.CpModel, *, nodes: int, seconds: float) -> Answer:
    """Minimise a CP-SAT model of rows alone by HiGHS, as far as so many nodes of its tree bring it.

    Its linear program and the heuristics at the root find good answers to programs that cover a demand by thousands of
    columns, where CP-SAT mostly finds none; its bound is not used, since it works in floating point.
    """
    model, variables = mathopt_model(source)
    goal = source.proto.objective
    model.minimize(mathopt.LinearSum(int(c) * variables[v] for v, c in zip(goal.vars, goal.coeffs, strict=True)))
    found = run_highs(model, seconds, node_limit=nodes)
    cut = found.termination.limit is mathopt.Limit.TIME
    if not found.has_primal_feasible_solution():
        return Answer(None, None, False, False, cut=cut)
    values = tuple(round(value) for value in found.variable_values(variables))
    return Answer(values, None, False, False, cut=cut)


def expression(total: Sum, variables: Sequence[mathopt.Variable]) -> mathopt.LinearSum:
    """Return an expression of the exact engine's model over another solver's variables, its constant left out."""
    index, factor = total.arrays()
    return mathopt.LinearSum(int(c) * variables[int(v)] for v, c in zip(index, factor, strict=True))


def _finite(limit: int, sign: int) -> float:
    """Return a row's limit; CP-SAT writes an open end as the largest 64-bit number."""
    return sign * math.inf if abs(limit) >= 2**62 else float(limit)
