"""Which hosts of a large fleet new VMs may come to, and which are the easiest to make room on: few of them are planned.

What is said to be impossible here is proven by CPUs alone; the order of hosts is a guess, which a plan settles.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from placer.check.fits import impossible_vms
from placer.failures.screened import by_room, vcpus_free
from placer.measure.spec_numbers import SpecNumbers
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.units import count
from placer.model.vm import Vm, VmSpec
from placer.planning.after import with_vms

FIRST_HOSTS = 32
"""So many hosts are planned at first, more where the VMs ask for more than these have."""
AMPLE = 1.5
"""The first hosts have so many times the CPUs that the new VMs ask for."""
CLEARED = 4
"""Hosts on which room is made, for each VM that needs it."""
MOST_CLEARED = 64


@dataclass(slots=True)
class _Node:
    """What a node has left, and the VMs on it that may move: CPUs and KiB of each."""

    cpus: float
    memory_kib: float
    leave: list[tuple[float, float]] = field(default_factory=list)


class RoomForNew:
    """The hosts that take new VMs, the roomiest first, and what each has left at most."""

    def __init__(self, fleet: Fleet, on: Mapping[str, Sequence[Vm]]) -> None:
        """`on` : host -> the VMs on it."""
        self.fleet = fleet
        self.on = on
        self.hosts = by_room(fleet, on)
        self.free = {host.name: vcpus_free(host, on.get(host.name, ())) for host in self.hosts}
        self._nodes: dict[str, list[_Node]] = {}

    def able(self, vms: Sequence[Vm]) -> list[Host]:
        """Return the hosts that have the CPUs for the narrowest of these VMs; on no other is any of them."""
        narrowest = min(vm.spec.width for vm in vms)
        return [host for host in self.hosts if self.free[host.name] >= narrowest]

    def first(self, vms: Sequence[Vm]) -> list[Host]:
        """Return hosts with room for all of these VMs, as far as CPUs tell."""
        hosts = self.able(vms)
        need = AMPLE * sum(vm.spec.width for vm in vms)
        held = accumulate(self.free[host.name] for host in hosts)
        many = next((number for number, room in enumerate(held, start=1) if room >= need), len(hosts))
        return hosts[: max(FIRST_HOSTS, many)]

    def nowhere(self, vms: Sequence[Vm], max_moves: int = 0) -> dict[str, str]:
        """Return name -> reason for the VMs that no host has the CPUs for, however few VMs leave it as may move."""
        widths = {vm.spec.width for vm in vms}
        too_wide = {width for width in widths if not any(self._can_have(host, width, max_moves) for host in self.hosts)}
        none = [vm for vm in vms if vm.spec.width in too_wide]
        if not none:
            return {}
        never = impossible_vms(_with_one_of_each(self.fleet, none))
        specs = SpecNumbers()
        known = {specs.of(vm.spec): never[vm.name] for vm in none if vm.name in never}
        many = len(self.hosts)
        after = f", and would not if {count(max_moves, 'VM')} left it" if max_moves else ""
        return {
            vm.name: known.get(
                specs.of(vm.spec),
                f"no host has room for its {count(vm.spec.vcpus, 'vCPU')}: none of {many} has as many CPUs free{after}",
            )
            for vm in none
        }

    def _can_have(self, host: Host, width: int, moves: int) -> bool:
        lacking = width - self.free[host.name]
        if lacking <= 0 or not moves:
            return lacking <= 0
        if lacking > width:  # a host that is over: what it lacks says nothing of what it takes
            return True
        leave = (vm.spec.width for vm in self.on.get(host.name, ()) if not self.fleet.is_held(vm))
        return sum(heapq.nlargest(moves, leave)) >= lacking

    def to_clear(self, vms: Sequence[Vm], max_moves: int) -> list[Host]:
        """Return the hosts that fewest VMs have to leave for one of these VMs to fit, by a look at their nodes."""
        specs = SpecNumbers()
        kinds = {specs.of(vm.spec): vm.spec for vm in vms}
        many = min(MOST_CLEARED, max(2 * CLEARED, CLEARED * len(vms)))
        chosen: dict[str, Host] = {}
        roomiest = sorted(range(len(self.hosts)), key=lambda number: -self.free[self.hosts[number].name])
        for spec in kinds.values():
            best: list[tuple[tuple[int, float], int]] = []
            for number in roomiest:
                host = self.hosts[number]
                lacking = max(0.0, spec.width - self.free[host.name])
                # What a host lacks has to leave it: none that lacks more costs less.
                if len(best) == many and best[-1][0] < (int(lacking > 0), lacking):
                    break
                cost = _cost(self._nodes_of(host), spec, max_moves)
                if cost is not None:
                    insort(best, (cost, number))
                    del best[many:]
            for _, number in best:
                chosen[self.hosts[number].name] = self.hosts[number]
        return list(chosen.values())

    def _nodes_of(self, host: Host) -> list[_Node]:
        if host.name not in self._nodes:
            self._nodes[host.name] = _nodes_of(self.fleet, host, self.on.get(host.name, ()))
        return self._nodes[host.name]


def _with_one_of_each(fleet: Fleet, vms: Sequence[Vm]) -> Fleet:
    """Return the hosts and rules with one VM of each spec."""
    specs = SpecNumbers()
    return with_vms(fleet, {specs.of(vm.spec): vm for vm in vms}.values())


def _nodes_of(fleet: Fleet, host: Host, there: Sequence[Vm]) -> list[_Node]:
    """Return what each node has left beside these VMs; those on no known node are taken to be everywhere."""
    usable, ratio = host.usable_cpus, max(1.0, host.cpu_ratio)
    found = {node.id: _Node(len(node.cpus & usable) * ratio, float(node.memory_kib)) for node in host.topology.nodes}
    for vm in there:
        moves = not fleet.is_held(vm)
        for node, cpus, kib in _taken(vm, tuple(found)):
            found[node].cpus -= cpus
            found[node].memory_kib -= kib
            if moves:
                found[node].leave.append((cpus, kib))
    return list(found.values())


def _taken(vm: Vm, everywhere: Sequence[int]) -> Iterator[tuple[int, float, float]]:
    """Yield node, CPUs and KiB of a VM."""
    current = vm.current
    nodes = (current.nodes if current is not None else None) or everywhere
    memory = (current.memory_nodes if current is not None else None) or nodes
    if nodes == memory:
        for node in nodes:
            yield node, vm.spec.width / len(nodes), vm.spec.memory_kib / len(nodes)
        return
    for node in nodes:
        yield node, vm.spec.width / len(nodes), 0.0
    for node in memory:
        yield node, 0.0, vm.spec.memory_kib / len(memory)


def _cost(nodes: Sequence[_Node], spec: VmSpec, max_moves: int) -> tuple[int, float] | None:
    """Return how many VMs have to leave a host for one of this spec, and their CPUs; None where more than may."""
    parts = max(1, len(spec.cells), spec.interleave)
    costs = sorted(
        cost
        for node in nodes
        if (cost := _node_cost(node, spec.width / parts, spec.memory_kib / parts, max_moves)) is not None
    )
    if len(costs) < parts:
        return None
    many = sum(count for count, _ in costs[:parts])
    return None if many > max_moves else (many, sum(cpus for _, cpus in costs[:parts]))


def _node_cost(node: _Node, cpus: float, memory_kib: float, max_moves: int) -> tuple[int, float] | None:
    """Return how many VMs have to leave a node so that so much is free, those first that free the most of it."""
    lacks_cpus, lacks_kib = cpus - node.cpus, memory_kib - node.memory_kib
    count, moved = 0, 0.0
    left = list(node.leave)
    while lacks_cpus > 0 or lacks_kib > 0:
        if count == max_moves or not left:
            return None
        at = max(range(len(left)), key=lambda n: _share(left[n][0], lacks_cpus) + _share(left[n][1], lacks_kib))
        own_cpus, own_kib = left.pop(at)
        lacks_cpus, lacks_kib = lacks_cpus - own_cpus, lacks_kib - own_kib
        count, moved = count + 1, moved + own_cpus
    return count, moved


def _share(frees: float, lacks: float) -> float:
    return 0.0 if lacks <= 0 else min(1.0, frees / lacks)
