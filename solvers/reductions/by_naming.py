"""Answers of counts alone, with their VMs named so that rules over hosts are kept: mostly that costs nothing.

Where hosts have room to spare for limits on them, and members can be named afterwards, neither is known to the engine:
alike VMs are one flavor, and the bound is that of few flavors. Where the answer has not the places that the rules need,
as few members as can be are left out and placed beside the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from solvers.clock import Clock
from solvers.evaluate import evaluate
from solvers.problem import Problem
from solvers.reductions.best_answer import BestAnswer
from solvers.reductions.by_gathering import ByGathering
from solvers.reductions.loosened import loosened
from solvers.reductions.members import can_name, named, nearly_named
from solvers.reductions.merged import Merged
from solvers.reductions.telling import Telling
from solvers.reductions.tries import Engine
from solvers.result import Limits, Result

PATIENCE = 3
"""Rounds of one kind of improvement that may bring nothing where members were placed beside the others."""
KEPT = 0.05
"""The share of the time that is kept for names at the end."""


def by_names(problem: Problem, merged: Merged, counts: Result, *, seed: int, clock: Clock) -> Result | None:
    """Return an answer to the problem without its rules, merged, as one that keeps them; None where none was found."""
    seconds, interrupt = clock.left_s, clock.interrupt
    found = named(problem, merged, counts, seed=seed, seconds=seconds, interrupt=interrupt)
    if found is not None or not _is_empty(problem):
        return found
    near = nearly_named(problem, merged, counts, seed=seed, seconds=clock.left_s, interrupt=interrupt)
    if near is None:
        return None
    own = Clock(limits=Limits(time_limit_s=max(0.0, clock.left_s)), interrupt=interrupt)
    return ByGathering(problem=problem, seed=seed, clock=own).beside(near, PATIENCE)


def loose_of(problem: Problem, merged: Merged) -> Merged | None:
    """Return the problem without rules and without limits of hosts that have room to spare, merged, where that halves
    the flavors of `merged`, which has no rules alone, and members can be named afterwards; else None.
    """
    if not can_name(problem) or not _is_empty(problem):
        return None
    plain = replace(problem, rules=())
    found = Merged.of(loosened(plain, {flavor for rule in problem.rules for flavor in rule.members}))
    few = found is not None and 2 * len(found.problem.flavors) <= len(merged.problem.flavors)
    return replace(found, source=plain) if found is not None and few else None


def _is_empty(problem: Problem) -> bool:
    return all(one.is_empty and not one.fixed_members for one in problem.classes)


@dataclass(slots=True, kw_only=True)
class ByNaming:
    """The work on one problem; `loose` is what `loose_of` returns.

    Attributes
    ----------
    costs_nothing : whether VMs were named at no cost, so that the counts are what to work on.
    """

    problem: Problem
    loose: Merged
    engine: Engine
    seed: int
    clock: Clock
    telling: Telling
    costs_nothing: bool = field(default=False, init=False)

    def answer(self, first: Result | None, part: Limits, whole: Limits) -> BestAnswer:
        """Return the best answer found: in `part` of the limits, and where names cost nothing in the whole."""
        counts = self.engine(self.loose.problem, part, None, ())
        search = BestAnswer(
            problem=self.problem, relaxed=self.loose.back(counts), rounds=counts.rounds, telling=self.telling
        )
        search.offer(first)
        search.offer(self._named(counts))
        self.costs_nothing = search.best is not None and search.values <= self._worth(counts)
        if search.closed or not self.costs_nothing:
            return search
        rest = None if whole.rounds is None else max(0, whole.rounds - search.rounds)
        seconds = (1 - KEPT) * whole.time_limit_s - self.clock.seconds
        left = Limits(time_limit_s=max(0.0, seconds), rounds=rest)
        later = self.engine(self.loose.problem, left, counts, counts.objectives)
        search.rounds += later.rounds
        search.earlier, search.relaxed = search.relaxed, self.loose.back(replace(later, rounds=counts.rounds))
        search.offer(self._named(later))
        return search

    def _named(self, counts: Result) -> Result | None:
        return by_names(self.problem, self.loose, counts, seed=self.seed, clock=self.clock)

    def _worth(self, counts: Result) -> tuple[int, ...]:
        return evaluate(self.loose.problem, counts.patterns, counts.unplaced)
