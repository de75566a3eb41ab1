"""What each goal is worth before anything is changed: the fleet as it runs, measured as a plan is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from placer.measure.as_now import places_now
from placer.measure.cpu_use import loose_pins
from placer.measure.score import goal_values
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm, Unplaced


def plan_before(fleet: Fleet) -> Plan | None:
    """Return where the VMs are now as a plan without goals; None where it is not known of all that are there."""
    found: list[PlanVm] = []
    for _, at in places_now(fleet):
        if at is None:
            return None
        found.append(at)
    there = {vm.name for vm in found}
    return plan_of_places(fleet, found, (Unplaced(name=vm.name, reason="") for vm in fleet.vms if vm.name not in there))


def plan_of_places(fleet: Fleet, places: Iterable[PlanVm], unplaced: Iterable[Unplaced] = ()) -> Plan:
    """Return places as a plan without goals, for whoever looks at plans."""
    return Plan(
        fleet_path=fleet.path,
        fleet_digest=fleet.digest,
        seed=0,
        rounds=0,
        status="unknown",
        goals=(),
        vms=tuple(places),
        unplaced=tuple(unplaced),
    )


def values_before(fleet: Fleet, goals: Iterable[str], reserve: Any = None) -> dict[str, float | None]:
    """Return the value of goals as the fleet runs now; None where it is not known, or where a goal counts changes.

    Devices that VMs have now are not told, so remote access is unknown where one would rather have its devices near;
    where a dedicated vCPU's CPU is not told, so are shared cores and L3 domains. Behind a goal of headroom another one
    counts beside the VMs of the first, which are not there yet.

    Parameters
    ----------
    reserve : what rules that keep room lack now, as a plan's ``summary.reserve_before`` tells it.
    """
    names = list(goals)
    now = plan_before(fleet)
    if now is None or not now.vms:
        return dict.fromkeys(names)
    now = dataclasses.replace(now, summary={"reserve": reserve})
    near = any(request.policy == "preferred" for vm in fleet.vms for request in vm.spec.devices)
    values = goal_values(fleet, now, [name for name in names if not _is_change(name)])
    loose = any(loose_pins(fleet.vm_by_name[at.name], at) for at in now.vms)
    unknown = {name for name in names if near and name.startswith("remote")}
    unknown |= {name for name in names if loose and name.partition("~")[0] in ("cores", "l3")}
    unknown |= set([name for name in names if name.startswith("headroom")][1:])
    return {name: None if name in unknown else values.get(name) for name in names}


def goals_before(fleet: Fleet, plan: Plan) -> dict[str, float | None] | None:
    """Return the value of each goal of a plan as the fleet runs now, for a column beside its own; None: nothing runs.

    A goal that counts changes has none: it is left out.
    """
    if not fleet.is_live:
        return None
    names = [goal.name for goal in plan.goals if not _is_change(goal.name)]
    return values_before(fleet, names, plan.summary.get("reserve_before"))


def _is_change(goal: str) -> bool:
    return goal.partition("~")[0] == "moves"
