"""Turn an engine's objective results into what the plan says of each goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from placer.model.goals import Goal
from placer.model.plan import GoalResult
from solvers.problem import Objective
from solvers.result import ObjectiveResult

MEASURED = ("cores", "l3", "balance", "excess")
"""Goals that pinning settles: the plan is measured, the counts only bound it."""

NOTHING_COUNTS = "nothing counts towards it"

_RANK = {"optimal": 0, "feasible": 1, "unknown": 2, "infeasible": 3}


def gap_of(value: float | None, bound: float | None) -> float | None:
    """Return (value − bound) / max(|value|, |bound|), 0 where both are 0, None where either is unknown."""
    if value is None or bound is None:
        return None
    largest = max(abs(value), abs(bound))
    return abs(value - bound) / largest if largest else 0.0


def goal_results(
    goals: Sequence[Goal],
    objectives: Sequence[Objective],
    results: Sequence[ObjectiveResult],
    constants: Mapping[str, int],
    measured: Mapping[str, float | None],
    excess: Sequence[tuple[str, float]] = (),
) -> tuple[GoalResult, ...]:
    """Return one result a goal, in order.

    Parameters
    ----------
    constants : goal -> what immovable VMs add to it, in the objective's integer unit.
    measured : goal -> its value in the finished plan, for goals that the counts only bound: those of `MEASURED`, and
        `rules` where a rule is over L3 domains.
    excess : (part, value) of the goal ``excess`` in the finished plan.
    """
    paired: dict[str, list[tuple[Objective, ObjectiveResult]]] = {}
    for objective, result in zip(objectives, results, strict=True):
        paired.setdefault(objective.goal, []).append((objective, result))
    out: list[GoalResult] = []
    held: str | None = None
    for goal in goals:
        own = paired.get(goal.name, [])
        if goal.kind == "excess":
            found = _excess(goal, own, constants, held, excess)
            out.append(found)
            held = goal.name if held is None and found.status != "optimal" else held
            continue
        found = _combine(goal, own, constants.get(goal.name, 0), held)
        if goal.kind in MEASURED or goal.name in measured:
            found = _with_measured(found, measured.get(goal.name), held)
        out.append(found)
        if held is None and found.status != "optimal":
            held = goal.name
    return tuple(out)


def _excess(
    goal: Goal,
    own: Sequence[tuple[Objective, ObjectiveResult]],
    constants: Mapping[str, int],
    held: str | None,
    parts: Sequence[tuple[str, float]],
) -> GoalResult:
    """Return what has no place: the value as measured, part by part; parts that no count bounds are never below 0."""
    known = {objective.part: (objective, result) for objective, result in own}
    tiers: list[dict[str, Any]] = []
    optimal, stopped = held is None, ""
    for part, value in parts:
        bound, source = 0.0, "it is never below 0"
        if part in known:
            objective, result = known[part]
            constant = constants.get(objective.shortage or "", 0)
            bound = 0.0 if result.bound is None else max(0.0, (result.bound + constant) / objective.unit)
            source, stopped = result.source or source, stopped or result.stopped
        elif not value:
            continue
        met = abs(value - bound) <= 1e-6 * max(1.0, abs(value))
        optimal = optimal and met
        status = "optimal" if optimal else "feasible"
        tiers.append(
            {"part": part, "value": value, "bound": value if met else bound, "source": source, "status": status}
        )
    total, least = _sum(tier["value"] for tier in tiers), _sum(tier["bound"] for tier in tiers)
    return GoalResult(
        name=goal.name,
        value=total,
        bound=least,
        gap=gap_of(total, least),
        source=next((tier["source"] for tier in tiers if tier["status"] != "optimal"), tiers[0]["source"])
        if tiers
        else NOTHING_COUNTS,
        status="optimal" if optimal else "feasible",
        stopped=stopped,
        held_at=held,
        tiers=tuple(tiers),
    )


def _combine(
    goal: Goal, own: Sequence[tuple[Objective, ObjectiveResult]], constant: int, held: str | None
) -> GoalResult:
    if not own:
        return GoalResult(
            name=goal.name,
            value=0.0,
            bound=0.0,
            gap=0.0,
            source=NOTHING_COUNTS,
            status="optimal" if held is None else "feasible",
            held_at=held,
        )
    tiers = [_tier(objective, result, constant if number == 0 else 0) for number, (objective, result) in enumerate(own)]
    worst = max((result for _, result in own), key=lambda result: _RANK[result.status])
    # `placed` adds up its vCPU tiers over the priorities; `moves` is the VMs that change host, its second tier
    # refines it.
    counted = tiers[::2] if goal.kind == "placed" else tiers[:1]
    value, bound = _sum(tier["value"] for tier in counted), _sum(tier["bound"] for tier in counted)
    # Measured after pinning, an earlier goal may be unproven although the counts of this one are.
    status = "feasible" if held is not None and worst.status == "optimal" else worst.status
    return GoalResult(
        name=goal.name,
        value=value,
        bound=bound,
        gap=gap_of(value, bound),
        source=worst.source,
        status=status,
        stopped=worst.stopped,
        held_at=held,
        tiers=tuple(tiers) if len(tiers) > 1 else (),
    )


def _tier(objective: Objective, result: ObjectiveResult, constant: int) -> dict[str, Any]:
    def people(number: int | None) -> float | None:
        if number is None:
            return None
        scaled = objective.sign * (number + constant)
        return scaled / objective.unit if scaled % objective.unit else scaled // objective.unit

    return {
        "part": objective.part,
        "value": people(result.value),
        "bound": people(result.bound),
        "source": result.source,
        "status": result.status,
    }


def _with_measured(found: GoalResult, value: float | None, held: str | None) -> GoalResult:
    """Put the plan's measured value in place of the counts' own; it is optimal only where it meets the bound."""
    bound = found.bound
    met = value is not None and bound is not None and abs(value - bound) <= 1e-6 * max(1.0, abs(value))
    if met:
        bound = value
    status: Literal["optimal", "feasible", "unknown"] = "unknown" if value is None else "feasible"
    if met and held is None and found.status == "optimal":
        status = "optimal"
    source = "it is never below 0" if found.source == NOTHING_COUNTS else found.source
    return GoalResult(
        name=found.name,
        value=value,
        bound=bound,
        gap=gap_of(value, bound),
        source=source,
        status=status,
        stopped=found.stopped,
        held_at=held,
    )


def _sum(numbers: Any) -> float | None:
    total: float = 0
    for number in numbers:
        if number is None:
            return None
        total += number
    return total
