"""What the exact engine knows of each objective while it works, and what it says of it in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from solvers.backends.cpsat_rows import Sum
from solvers.claims import NOTHING, Claim, Claims
from solvers.objective import Objective, ceiling
from solvers.result import ObjectiveResult, Status


@dataclass(slots=True)
class Tier:
    """What is known of one objective: `held` is its best value, kept by later ones; `done` when no round can help.

    `narrowed` tells that a narrow search was finished, or found nothing better in its time. `claim` is the best bound
    that holds now.
    """

    total: Sum
    tolerance: float
    claim: Claim = NOTHING
    held: int | None = None
    done: bool = False
    narrowed: bool = False

    @property
    def bound(self) -> int | None:
        return self.claim.value

    @property
    def proven(self) -> bool:
        return self.claim.met(self.held)

    @property
    def ceiling(self) -> int | None:
        return None if self.held is None else ceiling(self.held, self.tolerance)

    def reason(self, value: int | None, stopped: str) -> str:
        """Return why work on it ended, "" where it is proven; `stopped` is why the search did."""
        if self.proven:
            return "" if value is None or value == self.held else "later goals used its tolerance"
        return "not every placement was enumerated" if self.done else stopped


def objective_results(
    objectives: Sequence[Objective],
    tiers: Sequence[Tier],
    values: Sequence[int | None],
    claims: Claims,
    *,
    infeasible: bool,
    stopped: str,
) -> tuple[ObjectiveResult, ...]:
    """Return value, bound, status and reason for stopping of every objective; `values` are None without an answer."""
    if infeasible or None in values:
        status: Status = "infeasible" if infeasible else "unknown"
        why = "no answer exists" if infeasible else stopped
        return tuple(
            ObjectiveResult(
                goal=objective.goal,
                part=objective.part,
                value=None,
                bound=None if infeasible else tier.bound,
                source="" if infeasible else tier.claim.source,
                status=status,
                stopped=why if infeasible else tier.reason(None, stopped),
            )
            for objective, tier in zip(objectives, tiers, strict=True)
        )
    known = [value for value in values if value is not None]
    rows = [
        ObjectiveResult(
            goal=objective.goal,
            part=objective.part,
            value=value,
            bound=None,
            source="",
            status="feasible",
            stopped=tier.reason(value, stopped),
        )
        for objective, tier, value in zip(objectives, tiers, known, strict=True)
    ]
    return claims.judged(rows, known)[0]
