"""One run of CP-SAT: one worker, a deterministic budget, and nothing believed that the response does not prove."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from solvers.problem import IntArray
from solvers.result import Interrupt


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run found: values of all variables, a valid bound on the objective, each if there is one.

    `finished` : the search was complete. `impossible` : it proved that there is no solution. `cut` : the wall clock
    ended it before its budget, so that another run of it may find more.
    """

    values: IntArray | None
    bound: int | None
    finished: bool
    impossible: bool
    cut: bool


def run_cp_sat(
    model: cp_model.CpModel,
    *,
    budget: float,
    seconds: float,
    seed: int,
    linearization: int,
    presolve: bool = False,
    interrupt: Interrupt,
    on_value: Callable[[int], None] | None = None,
) -> Answer:
    """Minimise a model within a deterministic budget.

    Parameters
    ----------
    budget : deterministic time, in units of about one or two seconds of one core.
    seconds : wall time after which it is cut off; most runs end by their budget long before.
    linearization : 1 or 2, how much of the model the linear relaxation takes in.
    presolve : whether to look for symmetries, probe, and repeat presolve until nothing changes.
    on_value : told the objective of each new solution, without the constant.
    """
    solver = cp_model.CpSolver()
    parameters = solver.parameters
    parameters.num_workers = 1
    parameters.catch_sigint_signal = False  # the caller's: CP-SAT's own handler ends the process
    parameters.random_seed = seed
    parameters.max_deterministic_time = budget
    parameters.max_time_in_seconds = max(0.0, seconds)
    parameters.linearization_level = linearization
    if not presolve:
        # What presolve spends on these does not come back: 30 hosts take 1.4 s without, over 40 s with.
        parameters.symmetry_level = 0
        parameters.cp_model_probing_level = 0
        parameters.max_presolve_iterations = 1
    interrupt.stops.append(solver.stop_search)
    try:
        status = solver.solve(model, None if on_value is None else _Watch(on_value))
    finally:
        interrupt.stops.remove(solver.stop_search)
    response = solver.response_proto
    unfinished = status not in (cp_model.OPTIMAL, cp_model.INFEASIBLE)
    cut = unfinished and not interrupt.requested and response.deterministic_time < budget
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        # The response of a search that found nothing holds a bound of 0, which means nothing.
        impossible = status == cp_model.INFEASIBLE
        return Answer(values=None, bound=None, finished=impossible, impossible=impossible, cut=cut)
    return Answer(
        values=np.array(response.solution, dtype=np.int64),
        bound=int(response.inner_objective_lower_bound) if len(model.proto.objective.vars) else None,
        finished=status == cp_model.OPTIMAL,
        impossible=False,
        cut=cut,
    )


class _Watch(cp_model.CpSolverSolutionCallback):
    """Passes on what the solver finds while it runs."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._tell = tell

    def on_solution_callback(self) -> None:
        """Report the new value."""
        self._tell(round(self.objective_value))
