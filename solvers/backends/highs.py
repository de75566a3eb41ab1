"""Running HiGHS: the exact engine's rows in another solver's model, and one run that prints nothing."""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta

from ortools.math_opt import result_pb2, rpc_pb2
from ortools.math_opt.python import mathopt
from ortools.sat.python import cp_model

from solvers.backends import highs_child
from solvers.backends.cpsat import Answer
from solvers.backends.cpsat_rows import Sum
from solvers.exact.model import ExactModel
from solvers.result import Interrupt

GRACE_S = 0.5
"""How long after its limit HiGHS may end by itself."""


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


def run_highs(
    model: mathopt.Model,
    time_limit_s: float,
    *,
    node_limit: int | None = None,
    gap: float = 0.0,
    interrupt: Interrupt | None = None,
) -> mathopt.SolveResult | None:
    """Solve to within a relative gap of proven optimality, or to a limit, in a process of its own; what HiGHS prints
    goes to standard error.

    None where it was interrupted, or did not end by itself soon after its limit, which HiGHS looks at between steps.
    """
    parameters = mathopt.SolveParameters(
        time_limit=timedelta(seconds=max(0.0, time_limit_s)),
        node_limit=node_limit,
        relative_gap_tolerance=gap,
        absolute_gap_tolerance=0.0,
    )
    asked = rpc_pb2.SolveRequest(
        solver_type=mathopt.SolverType.HIGHS.value, model=model.export_model(), parameters=parameters.to_proto()
    )
    try:
        child = _IDLE.pop()
    except IndexError:  # none is left, or another thread was faster
        child = _Child()
    answer = child.answer(asked.SerializeToString(), time_limit_s + GRACE_S, interrupt)
    if answer is None:
        return None
    _IDLE.append(child)
    return mathopt.parse_solve_result(result_pb2.SolveResultProto.FromString(answer), model, validate=False)


class _Child:
    """A process that runs HiGHS, one model after the other."""

    def __init__(self) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", highs_child.__file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        )

    def answer(self, request: bytes, seconds: float, interrupt: Interrupt | None) -> bytes | None:
        """Return the answer to a request; None where there is none in time or it was interrupted: the process is
        ended then.
        """
        stops = [] if interrupt is None else interrupt.stops
        stops.append(self._process.kill)
        answer = None
        try:
            if interrupt is None or not interrupt.requested:
                answer = self._asked(request, seconds)
        finally:
            stops.remove(self._process.kill)
            if answer is None:
                self.end()
        return answer

    def _asked(self, request: bytes, seconds: float) -> bytes | None:
        requests, results = self._process.stdin, self._process.stdout
        assert requests is not None and results is not None
        try:
            requests.write(highs_child.LENGTH.pack(len(request)) + request)
            requests.flush()
        except BrokenPipeError:
            return None
        ready = select.poll()
        ready.register(results, select.POLLIN)
        if not ready.poll(None if math.isinf(seconds) else max(0, math.ceil(1000 * seconds))):
            return None
        head = results.read(highs_child.LENGTH.size)
        return results.read(*highs_child.LENGTH.unpack(head)) if head else None

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError), self._process:
            pass


_IDLE: list[_Child] = []
"""Processes that wait for a model: to start one takes a tenth of a second of CPU."""


@atexit.register
def _end_idle() -> None:
    while _IDLE:
        _IDLE.pop().end()


# What a process forks does not share its pipes.
os.register_at_fork(after_in_child=_IDLE.clear)


def minimised(source: cp_model.CpModel, *, nodes: int, seconds: float, interrupt: Interrupt) -> Answer:
    """Minimise a CP-SAT model of rows alone by HiGHS, as far as so many nodes of its tree bring it.

    Its linear program and the heuristics at the root find good answers to programs that cover a demand by thousands of
    columns, where CP-SAT mostly finds none; its bound is not used, since it works in floating point. What was
    interrupted counts as cut off.
    """
    model, variables = mathopt_model(source)
    goal = source.proto.objective
    model.minimize(mathopt.LinearSum(int(c) * variables[v] for v, c in zip(goal.vars, goal.coeffs, strict=True)))
    found = run_highs(model, seconds, node_limit=nodes, interrupt=interrupt)
    cut = found is None or found.termination.limit is mathopt.Limit.TIME
    if found is None or not found.has_primal_feasible_solution():
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
