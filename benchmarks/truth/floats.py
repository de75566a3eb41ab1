"""VMs that are not bound to one node a cell: the sets of nodes that their CPUs and memory have, and what they take.

From docs/explanation/floating-vms.md and docs/reference/inventory.md.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from benchmarks.truth.reads.reading import Cell, Host, Vm

Nodes = frozenset[int]
PAGE_KIB = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A cell that floats: `own` CPUs of dedicated vCPUs that are pinned to one each, the other vCPUs over `cpus`."""

    vcpus: tuple[int, ...]
    memory_kib: int
    own: tuple[int, ...]
    cpus: Nodes
    memory: Nodes

    @property
    def floating(self) -> int:
        """vCPUs without a CPU of their own."""
        return len(self.vcpus) - len(self.own)


def floats_now(vm: Vm) -> bool:
    """Tell whether a VM is somewhere without a node a cell."""
    return vm.host is not None and vm.nodes is None


def floats_newly(vm: Vm) -> bool:
    """Tell whether a VM floats over a host that it comes to: it floats now, or is placed newly and may not be bound."""
    return floats_now(vm) if vm.host is not None else vm.pin == "never"


def binding(vm: Vm, pin: str) -> str | None:
    """Return whether a VM that floats over its host "shall" be bound to nodes or "may", None where it stays as it is.

    What is bound to some nodes stays so, and VMs that cannot move are not touched.
    """
    bound = any(cpus is not None or memory is not None for cpus, memory in vm.bound)
    if not floats_now(vm) or vm.movable == "false" or vm.pins_fixed or vm.pins or bound or vm.pin == "never":
        return None
    if vm.pin == "must" or pin == "all":
        return "shall"
    return "may" if pin == "worth" else None


def may_float(vm: Vm) -> bool:
    """Tell whether a VM to come that says nothing may float where hosts are over: it asks for nothing of its own."""
    asks = vm.dedicated or vm.own_emulator or vm.page_kib is not None or vm.devices
    return vm.host is None and vm.pin == "allowed" and not asks


def host_cpus(host: Host) -> Nodes:
    """Return the nodes that a VM may run on which nothing binds: those with CPUs of the shared pool, else any."""
    for pool in (host.shared, host.usable):
        found = frozenset(node.id for node in host.nodes if node.cpus & pool)
        if found:
            return found
    return frozenset(node.id for node in host.nodes if node.cpus)


def host_memory(host: Host) -> Nodes:
    """Return the nodes that hold the memory of a VM that nothing binds; where none tells of any, those with CPUs."""
    return frozenset(node.id for node in host.nodes if node.has_memory and node.kind != "device") or host_cpus(host)


def parts_on(vm: Vm, host: Host, *, stays: bool) -> tuple[Part, ...]:
    """Return the parts of a VM that floats: bound as it is on its host, to nothing on another."""
    bound = vm.bound if stays and vm.bound else ((None, None),)
    cells = vm.cells if vm.cells and not vm.flat else (Cell(vcpus=tuple(range(vm.vcpus)), memory_kib=vm.memory_kib),)
    bounds = bound * len(cells) if len(bound) == 1 else bound
    parts = []
    for cell, (cpus, memory) in zip(cells, bounds, strict=True):
        own = [
            min(vm.pins[vcpu])
            for vcpu in cell.vcpus
            if stays and vcpu in vm.dedicated and len(vm.pins.get(vcpu, ())) == 1
        ]
        pinned = stays and cell.vcpus and all(vcpu in vm.pins for vcpu in cell.vcpus)
        runs = frozenset(host.node_of[cpu] for vcpu in cell.vcpus for cpu in vm.pins[vcpu]) if pinned else None
        parts.append(
            Part(
                vcpus=cell.vcpus,
                memory_kib=cell.memory_kib,
                own=tuple(own),
                cpus=cpus if cpus is not None else runs if runs is not None else host_cpus(host),
                memory=memory if memory is not None else host_memory(host),
            )
        )
    return tuple(parts)


def beyond(host: Host, part: Part) -> int:
    """Return how many floating vCPUs are above the CPUs that they may run on."""
    carry = sum(len(node.cpus & host.shared) for node in host.nodes if node.id in part.cpus)
    return max(0, part.floating - carry)


def memory_of(vm: Vm, parts: tuple[Part, ...]) -> Counter[tuple[Nodes, int | None]]:
    """Return (nodes, page size or None for ordinary memory) -> KiB that a VM takes of them."""
    used: Counter[tuple[Nodes, int | None]] = Counter()
    page = vm.page_kib or PAGE_KIB
    for part in parts:
        used[part.memory, vm.page_kib] += -(-part.memory_kib // page) * page
        used[part.memory, None] += -(-vm.overhead_kib // len(parts))
    return used


def cpuset(host: Host, part: Part) -> frozenset[int]:
    """Return the CPUs that floating vCPUs of a part run on: of its nodes those of the shared pool, else any."""
    own = frozenset[int]().union(*(node.cpus for node in host.nodes if node.id in part.cpus))
    return own & host.shared or own & host.usable or own
