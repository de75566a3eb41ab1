"""What a plan does to a VM that is somewhere already: whether it changes host, node or only its pins."""

from __future__ import annotations

from enum import StrEnum
from itertools import groupby

from placer.measure.sets_taken import bound_memory
from placer.model.fleet import Fleet
from placer.model.host import Topology
from placer.model.plan import Change, PlanVm
from placer.model.sets import CellSets, bounds_now, cell_sets, known_nodes
from placer.model.vm import CellMode, EmulatorPolicy, Movable, Vm


class Move(StrEnum):
    """How far a VM goes."""

    ARRIVES = "arrives"
    """It is nowhere yet, or its host failed or is not in the fleet."""
    STAYS = "stays"
    """Same host, same nodes as far as they are known."""
    CHANGES_NODE = "changes node"
    CHANGES_HOST = "changes host"


def is_present(fleet: Fleet, vm: Vm) -> bool:
    """Tell whether a VM is on a host of the fleet that works."""
    if vm.current is None:
        return False
    host = fleet.host_by_name.get(vm.current.host)
    return host is not None and not host.failed


def move_of(fleet: Fleet, vm: Vm, planned: PlanVm) -> Move:
    """Return how far the plan moves a VM.

    CPUs or memory of a cell that go to another node are a change of node; so is another number of cells. Where the
    present nodes are not known, no place on the same host is a move; where only the memory's are known, they count.
    """
    if not is_present(fleet, vm) or vm.current is None:
        return Move.ARRIVES
    if vm.current.host != planned.host:
        return Move.CHANGES_HOST
    if planned.bound or known_nodes(vm) is None:
        topology = fleet.host_by_name[planned.host].topology
        return Move.STAYS if _within_sets(vm, planned, topology) else Move.CHANGES_NODE
    if has_other_cells(vm, planned):
        return Move.CHANGES_NODE
    topology = fleet.host_by_name[planned.host].topology
    cpus = vm.current.nodes
    memory = vm.current.memory_nodes if vm.current.memory_nodes is not None else cpus
    if (
        cpus is not None
        and dict(planned.pins) != dict(vm.current.pins)
        and not _same_cpu_nodes(planned, topology, cpus)
    ):
        return Move.CHANGES_NODE
    if memory is not None and not _same_memory_nodes(planned, memory):
        return Move.CHANGES_NODE
    return Move.STAYS


def _within_sets(vm: Vm, planned: PlanVm, topology: Topology) -> bool:
    """Tell whether the CPUs and memory of a VM go nowhere where they are known not to be: to nodes of its sets."""
    now = cell_sets(vm, topology)
    node_of = topology.node_of_cpu
    given = len(planned.cells) == len(now)
    whole = CellSets(
        cpus=frozenset().union(*(one.cpus for one in now)), memory=frozenset().union(*(one.memory for one in now))
    )
    for number, cell in enumerate(planned.cells):
        sets = now[number] if given else whole
        cpus = {node_of[cpu] for vcpu in cell.vcpus for cpu in planned.pins[vcpu]}
        memory = bound_memory(topology, planned, number) if cell.mode == "floats" else frozenset(cell.nodes)
        if not memory <= sets.memory or not (cpus <= sets.cpus or _pins_kept(vm, planned, cell.vcpus)):
            return False
    return True


def _pins_kept(vm: Vm, planned: PlanVm, vcpus: frozenset[int]) -> bool:
    now = vm.current.pins if vm.current is not None else {}
    return all(planned.pins[vcpu] == now[vcpu] for vcpu in vcpus if vcpu in now)


def left_as_it_is(vm: Vm, planned: PlanVm) -> bool:
    """Tell whether a plan leaves a VM on its host with the CPUs that it has: what runs is a fact, not a fault.

    Dedicated vCPUs whose CPUs are not known are left so where they are given none of their own, and vCPUs of a VM that
    is not bound to one node a cell where they are not known.
    """
    now = vm.current
    if now is None or now.host != planned.host:
        return False
    for vcpu, pin in planned.pins.items():
        known = now.pins.get(vcpu)
        if known is None and not planned.bound and (len(pin) == 1 or not vm.spec.is_dedicated(vcpu)):
            return False
        if known is not None and known != pin:
            return False
    return True


def has_other_cells(vm: Vm, planned: PlanVm) -> bool:
    """Tell whether the plan gives a present VM another number of cells than its guest has now."""
    if vm.current is None:
        return False
    if planned.bound:
        return False
    if vm.spec.cell_mode is not CellMode.AUTO:
        return planned.new_cells
    return vm.current.nodes is not None and len(vm.current.nodes) != len(planned.cells)


def _same_cpu_nodes(planned: PlanVm, topology: Topology, now: tuple[int, ...]) -> bool:
    node_of = topology.node_of_cpu
    if len(planned.cells) == len(now):
        return all(
            node_of[cpu] == node
            for cell, node in zip(planned.cells, now, strict=True)
            for vcpu in cell.vcpus
            for cpu in planned.pins[vcpu]
        )
    if len(planned.cells) > 1:
        return False
    # A flat guest over several nodes: its vCPUs in order go through the nodes of its parts, some beside one another.
    order: list[int] = []
    for vcpu in sorted(planned.pins):
        for node in {node_of[cpu] for cpu in planned.pins[vcpu]}:
            if not order or order[-1] != node:
                order.append(node)
    return order == [node for node, _ in groupby(now)]


def _same_memory_nodes(planned: PlanVm, now: tuple[int, ...]) -> bool:
    if len(planned.cells) == len(now):
        return all(set(cell.nodes) == {node} for cell, node in zip(planned.cells, now, strict=True))
    return len(planned.cells) == 1 and set(planned.cells[0].nodes) == set(now)


def has_fixed_pins(vm: Vm, planned: PlanVm) -> bool:
    """Tell whether a VM stays on its host with pins that nobody may change."""
    return vm.pins_fixed and vm.current is not None and vm.current.host == planned.host


def fitting_changes(vm: Vm, planned: PlanVm, move: Move) -> frozenset[Change]:
    """Return what a plan may call its change of a VM that goes as far as `move`.

    A VM without a present place has none, one whose host failed restarts. ``restart`` is another host for a VM that
    moves only cold, or new cells; ``repin`` is any change of cpusets within the nodes. Where present pins are not
    known both ``none`` and ``repin`` are true; where only the CPUs that shared vCPUs float over differ, ``follow`` and
    ``repin``.
    """
    if vm.current is None:
        return frozenset({Change.NONE})
    if (
        move is Move.ARRIVES
        or (move is Move.CHANGES_HOST and vm.movable is Movable.COLD)
        or has_other_cells(vm, planned)
    ):
        return frozenset({Change.RESTART})
    if move is Move.CHANGES_HOST:
        return frozenset({Change.MIGRATE})
    if move is Move.CHANGES_NODE:
        return frozenset({Change.RENODE, Change.RESTART} if vm.movable is Movable.COLD else {Change.RENODE})
    return _pin_changes(vm, planned)


def is_repinned(vm: Vm, planned: PlanVm, move: Move) -> bool:
    """Tell whether a VM that goes nowhere gets other CPUs than those that it is known to have, or other sets."""
    return move is Move.STAYS and _pin_changes(vm, planned) == {Change.REPIN}


def _pin_changes(vm: Vm, planned: PlanVm) -> frozenset[Change]:
    now = vm.current
    if now is None:
        return frozenset({Change.NONE})
    if planned.bound:
        kept = tuple(planned.bound) == bounds_now(vm) and left_as_it_is(vm, planned)
        return frozenset({Change.NONE if kept else Change.REPIN})
    if known_nodes(vm) is None:
        return frozenset({Change.REPIN})
    if not now.pins:
        return frozenset({Change.NONE, Change.REPIN})
    dedicated = {vcpu: pin for vcpu, pin in planned.pins.items() if vm.spec.is_dedicated(vcpu)}
    if any(now.pins.get(vcpu) != pin for vcpu, pin in dedicated.items()):
        return frozenset({Change.REPIN})
    if vm.spec.emulator_threads is EmulatorPolicy.ISOLATE and now.emulator not in (None, planned.emulator):
        return frozenset({Change.REPIN})
    if any(planned.pins.get(vcpu, pin) != pin for vcpu, pin in now.pins.items()):
        return frozenset({Change.FOLLOW, Change.REPIN})
    exact = now.nodes is not None and dict(now.pins) == dict(planned.pins) and now.emulator in (None, planned.emulator)
    if exact and all(planned.iothreads.get(thread) == pin for thread, pin in now.iothread_pins.items()):
        return frozenset({Change.NONE})
    return frozenset({Change.NONE, Change.REPIN})
