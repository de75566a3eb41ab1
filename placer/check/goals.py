"""Check what a plan claims of its goals: values as measured, bounds on the right side, gaps and proofs that add up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from placer.check.findings import Findings
from placer.errors import InputError
from placer.measure.score import PlanValues
from placer.model.plan import GoalResult, Plan

PER_VM = 1e-6
"""Costs are whole millionths a VM: values may differ from the measure by that much for each VM or node."""
RELATIVE = 1e-9
"""Room for the rounding of floating point numbers."""


def check_goals(values: PlanValues, plan: Plan, found: Findings) -> dict[str, float | None]:
    """Note every claim about a goal that is not so; return the measured values by goal."""
    measured: dict[str, float | None] = {}
    slack = tolerances(plan.options)
    nodes = sum(len(g.host.topology.nodes) * g.hosts for g in values.groups) if _named(plan, "balance") else 0
    room = PER_VM * max(1, len(plan.vms), nodes)
    unproven: str | None = None
    for goal in plan.goals:
        where = f"goals.{goal.name}"
        if goal.name in measured:
            found.fault(f"goal {goal.name!r} is named twice", where=where)
            continue
        try:
            measured[goal.name] = values.value(goal.name)
        except InputError as error:
            found.fault(error.faults[0].message, where=where)
            continue
        messages = _value_claims(goal, measured[goal.name], room, beside=_named(plan, "headroom:", before=goal))
        messages += _claims(goal, room, slack.get(goal.name, 0.0), unproven)
        # What bounds hold under is told of where VMs are: none of them knows of room that rules keep.
        messages += _held(
            goal, {**measured, "rules": values.placement_excess} if "rules" in measured else measured, room
        )
        for message in messages:
            found.fault(f"goal {goal.name!r}: {message}", where=where)
        _tiers(goal, dict(values.tiers(goal.name)), room, found)
        if unproven is None and goal.status != "optimal":
            unproven = goal.name
    asked = [str(goal).partition("~")[0] for goal in plan.options.get("goals") or ()]
    if asked and asked != [goal.name for goal in plan.goals]:
        found.fault(
            f"the plan was asked for the goals {asked} and reports on {[g.name for g in plan.goals]}", where="goals"
        )
    if plan.status not in ("optimal", "feasible"):
        found.fault(f"the plan's status is {plan.status!r}; a plan is optimal or feasible", where="status")
    elif plan.status == "optimal" and unproven is not None:
        found.fault(f"the plan says that it is optimal, and its goal {unproven!r} is not", where="status")
    return measured


def tolerances(options: Mapping[str, Any]) -> dict[str, float]:
    """Return how much worse later goals may make each goal, from the plan's list of goals (``remote~0.01``)."""
    found: dict[str, float] = {}
    named = options.get("goals")
    for text in named if isinstance(named, (list, tuple)) else ():
        name, _, slack = str(text).partition("~")
        try:
            found[name] = float(slack.removesuffix("%")) / (100 if slack.endswith("%") else 1) if slack else 0.0
        except ValueError:
            found[name] = 0.0
    return found


def _named(plan: Plan, start: str, before: GoalResult | None = None) -> bool:
    """Tell whether the plan has a goal of that name or beginning, in front of the goal `before` where one is given."""
    names = [goal.name for goal in plan.goals]
    return any(name.startswith(start) for name in (names[: names.index(before.name)] if before else names))


def _near(one: float, other: float, room: float) -> bool:
    return abs(one - other) <= room + RELATIVE * max(abs(one), abs(other))


def _value_claims(goal: GoalResult, value: float | None, room: float, *, beside: bool) -> list[str]:
    """Compare a goal's value with the measured one.

    A headroom goal may claim fewer than fit, not more; but its bound may not be below what fits. Where it stands
    `beside` an earlier headroom goal, whose VMs-to-come take room too, only the first holds.
    """
    if goal.value is None:
        return [f"its status is {goal.status} and it has no value"] if goal.status in ("optimal", "feasible") else []
    if value is None:
        return []
    if goal.name.startswith("headroom"):
        if goal.value > value + room:
            return [f"its value is {goal.value:g}, and {value:g} is measured"]
        if goal.bound is not None and goal.bound < value - room and not beside:
            return [f"its bound is {goal.bound:g}, and {value:g} is measured, so it bounds nothing"]
        return []
    return [] if _near(goal.value, value, room) else [f"its value is {goal.value:g}, and {value:g} is measured"]


def _claims(goal: GoalResult, room: float, slack: float, unproven: str | None) -> list[str]:
    out = []
    out += _bound_claims(goal, room)
    if goal.status not in ("optimal", "feasible", "unknown"):
        out.append(f"its status is {goal.status}; there is a plan, so it is not")
    if goal.status == "optimal":
        out += _proof_claims(goal, room, slack, unproven)
    if goal.held_at != unproven:
        first = "all earlier goals are proven" if unproven is None else f"the first goal not proven is {unproven!r}"
        out.append(f"says that it is held at {goal.held_at!r}, and {first}")
    return out


def _bound_claims(goal: GoalResult, room: float) -> list[str]:
    out = []
    value, bound = goal.value, goal.bound
    if value is not None and bound is not None:
        best_is_most = goal.name.startswith("headroom")
        beyond = value - bound if best_is_most else bound - value
        if beyond > room + RELATIVE * abs(value):
            side = "below" if best_is_most else "above"
            out.append(f"its bound {bound:g} is {side} its value {value:g}, so it bounds nothing")
        largest = max(abs(value), abs(bound))
        gap = abs(value - bound) / largest if largest else 0.0
        if goal.gap is None or not _near(goal.gap, gap, RELATIVE):
            out.append(f"its gap is {goal.gap}, and value {value:g} and bound {bound:g} make {gap:g}")
    elif goal.gap is not None:
        out.append(f"its gap is {goal.gap:g}, and {'its value' if value is None else 'its bound'} is unknown")
    if bound is not None and not goal.source.strip():
        out.append("it has a bound and does not say where it comes from")
    return out


def _held(goal: GoalResult, measured: Mapping[str, float | None], room: float) -> list[str]:
    """Note where the plan is worse in an earlier goal than what its bound holds under: then it bounds nothing here."""
    out = []
    for name, most in goal.held.items():
        value = measured.get(name)
        if name == goal.name or name not in measured:
            out.append(f"its bound is said to hold while {name!r} is held, which is no earlier goal")
        elif value is not None:
            worse = most - value if name.startswith("headroom") else value - most
            if goal.bound is not None and worse > room + RELATIVE * abs(most):
                out.append(f"its bound holds while {name!r} is no worse than {most:g}, and {value:g} is measured")
    return out


def _proof_claims(goal: GoalResult, room: float, slack: float, unproven: str | None) -> list[str]:
    out = []
    if unproven is not None:
        out.append(f"says optimal, and the earlier goal {unproven!r} is not")
    if goal.bound is None:
        out.append("says optimal without a bound")
    elif goal.value is not None and not _near(goal.value, goal.bound, room + slack * abs(goal.bound)):
        out.append(f"says optimal, and its value {goal.value:g} is not its bound {goal.bound:g}")
    return out


def _tiers(goal: GoalResult, measured: Mapping[str, float], room: float, found: Findings) -> None:
    """Compare the parts of a goal with what is measured, with their bounds, and these with the goal's own."""
    where = f"goals.{goal.name}.tiers"
    for tier in goal.tiers:
        part, value, bound = str(tier.get("part")), tier.get("value"), tier.get("bound")
        if part in measured and value is not None and not _near(value, measured[part], room):
            message = f"goal {goal.name!r}, {part}: its value is {value:g}, and {measured[part]:g} is measured"
            found.fault(message, where=where)
        if value is not None and bound is not None and bound > value + room + RELATIVE * abs(value):
            found.fault(f"goal {goal.name!r}, {part}: its bound {bound:g} is above its value {value:g}", where=where)
    # `placed` adds up its tiers of vCPUs over the priorities, `excess` all; the second of `moves` refines the first,
    # and the first one of `remote` goes before its value.
    chosen = {"placed": goal.tiers[::2], "excess": goal.tiers, "remote": goal.tiers[-1:]}
    counted = [tier.get("bound") for tier in chosen.get(goal.name, goal.tiers[:1])]
    known = [bound for bound in counted if bound is not None]
    if goal.bound is not None and counted and len(known) == len(counted) and not _near(sum(known), goal.bound, room):
        message = f"goal {goal.name!r}: the bounds of its parts make {sum(known):g}, and its bound is {goal.bound:g}"
        found.fault(message, where=where)
