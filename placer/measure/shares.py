"""Of each goal of balance what places carry of what they have: highest, lowest and mean, before a plan and under it."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from typing import Any

from placer.measure.alike import HostGroup
from placer.measure.balance import Used, places_of
from placer.measure.before import plan_before
from placer.measure.cpu_use import CpuUse, cpu_use
from placer.measure.score import PlanValues
from placer.model.balance import Load, loads_of
from placer.model.host import Host


def share_rows(values: PlanValues) -> list[dict[str, Any]]:
    """Return, a resource of each goal of balance, the highest share with its place, the lowest and the mean.

    The mean is what all places carry over what they have. Places that cannot carry any do not count, and hosts that are
    to be emptied where there are others; `before` is None where nothing runs yet, or where it is not known of all VMs
    where they are.
    """
    fleet = values.fleet
    loads = [load for goal in values.plan.goals for load in loads_of(fleet, goal.name)]
    if not loads:
        return []
    now = plan_before(fleet) if fleet.is_live else None
    before = None if now is None else PlanValues(fleet, now)
    return [
        {
            "goal": load.goal,
            "resource": load.resource,
            "places": load.places,
            **_figures(load, values),
            "before": None if before is None else _figures(load, before),
        }
        for load in loads
    ]


def _figures(load: Load, values: PlanValues) -> dict[str, Any]:
    drained = values.fleet.drained
    found = list(places_of(load, *_without(drained, values))) if drained else []
    found = found or list(places_of(load, values.used, values.idle))
    has = math.fsum(place.has * place.count for place in found)
    if not has:
        return {"highest": None, "highest_place": None, "lowest": None, "mean": None}
    highest = max(found, key=lambda place: place.share)
    return {
        "highest": round(highest.share, 6),
        "highest_place": highest.name,
        "lowest": round(min(place.share for place in found), 6),
        "mean": round(math.fsum(place.carries * place.count for place in found) / has, 6),
    }


def _without(drained: Set[str], values: PlanValues) -> tuple[Used, Sequence[Host]]:
    """Return the hosts that hold a VM and those that hold none, but for these."""
    used: list[tuple[HostGroup, CpuUse]] = []
    for group, use in values.used:
        left = [
            (host, placed) for host, placed in ((group.host, group.placed), *group.others) if host.name not in drained
        ]
        if left:
            host, placed = left[0]
            kept = use if host is group.host else cpu_use(host, placed)
            used.append((HostGroup(host, placed, left[1:]), kept))
    return used, [host for host in values.idle if host.name not in drained]
