"""What was read of a domain, and where that puts it on a given host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from placer.model.cpuset import format_cpuset
from placer.model.host import NodeKind, Topology
from placer.model.pci import AddressKey
from placer.model.vm import Bound, CellMode, Current, Movable, VmSpec
from placer.read.domains.hostdevs import names_of
from placer.read.domains.memory import Numatune


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainReading:
    """One domain as read, before anything is known of its host.

    `pins` holds the cpuset of each vCPU that is restricted; `emulator` and `iothread_pins` only what is pinned by name.
    `notes` are plain sentences on what was not understood or had to be assumed. `manager` names the system whose
    metadata claims the domain. `host_devices` are the PCI addresses and UUIDs of its host's devices that it has.
    `running` says that the XML was dumped from a running domain (it has an id). `security` are the keys of SEV or TDX
    and the EPC (bytes) that it takes of a host that counts them.
    """

    name: str
    spec: VmSpec
    uuid: str | None = None
    pins: Mapping[int, frozenset[int]] = field(default_factory=dict)
    emulator: frozenset[int] | None = None
    iothread_pins: Mapping[int, frozenset[int]] = field(default_factory=dict)
    numatune: Numatune = field(default_factory=Numatune)
    host_devices: frozenset[AddressKey] = frozenset()
    movable: Movable = Movable.LIVE
    movable_why: tuple[str, ...] = ()
    manager: str | None = None
    running: bool = False
    security: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def memory_modes(self) -> tuple[str | None, ...]:
        """The mode in which the memory of each cell is bound to nodes, None where it is bound to none."""
        policies = (self.numatune.of_cell(number) for number in range(max(1, len(self.spec.cells))))
        return tuple(policy.mode if policy is not None and policy.nodeset else None for policy in policies)


_HARD = ("strict", "restrictive", "interleave")
"""Memory modes that bind: interleaved pages lie on these nodes alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The host nodes of each guest cell (or part of an interleaved flat guest); None where it is not one node a cell.

    Then `bound` says what each cell is bound to, unless `memory_nodes` alone say it. `strangers` are CPUs and nodes
    that the domain names and the host lacks.
    """

    nodes: tuple[int, ...] | None
    memory_nodes: tuple[int, ...] | None
    bound: tuple[Bound, ...] = ()
    strangers: tuple[str, ...] = ()


def locate(reading: DomainReading, topology: Topology) -> Location:
    """Return on which nodes of a host the vCPUs and the memory of each cell are.

    A cell's vCPUs are on a node if all of them are pinned inside it; its memory is where its memnode, or the domain's
    memory policy, binds it to a single node. Where one cell is not on one node, all are told as sets: vCPUs that are
    not pinned and memory that nothing binds have the host, preferred nodes are a wish, and so is the node of pinned
    vCPUs for memory without a policy.
    """
    parts = _parts(reading.spec)
    strangers = tuple(_strangers(reading, topology))
    memory = [_memory_node(reading, topology, position, len(parts)) for position in range(len(parts))]
    nodes = [_cpu_node(reading, topology, vcpus) if vcpus else memory[position] for position, vcpus in enumerate(parts)]
    found = _complete(nodes)
    placed = _complete(memory)
    if reading.spec.interleave > 1:
        spread = _interleaved_over(reading)
        if found is not None and spread is not None and len(spread) == len(parts):
            if set(found) == spread:
                return Location(nodes=found, memory_nodes=found, strangers=strangers)
            if (far := _beside_far_memory(found, spread, topology)) is not None:
                return Location(nodes=found, memory_nodes=far, strangers=strangers)
        placed = tuple(sorted(spread)) if spread is not None and spread <= set(topology.node_ids) else None
        return Location(nodes=None, memory_nodes=placed, strangers=strangers)
    if found is not None and placed is not None:
        return Location(nodes=found, memory_nodes=placed, strangers=strangers)
    cells = [cell.vcpus for cell in reading.spec.cells] or [frozenset(range(reading.spec.vcpus))]
    bound = tuple(_bound(reading, topology, number, vcpus) for number, vcpus in enumerate(cells))
    if placed is not None and all(one.cpus is None for one in bound):
        return Location(nodes=None, memory_nodes=placed, strangers=strangers)
    same = bound[:1] if len(set(bound)) == 1 else bound
    return Location(nodes=None, memory_nodes=None, bound=() if same == (Bound(),) else same, strangers=strangers)


def current_of(reading: DomainReading, host: str, topology: Topology) -> Current:
    """Return where the domain is, given the host it was found on."""
    location = locate(reading, topology)
    return Current(
        host=host,
        nodes=location.nodes,
        memory_nodes=location.memory_nodes,
        pins=reading.pins,
        emulator=reading.emulator,
        iothread_pins=reading.iothread_pins,
        bound=location.bound,
        devices=names_of(reading.host_devices, topology),
    )


def bound_by_pins(pins: Mapping[int, frozenset[int]], spec: VmSpec, topology: Topology) -> tuple[Bound, ...]:
    """Return what pins alone bind a VM to: the nodes of its CPUs, and where that is one node a wish for its memory.

    Empty where not one cell has all its vCPUs pinned: it floats.
    """
    cells = [cell.vcpus for cell in spec.cells] or [frozenset(range(spec.vcpus))]
    bound = tuple(_bound_cpus(pins, spec, topology, vcpus) for vcpus in cells)
    same = bound[:1] if len(set(bound)) == 1 else bound
    return () if same == (Bound(),) else same


def nodes_of_pins(pins: Mapping[int, frozenset[int]], spec: VmSpec, topology: Topology) -> tuple[int, ...] | None:
    """Return the node of each cell's pinned vCPUs; None where one of them is not pinned inside one node."""
    found = [_pinned_nodes(pins, spec, topology, frozenset(vcpus)) for vcpus in _parts(spec)]
    return _complete([min(nodes) if nodes is not None and len(nodes) == 1 else None for nodes in found]) or None


def _bound_cpus(pins: Mapping[int, frozenset[int]], spec: VmSpec, topology: Topology, vcpus: frozenset[int]) -> Bound:
    cpus = _pinned_nodes(pins, spec, topology, vcpus)
    return Bound(cpus=cpus, wish=cpus if cpus is not None and len(cpus) == 1 else frozenset())


def _bound(reading: DomainReading, topology: Topology, number: int, vcpus: frozenset[int]) -> Bound:
    """Return the sets of one cell."""
    by_pins = _bound_cpus(reading.pins, reading.spec, topology, vcpus)
    flat = reading.spec.cell_mode is CellMode.NONE
    policy = reading.numatune.memory if flat else reading.numatune.of_cell(number)
    nodes = (policy.nodeset or frozenset()) & frozenset(topology.node_ids) if policy is not None else frozenset()
    if policy is None or not nodes:
        return by_pins
    if policy.mode in _HARD:
        return Bound(cpus=by_pins.cpus, memory=nodes)
    return Bound(cpus=by_pins.cpus, wish=nodes)


def _pinned_nodes(
    pins: Mapping[int, frozenset[int]], spec: VmSpec, topology: Topology, vcpus: frozenset[int]
) -> frozenset[int] | None:
    """Return the nodes that vCPUs are pinned to; None where one that is online is not pinned."""
    nodes: set[int] = set()
    for vcpu in vcpus:
        cpus = pins.get(vcpu, frozenset()) & topology.cpus
        if cpus:
            nodes |= {topology.node_of_cpu[cpu] for cpu in cpus}
        elif spec.is_online(vcpu):
            return None
    return frozenset(nodes) or None


def _parts(spec: VmSpec) -> list[tuple[int, ...]]:
    """Return the vCPU ids of each part that goes to one node: cells, or runs of an interleaved flat guest."""
    if spec.cell_mode is not CellMode.NONE:
        return [tuple(sorted(cell.vcpus)) for cell in spec.cells]
    low, more = divmod(spec.vcpus, spec.interleave)
    runs, first = [], 0
    for number in range(spec.interleave):
        size = low + (number < more)
        runs.append(tuple(range(first, first + size)))
        first += size
    return runs


def _cpu_node(reading: DomainReading, topology: Topology, vcpus: tuple[int, ...]) -> int | None:
    nodes = _pinned_nodes(reading.pins, reading.spec, topology, frozenset(vcpus))
    return min(nodes) if nodes is not None and len(nodes) == 1 else None


def _memory_node(reading: DomainReading, topology: Topology, position: int, parts: int) -> int | None:
    flat = reading.spec.cell_mode is CellMode.NONE
    policy = reading.numatune.memory if flat else reading.numatune.of_cell(position)
    if policy is None or policy.nodeset is None or policy.mode not in _HARD or (flat and parts > 1):
        return None
    nodes = policy.nodeset & set(topology.node_ids)
    return next(iter(nodes)) if len(nodes) == 1 else None


def _interleaved_over(reading: DomainReading) -> frozenset[int] | None:
    policy = reading.numatune.memory
    return None if policy is None else policy.nodeset


def _beside_far_memory(nodes: tuple[int, ...], spread: frozenset[int], topology: Topology) -> tuple[int, ...] | None:
    """Return the memory node of each part where some lie on memory-only nodes and run beside others: the first part on
    a node has that node's memory; None where it is otherwise.
    """
    far = sorted(node.id for node in topology.nodes if node.id in spread and node.kind is NodeKind.MEMORY_ONLY)
    if spread - set(nodes) != set(far):
        return None
    left, memory = iter(far), list[int]()
    for node in nodes:
        own = node in spread and node not in memory
        memory.append(node if own else next(left, node))
    return tuple(memory) if len(set(memory)) == len(memory) else None


def _complete(nodes: list[int | None]) -> tuple[int, ...] | None:
    known = tuple(node for node in nodes if node is not None)
    return known if len(known) == len(nodes) else None


def _strangers(reading: DomainReading, topology: Topology) -> list[str]:
    named = frozenset().union(*reading.pins.values(), *reading.iothread_pins.values(), reading.emulator or frozenset())
    policies = [
        policy for policy in (reading.numatune.memory, *reading.numatune.memnodes.values()) if policy is not None
    ]
    nodes = frozenset().union(*(policy.nodeset or frozenset() for policy in policies))
    lacking = []
    if named - topology.cpus:
        lacking.append(f"CPUs {format_cpuset(named - topology.cpus)}")
    if nodes - set(topology.node_ids):
        lacking.append(f"NUMA nodes {format_cpuset(nodes - set(topology.node_ids))}")
    return lacking
