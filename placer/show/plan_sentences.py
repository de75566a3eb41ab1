"""What a plan comes to, in sentences: the outcome first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from placer.model.fleet import Fleet
from placer.model.plan import GoalResult, Plan
from placer.model.units import count
from placer.moves.changes import plan_changes
from placer.show.change_words import change_sentences
from placer.show.reserve_words import reserve_sentences
from placer.show.words import figure, listed, percent, visible


def sentences(plan: Plan, fleet: Fleet) -> list[str]:
    """Return what matters of a plan, the outcome first; what is not known is said to be unknown."""
    return [
        *outcome(plan),
        *change_sentences(plan_changes(fleet, plan)),
        *emptied_sentence(plan, fleet),
        *reserve_sentences(plan.summary.get("reserve")),
        *_failure(plan.summary.get("worst_host_failure")),
    ]


def outcome(plan: Plan) -> list[str]:
    """Return how many VMs have a place, and what is proven."""
    return [*_placed(plan), *_proof(plan)]


def emptied(plan: Plan, fleet: Fleet) -> list[str]:
    """Return the hosts that hold VMs now and none as planned."""
    now = {vm.current.host for vm in fleet.vms if vm.current is not None}
    left = now.difference(vm.host for vm in plan.vms)
    return [host.name for host in fleet.hosts if host.name in left and not host.failed]


def emptied_sentence(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """Say which hosts can be switched off once the plan is carried out; nothing where none can."""
    names = [visible(name) for name in emptied(plan, fleet)]
    if names and not plan.unplaced:
        yield f"{count(len(names), 'host')} can be switched off then: {listed(names, 10)}."


def _placed(plan: Plan) -> Iterator[str]:
    used = count(len({vm.host for vm in plan.vms}), "host")
    if not plan.unplaced:
        yield f"Every VM has a place: {count(len(plan.vms), 'VM')} on {used}."
    else:
        left = count(len(plan.unplaced), "VM")
        yield f"{left} of {len(plan.vms) + len(plan.unplaced):,} without a place, each with its reason below."


def _proof(plan: Plan) -> Iterator[str]:
    if not plan.goals:
        return
    unproven = next((goal for goal in plan.goals if goal.status != "optimal"), None)
    if unproven is None:
        yield f"Proven: no plan{_limits(plan)} is better in any goal without being worse in an earlier one."
    else:
        yield f"Not all is proven. The first open goal is {visible(unproven.name)}: {_open(unproven)}."


def _limits(plan: Plan) -> str:
    """Return what plans were looked at: a proof is of those that change no more than was allowed."""
    words = {"max_moves": "move", "max_migrations": "migration", "max_repins": "re-pin"}
    told = [count(plan.options[key], word) for key, word in words.items() if isinstance(plan.options.get(key), int)]
    return f" within {' and '.join(told)}" if told else ""


def _open(goal: GoalResult) -> str:
    if goal.value is None:
        return "its value is unknown"
    if goal.bound is None:
        return f"{figure(goal.value)}, and no bound is known"
    if goal.gap == 0:
        return f"{figure(goal.value)}, which no plan can pass; the rest of it, or a goal before it, is not proven"
    return f"{figure(goal.value)}, no plan can pass {figure(goal.bound)}, a gap of {percent(goal.gap)}"


def _failure(worst: Any) -> Iterator[str]:
    """Say what the worst failure of one host means, where the plan tells."""
    if not isinstance(worst, dict) or worst.get("host") is None:
        return
    name, lost = visible(str(worst["host"])), worst.get("vms_without_place")
    tried, kinds = worst.get("states"), worst.get("states_in_all")
    partly = isinstance(tried, int) and isinstance(kinds, int) and tried < kinds
    if partly and isinstance(lost, int):
        which = "alone was tried" if tried == 1 else f"{tried:,} were tried, each failing by itself, and no others"
        yield f"Of {kinds:,} kinds of host the fullest {which}."
    if lost == 0:
        if_one = "If one host" if not partly else "If it" if tried == 1 else "Whichever of these"
        yield f"{if_one} fails, every VM finds a NUMA-true place on the others; the worst to lose is {name}."
    elif isinstance(lost, int):
        proven = "" if worst.get("proven") else " This is not proven: a solve might find places."
        which = "of one of these" if partly and tried != 1 else "of one host"
        yield f"The worst failure {which} is {name}: {count(lost, 'VM')} without a NUMA-true place then.{proven}"
