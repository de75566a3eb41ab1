"""The exact engine: CP-SAT on counts per host and placement, objectives one after the other, each with its bound.

The objectives are worked on in *sweeps*: every objective that is not proven gets its rounds, subject to the earlier
ones being as good as their incumbents; each sweep doubles the rounds' deterministic budget. So there is a good answer
to every objective early, the schedule depends on nothing but the problem and the seed, and the same number of rounds
gives the same answer. The wall clock is looked at between rounds; one that it has to cut off counts as never begun.
Rounds are of six kinds:

- *narrow*: only the cheapest placements of each flavor. A tenth of the model, and mostly the best answer is in it.
- *part*: a few of many hosts, the others as they are in the incumbent: cheap, and each starts from the last.
- *emptier*: for the goal `hosts`, whether the VMs fit if one host more is empty: mere feasibility is found sooner.
- *full*: everything; gives bounds.
- *ordered*: everything, hosts of a class in order of what they hold. Proves the goal `hosts`, by turns with *full*.
- *chained*: also the nodes of a host in order, asked for something better than the incumbent, which is then proven
  where there is nothing. Linear relaxations mostly prove more without these rows, so only long sweeps try.

A bound that was found while earlier objectives were held at some value stays valid when they improve: that only narrows
what is left.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ortools.sat.python import cp_model

from solvers.backends.cpsat import Answer, run_model, values_of
from solvers.backends.cpsat_rows import Sum
from solvers.claims import Claim, Claims
from solvers.clock import Clock
from solvers.evaluate import violations
from solvers.exact.model import ExactModel
from solvers.exact.tiers import Tier, objective_results
from solvers.problem import IntArray, Problem
from solvers.result import Interrupt, Limits, ObjectiveResult, OnProgress, Progress, Result, Status
from solvers.starts.best_fit import solve_greedy

ENGINE = "exact"
FIRST_ROUND = 1.0
"""Deterministic time of a round of the first sweep (one to two seconds); each sweep doubles it."""

MANY_HOSTS, PART_HOSTS, PARTS, PART_ROUND = 12, 4, 8, 0.25
"""Above how many hosts parts are tried, hosts in a part, parts a sweep, and the deterministic time of each."""

EMPTIER_COUNTS = 5_000
"""Most counts of a model that is asked whether one host more can be empty."""

_Kind = Literal["narrow", "part", "emptier", "full", "ordered", "chained"]


def solve_exact(
    problem: Problem,
    *,
    limits: Limits,
    seed: int = 0,
    warm_start: Result | None = None,
    on_progress: OnProgress | None = None,
    interrupt: Interrupt | None = None,
    proven: Sequence[ObjectiveResult] = (),
    sweeps: tuple[int, int | None] = (0, None),
    symmetry: bool = True,
    tie_break: bool = True,
) -> Result:
    """Solve to proven optimality if the limits allow, with a valid bound on every objective in any case.

    Parameters
    ----------
    warm_start : a result of the same problem to start from; by default the greedy engine's.
    proven : bounds that another engine found for the same problem, in the order of its objectives.
    sweeps : the first sweep and the one to stop before, None for no end.
    symmetry : whether to add rows that break symmetry (they cut off no optimum; off for tests).
    tie_break : whether to look, once all is proven, for an answer with fewer nodes and fewer changes.

    Raises
    ------
    RuntimeError
        If the solver contradicts an answer that is known to be right: a fault of ours or of the solver.
    """
    if warm_start is None:
        warm_start = solve_greedy(problem, seed=seed)
    search = _Search(
        problem=problem,
        clock=Clock(limits=limits, interrupt=interrupt or Interrupt()),
        seed=seed,
        on_progress=on_progress,
        symmetry=symmetry,
    )
    search.start(warm_start, proven)
    search.run(*sweeps, tie_break=tie_break)
    return search.result()


@dataclass(slots=True)
class _Search:
    """One run: the model, the incumbent, and what is known of each objective."""

    problem: Problem
    clock: Clock
    seed: int
    on_progress: OnProgress | None
    symmetry: bool
    incumbent: IntArray | None = None
    infeasible: bool = False
    model: ExactModel = field(init=False)
    tiers: list[Tier] = field(init=False)
    claims: Claims = field(init=False)
    complete: bool = field(init=False)
    _models: dict[bool, ExactModel] = field(default_factory=dict)
    _told: tuple[int, int | None, int | None] | None = None

    def __post_init__(self) -> None:
        self.model = ExactModel(self.problem, symmetry=False)
        self.complete = all(self.problem.shapes[host_class.shape].complete for host_class in self.problem.classes)
        self.tiers = [
            Tier(total=total, tolerance=objective.tolerance)
            for total, objective in zip(self.model.objectives, self.problem.objectives, strict=True)
        ]
        self.claims = Claims(len(self.tiers))
        for number, tier in enumerate(self.tiers):
            _, factor = tier.total.arrays()
            if self.complete or not (factor < 0).any():
                # A value of 0 where nothing costs less than 0 needs no solver.
                self.claims.claim(number, Claim(self.model.least(tier.total), "no cost is negative"))
                self._review(number)

    def start(self, warm_start: Result, proven: Sequence[ObjectiveResult] = ()) -> None:
        """Take over bounds, and a first answer, if it has one that breaks nothing."""
        self.claims.take(proven)
        if warm_start.status not in ("optimal", "feasible"):
            return
        if violations(self.problem, warm_start.patterns, warm_start.unplaced):
            return
        found = self.model.solution_of(warm_start.patterns, warm_start.unplaced)
        if found is not None:
            self._accept(0, found)

    def run(self, first: int, end: int | None, *, tie_break: bool) -> None:
        """Sweep over the objectives until all are done or a limit is met."""
        for sweep in itertools.count(first):
            pending = [number for number, tier in enumerate(self.tiers) if not tier.done]
            if self.incumbent is None:
                # Without goals there is still the question whether any answer exists: number -1.
                pending = [0] if self.tiers else [-1]
            if not pending:
                break
            if sweep == end:
                self.clock.stopped = "the search was to be brief"
                return
            for number in pending:
                for kind in self._kinds(number, sweep):
                    if self._is_done(number):
                        break
                    if not self.clock.may_begin():
                        return
                    self._round(number, kind, sweep)
                    if self.infeasible:
                        return
        if tie_break and self.clock.may_begin():
            self._break_ties()

    def _kinds(self, number: int, sweep: int) -> tuple[_Kind, ...]:
        """Return the kinds of rounds of an objective in a sweep."""
        kinds: list[_Kind] = ["narrow"]
        if len(self.model.hosts) > MANY_HOSTS:
            kinds.extend(itertools.repeat("part", PARTS))
        alike = self.symmetry and any(host_class.count > 1 for host_class in self.problem.classes)
        chains = self.symmetry and any(host_class.chains for host_class in self.problem.classes)
        costs = number >= 0 and self.problem.objectives[number].host_cost
        hosts = alike and costs
        kinds.append("ordered" if hosts and sweep % 2 == 0 else "full")
        if costs:
            kinds.append("emptier")
        if sweep > 1 and (alike or chains) and not hosts:
            kinds.append("chained")
        return tuple(kinds)

    def _is_done(self, number: int) -> bool:
        return self.incumbent is not None and (number < 0 or self.tiers[number].done)

    def _accept(self, number: int, solution: IntArray) -> None:
        """Take an incumbent that is better in objective `number` and keeps the earlier ones within their ceilings."""
        self.incumbent = solution
        for later, tier in enumerate(self.tiers):
            value = tier.total.value(solution)
            if later >= number or tier.held is None or value < tier.held:
                tier.held = value
                self._review(later)
                tier.done, tier.narrowed = tier.proven, False

    def _review(self, number: int) -> None:
        """Take the best bound of an objective that holds with the earlier ones as they are, maybe worse than before."""
        self.tiers[number].claim = self.claims.best(number, self._before(number))

    def _before(self, number: int) -> tuple[int, ...]:
        """Return what the objectives before one may rise to; they have no values before there is an answer."""
        return tuple(tier.ceiling for tier in self.tiers[: max(number, 0)] if tier.ceiling is not None)

    def _round(self, number: int, kind: _Kind, sweep: int) -> None:
        """Work on one objective (-1: on finding anything) for one deterministic budget."""
        tier = self.tiers[number] if number >= 0 else Tier(total=Sum(), tolerance=0.0)
        spare = self.model.dear(self.incumbent) if kind == "narrow" and not tier.narrowed else []
        still = self._still(tier.total) if kind == "part" else []
        empty = self._emptier() if kind == "emptier" else []
        if kind in ("narrow", "part", "emptier") and not (spare or still or empty):
            return
        model, hint, below = self.model, self.incumbent, None
        if kind in ("ordered", "chained"):
            chains = kind == "chained"
            if chains not in self._models:
                self._models[chains] = ExactModel(self.problem, symmetry=True, chains=chains)
            model = self._models[chains]
            # Hosts are brought in order by name, nodes are not: then the incumbent is no hint, and anything better is.
            hint = None if chains or hint is None else model.solution_of(*model.patterns_of(hint))
            below = tier.held if chains else None
        held = [(earlier.total, earlier.bound, earlier.ceiling) for earlier in self.tiers[: max(number, 0)]]
        if kind == "emptier":
            stage = model.question(number, held, empty)
        else:
            stage = model.stage(
                number, tier.total, held, floor=tier.bound, below=below, hint=hint, without=spare, still=still
            )
        budget = PART_ROUND if kind == "part" else FIRST_ROUND * 2 ** (sweep + (kind == "emptier"))
        # More cuts are better on some problems and worse on others: by turns.
        answer, solution, bound = self._run(
            stage, number, tier.total, budget, linearization=1 + sweep % 2, question=kind == "emptier"
        )
        if answer.cut and (solution is None or self.incumbent is not None):
            # Rounds are replayed by their number, so what a part of one found is lost; but a first answer is not.
            self.clock.cut_round()
            return
        if answer.cut:
            self.clock.interrupt.work.reach(answer.values)
        self.clock.rounds += 1
        if answer.infeasible and kind in ("full", "ordered"):
            if self.incumbent is not None:
                raise RuntimeError(f"the solver finds no answer to objective {number} though one is known")
            self.infeasible = kind == "full"
            return
        if answer.infeasible and kind == "chained":
            bound = tier.held
        before, under = tier.held, self._before(number)
        if solution is not None and self._is_better(number, solution):
            self._accept(max(number, 0), self._with_phantoms(number, solution))
        if kind == "narrow":
            tier.narrowed = tier.held == before or answer.finished
        if number < 0 or kind in ("narrow", "part", "emptier"):
            return
        if bound is not None and self.complete:
            self.claims.claim(number, Claim(bound, "CP-SAT", None, under))
            self._review(number)
        tier.done = tier.proven or answer.finished
        self._report(number, self._value(number), tier.bound)

    def _with_phantoms(self, number: int, solution: IntArray) -> IntArray:
        """Fill what a solution leaves with phantoms that only later objectives count: the search had none of them."""
        if not self.model.has_idle_phantoms(number):
            return solution
        patterns, unplaced = self.model.patterns_of(solution)
        bare = Result(status="feasible", objectives=(), patterns=patterns, unplaced=unplaced)
        filled = solve_greedy(self.problem, seed=self.seed, warm_start=bare)
        found = self.model.solution_of(filled.patterns, filled.unplaced) if filled.patterns else None
        if found is None:
            return solution
        values, plain = ([tier.total.value(one) for tier in self.tiers] for one in (found, solution))
        return found if values < plain else solution

    def _still(self, total: Sum) -> list[int]:
        """Return the hosts to leave alone in a part: all but a few, half of which are those that cost most."""
        if self.incumbent is None:
            return []
        draw = random.Random(f"{self.seed}/{self.clock.rounds}")
        cost = self.model.host_costs(total, self.incumbent)
        order = sorted(range(len(cost)), key=lambda host: (-cost[host] * draw.uniform(0.5, 1.5), draw.random()))
        free = {*order[: PART_HOSTS // 2], *draw.sample(order[PART_HOSTS // 2 :], PART_HOSTS - PART_HOSTS // 2)}
        return [host for host in range(len(cost)) if host not in free]

    def _emptier(self) -> list[int]:
        """Return the counts to do without so that one host less costs; none where that is too much to ask."""
        counts = sum(len(self.model.views[number].placements) for number in self.model.hosts)
        if self.incumbent is None or counts > EMPTIER_COUNTS:
            return []
        return self.model.one_host_less(self.incumbent)

    def _is_better(self, number: int, solution: IntArray) -> bool:
        """Tell whether a solution improves objective `number`, or else is no worse in it and all later ones."""
        if self.incumbent is None:
            return True
        tier = self.tiers[number]
        value, now = tier.total.value(solution), tier.total.value(self.incumbent)
        if tier.held is None or value < tier.held:
            return True
        later = [other.total for other in self.tiers[number + 1 :]]
        return value == now and [total.value(solution) for total in later] <= [
            total.value(self.incumbent) for total in later
        ]

    def _break_ties(self) -> None:
        """Look briefly for an answer as good in everything with fewer nodes touched, then fewer changes."""
        if self.incumbent is None:
            return
        total, least = self.model.tie_break(self.incumbent)
        self.incumbent = self.model.complete(self.incumbent)
        if total.value(self.incumbent) <= least:
            return
        held = [(tier.total, tier.bound, tier.ceiling) for tier in self.tiers]
        stage = self.model.stage(len(self.tiers), total, held, hint=self.incumbent)
        answer, solution, _ = self._run(stage, len(self.tiers), total, FIRST_ROUND / 2, linearization=1)
        if answer.cut:
            self.clock.cut_round()
            return
        self.clock.rounds += 1
        if solution is not None and total.value(solution) < total.value(self.incumbent):
            self.incumbent = solution

    def _run(
        self,
        stage: cp_model.CpModel,
        number: int,
        total: Sum,
        budget: float,
        *,
        linearization: int,
        question: bool = False,
    ) -> tuple[Answer, IntArray | None, int | None]:
        """Run a stage; return the answer, its full solution, and its bound on the objective with the constant."""
        watch = None
        if self.on_progress is not None and 0 <= number < len(self.tiers) and not question:

            def watch(value: int) -> None:
                self._report(number, value + total.constant, self.tiers[number].bound)

        answer = run_model(
            stage,
            budget=budget,
            seconds=self.clock.left_s,
            seed=self.seed,
            linearization=linearization,
            presolve=question,
            interrupt=self.clock.interrupt,
            on_value=watch,
        )
        solution = None if answer.values is None else self.model.complete(values_of(answer))
        return answer, solution, None if answer.bound is None else answer.bound + total.constant

    def _value(self, number: int) -> int | None:
        return None if self.incumbent is None else self.tiers[number].total.value(self.incumbent)

    def _report(self, number: int, value: int | None, bound: int | None) -> None:
        if self.on_progress is not None and (number, value, bound) != self._told:
            self._told = (number, value, bound)
            objective = self.problem.objectives[number]
            self.on_progress(
                Progress(
                    goal=objective.goal,
                    part=objective.part,
                    value=value,
                    bound=bound,
                    engine=ENGINE,
                    seconds=self.clock.seconds,
                    unit=objective.unit,
                    sign=objective.sign,
                )
            )

    def result(self) -> Result:
        """Return the incumbent with every objective's value, bound, status and reason for stopping."""
        values = [self._value(number) for number in range(len(self.tiers))]
        why, infeasible = self.clock.stopped, self.infeasible
        rows = objective_results(
            self.problem.objectives, self.tiers, values, self.claims, infeasible=infeasible, stopped=why
        )
        if self.incumbent is None:
            status: Status = "infeasible" if self.infeasible else "unknown"
            return Result(status=status, objectives=rows, rounds=self.clock.rounds, engine=ENGINE)
        patterns, unplaced = self.model.patterns_of(self.incumbent)
        return Result(
            status="optimal" if all(row.status == "optimal" for row in rows) else "feasible",
            objectives=rows,
            patterns=patterns,
            unplaced=unplaced,
            rounds=self.clock.rounds,
            engine=ENGINE,
        )
