"""What was read of a domain, and where that puts it on a given host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from placer.model.cpuset import format_cpuset
from placer.model.host import Topology
from placer.model.vm import CellMode, Current, Movable, VmSpec
from placer.read.domains.memory import Numatune


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainReading:
    """One domain as read, before anything is known of its host.

    `pins` holds the cpuset of each vCPU that is restricted; `emulator` and `iothread_pins` only what is pinned by name.
    `notes` are plain sentences on what was not understood or had to be assumed. `manager` names the system whose
    metadata claims the domain. `running` says that the XML was dumped from a running domain (it has an id).
    """

    name: str
    spec: VmSpec
    uuid: str | None = None
    pins: Mapping[int, frozenset[int]] = field(default_factory=dict)
    emulator: frozenset[int] | None = None
    iothread_pins: Mapping[int, frozenset[int]] = field(default_factory=dict)
    numatune: Numatune = field(default_factory=Numatune)
    movable: Movable = Movable.LIVE
    movable_why: tuple[str, ...] = ()
    manager: str | None = None
    running: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The host nodes of each guest cell (or part of an interleaved flat guest); None where they float or are not known.

    `strangers` are CPUs and nodes that the domain names and the host lacks.
    """

    nodes: tuple[int, ...] | None
    memory_nodes: tuple[int, ...] | None
    strangers: tuple[str, ...] = ()


def locate(reading: DomainReading, topology: Topology) -> Location:
    """Return on which nodes of a host the vCPUs and the memory of each cell are.

    A cell's vCPUs are on a node if all of them are pinned inside it; its memory is where its memnode, or the domain's
    memory policy, names a single node. One cell that is nowhere in particular makes the whole answer None: a plan
    cannot keep in place what has no place.
    """
    parts = _parts(reading.spec)
    memory = [_memory_node(reading, topology, position, len(parts)) for position in range(len(parts))]
    nodes = [_cpu_node(reading, topology, vcpus) if vcpus else memory[position] for position, vcpus in enumerate(parts)]
    found = _complete(nodes)
    placed = _complete(memory)
    if reading.spec.interleave > 1:
        spread = _interleaved_over(reading)
        if found is not None and spread is not None and set(found) == spread and len(spread) == len(parts):
            placed = found
        else:
            found = None
            placed = tuple(sorted(spread)) if spread is not None and spread <= set(topology.node_ids) else None
    return Location(nodes=found, memory_nodes=placed, strangers=tuple(_strangers(reading, topology)))


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
    )


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
    nodes = set()
    for vcpu in vcpus:
        cpus = reading.pins.get(vcpu, frozenset()) & topology.cpus
        if not cpus:
            return None
        nodes |= {topology.node_of_cpu[cpu] for cpu in cpus}
    return next(iter(nodes)) if len(nodes) == 1 else None


def _memory_node(reading: DomainReading, topology: Topology, position: int, parts: int) -> int | None:
    flat = reading.spec.cell_mode is CellMode.NONE
    policy = reading.numatune.memory if flat else reading.numatune.of_cell(position)
    if policy is None or policy.nodeset is None or (flat and parts > 1):
        return None
    nodes = policy.nodeset & set(topology.node_ids)
    return next(iter(nodes)) if len(nodes) == 1 else None


def _interleaved_over(reading: DomainReading) -> frozenset[int] | None:
    policy = reading.numatune.memory
    return None if policy is None else policy.nodeset


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
