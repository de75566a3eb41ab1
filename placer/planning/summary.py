"""What a plan uses, keeps back and leaves free."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from placer.model.fleet import Fleet
from placer.model.plan import PlanVm
from placer.model.units import mib_number
from placer.planning.capacity import reserved_memory


def capacity_summary(fleet: Fleet, vms: Sequence[PlanVm]) -> dict[str, Any]:
    """Return CPUs and MiB used, reserved and free over the hosts that work, and the node with the largest free slot.

    A CPU is used when a vCPU is pinned to it or, isolated, keeps it idle; shared vCPUs count by the overcommit ratio.
    """
    by_host: dict[str, list[PlanVm]] = defaultdict(list)
    for vm in vms:
        by_host[vm.host].append(vm)
    specs = {vm.name: vm.spec for vm in fleet.vms}
    totals: Counter[str] = Counter()
    largest = (-1, -1, "", -1)
    for host in fleet.hosts:
        if host.failed:
            continue
        reserved = reserved_memory(host)
        pinned: set[int] = set()
        shared: Counter[int] = Counter()
        memory: Counter[int] = Counter()
        for vm in by_host.get(host.name, ()):
            _load(vm, specs[vm.name].overhead_taken_kib, host.topology.node_of_cpu, pinned, shared, memory)
        for position, node in enumerate(host.topology.nodes):
            free_memory = node.memory_kib - reserved[position] - memory[node.id]
            usable = node.cpus & host.usable_cpus
            busy = len(usable & pinned) + -(-shared[node.id] // max(1, int(host.cpu_ratio)))
            totals.update(
                cpus=len(node.cpus),
                cpus_reserved=len(node.cpus) - len(usable),
                cpus_used=busy,
                memory=node.memory_kib,
                memory_reserved=reserved[position],
                memory_used=memory[node.id],
            )
            slot = (len(usable) - busy, free_memory, host.name, node.id)
            if node.cpus and slot[0] > 0 and free_memory > 0 and slot[:2] > largest[:2]:
                largest = slot
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
        "largest_free_slot": None
        if largest[0] < 0
        else {"cpus": largest[0], "memory_mib": mib_number(largest[1]), "host": largest[2], "node": largest[3]},
    }


def _load(
    vm: PlanVm,
    overhead: int,
    node_of_cpu: Mapping[int, int],
    pinned: set[int],
    shared: Counter[int],
    memory: Counter[int],
) -> None:
    for cpus in vm.pins.values():
        if len(cpus) == 1:
            pinned |= cpus
        else:
            shared[node_of_cpu[min(cpus)]] += 1
    if vm.emulator is not None and len(vm.emulator) == 1:
        pinned |= vm.emulator
    nodes = [node for cell in vm.cells for node in cell.nodes]
    for cell in vm.cells:
        for node, kib in cell.nodes.items():
            memory[node] += kib
    for node in nodes:
        memory[node] += -(-overhead // len(nodes))
