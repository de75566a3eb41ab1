"""One host opened as plain data: its boxes before and after a plan, the VMs in them, its distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from placer.emit.report.boxes import host_boxes
from placer.emit.report.hosts import NodeUse, Pattern, find_patterns
from placer.emit.report.map import legend
from placer.measure.as_now import places_now
from placer.measure.before import plan_of_places
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan
from placer.show.words import visible
from placer.topology.parts import part_tree


def opened_host(fleet: Fleet, plan: Plan | None, host: Host, numbers: Mapping[str, int]) -> dict[str, Any]:
    """Return a host for the page: what is on it now, and what a plan puts there.

    Parameters
    ----------
    numbers : name of a VM -> its place in the fleet, by which a page asks for it.

    Returns
    -------
    dict
        Plain data for JSON. ``before`` is None where nothing is known of it or the plan leaves it as it is, ``after``
        where there is no plan; ``leaving`` names the VMs that the plan takes away.
    """
    pattern = _pattern(fleet, plan, host)
    now = pattern.nodes if plan is None else pattern.nodes_now
    return {
        "name": visible(host.name),
        "labels": {visible(key): visible(value) for key, value in host.labels.items()},
        "model": visible(host.topology.model or ""),
        "failed": host.failed,
        "changed": pattern.changed,
        "leaving": [visible(name) for name in pattern.leaving],
        "before": _side(pattern, now, numbers) if now else None,
        "after": None if plan is None else _side(pattern, pattern.nodes, numbers),
        "distances": {"nodes": list(host.topology.node_ids), "rows": [list(row) for row in host.topology.distances]},
    }


def _pattern(fleet: Fleet, plan: Plan | None, host: Host) -> Pattern:
    here = {vm.name for vm in fleet.vms if vm.current is not None and vm.current.host == host.name}
    if plan is None:
        vms = tuple(vm for vm in fleet.vms if vm.name in here)
        alone = replace(fleet, hosts=(host,), vms=vms, rules=())
        places = (at for _, at in places_now(alone) if at is not None)
        return find_patterns(alone, plan_of_places(fleet, places))[0]
    here |= {vm.name for vm in plan.vms if vm.host == host.name}
    vms = tuple(vm for vm in fleet.vms if vm.name in here)
    planned = tuple(vm for vm in plan.vms if vm.name in here)
    return find_patterns(replace(fleet, hosts=(host,), vms=vms, rules=()), replace(plan, vms=planned))[0]


def _side(pattern: Pattern, nodes: Sequence[NodeUse], numbers: Mapping[str, int]) -> dict[str, Any]:
    cells = [cell for node in nodes for cell in node.mapped.cells]
    rows = zip(cells, legend(pattern, nodes), strict=True)
    return {
        "boxes": [asdict(one) for one in host_boxes(part_tree(pattern.topology), pattern.topology, nodes)],
        "vms": [{**asdict(row), "number": numbers[cell.vm.name]} for cell, row in rows],
    }
