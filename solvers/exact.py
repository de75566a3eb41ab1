"""Engine A: CP-SAT on counts per host and placement, objectives one after the other, each with its bound.

The objectives are worked on in *sweeps*: every objective that is not proven gets one round, subject to the earlier ones
being as good as their incumbents; each sweep doubles the round's deterministic budget. So there is a good answer to
every objective early, the schedule depends on nothing but the problem and the seed, and the same number of rounds gives
the same answer. The wall clock is looked at between rounds only.

A bound that was found while earlier objectives were held at some value stays valid when they improve: that only narrows
what is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from ortools.sat.python import cp_model

from solvers.evaluate import violations
from solvers.exact_model import ExactModel
from solvers.exact_rows import Sum
from solvers.greedy import solve_greedy
from solvers.problem import IntArray, Problem
from solvers.result import Interrupt, Limits, ObjectiveResult, OnProgress, Progress, Result, Status

ENGINE = "exact"
FIRST_ROUND = 1.0
"""Deterministic time of a round of the first sweep (about a second); each sweep doubles it."""


def solve_exact(
    problem: Problem,
    *,
    limits: Limits,
    seed: int = 0,
    warm_start: Result | None = None,
    on_progress: OnProgress | None = None,
    interrupt: Interrupt | None = None,
    symmetry: bool = True,
    tie_break: bool = True,
) -> Result:
    """Solve to proven optimality if the limits allow, with a valid bound on every objective in any case.

    Parameters
    ----------
    warm_start : a result of the same problem to start from; by default the greedy engine's.
    symmetry : whether to add rows that break symmetry (they cut off no optimum; off for tests).
    tie_break : whether to look, once all is proven, for an answer with fewer nodes and fewer changes.

    Raises
    ------
    RuntimeError
        If the solver contradicts an answer that is known to be right: a fault of ours or of the solver.
    """
    if warm_start is None:
        warm_start = solve_greedy(problem, seed=seed)
    search = _Search(problem=problem, limits=limits, seed=seed, on_progress=on_progress,
                     interrupt=interrupt or Interrupt(), symmetry=symmetry)
    search.start(warm_start)
    search.run(tie_break=tie_break)
    return search.result()


@dataclass(slots=True)
class _Tier:
    """What is known of one objective: `held` is its best value, kept by later ones; `done` when no round can help."""

    total: Sum
    tolerance: float
    bound: int | None = None
    source: str = ""
    held: int | None = None
    done: bool = False

    @property
    def proven(self) -> bool:
        return self.bound is not None and self.held is not None and self.held <= self.bound

    @property
    def ceiling(self) -> int | None:
        return None if self.held is None else self.held + int(abs(self.held) * self.tolerance)


@dataclass(slots=True)
class _Search:
    """One run: the model, the incumbent, and what is known of each objective."""

    problem: Problem
    limits: Limits
    seed: int
    on_progress: OnProgress | None
    interrupt: Interrupt
    symmetry: bool
    began: float = field(default_factory=time.monotonic)
    rounds: int = 0
    incumbent: IntArray | None = None
    infeasible: bool = False
    stopped: str = ""
    model: ExactModel = field(init=False)
    tiers: list[_Tier] = field(init=False)
    complete: bool = field(init=False)

    def __post_init__(self) -> None:
        self.model = ExactModel(self.problem, symmetry=self.symmetry)
        self.complete = all(self.problem.shapes[host_class.shape].complete for host_class in self.problem.classes)
        self.tiers = [
            _Tier(total=total, tolerance=objective.tolerance)
            for total, objective in zip(self.model.objectives, self.problem.objectives, strict=True)
        ]
        for tier in self.tiers:
            index, factor = tier.total.arrays()
            if self.complete or not (factor < 0).any():
                # A value of 0 where nothing costs less than 0 needs no solver.
                low, _ = self.model.range_of(index, factor)
                tier.bound, tier.source = low + tier.total.constant, "no cost is negative"

    def start(self, warm_start: Result) -> None:
        """Take over a first answer, if it has one that breaks nothing."""
        if warm_start.status not in ("optimal", "feasible"):
            return
        if violations(self.problem, warm_start.patterns, warm_start.unplaced):
            return
        found = self.model.solution_of(warm_start.patterns, warm_start.unplaced)
        if found is not None:
            self._accept(0, found)

    def run(self, *, tie_break: bool) -> None:
        """Sweep over the objectives until all are done or a limit is met."""
        budget = FIRST_ROUND
        while True:
            pending = [number for number, tier in enumerate(self.tiers) if not tier.done]
            if self.incumbent is None:
                pending = [0] if self.tiers else [-1]
            if not pending:
                break
            for number in pending:
                if self._must_stop():
                    return
                if number < 0 or self.incumbent is None or not self.tiers[number].done:
                    self._round(number, budget)
                if self.infeasible or self.incumbent is None:
                    break
            if self.infeasible:
                return
            budget *= 2
        if tie_break and not self._must_stop():
            self._break_ties()

    def _must_stop(self) -> bool:
        if self.interrupt.requested:
            self.stopped = "interrupted"
        elif self.limits.rounds is not None and self.rounds >= self.limits.rounds:
            self.stopped = "round limit"
        elif time.monotonic() - self.began >= self.limits.time_limit_s:
            self.stopped = "time limit"
        return bool(self.stopped)

    def _accept(self, number: int, solution: IntArray) -> None:
        """Take an incumbent that is better in objective `number` and keeps the earlier ones within their ceilings."""
        self.incumbent = solution
        for later, tier in enumerate(self.tiers):
            value = tier.total.value(solution)
            if later >= number or tier.held is None or value < tier.held:
                tier.done = tier.done and tier.held == value and later <= number
                tier.held = value
            tier.done = tier.done or tier.proven

    def _round(self, number: int, budget: float) -> None:
        """Work on one objective (-1: on finding anything) for one deterministic budget."""
        total = self.tiers[number].total if number >= 0 else Sum()
        status, solution, bound = self._solve(total, number, budget)
        self.rounds += 1
        if status == cp_model.INFEASIBLE:
            self._cross_check(number, budget)
            return
        if solution is not None and (self.incumbent is None or number < 0 or self._is_better(number, solution)):
            self._accept(max(number, 0), solution)
        if number < 0:
            return
        tier = self.tiers[number]
        if bound is not None and self.complete and (tier.bound is None or bound > tier.bound):
            tier.bound, tier.source = bound, "CP-SAT"
        tier.done = tier.proven or status == cp_model.OPTIMAL
        self._report(number, self._value(number), tier.bound)

    def _is_better(self, number: int, solution: IntArray) -> bool:
        tier = self.tiers[number]
        return tier.held is None or tier.total.value(solution) < tier.held

    def _cross_check(self, number: int, budget: float) -> None:
        """Believe that there is no answer only when the solver says so without any symmetry handling too."""
        if self.incumbent is None and not self.symmetry:
            self.infeasible = True
            return
        if not self.symmetry:
            raise RuntimeError(f"the solver finds no answer to objective {number} though one is known")
        incumbent = self.incumbent
        plain = ExactModel(self.problem, symmetry=False)
        patterns = None if incumbent is None else self.model.patterns_of(incumbent)
        self.model, self.symmetry = plain, False
        for tier, total in zip(self.tiers, plain.objectives, strict=True):
            tier.total = total
        self.incumbent = None if patterns is None else plain.solution_of(*patterns)
        self._round(number, budget)

    def _break_ties(self) -> None:
        """Look briefly for an answer as good in everything with fewer nodes touched, then fewer changes."""
        if self.incumbent is None:
            return
        total = self.model.tie_break()
        self.incumbent = self.model.complete(self.incumbent)
        if total.value(self.incumbent) <= self.model.least(total):
            return
        _, solution, _ = self._solve(total, len(self.tiers), FIRST_ROUND)
        self.rounds += 1
        if solution is not None and total.value(solution) < total.value(self.incumbent):
            self.incumbent = solution

    def _solve(self, total: Sum, number: int, budget: float) -> tuple[object, IntArray | None, int | None]:
        """Minimise `total` with the tiers before `number` held; return status, full solution and valid bound if any."""
        stage = self.model.stage(
            number, total, [(tier.total, tier.bound, tier.ceiling) for tier in self.tiers[: max(number, 0)]],
            self.tiers[number].bound if 0 <= number < len(self.tiers) else None, self.incumbent)
        solver = cp_model.CpSolver()
        parameters = solver.parameters
        parameters.num_workers = 1
        parameters.random_seed = self.seed
        parameters.max_deterministic_time = budget
        parameters.linearization_level = 2
        if not self.symmetry:
            parameters.symmetry_level = 0
        watch = _Watch(lambda value, bound: self._report(number, value + total.constant, bound + total.constant))
        self.interrupt.stops.append(solver.stop_search)
        try:
            status = solver.solve(stage, watch if self.on_progress and 0 <= number < len(self.tiers) else None)
        finally:
            self.interrupt.stops.remove(solver.stop_search)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            # The response of a search that found nothing holds a bound of 0, which means nothing.
            return status, None, None
        free = np.array(solver.response_proto.solution, dtype=np.int64)
        bound = solver.response_proto.inner_objective_lower_bound + total.constant if len(total.index) else None
        return status, self.model.complete(free), bound

    def _value(self, number: int) -> int | None:
        return None if self.incumbent is None else self.tiers[number].total.value(self.incumbent)

    def _report(self, number: int, value: int | None, bound: int | None) -> None:
        if self.on_progress is None:
            return
        objective = self.problem.objectives[number]
        known = self.tiers[number].bound
        if bound is None or (known is not None and known > bound):
            bound = known
        self.on_progress(
            Progress(goal=objective.goal, part=objective.part, value=value, bound=bound if self.complete else known,
                     seconds=time.monotonic() - self.began, engine=ENGINE, unit=objective.unit, sign=objective.sign))

    def result(self) -> Result:
        """Return the incumbent with every objective's value, bound, status and reason for stopping."""
        rows = []
        optimal = True
        for number, (objective, tier) in enumerate(zip(self.problem.objectives, self.tiers, strict=True)):
            optimal = optimal and tier.proven
            status: Status = "optimal" if optimal else "feasible"
            if self.incumbent is None:
                status = "infeasible" if self.infeasible else "unknown"
            rows.append(
                ObjectiveResult(goal=objective.goal, part=objective.part, value=self._value(number),
                                bound=None if self.infeasible else tier.bound,
                                source="" if tier.bound is None or self.infeasible else tier.source,
                                status=status, stopped=self._reason(number, tier)))
        if self.incumbent is None:
            return Result(status="infeasible" if self.infeasible else "unknown", objectives=tuple(rows),
                          rounds=self.rounds, engine=ENGINE)
        patterns, unplaced = self.model.patterns_of(self.incumbent)
        return Result(status="optimal" if optimal else "feasible", objectives=tuple(rows), patterns=patterns,
                      unplaced=unplaced, rounds=self.rounds, engine=ENGINE)

    def _reason(self, number: int, tier: _Tier) -> str:
        if tier.proven:
            value = self._value(number)
            return "" if value is None or value == tier.held else "later goals used its tolerance"
        if self.infeasible:
            return "no answer exists"
        if tier.done:
            return "not every placement was enumerated"
        return self.stopped


class _Watch(cp_model.CpSolverSolutionCallback):
    """Passes on what the solver finds while it runs."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        super().__init__()
        self._tell = tell

    def on_solution_callback(self) -> None:
        """Report the new value and the bound so far."""
        self._tell(round(self.objective_value), round(self.best_objective_bound))
