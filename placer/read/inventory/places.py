"""Where a VM of an inventory is now: nodes and pins, from its domain XML and its entry, checked against its host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import replace

from placer.model import units
from placer.model.cpuset import format_cpuset
from placer.model.host import Topology
from placer.model.pci import AddressKey, address_key
from placer.model.vm import Bound, CellMode, Current, VmSpec
from placer.read.domains.hostdevs import names_of
from placer.read.domains.reading import DomainReading, bound_by_pins, current_of, nodes_of_pins
from placer.read.inventory.schema import BoundEntry, VmEntry
from placer.read.inventory.validation import Problem


def strangers(reading: DomainReading, topology: Topology) -> Iterator[str]:
    """Say what a domain names that its host lacks and that a plan can do without; missing CPUs of vCPUs are faults."""
    cpus = (reading.emulator or frozenset()).union(*reading.iothread_pins.values()) - topology.cpus
    if cpus:
        yield f"emulator threads or IOThreads are pinned to CPUs {format_cpuset(cpus)}, which the host lacks: left out"
    policies = (reading.numatune.memory, *reading.numatune.memnodes.values())
    bound = frozenset().union(*(policy.nodeset or frozenset() for policy in policies if policy is not None))
    if nodes := bound - set(topology.node_ids):
        yield f"memory is bound to nodes {format_cpuset(nodes)}, which the host lacks: left out"


def held_devices(entry: VmEntry, reading: DomainReading | None) -> Set[AddressKey]:
    """Return the addresses of the host's devices that a VM has: those of its entry, else those of its XML."""
    if entry.device_addresses is not None:
        return {address_key(text) for text in entry.device_addresses}
    return reading.host_devices if reading is not None else frozenset()


def current_place(
    entry: VmEntry, spec: VmSpec, topology: Topology, reading: DomainReading | None, problems: list[Problem]
) -> Current:
    """Return where the VM is, still without the host's name: what its XML tells, under what the entry says itself."""
    base = Current(host="")
    if reading is not None:
        told = reading if spec.cell_mode is CellMode.AUTO or spec == reading.spec else replace(reading, spec=spec)
        base = current_of(told, "", topology)
        base = replace(
            base,
            pins={vcpu: cpus for vcpu, cpus in base.pins.items() if vcpu < spec.vcpus},
            emulator=_there(base.emulator, topology),
            iothread_pins={
                key: cpus & topology.cpus for key, cpus in base.iothread_pins.items() if cpus & topology.cpus
            },
        )
    pins = entry.pins if isinstance(entry.pins, dict) else base.pins
    _check_pins(pins, spec, topology, problems)
    if reading is None and entry.pins is not None and not problems:
        base = replace(base, bound=bound_by_pins(pins, spec, topology))
    # An empty list says that it is not known, or that the VM floats.
    nodes = base.nodes if entry.nodes is None else tuple(entry.nodes) or None
    memory = base.memory_nodes if entry.nodes is None else nodes
    if entry.memory_nodes is not None:
        memory = tuple(entry.memory_nodes) or None
        if entry.nodes is None and nodes is None and memory is not None and not problems:
            nodes = nodes_of_pins(pins, spec, topology)
    bound = base.bound if entry.nodes is None and entry.memory_nodes is None else ()
    if entry.bound is not None:
        nodes, memory, bound = _apart(_bounds(entry, spec, topology, problems), spec)
    _check_nodes("nodes", nodes, spec, topology, problems)
    if memory is not nodes:
        _check_nodes("memory_nodes", memory, spec, topology, problems)
    for key, cpus in (
        ("emulator", entry.emulator),
        ("iothread_pins", frozenset().union(*(entry.iothread_pins or {}).values())),
    ):
        if cpus and (lacking := cpus - topology.cpus):
            problems.append(((key,), f"the host has no CPU {format_cpuset(lacking)}", None))
    memory_on = base.memory_on if entry.memory_on is None else entry.memory_on
    if nowhere := frozenset(memory_on).difference(topology.node_ids):
        problems.append((("memory_on",), f"the host has no node {format_cpuset(nowhere)}", None))
    held = held_devices(entry, reading)
    devices = names_of(held, topology)
    if entry.device_addresses is not None and (unknown := held - {address_key(text) for text in devices}):
        named = next(text for text in entry.device_addresses if address_key(text) in unknown)
        problems.append((("device_addresses",), f"the host has no device {named!r}", "list the host's devices"))
    return Current(
        host="",
        nodes=nodes,
        memory_nodes=memory,
        pins=pins,
        emulator=entry.emulator or base.emulator,
        iothread_pins=entry.iothread_pins if entry.iothread_pins is not None else base.iothread_pins,
        bound=bound,
        memory_on=memory_on,
        devices=devices,
    )


def _bounds(entry: VmEntry, spec: VmSpec, topology: Topology, problems: list[Problem]) -> tuple[Bound, ...]:
    """Return what the entry says its cells are bound to; that and a node a cell exclude each other."""
    problems.extend(
        ((key,), "says a node a cell, and bound says sets of nodes", "keep one")
        for key in ("nodes", "memory_nodes")
        if getattr(entry, key)
    )
    listed = entry.bound if isinstance(entry.bound, list) else [entry.bound or BoundEntry()]
    cells = max(1, len(spec.cells))
    if isinstance(entry.bound, list) and len(listed) != cells:
        problems.append(
            (
                ("bound",),
                f"{len(listed)} entries for a VM of {units.count(cells, 'cell')}",
                "one a cell, or one for all",
            )
        )
    for one in listed:
        for name, named in (("cpus", one.cpus), ("memory", one.memory), ("wish", frozenset(one.wish))):
            if named is not None and (unknown := named.difference(topology.node_ids)):
                problems.append((("bound",), f"{name}: the host has no node {format_cpuset(unknown)}", None))
            elif name == "cpus" and named and not any(topology.node(node).cpus for node in named):
                problems.append((("bound",), f"{name}: nodes {format_cpuset(named)} have no CPU", None))
    return tuple(Bound(cpus=one.cpus, memory=one.memory, wish=frozenset(one.wish)) for one in listed)


def _apart(
    bound: tuple[Bound, ...], spec: VmSpec
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None, tuple[Bound, ...]]:
    """Return nodes and memory nodes a cell where the sets are of one node each, else the sets."""
    if not all(len(one.cpus or ()) == len(one.memory or ()) == 1 for one in bound):
        return None, None, bound
    parts = bound * max(1, len(spec.cells)) if len(bound) == 1 else bound
    return tuple(min(one.cpus or ()) for one in parts), tuple(min(one.memory or ()) for one in parts), ()


def _there(cpus: frozenset[int] | None, topology: Topology) -> frozenset[int] | None:
    return (cpus & topology.cpus or None) if cpus is not None else None


def _check_pins(pins: Mapping[int, frozenset[int]], spec: VmSpec, topology: Topology, problems: list[Problem]) -> None:
    for vcpu, cpus in pins.items():
        if vcpu >= spec.vcpus:
            problems.append((("pins", str(vcpu)), f"the VM has no vCPU {vcpu}, only {spec.vcpus}", None))
        if lacking := cpus - topology.cpus:
            problems.append(
                (
                    ("pins", str(vcpu)),
                    f"vCPU {vcpu} is pinned to CPUs {format_cpuset(lacking)}, which the host lacks",
                    f"the host has {format_cpuset(topology.cpus)}",
                )
            )


def _check_nodes(
    key: str, listed: tuple[int, ...] | None, spec: VmSpec, topology: Topology, problems: list[Problem]
) -> None:
    if listed is None:
        return
    hollow = {number for number, cell in enumerate(spec.cells) if not cell.vcpus}
    for number, node in enumerate(listed):
        if node not in topology.node_ids:
            problems.append(((key,), f"the host has no node {node}, only {format_cpuset(topology.node_ids)}", None))
        elif key == "nodes" and number not in hollow and not topology.node(node).cpus:
            problems.append(((key,), f"node {node} has no CPU", "say memory_nodes where the memory lies elsewhere"))
    wanted = {CellMode.GIVEN: len(spec.cells), CellMode.NONE: spec.interleave}.get(spec.cell_mode)
    if wanted is not None and len(listed) != wanted:
        cure = (
            "say cells, or interleave for a flat guest over several nodes"
            if spec.cell_mode is CellMode.NONE
            else "one node a cell"
        )
        problems.append(((key,), f"{units.count(len(listed), 'node')} for a VM of {units.count(wanted, 'cell')}", cure))
    elif key == "nodes" and wanted is None and (not listed or spec.vcpus % len(listed)):
        problems.append(
            ((key,), f"{spec.vcpus} vCPUs cannot lie in equal cells on {len(listed)} nodes", "list the cells")
        )
