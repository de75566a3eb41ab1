"""The few moves that bring VMs nearest to their memory: how much remote access so many moves can save at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from placer.errors import InputError
from placer.measure.before import values_before
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.moves.changes import Changes, plan_changes
from placer.planner import solve_fleet

_GOALS = ("placed", "excess", "rules", "remote", "moves")


@dataclass(frozen=True, slots=True, kw_only=True)
class BestMoves:
    """What the best moves within a limit come to.

    Attributes
    ----------
    limit : most VMs that change host or node.
    before, after : remote access of the fleet now and then (vCPU equivalents); None where it is not known now.
    at_least : no plan of so many moves has less remote access, the goals before it being held; None where not proven.
    """

    limit: int
    plan: Plan
    changes: Changes
    before: float | None
    after: float | None
    at_least: float | None

    @property
    def proven(self) -> bool:
        """Tell whether no moves within the limit save more."""
        return self.plan.goal("remote").status == "optimal"


def best_moves(fleet: Fleet, limits: Sequence[int], *, time_limit_s: float, seed: int = 0) -> tuple[BestMoves, ...]:
    """Solve for the least remote access within each limit on moves: the frontier of the two, ascending.

    Parameters
    ----------
    time_limit_s : seconds in all, shared evenly among the limits.

    Raises
    ------
    InputError
        No VM runs anywhere, so there is nothing to move.
    """
    if not fleet.is_live:
        raise InputError("no VM of the fleet is on a host", field="--best", cure="plan it first: placer solve")
    before = values_before(fleet, ("remote",))["remote"]
    found = []
    for limit in sorted(set(limits)):
        plan = solve_fleet(
            fleet, goals=_GOALS, max_moves=limit, time_limit_s=time_limit_s / len(set(limits)), seed=seed
        )
        remote = plan.goal("remote")
        found.append(
            BestMoves(
                limit=limit,
                plan=plan,
                changes=plan_changes(fleet, plan),
                before=before,
                after=remote.value,
                at_least=remote.bound,
            )
        )
    return tuple(found)
