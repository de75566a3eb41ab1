"""What differs, VM by VM, between two plans of a fleet, or between where the VMs are now and a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from placer.measure.as_now import as_now
from placer.measure.memory_mode import memory_modes_of
from placer.model.fleet import Fleet
from placer.model.notebook import html_table
from placer.model.plan import Change, Plan, PlanVm
from placer.model.vm import Movable, Vm
from placer.moves.changes import plan_changes


class Difference(StrEnum):
    """How far a VM goes, in growing order."""

    STAYS = "stays"
    FOLLOWS = "cpuset follows"
    """CPUs that it floats over are given to others."""
    MEMORY_MODE = "other memory mode"
    """Its memory stays, and is bound in another mode from its next start on."""
    REPINNED = "re-pinned"
    DEVICES = "other devices"
    """It stays on its CPUs, and has other devices of its host."""
    OTHER_NODE = "other node"
    MIGRATED = "migrated"
    RESTART = "restart"
    PLACED = "placed"
    """It has a place only in the new state."""
    UNPLACED = "unplaced"
    """It has a place only in the old state."""
    CAME = "came"
    """It is in the new fleet alone."""
    GONE = "gone"
    """It is in the old fleet alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VmDifference:
    """One VM: hosts and nodes of CPUs and memory before and after; None where it has no place or it is not known.

    `was` is its old name, where its UUID tells that it is the same VM under another one. Devices are the PCI addresses
    that it is known to have, before and after, as plans and hosts name them; None where it has no place.
    `moves_memory` tells whether memory goes to another node or host, rather than only the CPUs that reach it; None
    where it is not known.
    `memory_modes` are the mode that its memory is bound in and another one that it is bound in from its next start on;
    None where that is the same or not known. `lost_cpuset` are the CPUs that it is confined to now where it floats over
    all of the host that it comes to. `memory_kib` is what the VM has, in the new state where it is in both.
    """

    vm: str
    uuid: str | None
    difference: Difference
    old_host: str | None
    new_host: str | None
    old_nodes: tuple[int, ...] | None
    new_nodes: tuple[int, ...] | None
    was: str | None = None
    moves_memory: bool | None = None
    old_devices: tuple[str, ...] | None = None
    new_devices: tuple[str, ...] | None = None
    memory_modes: tuple[str, str] | None = None
    lost_cpuset: frozenset[int] | None = None
    memory_kib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All VMs of either state, in the fleet's order, and the hosts that only the new or only the old fleet has."""

    vms: tuple[VmDifference, ...]
    hosts_came: tuple[str, ...] = ()
    hosts_gone: tuple[str, ...] = ()

    @property
    def totals(self) -> Mapping[str, int]:
        """Return how many VMs go how far, all kinds named."""
        counts = Counter(vm.difference for vm in self.vms)
        return {kind.value: counts[kind] for kind in Difference}

    def _repr_html_(self) -> str:
        """Show what differs in a notebook."""
        told = ", ".join(f"{number:,} {kind}" for kind, number in self.totals.items() if number) or "no VMs"
        rows = [
            (vm.vm, vm.difference.value, vm.old_host, vm.new_host)
            for vm in self.vms
            if vm.difference is not Difference.STAYS
        ]
        return html_table(told, ("VM", "difference", "old host", "new host"), rows)

    @property
    def same(self) -> bool:
        """Tell whether every VM stays as it is."""
        hosts = self.hosts_came or self.hosts_gone
        return not hosts and all(vm.difference is Difference.STAYS for vm in self.vms)


_OF_CHANGE = {
    Change.NONE: Difference.STAYS,
    Change.FOLLOW: Difference.FOLLOWS,
    Change.REPIN: Difference.REPINNED,
    Change.RENODE: Difference.OTHER_NODE,
    Change.MIGRATE: Difference.MIGRATED,
    Change.RESTART: Difference.RESTART,
}


_BELOW_MODE = (Difference.STAYS, Difference.FOLLOWS)


def compare_with_now(fleet: Fleet, plan: Plan) -> Comparison:
    """Compare where the VMs of a fleet are now with a plan."""
    planned = plan.vm_by_name
    changes = plan_changes(fleet, plan)
    changed = {change.vm: change.moves_memory for change in changes.vms}
    found = []
    for vm in fleet.vms:
        now, then = vm.current, planned.get(vm.name)
        if now is None and then is None:
            continue
        if then is None:
            difference = Difference.UNPLACED
        else:
            difference = Difference.PLACED if now is None else _OF_CHANGE[then.change]
        modes = changes.memory_modes.get(vm.name)
        if modes is not None and difference in _BELOW_MODE:
            difference = Difference.MEMORY_MODE
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
                moves_memory=changed.get(vm.name, False),
                old_devices=None if now is None else now.devices,
                new_devices=None if then is None else _devices(then),
                memory_modes=modes,
                lost_cpuset=changes.lost_cpusets.get(vm.name),
                memory_kib=vm.spec.memory_kib,
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
            if sorted(_devices(one)) != sorted(_devices(other)):
                difference = Difference.DEVICES
        yield VmDifference(
            vm=vm.name,
            uuid=vm.uuid,
            difference=difference,
            old_host=None if one is None else one.host,
            new_host=None if other is None else other.host,
            old_nodes=None if one is None else _nodes(fleet, one),
            new_nodes=None if other is None else _nodes(fleet, other),
            moves_memory=_moves_memory(_at(fleet, one), _at(fleet, other)),
            old_devices=None if one is None else _devices(one),
            new_devices=None if other is None else _devices(other),
            memory_kib=vm.spec.memory_kib,
        )


def compare_states(old_fleet: Fleet, old: Plan | None, new_fleet: Fleet, new: Plan | None) -> Comparison:
    """Compare two fleets, each where its VMs are now or, given a plan of it, where the plan has them.

    Hosts are the same by name, VMs by UUID where both have one, else by name. Nodes count where both states know them.
    """
    before, after = _places(old_fleet, old), _places(new_fleet, new)
    by_uuid = {vm.uuid: vm for vm in old_fleet.vms if vm.uuid is not None}
    found, seen = [], set()
    for vm in new_fleet.vms:
        earlier = by_uuid.get(vm.uuid) if vm.uuid is not None else None
        if earlier is None:
            same_name = old_fleet.vm_by_name.get(vm.name)
            if same_name is not None and (same_name.uuid is None or vm.uuid is None):
                earlier = same_name
        one = None if earlier is None else before.get(earlier.name)
        other = after.get(vm.name)
        if earlier is not None:
            seen.add(earlier.name)
        if earlier is not None and one is None and other is None:
            continue
        difference = Difference.CAME if earlier is None else _between(vm, one, other)
        was = earlier.name if earlier is not None and earlier.name != vm.name else None
        found.append(_entry(vm, difference, one, other, was))
    found += [
        _entry(vm, Difference.GONE, before.get(vm.name), None, None) for vm in old_fleet.vms if vm.name not in seen
    ]
    old_hosts, new_hosts = (tuple(host.name for host in fleet.hosts) for fleet in (old_fleet, new_fleet))
    return Comparison(
        vms=tuple(found),
        hosts_came=tuple(name for name in new_hosts if name not in old_fleet.host_by_name),
        hosts_gone=tuple(name for name in old_hosts if name not in new_fleet.host_by_name),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _At:
    """Where a VM is in one state: nodes of each cell's CPUs and memory, and its pins; None where not known."""

    host: str
    cells: list[tuple[list[int], list[int]]] | None
    pins: Mapping[int, frozenset[int]] | None
    devices: tuple[str, ...] = ()
    memory_mode: str | None = None

    @property
    def nodes(self) -> tuple[int, ...] | None:
        if self.cells is None:
            return None
        return tuple(sorted({node for cpus, memory in self.cells for node in (*cpus, *memory)}))


def _at(fleet: Fleet, planned: PlanVm | None) -> _At | None:
    """Return where a plan has a VM; None where it has none."""
    return None if planned is None else _At(host=planned.host, cells=_cells(fleet, planned), pins=None)


def _places(fleet: Fleet, plan: Plan | None) -> dict[str, _At]:
    """Return where each VM is that is somewhere."""
    found = {}
    for vm in fleet.vms:
        if plan is not None:
            at, host = plan.vm_by_name.get(vm.name), None
        else:
            host = None if vm.current is None else vm.current.host
            at = as_now(vm, fleet.host_by_name[host]) if host is not None and host in fleet.host_by_name else None
        if at is not None:
            known = not at.bound and all(cell.nodes for cell in at.cells)
            pins = at.pins if plan is not None or vm.current is None else vm.current.pins
            own = {vcpu: pin for vcpu, pin in pins.items() if vm.spec.is_dedicated(vcpu)}
            has = _devices(at) if plan is not None or vm.current is None else vm.current.devices
            found[vm.name] = _At(
                host=at.host,
                cells=_cells(fleet, at) if known else None,
                pins=own,
                devices=has,
                memory_mode=_memory_mode(vm, None if plan is None else at, fleet),
            )
        elif host is not None:
            has = () if vm.current is None else vm.current.devices
            mode = _memory_mode(vm, None, fleet)
            found[vm.name] = _At(host=host, cells=None, pins=None, devices=has, memory_mode=mode)
    return found


def _memory_mode(vm: Vm, planned: PlanVm | None, fleet: Fleet) -> str | None:
    """Return the mode that a VM's XML binds its memory in, or a plan of it; None where no XML tells."""
    modes = None if planned is None else memory_modes_of(vm, planned, fleet)
    if modes is not None:
        return modes[1]
    said = () if vm.domain is None else vm.domain.memory_modes
    return "+".join(sorted({mode for mode in said if mode is not None})) or None


def _between(vm: Vm, one: _At | None, other: _At | None) -> Difference:
    if one is None or other is None:
        return Difference.PLACED if one is None else Difference.UNPLACED
    if one.host != other.host:
        return Difference.RESTART if vm.movable is Movable.COLD else Difference.MIGRATED
    if one.cells is not None and other.cells is not None:
        if len(one.cells) != len(other.cells):
            return Difference.RESTART
        if one.cells != other.cells:
            return Difference.OTHER_NODE
    if one.devices and other.devices and sorted(one.devices) != sorted(other.devices):
        return Difference.DEVICES
    if one.pins is not None and other.pins is not None and one.pins != other.pins:
        return Difference.REPINNED
    return Difference.STAYS if _modes(one, other) is None else Difference.MEMORY_MODE


def _modes(one: _At | None, other: _At | None) -> tuple[str, str] | None:
    """Return the modes that memory is bound in, where they differ and both are known."""
    old, new = (None if at is None else at.memory_mode for at in (one, other))
    return None if old is None or new is None or old == new else (old, new)


def _entry(vm: Vm, difference: Difference, one: _At | None, other: _At | None, was: str | None) -> VmDifference:
    return VmDifference(
        vm=vm.name,
        uuid=vm.uuid,
        difference=difference,
        old_host=None if one is None else one.host,
        new_host=None if other is None else other.host,
        old_nodes=None if one is None else one.nodes,
        new_nodes=None if other is None else other.nodes,
        was=was,
        moves_memory=_moves_memory(one, other),
        old_devices=None if one is None else one.devices,
        new_devices=None if other is None else other.devices,
        memory_modes=_modes(one, other),
        memory_kib=vm.spec.memory_kib,
    )


def _moves_memory(one: _At | None, other: _At | None) -> bool | None:
    if one is None or other is None:
        return None
    if one.host != other.host:
        return True
    return None if one.cells is None or other.cells is None else _memory(one.cells) != _memory(other.cells)


def _memory(cells: Sequence[tuple[list[int], list[int]]]) -> list[list[int]]:
    return [memory for _, memory in cells]


def _devices(planned: PlanVm) -> tuple[str, ...]:
    return tuple(address for address in planned.addresses if address is not None)


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
