"""Places of sets: VMs that are not bound to one node a cell, on the host where they are or floating over another."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from placer.model.core_pairs import one_each
from placer.model.host import LOCAL, UNREACHABLE, Host, NodeKind, Topology
from placer.model.sets import cell_sets, known_nodes
from placer.model.vm import ORDINARY_PAGE_KIB, CellMode, Vm, VmSpec
from placer.planning.compile.needs import Needs, part_memory, part_vcpus, spec_needs
from placer.planning.compile.placements import NodeView
from solvers.problem import COST_UNIT

NodeSet = tuple[int, ...]
"""Positions in a topology's `nodes`, ascending."""
MOST_UNIONS = 64
MOST_WAYS = 4096
"""Ways to put the CPUs of its own of a VM that is not bound on the nodes of a host that it comes to, at most."""


@dataclass(frozen=True, slots=True)
class OwnPart:
    """A part of a VM that takes CPUs of its own along: its vCPUs that have one by the node that they are on now, the
    nodes numbered in the order in which they come, (number, vCPUs); and how many others are online.
    """

    own: tuple[tuple[int, tuple[int, ...]], ...]
    shared: int

    @property
    def counts(self) -> tuple[tuple[int, int], ...]:
        """The numbers of nodes and how many vCPUs have a CPU there."""
        return tuple((node, len(vcpus)) for node, vcpus in self.own)


@dataclass(frozen=True, slots=True)
class LoosePart:
    """A cell: dedicated CPUs on nodes, (node, how many); shared vCPUs over `cpus`; memory (KiB) over `memory`.

    `beyond` are shared vCPUs above the CPUs of `cpus`, which are not among `shared`.
    """

    own: tuple[tuple[int, int], ...]
    shared: int
    beyond: int
    cpus: NodeSet
    memory: NodeSet
    memory_kib: int
    overhead_kib: int
    page_kib: int | None = None


@dataclass(frozen=True, slots=True)
class Loose:
    """One way in which a VM is on a host without a node a cell; `device_nodes` as those of a placement.

    `lies` is where the pages of one that stays are known to lie, (node, eighths); empty: anywhere on its nodes.
    """

    parts: tuple[LoosePart, ...]
    device_nodes: tuple[int | None, ...] = ()
    lies: tuple[tuple[int, int], ...] = ()

    @property
    def cpu_nodes(self) -> NodeSet:
        """Nodes that any of its vCPUs may run on."""
        return tuple(sorted({node for part in self.parts for node in (*part.cpus, *(n for n, _ in part.own))}))

    @property
    def memory_nodes(self) -> NodeSet:
        """Nodes that any of its memory may lie on."""
        return tuple(sorted({node for part in self.parts for node in part.memory}))

    @property
    def own_nodes(self) -> NodeSet:
        """The node of each CPU of its own."""
        return tuple(sorted(node for part in self.parts for node, count in part.own for _ in range(count)))

    @property
    def beyond(self) -> int:
        """Shared vCPUs above the CPUs that they may run on."""
        return sum(part.beyond for part in self.parts)


def loose_now(vm: Vm, host: Host) -> Loose:
    """Return the place of sets that a VM has on its host; devices are still to be named."""
    spec, topology = vm.spec, host.topology
    position = {node_id: n for n, node_id in enumerate(topology.node_ids)}
    sets = cell_sets(vm, topology)
    pins = one_each(vm.current.pins) if vm.current is not None else {}
    flat = spec.cell_mode is not CellMode.GIVEN or len(spec.cells) != len(sets)
    memory = part_memory(spec, len(sets)) if not flat else _split(spec.memory_kib, len(sets))
    parts = []
    for number, one in enumerate(sets):
        # The vCPUs of a flat guest whose memory has several parts count once.
        vcpus = (frozenset(range(spec.vcpus)) if not number else frozenset()) if flat else spec.cells[number].vcpus
        own = Counter(
            position[topology.node_of_cpu[cpu]]
            for vcpu in vcpus
            if is_own(spec, vcpu, pins.get(vcpu))
            for cpu in pins[vcpu]
            if cpu in topology.node_of_cpu
        )
        shared = sum(1 for vcpu in vcpus if not is_own(spec, vcpu, pins.get(vcpu)) and spec.is_online(vcpu))
        # A cell without vCPUs runs nowhere.
        cpus = carrying_nodes(host, _positions(position, one.cpus)) if flat or vcpus else ()
        beyond = max(0, shared - _carrying(host, cpus)) if shared else 0
        page = spec.page_kib if flat else spec.page_of(number)
        parts.append(
            LoosePart(
                own=tuple(sorted(own.items())),
                shared=shared - beyond,
                beyond=beyond,
                cpus=cpus,
                memory=_positions(position, one.memory),
                memory_kib=-(-memory[number] // (page or ORDINARY_PAGE_KIB)) * (page or ORDINARY_PAGE_KIB),
                overhead_kib=-(-spec.overhead_taken_kib // len(sets)),
                page_kib=page if page != ORDINARY_PAGE_KIB else None,
            )
        )
    return Loose(tuple(parts))


def floating(needs: Needs, online_vcpus: int, host: Host) -> Loose:
    """Return the place of a VM that floats over a host; devices are still to be named.

    Parts of a flat guest, of which each has some of its memory, are no wider together than the CPUs are.
    """
    cpus, memory = host_sets(host)
    parts, left, room = [], online_vcpus, _carrying(host, cpus)
    for part in needs.options[0]:
        shared = min(part.vcpus, left)
        left -= shared
        beyond = max(0, shared - room)
        room -= 0 if needs.shown else shared - beyond
        sizes = (part.memory_kib, part.overhead_kib, part.page_kib)
        parts.append(LoosePart((), shared - beyond, beyond, cpus, memory, *sizes))
    return Loose(tuple(parts))


def own_nodes(spec: VmSpec, pins: Mapping[int, frozenset[int]], topology: Topology) -> NodeSet:
    """Return the node of each CPU that a VM which is not bound has for itself, as `Loose.own_nodes` does."""
    position = {node_id: n for n, node_id in enumerate(topology.node_ids)}
    own = (min(pin) for vcpu, pin in one_each(pins).items() if is_own(spec, vcpu, pin))
    return tuple(sorted(position[topology.node_of_cpu[cpu]] for cpu in own if cpu in topology.node_of_cpu))


def own_parts(vm: Vm, topology: Topology, locked_cells: int | None) -> tuple[OwnPart, ...]:
    """Return what a VM that is not bound to one node a cell takes along to another host: dedicated vCPUs pinned to one
    CPU each have one there too; empty where no vCPU has. `topology` is that of the host where it is, `locked_cells`
    as those of its needs.
    """
    if vm.current is None or not vm.current.pins or known_nodes(vm) is not None:
        return ()
    pins, node_of = one_each(vm.current.pins), topology.node_of_cpu
    numbers: dict[int, int] = {}
    out = []
    for vcpus in part_vcpus(vm.spec, len(spec_needs(vm.spec, locked_cells=locked_cells).options[0])):
        own: dict[int, list[int]] = {}
        for vcpu in vcpus:
            if is_own(vm.spec, vcpu, pins.get(vcpu)) and (node := node_of.get(min(pins[vcpu]))) is not None:
                own.setdefault(numbers.setdefault(node, len(numbers)), []).append(vcpu)
        held = {vcpu for group in own.values() for vcpu in group}
        shared = sum(1 for vcpu in vcpus if vcpu not in held and vm.spec.is_online(vcpu))
        out.append(OwnPart(tuple((number, tuple(group)) for number, group in own.items()), shared))
    return tuple(out) if numbers else ()


def with_own(needs: Needs, parts: Sequence[OwnPart], host: Host) -> tuple[tuple[Loose, ...], bool]:
    """Return the places of a VM that comes to a host with CPUs of its own and its memory unbound, and whether all are
    there: what is on one node now stays together. Devices are still to be named.
    """
    cpus, _ = host_sets(host)
    nodes = [n for n, node in enumerate(host.topology.nodes) if node.cpus & host.dedicated_pool]
    numbers = len({number for part in parts for number, _ in part.own})
    ways: Iterable[tuple[int, ...]] = itertools.product(nodes, repeat=numbers)
    complete = len(nodes) ** numbers <= MOST_WAYS
    if not complete:
        ways = itertools.islice(itertools.permutations(nodes, numbers) if numbers <= len(nodes) else ways, MOST_WAYS)
    base = floating(needs, 0, host)
    found: dict[Loose, None] = {}
    for way in ways:
        out, room = [], _carrying(host, cpus)
        for part, bare in zip(parts, base.parts, strict=True):
            own: dict[int, int] = {}
            for number, count in part.counts:
                own[way[number]] = own.get(way[number], 0) + count
            beyond = max(0, part.shared - room) if part.shared else 0
            room -= 0 if needs.shown else part.shared - beyond
            runs = cpus if part.shared else ()
            shared = part.shared - beyond
            out.append(dataclasses.replace(bare, own=tuple(own.items()), shared=shared, beyond=beyond, cpus=runs))
        found[Loose(tuple(out))] = None
    return tuple(found), complete


def floating_cost(needs: Needs, view: NodeView, loose: Loose, spread: Sequence[tuple[int, int]]) -> int:
    """Return what a VM that floats over a host can be expected to reach over, in millionths of a vCPU.

    `spread` are a node's CPUs for such VMs and its memory: vCPUs run on all their CPUs alike, and memory lies where it
    is known to, else on all its nodes in proportion to what they have.
    """
    shares = needs.transfer(0)
    total = 0.0
    for own, part in enumerate(loose.parts):
        cpus = sum(spread[node][0] for node in part.cpus)
        for other, far in enumerate(loose.parts):
            for i in part.cpus:
                for j, on in memory_shares(loose, far, spread):
                    away = view.distances[i][j]
                    extra = (away if away is not None else UNREACHABLE / LOCAL) - 1.0
                    runs = spread[i][0] / cpus if cpus else 1 / len(part.cpus)
                    total += needs.options[0][own].vcpus * shares[own][other] * runs * on * extra
    return round(COST_UNIT * needs.weight * total)


def memory_shares(loose: Loose, part: LoosePart, spread: Sequence[tuple[int, int]]) -> tuple[tuple[int, float], ...]:
    """Return the share of a part's memory that each node is taken to hold."""
    if loose.lies:
        return tuple((node, eighths / 8) for node, eighths in loose.lies)
    memory = sum(spread[node][1] for node in part.memory)
    return tuple((node, spread[node][1] / memory if memory else 1 / len(part.memory)) for node in part.memory)


def host_sets(host: Host) -> tuple[NodeSet, NodeSet]:
    """Return the nodes whose CPUs a floating VM may run on, and those that its memory may lie on."""
    nodes = host.topology.nodes
    cpus = tuple(n for n, node in enumerate(nodes) if node.kind is NodeKind.NORMAL and node.cpus)
    memory = tuple(n for n, node in enumerate(nodes) if node.memory_kib and node.kind is not NodeKind.DEVICE)
    # Memory that no node tells of is somewhere all the same.
    return carrying_nodes(host, cpus), memory or cpus


def carrying_nodes(host: Host, nodes: NodeSet) -> NodeSet:
    """Return the nodes of a set on which vCPUs float: those with CPUs for them, all where none has any."""
    for pool in (host.shared_pool, host.usable_cpus):
        found = tuple(node for node in nodes if host.topology.nodes[node].cpus & pool)
        if found:
            return found
    return nodes


def online(spec: VmSpec) -> int:
    """Return how many vCPUs of a VM are online: those that float count, hot-pluggable ones do not."""
    return sum(map(spec.is_online, range(spec.vcpus)))


def is_own(spec: VmSpec, vcpu: int, pin: frozenset[int] | None) -> bool:
    """Tell whether a vCPU of a VM that is not bound has a CPU of its own: dedicated, and pinned to one."""
    return pin is not None and len(pin) == 1 and spec.is_dedicated(vcpu)


def unions_of(sets: Iterable[NodeSet]) -> tuple[tuple[NodeSet, ...], bool]:
    """Return the connected unions of more than one node of sets in use beside single nodes, and whether all are there.

    By Hall's condition whatever keeps these rows can be split into whole units on nodes.
    """
    found = {one for one in sets if len(one) > 1}
    queue = sorted(found)
    while queue:
        one = queue.pop()
        for other in sorted(found):
            if set(one) & set(other):
                union = tuple(sorted({*one, *other}))
                if union not in found:
                    if len(found) >= MOST_UNIONS:
                        return tuple(sorted(found)), False
                    found.add(union)
                    queue.append(union)
    return tuple(sorted(found)), True


def families(rows: Sequence[tuple[int, NodeSet]], limit: int = 256) -> tuple[tuple[int, ...], ...]:
    """Return the largest families of rows, (row, its nodes), of which no two share a node."""
    order = sorted(rows, key=lambda row: (len(row[1]), row[1], row[0]))
    found: list[tuple[int, ...]] = []

    def grow(chosen: tuple[int, ...], used: frozenset[int], rest: Sequence[tuple[int, NodeSet]]) -> None:
        if len(found) >= limit:
            return
        free = [row for row in rest if not used & set(row[1])]
        if not free:
            if not any(set(chosen) <= set(other) for other in found):
                found.append(chosen)
            return
        # Some largest family has a row on this node, or one that shares a node with it.
        first = set(free[0][1])
        for number, (row, nodes) in enumerate(free):
            if number == 0 or first & set(nodes):
                grow((*chosen, row), used | set(nodes), free)

    grow((), frozenset(), order)
    return tuple(found)


def _carrying(host: Host, cpus: NodeSet) -> int:
    """Return how many CPUs of nodes may carry vCPUs that float."""
    return len(frozenset().union(*(host.topology.nodes[n].cpus for n in cpus)) & host.shared_pool)


def _positions(position: dict[int, int], nodes: Iterable[int]) -> NodeSet:
    return tuple(sorted(position[node] for node in nodes if node in position))


def _split(total: int, parts: int) -> tuple[int, ...]:
    low, more = divmod(total, parts)
    return tuple(low + (number < more) for number in range(parts))
