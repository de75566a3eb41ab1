"""What a plan does to a VM that is somewhere already: whether it changes host, node or only its pins."""

from __future__ import annotations

from enum import StrEnum

from placer.model.fleet import Fleet
from placer.model.host import Topology
from placer.model.plan import Change, PlanVm
from placer.model.vm import CellMode, Movable, Vm


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


def has_other_cells(vm: Vm, planned: PlanVm) -> bool:
    """Tell whether the plan gives a present VM another number of cells than its guest has now."""
    if vm.current is None:
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
    # A flat guest over several nodes: its vCPUs in order go through the nodes of its parts.
    order: list[int] = []
    for vcpu in sorted(planned.pins):
        for node in {node_of[cpu] for cpu in planned.pins[vcpu]}:
            if not order or order[-1] != node:
                order.append(node)
    return tuple(order) == now


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
    known, or only the CPUs that shared vCPUs float over differ, both ``none`` and ``repin`` are true.
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


def _pin_changes(vm: Vm, planned: PlanVm) -> frozenset[Change]:
    now = vm.current
    if now is None:
        return frozenset({Change.NONE})
    dedicated = {vcpu: pin for vcpu, pin in planned.pins.items() if vm.spec.is_dedicated(vcpu)}
    if any(now.pins.get(vcpu) != pin for vcpu, pin in dedicated.items()):
        return frozenset({Change.REPIN})
    exact = now.nodes is not None and dict(now.pins) == dict(planned.pins) and now.emulator in (None, planned.emulator)
    if exact and all(planned.iothreads.get(thread) == pin for thread, pin in now.iothread_pins.items()):
        return frozenset({Change.NONE})
    return frozenset({Change.NONE, Change.REPIN})
