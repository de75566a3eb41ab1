"""What a plan uses, keeps back and leaves free."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from placer.measure.alike import HostGroup, alike_hosts
from placer.measure.cpu_use import CpuUse, cpu_use
from placer.measure.node_load import busy_cpus, node_loads
from placer.measure.rule_excess import plan_excess, rule_index, start_excess
from placer.measure.score import PlanValues
from placer.model.fleet import Fleet
from placer.model.host import UNREACHABLE, Host, NodeKind
from placer.model.plan import Plan
from placer.model.units import mib_number

_Slot = tuple[int, int, str, int, int]
"""CPUs, KiB, host, the node of the CPUs and that of the memory."""


def capacity_summary(values: PlanValues) -> dict[str, Any]:
    """Return CPUs and MiB used, reserved and free over the hosts that work, and the node with the largest free slot.

    A CPU is used when it is held by a vCPU or an emulator thread of its own, or kept idle by a thread policy; shared
    vCPUs count by the overcommit ratio, a part of a CPU as one a host. Hosts that are to be emptied, or that have no
    KVM, have no slot: nobody comes there. A node without memory of its own has what the node that it reaches with the
    most has left: ``memory_node``.
    """
    hosts = values.fleet.hosts
    taken = {planned.host for planned in values.plan.vms}
    idle = ((host, ()) for host in hosts if host.name not in taken)
    empty = alike_hosts(idle, values.scores.specs, values.scores.places, lambda _: False)
    groups = list(zip(values.groups, values.uses, strict=True))
    groups += [(group, cpu_use(group.host, ())) for group in empty]
    # Of slots alike the first host's in the fleet's order is told.
    at = {host.name: number for number, host in enumerate(hosts)}
    groups.sort(key=lambda found: at[found[0].host.name])
    totals: Counter[str] = Counter()
    largest: _Slot | None = None
    for group, use in groups:
        if group.host.failed:
            continue
        figures, slot = _of_host(group, use)
        totals.update({name: figure * group.hosts for name, figure in figures.items()})
        names = [host.name for host, _ in ((group.host, ()), *group.others)]
        takes = [name for name in names if group.host.kvm and name not in values.fleet.drained]
        if slot is not None and takes and (largest is None or slot[:2] > largest[:2]):
            largest = (*slot[:2], takes[0], *slot[3:])
    free = totals["cpus"] - totals["cpus_reserved"] - totals["cpus_used"]
    return {
        "cpus": {
            "total": totals["cpus"],
            "used": totals["cpus_used"],
            "reserved": totals["cpus_reserved"],
            "free": free,
        },
        "memory_mib": {
            "total": mib_number(totals["memory"]),
            "used": mib_number(totals["memory_used"]),
            "reserved": mib_number(totals["memory_reserved"]),
            "free": mib_number(totals["memory"] - totals["memory_used"] - totals["memory_reserved"]),
        },
        "largest_free_slot": None if largest is None else _slot_data(largest),
    }


def _slot_data(slot: _Slot) -> dict[str, Any]:
    cpus, kib, host, node, memory_node = slot
    found = {"cpus": cpus, "memory_mib": mib_number(kib), "host": host, "node": node}
    return found if node == memory_node else {**found, "memory_node": memory_node}


def _of_host(group: HostGroup, use: CpuUse) -> tuple[Counter[str], _Slot | None]:
    """Return what one host of a group has, uses and reserves (CPUs, KiB), and its largest free slot."""
    figures: Counter[str] = Counter()
    largest: _Slot | None = None
    loads = node_loads(group.host, group.placed, use)
    figures["cpus_used"] = busy_cpus(loads)
    left = {load.node: load.memory_kib - load.kept_kib - load.taken_kib for load in loads if load.memory_kib}
    for load in loads:
        figures.update(
            cpus=load.cpus,
            cpus_reserved=load.cpus - load.usable,
            memory=load.memory_kib,
            memory_reserved=load.kept_kib,
            memory_used=load.taken_kib,
        )
        near = [load.node] if load.memory_kib else _lending(group.host, load.node)
        memory_node = max((node for node in near if node in left), key=lambda node: left[node], default=None)
        if memory_node is None:
            continue
        slot = (load.usable - load.busy, left[memory_node], group.host.name, load.node, memory_node)
        if slot[0] > 0 and slot[1] > 0 and (largest is None or slot[:2] > largest[:2]):
            largest = slot
    return figures, largest


def _lending(host: Host, node: int) -> list[int]:
    """Return the nodes whose memory a node without any reaches, those of CPUs alone."""
    ids = host.topology.node_ids
    row = dict(zip(ids, host.topology.distances[ids.index(node)], strict=True))
    return [other.id for other in host.topology.nodes if other.kind is NodeKind.NORMAL and row[other.id] < UNREACHABLE]


def mended(fleet: Fleet, plan: Plan) -> list[dict[str, Any]]:
    """Return each rule that a live fleet breaks now: by how much, and by how much it does under the plan.

    Excess is counted as for the goal ``rules``.
    """
    if not fleet.is_live or not fleet.rules:
        return []
    index = rule_index(fleet)
    before: Counter[int] = Counter()
    for (number, _), many in start_excess(fleet, index).items():
        if not fleet.rules[number].is_soft:
            before[number] += many
    after: Counter[int] = Counter()
    for (number, _), many in plan_excess(fleet, plan, index).items() if before else ():
        after[number] += many
    return [
        {"rule": fleet.rules[number].label, "excess_before": many, "excess": after[number]}
        for number, many in sorted(before.items())
    ]


def soft_broken(fleet: Fleet, plan: Plan) -> list[dict[str, Any]]:
    """Return each soft rule that the plan breaks: its priority, its weight, and by how much."""
    if not any(rule.is_soft for rule in fleet.rules):
        return []
    over: Counter[int] = Counter()
    for (number, _), many in plan_excess(fleet, plan, rule_index(fleet)).items():
        if fleet.rules[number].is_soft:
            over[number] += many
    rows = [(fleet.rules[number], many) for number, many in sorted(over.items())]
    return [
        {"rule": rule.label, "priority": rule.priority, "weight": rule.weight, "excess": many} for rule, many in rows
    ]


def idle_hosts(fleet: Fleet, plan: Plan) -> dict[str, Any] | None:
    """Return the hosts that hold nothing under a plan and what they take idle; None where no goal asks for power."""
    if not any(goal.name == "power" for goal in plan.goals):
        return None
    used = {vm.host for vm in plan.vms}
    idle = [host for host in fleet.hosts if host.name not in used and not host.failed]
    return {"hosts": [host.name for host in idle], "idle_watts": math.fsum(host.idle_watts or 0.0 for host in idle)}
