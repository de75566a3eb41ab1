"""The first lines of a report: what the plan comes to in a few sentences, and the figures beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from placer.emit.report.charts import Bar, Chart, chart
from placer.emit.report.sections import NowAndPlanned
from placer.measure.measure import FleetScore
from placer.model.fleet import Fleet
from placer.model.plan import GoalResult, Plan
from placer.moves.changes import plan_changes
from placer.show.change_words import change_sentences
from placer.show.words import amount, count, figure, percent, visible


def facts(plan: Plan, fleet: Fleet) -> list[tuple[str, str]]:
    """Return the figures of the page's head."""
    used = len({vm.host for vm in plan.vms})
    vcpus = sum(len(vm.pins) for vm in plan.vms)
    found = [
        ("status", "proven optimal" if plan.status == "optimal" else plan.status),
        ("VMs placed", f"{len(plan.vms):,} of {len(plan.vms) + len(plan.unplaced):,}"),
        ("vCPUs placed", f"{vcpus:,}"),
        ("hosts with VMs", f"{used:,} of {len(fleet.hosts):,}"),
    ]
    slot = plan.summary.get("largest_free_slot")
    if (
        isinstance(slot, dict)
        and isinstance(slot.get("cpus"), int)
        and isinstance(slot.get("memory_mib"), (int, float))
    ):
        where = visible(f"{slot.get('host')} node {slot.get('node')}")
        size = f"{count(slot['cpus'], 'CPU')}, {amount(round(slot['memory_mib'] * 1024))}"
        found.append(("largest free slot", f"{size} on {where}"))
    return found


def sentences(plan: Plan, fleet: Fleet) -> list[str]:
    """Return what matters of a plan, the outcome first; what is not known is said to be unknown."""
    return [
        *_placed(plan),
        *_proof(plan),
        *change_sentences(plan_changes(fleet, plan)),
        *_failure(plan.summary.get("worst_host_failure")),
    ]


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
        yield "Proven: no plan is better in any goal without being worse in an earlier one."
    else:
        yield f"Not all is proven. The first open goal is {visible(unproven.name)}: {_open(unproven)}."


def _open(goal: GoalResult) -> str:
    if goal.value is None:
        return "its value is unknown"
    if goal.bound is None:
        return f"{figure(goal.value)}, and no bound is known"
    return f"{figure(goal.value)}, no plan can pass {figure(goal.bound)}, a gap of {percent(goal.gap)}"


def _failure(worst: Any) -> Iterator[str]:
    """Say what the worst failure of one host means, where the plan tells."""
    if not isinstance(worst, dict) or worst.get("host") is None:
        return
    name, lost = visible(str(worst["host"])), worst.get("vms_without_place")
    if lost == 0:
        yield f"If one host fails, every VM finds a NUMA-true place on the others; the worst to lose is {name}."
    elif isinstance(lost, int):
        proven = "" if worst.get("proven") else " This is not proven: a solve might find places."
        yield f"The worst failure of one host is {name}: {count(lost, 'VM')} without a NUMA-true place then.{proven}"


def locality_chart(plan: Plan, at: NowAndPlanned | None) -> Chart | None:
    """Return remote access now and as planned of the VMs that are on known nodes now; None where there are none.

    The bound is of the whole plan: it is drawn only where those VMs are all of it.
    """
    if at is None:
        return None
    goal = next((goal for goal in plan.goals if goal.name == "remote"), None)
    bound = goal.bound if goal is not None and at.vms == len(plan.vms) else None
    note = "" if bound is None else f"The line is the bound, {figure(bound, 2)}: no plan has less."
    title = f"Remote access of {count(at.vms, 'VM')} in vCPU equivalents, less is better"
    return chart(title, [_bar("now", at.old, None), _bar("planned", at.new, bound)], note=note)


def _bar(label: str, score: FleetScore, bound: float | None) -> Bar:
    text = f"{figure(score.remote_access, 2)}; {percent(score.remote_share)} of accesses leave the node"
    return Bar(label=label, value=score.remote_access, text=text, mark=bound)
