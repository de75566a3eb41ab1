"""What each node of a host has, keeps back and gives to VMs: the figures of capacity, and of every map of a fleet."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from placer.measure.cpu_use import CpuUse, loose_pins, shared_vcpus
from placer.measure.memory_use import memory_taken
from placer.model.host import Host
from placer.model.memory_room import memory_reserved
from placer.model.plan import PlanVm
from placer.model.vm import Vm

_ROUNDING = 1e-9
"""Shared vCPUs are fractions where a cpuset spans nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLoad:
    """One node: its CPUs, those that VMs may use and those that they do; its memory (KiB), what of it is kept, taken.

    `held` are CPUs that one VM has, `floating` the CPUs' worth of vCPUs that float: shared by the overcommit ratio,
    so that `busy` may exceed `usable`, and dedicated ones of which only the node is known, one that spans nodes by
    their CPUs. Memory counts page pools too.
    """

    node: int
    cpus: int
    usable: int
    held: int
    floating: float
    memory_kib: int
    kept_kib: int
    taken_kib: int

    @property
    def busy(self) -> int:
        """CPUs of the node in use, a part of one being one."""
        return busy_cpus([self])

    @property
    def cpu_share(self) -> float | None:
        """Share of the usable CPUs that is in use; None where there are none."""
        return (self.held + self.floating) / self.usable if self.usable else None

    @property
    def memory_share(self) -> float | None:
        """Share of the memory for VMs that is taken; None where there is none."""
        room = self.memory_kib - self.kept_kib
        return self.taken_kib / room if room > 0 else None


def busy_cpus(loads: Sequence[NodeLoad]) -> int:
    """Return the CPUs in use on nodes of one host: what floats over several of them is rounded up once, not a node."""
    return sum(load.held for load in loads) + math.ceil(sum(load.floating for load in loads) - _ROUNDING)


def node_loads(host: Host, placed: Sequence[tuple[Vm, PlanVm]], use: CpuUse) -> list[NodeLoad]:
    """Return the load of every node of a host, `use` being what `placed` hold of its CPUs."""
    held, shared = use.taken, shared_vcpus(use)
    memory: Counter[int] = Counter()
    loose: Counter[frozenset[int]] = Counter()
    for vm, planned in placed:
        loose.update(loose_pins(vm, planned))
        for (node_id, _), kib in memory_taken(vm.spec, host.topology, planned):
            memory[node_id] += kib
    found = []
    kept = memory_reserved(host)
    for node in host.topology.nodes:
        usable = node.cpus & host.usable_cpus
        somewhere = sum(vcpus * len(pin & node.cpus) / len(pin) for pin, vcpus in loose.items())
        found.append(
            NodeLoad(
                node=node.id,
                cpus=len(node.cpus),
                usable=len(usable),
                held=len(usable & held),
                floating=shared.get(node.id, 0.0) / host.cpu_ratio + somewhere,
                memory_kib=node.memory_kib,
                kept_kib=kept[node.id],
                taken_kib=memory[node.id],
            )
        )
    return found
