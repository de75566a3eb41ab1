"""What differs, VM by VM, between two plans of a fleet, or between where the VMs are now and a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan, PlanVm
from placer.model.vm import Movable


class Difference(StrEnum):
    """How far a VM goes, in growing order."""

    STAYS = "stays"
    REPINNED = "re-pinned"
    OTHER_NODE = "other node"
    MIGRATED = "migrated"
    RESTART = "restart"
    PLACED = "placed"
    """It has a place only in the new state."""
    UNPLACED = "unplaced"
    """It has a place only in the old state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VmDifference:
    """One VM: hosts and nodes of CPUs and memory before and after; None where it has no place or it is not known."""

    vm: str
    uuid: str | None
    difference: Difference
    old_host: str | None
    new_host: str | None
    old_nodes: tuple[int, ...] | None
    new_nodes: tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All VMs of either state, in the fleet's order."""

    vms: tuple[VmDifference, ...]

    @property
    def totals(self) -> Mapping[str, int]:
        """Return how many VMs go how far, all kinds named."""
        counts = Counter(vm.difference for vm in self.vms)
        return {kind.value: counts[kind] for kind in Difference}

    @property
    def same(self) -> bool:
        """Tell whether every VM stays as it is."""
        return all(vm.difference is Difference.STAYS for vm in self.vms)


_OF_CHANGE = {
    Change.NONE: Difference.STAYS,
    Change.REPIN: Difference.REPINNED,
    Change.RENODE: Difference.OTHER_NODE,
    Change.MIGRATE: Difference.MIGRATED,
    Change.RESTART: Difference.RESTART,
}


def compare_with_now(fleet: Fleet, plan: Plan) -> Comparison:
    """Compare where the VMs of a fleet are now with a plan."""
    planned = plan.vm_by_name
    found = []
    for vm in fleet.vms:
        now, then = vm.current, planned.get(vm.name)
        if now is None and then is None:
            continue
        if then is None:
            difference = Difference.UNPLACED
        else:
            difference = Difference.PLACED if now is None else _OF_CHANGE[then.change]
        memory = None if now is None else now.memory_nodes if now.memory_nodes is not None else now.nodes
        found.append(
            VmDifference(
                vm=vm.name,
                uuid=vm.uuid,
                difference=difference,
                old_host=None if now is None else now.host,
                new_host=None if then is None else then.host,
                old_nodes=None if now is None or memory is None else tuple(sorted({*memory, *(now.nodes or ())})),
                new_nodes=None if then is None else _nodes(fleet, then),
            )
        )
    return Comparison(vms=tuple(found))


def compare_plans(fleet: Fleet, old: Plan, new: Plan) -> Comparison:
    """Compare two plans of one fleet.

    Only CPUs of dedicated vCPUs and of emulator threads with a policy count as re-pinned: shared vCPUs float over what
    is free.
    """
    return Comparison(vms=tuple(_differences(fleet, old, new)))


def _differences(fleet: Fleet, old: Plan, new: Plan) -> Iterator[VmDifference]:
    for vm in fleet.vms:
        one, other = old.vm_by_name.get(vm.name), new.vm_by_name.get(vm.name)
        if one is None and other is None:
            continue
        if one is None or other is None:
            difference = Difference.PLACED if one is None else Difference.UNPLACED
        elif len(one.cells) != len(other.cells):
            difference = Difference.RESTART
        elif one.host != other.host:
            difference = Difference.RESTART if vm.movable is Movable.COLD else Difference.MIGRATED
        elif _cells(fleet, one) != _cells(fleet, other):
            difference = Difference.OTHER_NODE
        else:
            pins = [
                (
                    {vcpu: pin for vcpu, pin in planned.pins.items() if vm.spec.is_dedicated(vcpu)},
                    None if vm.spec.emulator_threads is None else planned.emulator,
                )
                for planned in (one, other)
            ]
            difference = Difference.STAYS if pins[0] == pins[1] else Difference.REPINNED
        yield VmDifference(
            vm=vm.name,
            uuid=vm.uuid,
            difference=difference,
            old_host=None if one is None else one.host,
            new_host=None if other is None else other.host,
            old_nodes=None if one is None else _nodes(fleet, one),
            new_nodes=None if other is None else _nodes(fleet, other),
        )


def _nodes(fleet: Fleet, planned: PlanVm) -> tuple[int, ...]:
    found = {node for cpus, memory in _cells(fleet, planned) for node in (*cpus, *memory)}
    return tuple(sorted(found))


def _cells(fleet: Fleet, planned: PlanVm) -> list[tuple[list[int], list[int]]]:
    """Return the nodes of each cell's CPUs and of its memory."""
    node_of = fleet.host_by_name[planned.host].topology.node_of_cpu
    return [
        (sorted({node_of[cpu] for vcpu in cell.vcpus for cpu in planned.pins[vcpu]}), sorted(cell.nodes))
        for cell in planned.cells
    ]
