"""Headroom: how many VMs of a flavor would still fit beside a plan, counted without a solver.

For k equal cells on distinct nodes, with b_i whole cells that fit on node i, sorted down, B their sum, as many VMs fit
as ``min over 0 <= r < k of floor((B − b_1 − … − b_r) / (k − r))``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from placer.measure.cpu_use import cpu_use, shared_vcpus
from placer.measure.memory_use import Pool, memory_room, memory_taken
from placer.measure.rule_excess import rule_index
from placer.model.fleet import Fleet
from placer.model.host import Host, Node, NodeKind
from placer.model.plan import Plan, PlanVm
from placer.model.rules import RuleKind
from placer.model.vm import Vm, VmSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What is counted: a VM of `cells` equal cells on distinct nodes, dedicated vCPUs, ordinary pages, nothing else."""

    vcpus: int
    memory_kib: int
    cells: int


def free_slots(fleet: Fleet, plan: Plan, slot: Slot) -> int | None:
    """Return how many more VMs fit on all hosts together beside the plan's, or None where that has no formula.

    Failed and drained hosts, and hosts without KVM, hold none. A flavor without memory takes no overhead either; others
    take the default overhead. There is no formula where a node with CPUs has no memory of its own.
    """
    drained: set[str] = set()
    for rule, hosts in zip(fleet.rules, rule_index(fleet).hosts, strict=True):
        if rule.kind is RuleKind.DRAIN:
            drained |= hosts
    placed: dict[str, list[tuple[Vm, PlanVm]]] = {}
    for planned in plan.vms:
        placed.setdefault(planned.host, []).append((fleet.vm_by_name[planned.name], planned))
    total = 0
    rooms: dict[tuple[int, int, float], Mapping[Pool, int]] = {}
    for host in fleet.hosts:
        if host.failed or not host.kvm or host.name in drained:
            continue
        nodes = [node for node in host.topology.nodes if node.kind is NodeKind.NORMAL and node.cpus & host.usable_cpus]
        if slot.memory_kib and any(not node.memory_kib for node in nodes):
            return None
        key = (id(host.topology), id(host.reserve), host.memory_ratio)
        if key not in rooms:
            rooms[key] = memory_room(host)
        total += slots_on_host(host, placed.get(host.name, ()), slot, nodes, rooms[key])
    return total


def slots_on_host(
    host: Host, placed: Sequence[tuple[Vm, PlanVm]], slot: Slot, nodes: Sequence[Node], room: Mapping[Pool, int]
) -> int:
    """Return how many VMs fit on one host beside those placed there."""
    free = dict(room)
    for vm, planned in placed:
        for pool, kib in memory_taken(vm.spec, host.topology, planned):
            free[pool] = free.get(pool, 0) - kib
    use = cpu_use(host, placed)
    taken, floating = use.taken, shared_vcpus(use)
    memory = slot.memory_kib // slot.cells
    if slot.memory_kib:
        spec = VmSpec(vcpus=slot.vcpus, memory_kib=slot.memory_kib)
        memory += -(-spec.overhead_taken_kib // slot.cells)
    cells = []
    for node in nodes:
        fits = _free_cpus(host, node, taken, floating.get(node.id, 0.0)) // (slot.vcpus // slot.cells)
        if memory:
            fits = min(fits, max(0, free.get((node.id, None), 0)) // memory)
        cells.append(fits)
    return whole_vms(cells, slot.cells)


def _free_cpus(host: Host, node: Node, taken: set[int], shared: float) -> int:
    """Return how many more CPUs of a node dedicated vCPUs may have, without crowding out the shared vCPUs there."""
    free = (host.dedicated_pool & node.cpus) - taken
    pool = host.shared_pool & node.cpus
    if not shared or not free & pool:
        return len(free)
    spare = len(pool - taken) - Fraction(shared).limit_denominator(10**6) / Fraction(host.cpu_ratio)
    # At least one CPU stays for them to float over.
    return len(free - pool) + min(len(free & pool), max(0, int(spare // 1)), len(pool - taken) - 1)


def whole_vms(cells: Iterable[int], per_vm: int) -> int:
    """Return how many VMs of `per_vm` cells on distinct nodes can be made of so many cells a node."""
    down = sorted(cells, reverse=True)
    if len(down) < per_vm:
        return 0
    return min(sum(down[skip:]) // (per_vm - skip) for skip in range(per_vm))
