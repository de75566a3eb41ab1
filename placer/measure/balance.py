"""The goals of balance: what places carry of what they have, and what that is worth."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from placer.measure.alike import HostGroup
from placer.measure.cpu_use import CpuUse, cpu_use, node_load, node_usage
from placer.measure.sets_taken import memory_items
from placer.model.balance import CPUS, MEMORY, NODES, USAGE, Load, node_memory_kib
from placer.model.balance import HOSTS as EACH_HOST
from placer.model.host import Host
from placer.model.same_host import room_key
from placer.model.units import KIB_PER_GIB
from placer.model.usage_levels import THOUSAND


@dataclass(frozen=True, slots=True)
class Place:
    """A node, a host, or the hosts of a label: its name, what it has and what it carries, in CPUs or GiB; `count` are
    alike.
    """

    name: str
    has: float
    carries: float
    count: int = 1

    @property
    def share(self) -> float:
        """What it carries of what it has."""
        return self.carries / self.has


Used = Sequence[tuple[HostGroup, CpuUse]]
"""The hosts that hold a VM, those alike together, each with the CPUs taken on its first host."""


def balance_value(loads: Sequence[Load], used: Used, idle: Sequence[Host]) -> float:
    """Return a goal of balance: Σ over resources and places of weight × capacity × Σ_steps max(0, share − step).

    `idle` are the hosts that work and hold nothing. Places without any of a resource do not count.
    """
    return math.fsum(
        place.count * load.weight / THOUSAND * max(0.0, place.carries - place.has * step / THOUSAND)
        for load in loads
        for place in places_of(load, used, idle)
        if place.carries
        for step in load.steps
    )


def places_of(load: Load, used: Used, idle: Sequence[Host]) -> Iterator[Place]:
    """Yield the places that a load is measured over; a host without the label that is asked for is one by itself."""
    by_label: dict[tuple[bool, str], list[float]] = {}
    for hosts, has, carries in _contents(load.resource, used, idle):
        if load.places == NODES:
            for node, amount in has.items():
                if amount:
                    yield Place(f"{hosts[0].name} node {node}", amount, carries.get(node, 0.0), len(hosts))
            continue
        total = math.fsum(has.values())
        on_all = math.fsum(carries.values())
        if load.places == EACH_HOST:
            if total:
                yield Place(hosts[0].name, total, on_all, len(hosts))
            continue
        for host in hosts:
            value = host.labels.get(load.places)
            place = by_label.setdefault((value is not None, host.name if value is None else value), [0.0, 0.0])
            place[0] += total
            place[1] += on_all
    yield from (Place(name, has, carries) for (_, name), (has, carries) in sorted(by_label.items()) if has)


def _contents(
    resource: str, used: Used, idle: Sequence[Host]
) -> Iterator[tuple[list[Host], Mapping[int, float], Mapping[int, float]]]:
    """Yield hosts alike with what each node of one has and carries of a resource."""
    for group, use in used:
        # What a VM uses is its own: by usage each host is alone.
        alike = [] if resource == USAGE else [host for host, _ in group.others]
        yield [group.host, *alike], capacity_of(resource, group.host), carried(resource, use)
        for host, placed in group.others if resource == USAGE else ():
            yield [host], capacity_of(resource, host), carried(resource, cpu_use(host, placed))
    bare: dict[Hashable, list[Host]] = {}
    for host in idle:
        bare.setdefault(room_key(host), []).append(host)
    for hosts in bare.values():
        yield hosts, capacity_of(resource, hosts[0]), {}


def capacity_of(resource: str, host: Host) -> dict[int, float]:
    """Return what each node has of a resource: usable CPUs (online and not reserved), or GiB that VMs may take."""
    if resource == MEMORY:
        return {node: kib / KIB_PER_GIB for node, kib in node_memory_kib(host).items()}
    usable = host.usable_cpus
    return {node.id: float(len(node.cpus & usable)) for node in host.topology.nodes}


def carried(resource: str, use: CpuUse) -> Mapping[int, float]:
    """Return what each node carries of a resource: CPUs' worth of work asked for or used, or GiB taken.

    Memory that floats over several nodes counts on each in proportion to what VMs may take of it.
    """
    if resource == CPUS:
        return node_load(use)
    if resource != MEMORY:
        return node_usage(use)
    has, taken = node_memory_kib(use.host), dict[int, float]()
    for vm, planned in use.placed:
        for nodes, _, kib in memory_items(vm.spec, use.host.topology, planned):
            whole = sum(has[node] for node in nodes)
            for node in sorted(nodes):
                part = has[node] / whole if whole else 1 / len(nodes)
                taken[node] = taken.get(node, 0.0) + kib * part / KIB_PER_GIB
    return taken
