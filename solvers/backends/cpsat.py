"""Running CP-SAT the repeatable way: one worker, a deterministic budget, here or on an executor, answers in order.

Nothing is believed that the response does not prove.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from solvers.problem import IntArray
from solvers.result import Interrupt


@dataclass(frozen=True, slots=True, kw_only=True)
class CpTask:
    """A model (CP-SAT's text form, so that any executor can carry it), its deterministic budget and seed."""

    text: str
    budget: float
    seed: int
    linearization: int = 2
    others: int = 0
    seconds: float = math.inf


@dataclass(frozen=True, slots=True)
class Answer:
    """What CP-SAT said: a solution or None, a bound on the minimised objective or None, whether it is all proven, and
    other solutions found on the way. `cut` : the wall clock ended it before its budget.

    A search that ends with nothing reports a bound of 0, which means nothing: it is None here.
    """

    values: tuple[int, ...] | None
    bound: int | None
    optimal: bool
    infeasible: bool
    others: tuple[tuple[int, ...], ...] = ()
    cut: bool = False

    @property
    def finished(self) -> bool:
        """Whether the search was complete."""
        return self.optimal or self.infeasible


def run_model(
    model: cp_model.CpModel,
    *,
    budget: float,
    seed: int,
    linearization: int = 2,
    others: int = 0,
    seconds: float = math.inf,
    presolve: bool = True,
    interrupt: Interrupt | None = None,
    on_value: Callable[[int], None] | None = None,
) -> Answer:
    """Minimise a model with one worker.

    Parameters
    ----------
    budget : deterministic time, in units of about one or two seconds of one core.
    linearization : 1 or 2, how much of the model the linear relaxation takes in.
    others : how many solutions found on the way come along.
    seconds : wall time after which it is cut off, which few runs ever meet: their budget ends them.
    presolve : whether to look for symmetries, probe, and repeat presolve until nothing changes.
    on_value : told the objective of each new solution, without the constant.
    """
    solver = cp_model.CpSolver()
    parameters = solver.parameters
    parameters.num_workers = 1
    parameters.catch_sigint_signal = False  # the caller's: CP-SAT's own handler ends the process
    parameters.random_seed = seed
    parameters.max_deterministic_time = budget
    parameters.linearization_level = linearization
    # Looking for rows within others ends the process in CP-SAT 9.15 on some small models, by a check of its own.
    parameters.presolve_inclusion_work_limit = 0
    if seconds < math.inf:
        parameters.max_time_in_seconds = max(0.0, seconds)
    if not presolve:
        # What presolve spends on these does not come back: 30 hosts take 1.4 s without, over 40 s with.
        parameters.symmetry_level = 0
        parameters.cp_model_probing_level = 0
        parameters.max_presolve_iterations = 1
    if others:
        parameters.fill_additional_solutions_in_response = True
        parameters.solution_pool_size = others
    if interrupt is not None:
        interrupt.stops.append(solver.stop_search)
    try:
        status = solver.solve(model, None if on_value is None else _Watch(on_value))
    finally:
        if interrupt is not None:
            interrupt.stops.remove(solver.stop_search)
    response = solver.response_proto
    unfinished = status not in (cp_model.OPTIMAL, cp_model.INFEASIBLE)
    interrupted = interrupt is not None and interrupt.requested
    cut = unfinished and not interrupted and response.deterministic_time < budget
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        # The response of a search that found nothing holds a bound of 0, which means nothing.
        return Answer(None, None, False, status == cp_model.INFEASIBLE, cut=cut)
    bound = int(response.inner_objective_lower_bound) if model.proto.has_objective() else None
    found = tuple(tuple(solution.values) for solution in response.additional_solutions)
    return Answer(tuple(response.solution), bound, status == cp_model.OPTIMAL, False, found, cut)


def run_task(task: CpTask) -> Answer:
    """Solve a task: what an executor's worker runs."""
    model = cp_model.CpModel()
    if not model.proto.parse_text_format(task.text):
        raise ValueError("a CP-SAT model that does not read back")
    return run_model(
        model,
        budget=task.budget,
        seed=task.seed,
        linearization=task.linearization,
        others=task.others,
        seconds=task.seconds,
    )


def run_each(
    makers: Sequence[Callable[[], cp_model.CpModel]],
    *,
    budget: float,
    seeds: Sequence[int],
    others: int = 0,
    executor: Executor | None,
    seconds: float = math.inf,
    interrupt: Interrupt | None = None,
) -> list[Answer]:
    """Solve models and return the answers in their order; the same with and without an executor.

    After `seconds` of wall time whatever is still to be done is cut off.
    """
    ends = time.monotonic() + seconds
    if executor is None:
        answers: list[Answer] = []
        for maker, seed in zip(makers, seeds, strict=True):
            if interrupt is not None and interrupt.requested:
                answers.append(Answer(None, None, False, False))
                continue
            left = ends - time.monotonic()
            if left <= 0 or (answers and answers[-1].cut):
                answers.append(Answer(None, None, False, False, cut=True))
                continue
            answers.append(
                run_model(maker(), budget=budget, seed=seed, others=others, seconds=left, interrupt=interrupt)
            )
        return answers
    tasks = (
        CpTask(text=str(maker().proto), budget=budget, seed=seed, others=others, seconds=ends - time.monotonic())
        for maker, seed in zip(makers, seeds, strict=True)
    )
    return _collected([executor.submit(run_task, task) for task in tasks], ends)


def _collected(futures: Sequence[Future[Answer]], ends: float) -> list[Answer]:
    """Return the answers of tasks; those that have not begun when the time is over are cut off."""
    answers = []
    for future in futures:
        try:
            answers.append(future.result(timeout=None if math.isinf(ends) else max(0.0, ends - time.monotonic())))
        except TimeoutError:
            # One that runs ends by itself, by about then: waiting for it leaves no work behind.
            answers.append(Answer(None, None, False, False, cut=True) if future.cancel() else future.result())
    return answers


def values_of(answer: Answer) -> IntArray:
    """Return a solution as an array."""
    return np.array(answer.values or (), dtype=np.int64)


class _Watch(cp_model.CpSolverSolutionCallback):
    """Passes on what the solver finds while it runs."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._tell = tell

    def on_solution_callback(self) -> None:
        """Report the new value."""
        self._tell(round(self.objective_value))
