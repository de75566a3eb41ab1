"""An answer that keeps groups together, from one without rules: groups gathered, then hosts that hold little emptied.

Where hosts differ much, which of them to use is decided best without the rules; the groups find their domains in that
answer (`gather`), and what that costs in hosts is won back by moving VMs, each within its group's domain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from solvers.clock import Clock, CutOffError
from solvers.columns.model import StateModel
from solvers.evaluate import evaluate
from solvers.improve.stage import stage_on
from solvers.problem import Problem
from solvers.reductions.gather import gathered
from solvers.reductions.make_way import made_way
from solvers.reductions.merged import Merged
from solvers.reductions.tries import Try
from solvers.result import Result
from solvers.starts.best_fit import rows_of
from solvers.starts.mend import firm

UNEVEN = 17
"""Kinds of hosts from which on which of them to use is the question."""
RETIES = 6
"""Times that groups which find no room where they were gathered go elsewhere."""
PATIENCE, BRIEFLY = 40, 3
"""Rounds of one kind that may bring nothing; and while VMs are left out, whose room takes most of them."""


def is_uneven(problem: Problem) -> bool:
    """Tell whether there are many kinds of hosts to choose among."""
    return len(StateModel(problem=problem).states) >= UNEVEN


@dataclass(slots=True, kw_only=True)
class ByGathering:
    """The work on one answer; `clock` counts its rounds."""

    problem: Problem
    seed: int
    clock: Clock

    def answer(self, merged: Merged | None, counts: Result) -> Result | None:
        """Return an answer near one of the problem without rules, merged; None where groups could not be gathered."""
        if not self.clock.next_round():
            return None
        near = gathered(self.problem, merged, counts, clock=self.clock)
        if near is None:
            self.clock.cut_round()
            return None
        return self.beside(near, PATIENCE)

    def beside(self, near: Result, patience: int) -> Result | None:
        """Return an answer near one that keeps the rules and leaves VMs out: groups are where it has them, VMs left out
        are placed beside; improved until so many rounds of a kind bring nothing. None where that is not so soon done.
        """
        try:
            chosen = Try.beside(self.problem, near, self.seed, check=self.clock.check)
        except CutOffError:
            self.clock.cut_round()
            return None
        if chosen.warm is None:
            return None
        for _ in range(RETIES):
            chosen.warm = made_way(chosen.tied.problem, chosen.warm, seed=self.seed, clock=self.clock)
            if not any(chosen.warm.unplaced) or not self.clock.next_round():
                break
            try:
                other = chosen.again_beside(self.seed)
            except CutOffError:
                self.clock.cut_round()
                break
            if other.warm is None:
                break
            chosen = other
        assert chosen.warm is not None
        found = chosen.warm
        if any(found.unplaced):
            found = self._improved(chosen.tied.problem, found, BRIEFLY)
        answer = chosen.back(self._improved(chosen.tied.problem, found, patience))
        values = evaluate(self.problem, answer.patterns, answer.unplaced)
        return replace(answer, objectives=rows_of(self.problem, values))

    def _improved(self, problem: Problem, found: Result, patience: int) -> Result:
        """Return an answer to the tied problem, improved in rounds."""
        stage = stage_on(firm(problem, found), found, seed=self.seed, patience=patience)
        while stage is not None and self.clock.goes_on() and stage.round():
            self.clock.rounds += 1
        return found if stage is None else stage.answer()
