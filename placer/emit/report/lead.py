"""The first lines of a report: what the plan comes to in a few sentences, and the figures beside them."""

from __future__ import annotations

from placer.emit.report.charts import Bar, Chart, chart
from placer.emit.report.sections import NowAndPlanned
from placer.measure.measure import FleetScore
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.units import count
from placer.show.words import amount, figure, percent, visible


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
    text = f"{figure(score.remote_access, 2)}; {percent(score.remote_share)} leave the node"
    return Bar(label=label, value=score.remote_access, text=text, mark=bound)
