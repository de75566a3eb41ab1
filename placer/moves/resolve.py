"""Plans without circles: where moves wait for each other, solve once more without what makes the circles.

A VM of a circle arrives on a host that another one of it has to leave first. That host, and those alike, may then take
no VM of its flavor, and the fleet is solved again. The second plan is taken only where it is as good in every goal and
needs fewer VMs put aside; the bounds of the first problem hold for it, since the second only has fewer answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from placer.model.plan import Plan
from placer.moves.model import Cycle
from placer.moves.schedule import cyclic_moves
from placer.planning.compile.compile import Compiled
from placer.planning.decode.results import MEASURED
from solvers.claims import Claims, with_claims
from solvers.evaluate import evaluate, violations
from solvers.problem import BoolArray, Problem
from solvers.result import Result

PINNED_GOALS = (*MEASURED, "rules")
"""Goals that are measured on the finished pins, which a result in counts does not know, or not all of."""


def without_cycles(
    compiled: Compiled,
    result: Result,
    plan: Plan,
    solve_again: Callable[[Problem], Result | None],
    plan_of: Callable[[Result], Plan],
) -> Plan:
    """Return a plan as good as the given one whose moves need fewer VMs put aside; else the given one.

    Parameters
    ----------
    result, plan : an engine's answer and the plan made of it.
    solve_again : solves a problem like the one answered; None where nothing of the limit is left.
    plan_of : makes a plan of an answer.

    Where there are circles, `summary["cycles"]` says how many VMs had to be put aside at least, how many now, and what
    was done.
    """
    cycles = cyclic_moves(compiled.fleet, plan) if any(vm.from_host is not None for vm in plan.vms) else ()
    if not cycles:
        return plan
    narrowed = _without_arrivals(compiled, plan, cycles)
    second = None if narrowed is None else solve_again(narrowed)
    if second is None:
        why = "all are within hosts" if narrowed is None else "no time was left to solve again"
        return _said(plan, cycles, cycles, why)
    plan = replace(plan, rounds=result.rounds + max(1, second.rounds))
    merged = _merged(compiled.problem, result, second)
    if merged is None:
        return _said(plan, cycles, cycles, "solved again: without them a goal gets worse")
    other = plan_of(merged)
    left = cyclic_moves(compiled.fleet, other)
    if _aside(left) >= _aside(cycles) or not _as_good(other, plan):
        return _said(plan, cycles, cycles, "solved again: no plan with fewer is as good")
    return _said(other, cycles, left, "solved again without them: no goal is worse")


def _without_arrivals(compiled: Compiled, plan: Plan, cycles: Sequence[Cycle]) -> Problem | None:
    """Return the problem in which no VM of a circle's flavors arrives where the circle takes it; None for no change."""
    fleet, problem = compiled.fleet, compiled.problem
    number_of = {vm.name: number for number, vm in enumerate(fleet.vms)}
    class_of = {host: number for number, cls in enumerate(problem.classes) for host in cls.members}
    host_of = {host.name: number for number, host in enumerate(fleet.hosts)}
    allowed: dict[int, BoolArray] = {}
    for name in sorted({name for cycle in cycles for name in cycle.vms}):
        planned = plan.vm_by_name[name]
        flavor = compiled.flavors.of_vm[number_of[name]]
        if planned.from_host is not None and flavor >= 0:
            at = class_of[host_of[planned.host]]
            allowed.setdefault(at, problem.classes[at].allowed.copy())[flavor] = False
    if not allowed:
        return None
    classes = tuple(
        replace(cls, allowed=allowed[number]) if number in allowed else cls
        for number, cls in enumerate(problem.classes)
    )
    return replace(problem, classes=classes)


def _merged(problem: Problem, first: Result, second: Result) -> Result | None:
    """Return the second answer with the bounds of the first; None where any value of it is worse."""
    if not second.patterns or violations(problem, second.patterns, second.unplaced):
        return None
    values = evaluate(problem, second.patterns, second.unplaced)
    if any(one.value is None or value > one.value for value, one in zip(values, first.objectives, strict=True)):
        return None
    other = replace(
        first, patterns=second.patterns, unplaced=second.unplaced, rounds=first.rounds + max(1, second.rounds)
    )
    return with_claims(other, values, Claims.of(first))


def _as_good(other: Plan, plan: Plan) -> bool:
    """Tell whether no goal that only pins decide is worse; the counts have been compared already."""
    mine = {goal.name: goal.value for goal in plan.goals if goal.name.split(":")[0] in PINNED_GOALS}
    theirs = {goal.name: goal.value for goal in other.goals}
    return all(
        value is not None and (mine_value is None or value <= mine_value)
        for name, mine_value in mine.items()
        for value in (theirs[name],)
    )


def _aside(cycles: Sequence[Cycle]) -> int:
    return sum(cycle.fewest_parkings for cycle in cycles)


def _said(plan: Plan, found: Sequence[Cycle], left: Sequence[Cycle], outcome: str) -> Plan:
    said = {
        "found": len(found),
        "fewest_put_aside_before": _aside(found),
        "left": len(left),
        "fewest_put_aside": _aside(left),
        "outcome": outcome,
    }
    return replace(plan, summary={**plan.summary, "cycles": said})
