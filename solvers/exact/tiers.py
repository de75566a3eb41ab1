"""What the exact engine knows of each objective while it works, and what it says of it in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from solvers.backends.cpsat_rows import Sum
from solvers.problem import Objective
from solvers.result import ObjectiveResult, Status


@dataclass(slots=True)
class Tier:
    """What is known of one objective: `held` is its best value, kept by later ones; `done` when no round can help.

    `narrowed` tells that a narrow search was finished, or found nothing better in its time. `claims` are bounds with
    their sources, by the values of the earlier objectives that they were proven under; `bound` is the best of those
    that hold now.
    """

    total: Sum
    tolerance: float
    bound: int | None = None
    source: str = ""
    held: int | None = None
    done: bool = False
    narrowed: bool = False
    claims: dict[tuple[int, ...], tuple[int, str]] = field(default_factory=dict)

    def claim(self, bound: int, source: str, under: tuple[int, ...]) -> None:
        """Note a bound that holds while no earlier objective is above its value in `under`."""
        known = self.claims.get(under)
        if known is None or bound > known[0]:
            self.claims[under] = bound, source

    def review(self, now: Sequence[int]) -> None:
        """Take the best bound that holds with the earlier objectives at `now`, which may be worse than before."""
        self.bound, self.source = None, ""
        for under, (bound, source) in self.claims.items():
            allowed = len(under) <= len(now) and all(value <= most for value, most in zip(now, under, strict=False))
            if allowed and (self.bound is None or bound > self.bound):
                self.bound, self.source = bound, source

    @property
    def proven(self) -> bool:
        return self.bound is not None and self.held is not None and self.held <= self.bound

    @property
    def ceiling(self) -> int | None:
        return None if self.held is None else self.held + int(abs(self.held) * self.tolerance)

    def reason(self, value: int | None, stopped: str) -> str:
        """Return why work on it ended, "" where it is proven; `stopped` is why the search did."""
        if self.proven:
            return "" if value is None or value == self.held else "later goals used its tolerance"
        return "not every placement was enumerated" if self.done else stopped


def objective_results(
    objectives: Sequence[Objective],
    tiers: Sequence[Tier],
    values: Sequence[int | None],
    *,
    infeasible: bool,
    stopped: str,
) -> tuple[ObjectiveResult, ...]:
    """Return value, bound, status and reason for stopping of every objective; `values` are None without an answer."""
    rows = []
    optimal = True
    for objective, tier, value in zip(objectives, tiers, values, strict=True):
        optimal = optimal and tier.proven
        status: Status = "optimal" if optimal else "feasible"
        if value is None:
            status = "infeasible" if infeasible else "unknown"
        rows.append(
            ObjectiveResult(
                goal=objective.goal,
                part=objective.part,
                value=value,
                bound=None if infeasible else tier.bound,
                source="" if tier.bound is None or infeasible else tier.source,
                status=status,
                stopped="no answer exists" if infeasible else tier.reason(value, stopped),
            )
        )
    return tuple(rows)
