"""What a VM that runs is bound to where that is not one node a cell: sets of nodes for its vCPUs and its memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from placer.model.host import Topology
from placer.model.vm import Bound, CellMode, CpuPolicy, Current, Movable, PinPolicy, Vm

PinMode = Literal["none", "worth", "all"]
"""Which VMs that float are to be bound to nodes: those that must, those that gain by it too, or all that may."""
Binding = Literal["shall", "may"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSets:
    """Node ids that a cell's vCPUs may run on, and those that its memory may lie on."""

    cpus: frozenset[int]
    memory: frozenset[int]


def known_nodes(vm: Vm) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the node ids of a VM's parts and of their memory, where each is one node; None where it is otherwise."""
    now, spec = vm.current, vm.spec
    if now is None:
        return None
    if now.bound:
        parts = _one_a_cell(vm, now.bound)
        if any(len(one.cpus or ()) != 1 or len(one.memory or ()) != 1 for one in parts):
            return None
        return tuple(min(one.cpus or ()) for one in parts), tuple(min(one.memory or ()) for one in parts)
    if now.nodes is None:
        return None
    memory = now.memory_nodes or now.nodes
    many = len(now.nodes)
    if spec.cell_mode is not CellMode.AUTO:
        many = len(spec.cells) if spec.cell_mode is CellMode.GIVEN else spec.interleave
    return (now.nodes, memory) if len(now.nodes) == len(memory) == many else None


def shares_cpus(vm: Vm) -> bool:
    """Tell whether vCPUs of a VM that is somewhere may have no CPU of their own there."""
    return vm.spec.cpu_policy is not CpuPolicy.DEDICATED or known_nodes(vm) is None


def floats(vm: Vm) -> bool:
    """Tell whether a VM that shares CPUs is bound to no node where it is, or wherever it comes if it is nowhere.

    One that is told to have CPUs of its own, or to be bound, just has no known place yet.
    """
    now = vm.current
    if vm.spec.cpu_policy is not CpuPolicy.SHARED or vm.pin is PinPolicy.MUST:
        return False
    if now is None:
        return vm.pin is PinPolicy.NEVER
    return now.nodes is None and now.memory_nodes is None and not now.bound and not now.pins


def cell_sets(vm: Vm, topology: Topology) -> tuple[CellSets, ...]:
    """Return the sets of a VM's cells (parts, where a flat guest's memory is interleaved) on the host where it is.

    What nothing binds is the host: its nodes with CPUs, and those with memory but for devices'.
    """
    now = vm.current
    if now is None:
        return ()
    if (known := known_nodes(vm)) is not None:
        return tuple(
            CellSets(cpus=frozenset((node,)), memory=frozenset((far,))) for node, far in zip(*known, strict=True)
        )
    runs = frozenset(node.id for node in topology.nodes if node.cpus)
    holds = topology.memory_nodes
    if now.bound:
        bound = _one_a_cell(vm, now.bound)
    else:
        memory = now.memory_nodes if now.memory_nodes is not None else now.nodes
        count = len(memory) if memory is not None else max(1, len(vm.spec.cells))
        bound = tuple(
            Bound(
                cpus=None if now.nodes is None else frozenset(now.nodes),
                memory=None if memory is None else frozenset((memory[part],)),
            )
            for part in range(count)
        )
    return tuple(
        CellSets(
            cpus=one.cpus if one.cpus is not None else _pinned_nodes(now, topology, vcpus) or runs,
            memory=one.memory if one.memory is not None else holds,
        )
        for one, vcpus in zip(bound, cell_vcpus(vm, len(bound)), strict=True)
    )


def bounds_now(vm: Vm) -> tuple[Bound, ...]:
    """Return what a VM is bound to on its host, in the terms of `Current.bound`; empty where it is a node a cell."""
    now = vm.current
    if now is None or known_nodes(vm) is not None:
        return ()
    if now.bound:
        return now.bound
    memory = now.memory_nodes if now.memory_nodes is not None else now.nodes
    cpus = None if now.nodes is None else frozenset(now.nodes)
    if memory is None:
        return (Bound(cpus=cpus),)
    # Of a flat guest whose memory is in parts the whole is bound to all of their nodes.
    if vm.spec.cell_mode is not CellMode.GIVEN or len(memory) != len(vm.spec.cells):
        return (Bound(cpus=cpus, memory=frozenset(memory)),)
    return tuple(Bound(cpus=cpus, memory=frozenset((node,))) for node in memory)


def binding_of(vm: Vm, mode: PinMode) -> Binding | None:
    """Return whether a VM that is on a host and not bound to one node a cell shall be bound to nodes there, or may be
    where that gains something; None where it stays as it is.

    What is bound to some nodes already is kept so: bound to others it would move, and nobody counted that.
    """
    now = vm.current
    if now is None or known_nodes(vm) is not None or vm.movable is Movable.NO or vm.pins_fixed:
        return None
    if now.pins or any(one.cpus is not None or one.memory is not None for one in bounds_now(vm)):
        return None
    if vm.pin is PinPolicy.MUST or (mode == "all" and vm.pin is not PinPolicy.NEVER):
        return "shall"
    return "may" if mode == "worth" and vm.pin is not PinPolicy.NEVER else None


def pages_in_eighths(lies: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """Return where pages lie (node -> KiB) as eighths of the whole, (node, eighths) ascending; empty where unknown.

    Alike VMs are told alike so, in the counts and in the measure. The largest remainders are rounded up, of equal
    ones that of the lower node.
    """
    whole = sum(lies.values())
    if not whole:
        return ()
    parts = {node: divmod(8 * kib, whole) for node, kib in lies.items()}
    left = 8 - sum(eighths for eighths, _ in parts.values())
    up = set(sorted(parts, key=lambda node: (-parts[node][1], node))[:left])
    found = {node: eighths + (node in up) for node, (eighths, _) in parts.items()}
    return tuple((node, found[node]) for node in sorted(found) if found[node])


def cell_vcpus(vm: Vm, parts: int) -> tuple[frozenset[int], ...]:
    """Return which vCPUs are in each cell; parts of a flat guest all have all of them."""
    if vm.spec.cell_mode is CellMode.GIVEN and len(vm.spec.cells) == parts:
        return tuple(cell.vcpus for cell in vm.spec.cells)
    return (frozenset(range(vm.spec.vcpus)),) * parts


def _one_a_cell(vm: Vm, bound: tuple[Bound, ...]) -> tuple[Bound, ...]:
    return bound * max(1, len(vm.spec.cells)) if len(bound) == 1 else bound


def _pinned_nodes(now: Current, topology: Topology, vcpus: frozenset[int]) -> frozenset[int] | None:
    """Return the nodes of the vCPUs' cpusets where all have one."""
    if not vcpus or not vcpus <= now.pins.keys():
        return None
    node_of = topology.node_of_cpu
    return frozenset(node_of[cpu] for vcpu in vcpus for cpu in now.pins[vcpu] if cpu in node_of) or None
