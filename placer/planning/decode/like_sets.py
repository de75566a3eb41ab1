"""Sets of nodes for VMs that are confined to some nodes of their host and come to another, where there is room for it.

Engines have such a VM float over all of the host that it comes to: no goal counts where. So whatever set of as many
nodes has room for it is as good for every goal, and keeps what its administrator asked for.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from placer.measure.cpu_use import cpu_use
from placer.measure.sets_taken import Nodes, memory_items, own_vcpus, taken_by
from placer.measure.shortage import memory_pools, short_of
from placer.model.fleet import Fleet
from placer.model.goals import Goal
from placer.model.host import Host, NodeKind, Topology
from placer.model.plan import PlanVm
from placer.model.rules import RuleKind
from placer.model.sets import bounds_now
from placer.model.vm import Bound, Vm

MOST_WAYS = 256
"""Ways to take the nodes of a VM for those of another host that are looked at."""
COUNTING = ("balance", "l3", "cores")
"""Goals that what floats on some nodes only counts otherwise in."""

Placed = Sequence[tuple[Vm, PlanVm]]


def with_like_sets(fleet: Fleet, goals: Sequence[Goal], vms: Sequence[PlanVm]) -> tuple[PlanVm, ...]:
    """Return the VMs of a plan, those that come to a host and are confined now to sets like theirs where these have
    room beside all others: as many nodes for their CPUs and their memory, those with most room. Who has a CPU of its
    own takes that along, and has its memory on the nodes that stand for those of its CPUs, where it was there.

    Where a goal or a rule counts on which nodes a VM may run nothing is changed; who takes resources of nodes floats.
    """
    counted = any(goal.kind in COUNTING for goal in goals)
    if counted or any(rule.scope in ("node", "l3") and rule.kind is not RuleKind.GROUP for rule in fleet.rules):
        return tuple(vms)
    coming = {vm.host for vm in vms if vm.from_host is not None and _confined(fleet, vm)}
    if not coming:
        return tuple(vms)
    of_host: dict[str, list[int]] = defaultdict(list)
    out = list(vms)
    for number, vm in enumerate(vms):
        if vm.host in coming:
            of_host[vm.host].append(number)
    for name, numbers in of_host.items():
        host = fleet.host_by_name[name]
        for number in numbers:
            if (bounds := _confined(fleet, out[number])) and out[number].from_host is not None:
                others = [(fleet.vm_by_name[out[n].name], out[n]) for n in numbers if n != number]
                own = fleet.vm_by_name[out[number].name]
                out[number] = _roomiest(fleet, host, own, out[number], bounds, others)
    return tuple(out)


def _confined(fleet: Fleet, planned: PlanVm) -> tuple[Bound, ...]:
    """Return what a VM that floats where it comes is bound to on the host where it is, as far as that is less than the
    host; empty where it is not.
    """
    vm = fleet.vm_by_name[planned.name]
    old = None if vm.current is None else fleet.host_by_name.get(vm.current.host)
    if old is None or planned.bound != (Bound(),) or vm.spec.resources:
        return ()
    along = own_vcpus(vm, planned)
    runs, holds = _runs(old.topology), old.topology.memory_nodes
    found = tuple(
        Bound(
            cpus=None if along or one.cpus is None or runs <= one.cpus else one.cpus & runs or None,
            memory=None if one.memory is None or holds <= one.memory else one.memory & holds or None,
            wish=frozenset() if holds <= one.wish else one.wish & holds,
        )
        for one in bounds_now(vm)
    )
    return found if any(one != Bound() for one in found) else ()


def _runs(topology: Topology) -> frozenset[int]:
    return frozenset(node.id for node in topology.nodes if node.cpus and node.kind is NodeKind.NORMAL)


def _ways(old: Topology, new: Host, bounds: Sequence[Bound]) -> Iterator[dict[int, int]]:
    """Yield which node of a host stands for each of those that a VM is bound to, those of the same number first."""
    named = sorted({node for one in bounds for node in (*(one.cpus or ()), *(one.memory or ()), *one.wish)})
    pool = new.shared_pool
    run = [node.id for node in new.topology.nodes if node.cpus & pool]
    bare = [node.id for node in new.topology.nodes if not node.cpus and node.id in new.topology.memory_nodes]
    with_cpus = [node for node in named if node in _runs(old)]
    without = [node for node in named if node not in with_cpus]
    if len(with_cpus) > len(run) or len(without) > len(bare):
        return
    ways = itertools.product(itertools.permutations(run, len(with_cpus)), itertools.permutations(bare, len(without)))
    same = {node: node for node in named}
    if set(with_cpus) <= set(run) and set(without) <= set(bare):
        yield same
    for first, second in itertools.islice(ways, MOST_WAYS):
        yield dict(zip((*with_cpus, *without), (*first, *second), strict=True))


@dataclass(slots=True)
class _Room:
    """What a host has for a VM beside the others: CPUs at its overcommit and memory by pool, and what they take of it
    by sets of nodes.
    """

    host: Host
    cpus: dict[int, int]
    shared: Counter[Nodes]
    pools: dict[int | None, dict[int, int]]
    memory: Counter[tuple[Nodes, int | None]]

    @classmethod
    def of(cls, host: Host, others: Placed) -> _Room:
        """Add up what the others take, CPUs as they are pinned."""
        taken = cpu_use(host, others).taken
        ratio = Fraction(str(host.cpu_ratio))
        shared: Counter[Nodes] = Counter()
        memory: Counter[tuple[Nodes, int | None]] = Counter()
        for vm, planned in others:
            shared.update(taken_by(vm, host, planned).shared)
            for nodes, size, kib in memory_items(vm.spec, host.topology, planned):
                memory[nodes, size] += kib
        return cls(
            host=host,
            cpus={
                node.id: ratio.numerator * len((node.cpus & host.shared_pool) - taken) for node in host.topology.nodes
            },
            shared=Counter({nodes: many * ratio.denominator for nodes, many in shared.items()}),
            pools=memory_pools(host),
            memory=memory,
        )

    def lacks(self, vm: Vm, planned: PlanVm) -> tuple[int, int]:
        """Return how many vCPUs (in parts of one) and how much memory (KiB) have no place with the VM so placed."""
        mine = taken_by(vm, self.host, planned)
        each = Fraction(str(self.host.cpu_ratio)).denominator
        shared = self.shared + Counter({nodes: many * each for nodes, many in mine.shared.items()})
        memory = self.memory + Counter()
        for nodes, size, kib in memory_items(vm.spec, self.host.topology, planned):
            memory[nodes, size] += kib
        short = 0
        for size, room in self.pools.items():
            short += short_of({nodes: kib for (nodes, of), kib in memory.items() if of == size}, room)[0]
        return short_of(shared, self.cpus)[0] + mine.beyond * each, short

    def left(self, planned: PlanVm) -> tuple[float, float]:
        """Return which share of the CPUs, and of the memory, of a VM's sets is free where others take alike of all
        their nodes: that of the fuller of both first.
        """
        cpus = frozenset[int]().union(*(one.cpus or () for one in planned.bound)) or frozenset(self.cpus)
        holds = (
            frozenset[int]().union(*(one.memory or one.wish for one in planned.bound))
            or self.host.topology.memory_nodes
        )
        room = self.pools.get(None, {})
        used = {nodes: kib for (nodes, size), kib in self.memory.items() if size is None}
        free = _free(cpus, self.cpus, self.shared), _free(holds, room, Counter(used))
        return min(free), max(free)


def _free(nodes: Nodes, room: dict[int, int], taken: Counter[Nodes]) -> float:
    has = sum(room.get(node, 0) for node in nodes)
    used = sum(units * len(own & nodes) / len(own) for own, units in taken.items() if own)
    return 1.0 - used / has if has else 0.0


def _roomiest(fleet: Fleet, host: Host, vm: Vm, planned: PlanVm, bounds: Sequence[Bound], others: Placed) -> PlanVm:
    """Return a VM on sets like those that it has now, on those with most room; as it is where none has enough."""
    assert vm.current is not None
    old = fleet.host_by_name[vm.current.host].topology
    room = _Room.of(host, others)
    before = room.lacks(vm, planned)
    best: tuple[tuple[float, float], PlanVm] | None = None
    seen: set[tuple[Bound, ...]] = set()
    along = _along(vm, planned, old, host.topology)
    for way in _ways(old, host, bounds):
        if any(way.get(node, there) != there for node, there in along.items()):
            continue
        one = _on(host, vm, planned, bounds, way)
        if one is None or one.bound in seen:
            continue
        seen.add(one.bound)
        after = room.lacks(vm, one)
        if any(more > less for more, less in zip(after, before, strict=True)):
            continue
        free = room.left(one)
        if best is None or free > best[0]:
            best = free, one
    return planned if best is None else best[1]


def _along(vm: Vm, planned: PlanVm, old: Topology, new: Topology) -> dict[int, int]:
    """Return the node that stands for each on which a VM has a CPU of its own."""
    now = {} if vm.current is None else vm.current.pins
    own = [vcpu for vcpu in sorted(own_vcpus(vm, planned)) if now.get(vcpu)]
    return {old.node_of_cpu[min(now[vcpu])]: new.node_of_cpu[min(planned.pins[vcpu])] for vcpu in own}


def _on(host: Host, vm: Vm, planned: PlanVm, bounds: Sequence[Bound], way: dict[int, int]) -> PlanVm | None:
    """Return a VM on the nodes that stand for its own; None where these are all there are, or devices are elsewhere."""
    runs, holds = _runs(host.topology), host.topology.memory_nodes
    sets = []
    for one in bounds:
        cpus = None if one.cpus is None else frozenset(way[node] for node in one.cpus)
        memory = None if one.memory is None else frozenset(way[node] for node in one.memory)
        wish = frozenset(way[node] for node in one.wish)
        sets.append(
            Bound(
                cpus=None if cpus is None or runs <= cpus else cpus,
                memory=None if memory is None or holds <= memory else memory,
                wish=frozenset() if holds <= wish else wish,
            )
        )
    if all(one == Bound() for one in sets):
        return None
    of_cell = sets if len(sets) == len(planned.cells) else sets * len(planned.cells)
    pins = dict(planned.pins)
    for cell, bound in zip(planned.cells, of_cell, strict=False):
        if bound.cpus is None:
            continue
        own = frozenset().union(*(host.topology.node(node).cpus for node in bound.cpus)) & host.shared_pool
        # One CPU alone would read as one of its own.
        if len(own) < 2:
            return None
        pins |= dict.fromkeys(cell.vcpus, own)
    near = {host.topology.node_of_cpu[cpu] for pin in pins.values() for cpu in pin}
    if any(node is not None and node not in near for _, node in planned.devices):
        return None
    return replace(planned, pins=dict(sorted(pins.items())), bound=tuple(sets))
