"""Our own checker on our own plan: a claim that does not hold is taken back, anything else that is wrong is refused.

A bound or a status that the checker refuses is a fault of ours, and no reason to leave the user without a plan that
keeps every limit: it is written without the claim, and with a line that says so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Any, Final

from placer.check.check import CheckedFleet, check
from placer.errors import Fault, RefusedPlanError
from placer.model.fleet import Fleet
from placer.model.plan import GoalResult, Plan

OWN_FAULTS: Final = "PLACER_OWN_FAULTS"
"""Environment variable: with ``error``, as the tests set it, a claim that does not hold is an error like any other."""

OWN_FAULT: Final = "a fault of placer's own, please report it: "
"""How a warning begins that names one."""


def accepted(fleet: Fleet, plan: Plan, known: CheckedFleet | None = None) -> Plan:
    """Return a plan that the checker accepts: the given one, or one that claims less; `known` is as `check` has it.

    Raises
    ------
    RefusedPlanError
        If something other than a bound or a status is wrong.
    """
    report = check(fleet, plan, known=known)
    if report.ok:
        return plan
    modest = None if faults_are_errors() else _modest(plan, report.faults)
    if modest is None or not check(fleet, modest, known=known).ok:
        raise RefusedPlanError(report.faults)
    text = reported(plan, report.faults, "The plan keeps every limit; what is not proven is left out")
    return replace(modest, warnings=(*modest.warnings, OWN_FAULT + text))


def faults_are_errors() -> bool:
    """Tell whether a fault of placer's own ends the command."""
    return os.environ.get(OWN_FAULTS) == "error"


def reported(plan: Plan, faults: Sequence[Fault], outcome: str) -> str:
    """Return what was at fault, what came of it, and what a report of it needs."""
    what = "; ".join(dict.fromkeys(fault.message for fault in faults))
    return f"{what}. {outcome} (input {plan.fleet_digest}, seed {plan.seed}, {plan.rounds} rounds)"


def _modest(plan: Plan, faults: Sequence[Fault]) -> Plan | None:
    """Return the plan without the bounds of the goals that are at fault; None where other things are."""
    names = {goal.name for goal in plan.goals}
    wrong = set()
    for fault in faults:
        place = fault.field or ""
        name = next((name for name in names if place in (f"goals.{name}", f"goals.{name}.tiers")), None)
        if name is None and place != "status":
            return None
        if name is not None:
            wrong.add(name)
    return without_claims(plan, wrong)


def without_claims(plan: Plan, wrong: Set[str]) -> Plan:
    """Return the plan without the bounds of the goals that are wrong."""
    goals: list[GoalResult] = []
    first: str | None = None
    for goal in plan.goals:
        kept = _without_bound(goal) if goal.name in wrong else goal
        status = "feasible" if first is not None and kept.status == "optimal" else kept.status
        goals.append(replace(kept, status=status, held_at=first))
        if first is None and status != "optimal":
            first = goal.name
    # The certificate stays: it holds the bounds that are left, as far as it did before.
    return replace(plan, goals=tuple(goals), status="feasible")


def _without_bound(goal: GoalResult) -> GoalResult:
    tiers: list[dict[str, Any]] = [{**tier, "bound": None, "source": "", "status": "feasible"} for tier in goal.tiers]
    return replace(goal, bound=None, gap=None, source="", status="feasible", held={}, tiers=tuple(tiers))
