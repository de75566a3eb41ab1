"""Turn an engine's objective results into what the plan says of each goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from placer.model.goals import PART_WORDS, Goal
from placer.model.plan import GoalResult
from solvers.objective import Objective
from solvers.result import ObjectiveResult

MEASURED = ("cores", "l3", "balance", "excess", "repins")
"""Goals that pinning settles: the plan is measured, the counts only bound it."""

NOTHING_COUNTS = "nothing counts towards it"
KEPT_TWICE = "VMs that keep the same CPUs"

PINNED, SUMMED = 1e-6, 1e-9
"""By more than so much of itself a goal measured on the pins is worse than its counts; of `excess`, which adds up KiB
and CPUs, so little is a CPU still.
"""

_Paired = tuple[Objective, ObjectiveResult]

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
    *,
    complete: bool = True,
    kept_twice: int = 0,
) -> tuple[GoalResult, ...]:
    """Return one result a goal, in order.

    Parameters
    ----------
    constants : goal -> what immovable VMs add to it, in the objective's integer unit.
    measured : goal -> its value in the finished plan, for goals that the counts only bound: those of `MEASURED`, and
        `rules` where a rule is over L3 domains.
    excess : (part, value) of the goal ``excess`` in the finished plan.
    complete : whether counts say of every host what it lacks; where some only ever allow too little, they may say more
        than pins do, and bound no excess.
    kept_twice : dedicated vCPUs that share their CPU in any plan, for VMs that keep their CPUs have the same.
    """
    paired: dict[str, list[tuple[Objective, ObjectiveResult]]] = {}
    for objective, result in zip(objectives, results, strict=True):
        paired.setdefault(objective.goal, []).append((objective, result))
    out: list[GoalResult] = []
    held: str | None = None
    for goal in goals:
        own = paired.get(goal.name, [])
        if goal.kind == "excess":
            found = _excess(goal, own if complete else (), constants, held, excess, kept_twice)
            out.append(found)
            held = goal.name if held is None and found.status != "optimal" else held
            continue
        found = _combine(goal, own, constants, held)
        if goal.kind in MEASURED or goal.name in measured:
            found = _with_measured(found, measured.get(goal.name), held)
        before = _Before(goals[: len(out)], out, objectives, constants)
        if found.bound is not None and found.source != NOTHING_COUNTS:
            found = _under(found, before.held([one.held for _, one in _counted(goal, own)]))
        if len(found.tiers) == len(own):
            broken = [before.held([one.held]) is None for _, one in own]
            tiers = zip(found.tiers, broken, strict=True)
            found = replace(found, tiers=tuple(_unknown(tier) if worse else tier for tier, worse in tiers))
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
    kept_twice: int,
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
        if part == PART_WORDS["CPUs"] and kept_twice > bound:
            bound, source = float(kept_twice), KEPT_TWICE
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


def _counted(goal: Goal, own: Sequence[_Paired]) -> Sequence[_Paired]:
    """Return the parts that a goal's value is the sum of: `placed` adds up its vCPUs over the priorities; of
    `remote` the last counts; of the others the first does, and the rest refine it.
    """
    if goal.kind == "remote":
        return own[-1:]
    return own[::2] if goal.kind == "placed" else own[:1]


@dataclass(frozen=True, slots=True)
class _Before:
    """The goals before one, as the plan says them."""

    goals: Sequence[Goal]
    results: Sequence[GoalResult]
    objectives: Sequence[Objective]
    constants: Mapping[str, int]

    def held(self, under: Sequence[tuple[int, ...]]) -> dict[str, float] | None:
        """Return goal -> the value under which bounds hold that were proven `under` these of the objectives; None where
        pins made one of them worse.
        """
        held: dict[str, float] = {}
        for goal, known in zip(self.goals, self.results, strict=True):
            places = [(n, o) for n, o in enumerate(self.objectives) if o.goal == goal.name]
            counted = {"placed": places[::2], "excess": places, "remote": places[-1:]}.get(goal.kind, places[:1])
            limits = [min((values[n] for values in under if n < len(values)), default=None) for n, _ in counted]
            if not counted or None in limits:
                continue
            most = _uncounted(known, [o.part for _, o in counted]) if goal.kind == "excess" else 0
            for (_, one), limit in zip(counted, limits, strict=True):
                total = (limit or 0) + self.constants.get(one.shortage or goal.name, 0)
                most += one.sign * (total / one.unit if total % one.unit else total // one.unit)
            held[goal.name] = most
            room = PINNED + SUMMED * abs(most) if goal.kind == "excess" else PINNED * max(1.0, abs(most))
            if known.value is not None and counted[0][1].sign * (known.value - most) > room:
                return None
        return held


def _under(found: GoalResult, held: Mapping[str, float] | None) -> GoalResult:
    """Say under which values of earlier goals the bound holds; without it where pins made one of them worse."""
    if held is None:
        return replace(found, bound=None, gap=None, source="", status="feasible")
    return replace(found, held=held)


def _unknown(tier: Mapping[str, Any]) -> dict[str, Any]:
    return {**tier, "bound": None, "source": "", "status": "feasible"}


def _uncounted(excess: GoalResult, counted: Sequence[str]) -> float:
    """Return the excess in parts that no objective counts: it is as measured."""
    return sum(float(tier["value"] or 0) for tier in excess.tiers if tier["part"] not in counted)


def _combine(goal: Goal, own: Sequence[_Paired], constants: Mapping[str, int], held: str | None) -> GoalResult:
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
    first = len(own) - 1 if goal.kind == "remote" else 0
    tiers = [
        _tier(one, result, constants.get(goal.name if number == first else one.part, 0))
        for number, (one, result) in enumerate(own)
    ]
    worst = max((result for _, result in own), key=lambda result: _RANK[result.status])
    counted = tiers[::2] if goal.kind == "placed" else tiers[first : first + 1]
    value, bound = _sum(tier["value"] for tier in counted), _sum(tier["bound"] for tier in counted)
    # Measured after pinning, an earlier goal may be unproven although the counts of this one are.
    status = "feasible" if held is not None and worst.status == "optimal" else worst.status
    return GoalResult(
        name=goal.name,
        value=value,
        bound=bound,
        gap=gap_of(value, bound),
        # A later part without a bound has no source; what bounds the goal is the part that it counts.
        source=worst.source or next((tier["source"] for tier in counted if tier["source"]), ""),
        status=status,
        stopped=worst.stopped,
        held_at=held,
        tiers=tuple(tiers) if len(tiers) > 1 else (),
    )


def with_bindings(goals: Sequence[GoalResult], shall: int) -> tuple[GoalResult, ...]:
    """Raise the bound of the goal ``repins`` where `shall` VMs that are somewhere shall be bound to nodes.

    In plans that are no worse in the goals before it at most so many of them still float and at most so many leave
    their host, the first part of ``moves``: the others are re-pinned where they are. No node of its host is a move to
    a VM that lies anywhere on it, so changes of node, the second part, take none of them.
    """
    names = [goal.name for goal in goals]
    if not shall or "repins" not in names or not {"remote", "moves"} <= set(names[: names.index("repins")]):
        return tuple(goals)
    known = {goal.name: goal for goal in goals}
    found, remote, moves = known["repins"], known["remote"], known["moves"]
    if not remote.tiers or not moves.tiers or found.value is None or remote.value is None or moves.value is None:
        return tuple(goals)
    least = shall - remote.tiers[0]["value"] - moves.tiers[0]["value"]
    if least <= (found.bound or 0):
        return tuple(goals)
    status: Literal["optimal", "feasible"] = "feasible"
    if found.value == least and found.held_at is None:
        status = "optimal"
    raised = replace(
        found,
        bound=least,
        gap=gap_of(found.value, least),
        source="VMs that shall be bound where they are",
        status=status,
        held={"remote": remote.value, "moves": moves.value},
    )
    out: list[GoalResult] = []
    first: str | None = None
    for goal in goals:
        # What was held at re-pins is held at the next goal that is open, once these are proven.
        out.append(replace(raised if goal is found else goal, held_at=first))
        if first is None and out[-1].status != "optimal":
            first = goal.name
    return tuple(out)


def with_moves(goal: GoalResult, parts: Mapping[str, float], *, settled: bool = False) -> GoalResult:
    """Put the moves of the finished plan in place of the counts' own.

    Counts may have more: to exchange the nodes of cells that are alike moves nothing, so the plan leaves them where
    they are; bounds stand. Where pins have `settled` what moves, either may have more and no bound is claimed: on hosts
    whose devices could be given otherwise to those that stay, and where counts let a VM that is bound to sets of nodes
    float over its own host, which it may not.
    """
    tiers = tuple(
        tier if tier["value"] == parts[tier["part"]] else _as_measured(tier, parts[tier["part"]], settled)
        for tier in goal.tiers
    )
    if tiers == goal.tiers or not tiers:
        return goal
    status = "feasible" if goal.status == "optimal" else goal.status
    value, bound = tiers[0]["value"], tiers[0]["bound"]
    return replace(goal, tiers=tiers, value=value, bound=bound, gap=gap_of(value, bound), status=status)


def _as_measured(tier: Mapping[str, Any], value: float, settled: bool) -> dict[str, Any]:
    if settled:
        return {**_unknown(tier), "value": value}
    # More than was counted is a fault of ours, which the checker finds.
    return {**tier, "value": value, "status": "feasible"} if value < tier["value"] else dict(tier)


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
