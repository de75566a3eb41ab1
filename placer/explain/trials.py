"""Solves of parts of one fleet for placing alone: what conflicts and cures are found by."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.model.rules import Rule
from placer.planning.after import with_vms
from placer.planning.compile.budget import move_budget
from placer.planning.compile.compile import compile_fleet
from solvers.problem import MoveBudget
from solvers.result import Limits

TRIAL_S = 5.0
MOST_TRIALS = 400

Rules = Mapping[int, Rule]
"""Rules in place of those of a fleet, by index."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a trial keeps of a fleet: VMs and rules by index, and the limit on moves."""

    vms: tuple[int, ...]
    rules: tuple[int, ...]
    limit: bool


class Trials:
    """Solves of parts of one fleet for placing alone, remembered and counted."""

    def __init__(
        self, fleet: Fleet, max_moves: int | None, max_migrations: int | None, trial_s: float, search_s: float
    ) -> None:
        """Take the fleet and the limits of the solve that is explained."""
        self.fleet, self.trial_s = fleet, trial_s
        self.budget = move_budget(fleet, max_moves, max_migrations)
        self.left = MOST_TRIALS
        self.until = time.monotonic() + search_s
        self.end = self.until + search_s
        self.undecided = False
        self._known: dict[Parts, bool] = {}

    def part(self, parts: Parts, changed: Rules | None = None) -> Fleet:
        """Return the fleet with these parts alone, `changed` rules replaced, without rules that then select no VM."""
        rules = tuple((changed or {}).get(n, self.fleet.rules[n]) for n in parts.rules)
        ruled = dataclasses.replace(self.fleet, rules=rules)
        return with_vms(ruled, (self.fleet.vms[n] for n in parts.vms))

    def impossible(self, parts: Parts) -> bool:
        """Tell whether it is proven that the VMs of these parts cannot all be placed."""
        if parts not in self._known:
            if self.left <= 0 or (self._known and time.monotonic() > self.until):
                self.undecided = True
                return False
            self.left -= 1
            placed = self.all_placed(self.part(parts), self.budget if parts.limit else MoveBudget())
            self.undecided |= placed is None
            self._known[parts] = placed is False
        return self._known[parts]

    def all_placed(self, fleet: Fleet, budget: MoveBudget) -> bool | None:
        """Tell whether all VMs of a fleet can be placed; None where a solve does not decide it in time."""
        from solvers.solve import solve

        if self._known and time.monotonic() > self.end:
            return None
        compiled = compile_fleet(fleet, parse_goals("placed", fleet), budget)
        result = solve(compiled.problem, limits=Limits(time_limit_s=self.trial_s))
        if result.status == "infeasible":
            return False
        if result.is_answer and not any(result.unplaced):
            return True
        if any(one.bound is not None and one.bound > 0 for one in result.objectives):
            return False
        return None


def fewest(items: tuple[int, ...], holds: Callable[[tuple[int, ...]], bool]) -> tuple[int, ...]:
    """Return a subset that holds and none of whose items can be left out, for a property that more items keep."""
    kept, size = items, max(1, len(items) // 2)
    while kept:
        first = 0
        while first < len(kept):
            trial = kept[:first] + kept[first + size :]
            if holds(trial):
                kept = trial
            else:
                first += size
        if size == 1:
            break
        size //= 2
    return kept
