"""What the nodes of a host have for one of its VMs beside the others: what a guest of fewer cells would find there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from placer.lint.seen import NodeSize
from placer.model.fleet import Fleet
from placer.model.host import Host, NodeKind
from placer.model.memory_room import memory_room
from placer.model.sets import known_nodes
from placer.model.vm import Vm


@dataclass(slots=True)
class Taken:
    """What VMs take of a host, by node id: vCPUs (shared ones by the overcommit) and memory (KiB)."""

    vcpus: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    memory_kib: dict[int, int] = field(default_factory=lambda: defaultdict(int))


def taken_by_host(fleet: Fleet) -> dict[str, Taken]:
    """Return what the VMs whose nodes are known take of their hosts."""
    found: dict[str, Taken] = {}
    for vm in fleet.vms:
        if vm.current is not None and vm.current.host in fleet.host_by_name:
            taken = found.setdefault(vm.current.host, Taken())
            for near, vcpus, far, kib in _parts(vm, fleet.host_by_name[vm.current.host]):
                taken.vcpus[near] += vcpus
                taken.memory_kib[far] += kib
    return found


def room_beside_others(vm: Vm, host: Host, taken: Taken) -> tuple[NodeSize, ...]:
    """Return what each node with CPUs of the VM's host has for it, the VM's own share included.

    Of a VM whose nodes are known only these: fewer of them are no farther apart, which others may be.
    """
    known = known_nodes(vm)
    mine = Taken()
    for near, own, far, kib in _parts(vm, host):
        mine.vcpus[near] += own
        mine.memory_kib[far] += kib
    core_of, room = host.topology.core_of_cpu, memory_room(host)
    sizes = []
    for node in host.topology.nodes:
        usable = node.cpus & host.usable_cpus
        if node.kind is NodeKind.DEVICE or not usable or (known is not None and node.id not in known[0]):
            continue
        kib = sum(amount for (number, _), amount in room.items() if number == node.id)
        width = len(usable) / len({core_of[cpu] for cpu in usable})
        left = int(len(usable) - taken.vcpus[node.id] + mine.vcpus[node.id])
        kib += mine.memory_kib[node.id] - taken.memory_kib[node.id]
        sizes.append(NodeSize(cpus=left, cores=int(left / width), memory_kib=kib))
    return tuple(sizes)


def _parts(vm: Vm, host: Host) -> Iterator[tuple[int, float, int, int]]:
    """Yield each part's node, the CPUs that it takes there, its memory's node, and the memory (KiB)."""
    spec, known = vm.spec, known_nodes(vm)
    if known is None:
        return
    count = len(known[0])
    for number, (near, far) in enumerate(zip(*known, strict=True)):
        given = spec.cells[number] if len(spec.cells) == count else None
        vcpus = spec.vcpus / count if given is None else len(given.vcpus)
        own = len(spec.dedicated_vcpus) / spec.vcpus if spec.dedicated_vcpus else float(spec.is_dedicated(0))
        yield (
            near,
            vcpus * (own + (1 - own) / host.cpu_ratio),
            far,
            (spec.memory_kib // count if given is None else given.memory_kib),
        )
