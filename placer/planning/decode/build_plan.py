"""Build the plan's VMs from names and pins: cells, cpusets, emulator threads, and what changes for each VM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Change, PlanCell, PlanVm
from placer.model.vm import CellMode, CpuPolicy, EmulatorPolicy, Movable, Vm, VmSpec
from placer.planning.compile.compile import Compiled
from placer.planning.compile.flavors import current_parts
from placer.planning.compile.needs import Needs, part_memory, part_vcpus, spec_needs
from placer.planning.compile.placements import Placement, canonical, nearest_devices, view_of
from placer.planning.decode.names import Assignment
from placer.planning.decode.pins import HostPins, Pinner, SlotPins


@dataclass(slots=True)
class PlanBuilder:
    """Builds `PlanVm`s; VMs that are alike in spec, place and CPUs share their cells and pins."""

    compiled: Compiled
    pinner: Pinner
    _shared: dict[tuple[int, int, Placement, SlotPins], tuple[tuple[PlanCell, ...], Mapping[int, frozenset[int]]]] = (
        field(default_factory=dict)
    )

    def build(self, assignment: Assignment) -> tuple[PlanVm, ...]:
        """Return all placed VMs, immovable ones included, in the fleet's order."""
        fleet = self.compiled.fleet
        found: dict[int, PlanVm] = {}
        entries = {entry.host: entry for entry in assignment.hosts}
        for number in sorted(entries.keys() | self.compiled.fixed.keys()):
            host = fleet.hosts[number]
            entry = entries.get(number)
            placed = (
                []
                if entry is None
                else [(self._as_now(entry.shape, placement, host, vm), vm) for placement, vm in entry.vms]
            )
            placed += [(fixed_placement(host, fleet.vms[vm]), vm) for vm in self.compiled.fixed.get(number, ())]
            pins = self.pinner.pin(number, placed)
            for (placement, vm), slot in zip(placed, pins.slots, strict=True):
                found[vm] = self._plan_vm(fleet, host, fleet.vms[vm], placement, slot, pins)
        return tuple(found[vm] for vm in sorted(found))

    def _as_now(self, shape: int, placement: int, host: Host, vm: int) -> Placement:
        flavor = self.compiled.flavors.groups[self.compiled.flavors.of_vm[vm]]
        return as_now(self.compiled.placements[shape][placement], flavor.needs, host, self.compiled.fleet.vms[vm])

    def _plan_vm(
        self, fleet: Fleet, host: Host, vm: Vm, placement: Placement, slot: SlotPins, pins: HostPins
    ) -> PlanVm:
        key = (id(vm.spec), id(host.topology), placement, slot)
        if key not in self._shared:
            self._shared[key] = (_cells(vm.spec, host, placement), _vcpu_pins(vm.spec, slot, len(placement.cpu_nodes)))
        cells, vcpus = self._shared[key]
        kept_pins = vm.current if vm.pins_fixed and vm.current is not None and vm.current.host == host.name else None
        if kept_pins is not None:
            vcpus = {**vcpus, **kept_pins.pins}
        emulator = _emulator(vm.spec, host, slot, vcpus)
        threads = dict.fromkeys(vm.spec.iothreads, emulator) if emulator is not None else {}
        if kept_pins is not None:
            emulator = kept_pins.emulator or emulator
            threads = {**threads, **kept_pins.iothread_pins}
        parts = len(placement.cpu_nodes)
        kept = current_parts(vm)
        new_cells = vm.spec.cell_mode is CellMode.AUTO and (vm.current is None or kept is None or len(kept[0]) != parts)
        ids = host.topology.node_ids
        return PlanVm(
            name=vm.name,
            uuid=vm.uuid,
            host=host.name,
            cells=cells,
            pins=vcpus,
            shown=_shown(vm.spec, parts),
            new_cells=new_cells,
            emulator=emulator,
            iothreads=threads,
            devices=tuple(
                (request.kind, None if node is None else ids[node])
                for request, node in zip(
                    sorted(vm.spec.devices, key=lambda r: (r.kind, r.policy, r.count)),
                    placement.device_nodes,
                    strict=False,
                )
            ),
            change=change_of(vm, host, placement, vcpus, fleet),
            from_host=vm.current.host if vm.current and vm.current.host != host.name else None,
        )


def fixed_placement(host: Host, vm: Vm) -> Placement:
    """Return the placement that an immovable VM has now."""
    parts = current_parts(vm)
    assert parts is not None, f"{vm.name} is immovable but its nodes are not known"
    position = {node_id: n for n, node_id in enumerate(host.topology.node_ids)}
    cpu, memory = tuple(position[n] for n in parts[0]), tuple(position[n] for n in parts[1])
    devices = nearest_devices(spec_needs(vm.spec, locked_cells=len(cpu)), view_of(host), cpu) if vm.spec.devices else ()
    return Placement(0, cpu, memory, tuple(None for _ in vm.spec.devices) if devices is None else devices)


def as_now(placement: Placement, needs: Needs, host: Host, vm: Vm) -> Placement:
    """Return the placement with cells that are alike in the order they have now, where the VM stays on its nodes.

    Counting does not tell equal cells apart; a running guest does: to exchange two cells would move their memory.
    """
    parts = current_parts(vm) if vm.current and vm.current.host == host.name else None
    if parts is None or len(parts[0]) != len(placement.cpu_nodes):
        return placement
    position = {node_id: n for n, node_id in enumerate(host.topology.node_ids)}
    if any(node not in position for nodes in parts for node in nodes):
        return placement
    now = Placement(
        placement.option,
        tuple(position[n] for n in parts[0]),
        tuple(position[n] for n in parts[1]),
        placement.device_nodes,
    )
    return now if canonical(needs, now) == canonical(needs, placement) else placement


def change_of(vm: Vm, host: Host, placement: Placement, pins: Mapping[int, frozenset[int]], fleet: Fleet) -> Change:
    """Return what the plan does to a VM; one that is nowhere yet has no change, one whose host failed or whose cells
    become others restarts.
    """
    if vm.current is None:
        return Change.NONE
    old = fleet.host_by_name.get(vm.current.host)
    kept = current_parts(vm)
    parts = len(placement.cpu_nodes)
    auto, now = vm.spec.cell_mode is CellMode.AUTO, vm.current.nodes
    other_cells = auto and now is not None and len(now) != parts
    if vm.current.host != host.name:
        cold = vm.movable is Movable.COLD or old is None or old.failed or other_cells
        return Change.RESTART if cold else Change.MIGRATE
    if kept is None:
        return Change.REPIN
    if other_cells or len(kept[0]) != parts:
        return Change.RESTART
    ids = host.topology.node_ids
    if kept != (tuple(ids[n] for n in placement.cpu_nodes), tuple(ids[n] for n in placement.memory_nodes)):
        return Change.RENODE
    shared = vm.spec.cpu_policy is CpuPolicy.SHARED
    return Change.NONE if shared or dict(vm.current.pins) == dict(pins) else Change.REPIN


def _shown(spec: VmSpec, parts: int) -> bool:
    """Tell whether the guest sees its cells: given cells are shown, ``auto`` ones where there are several."""
    return spec.cell_mode is CellMode.GIVEN or (spec.cell_mode is CellMode.AUTO and parts > 1)


def _cells(spec: VmSpec, host: Host, placement: Placement) -> tuple[PlanCell, ...]:
    ids = host.topology.node_ids
    parts = len(placement.cpu_nodes)
    memory = part_memory(spec, parts)
    if spec.cell_mode is CellMode.NONE:
        spread: dict[int, int] = {}
        for node, kib in zip(placement.memory_nodes, memory, strict=True):
            spread[ids[node]] = spread.get(ids[node], 0) + kib
        mode: Literal["strict", "interleave"] = "interleave" if parts > 1 else "strict"
        return (
            PlanCell(id=0, vcpus=frozenset(range(spec.vcpus)), memory_kib=spec.memory_kib, mode=mode, nodes=spread),
        )
    vcpus = part_vcpus(spec, parts)
    return tuple(
        PlanCell(
            id=number,
            vcpus=frozenset(vcpus[number]),
            memory_kib=memory[number],
            mode="strict",
            nodes={ids[node]: memory[number]},
        )
        for number, node in enumerate(placement.memory_nodes)
    )


def _vcpu_pins(spec: VmSpec, slot: SlotPins, parts: int) -> Mapping[int, frozenset[int]]:
    """Return vCPU -> cpuset: dedicated vCPUs of a part take its CPUs in order, shared ones float over its node's
    shared CPUs.
    """
    pins: dict[int, frozenset[int]] = {}
    for vcpus, cpus, floating in zip(part_vcpus(spec, parts), slot.cpus, slot.floating, strict=True):
        own = iter(cpus)
        for vcpu in vcpus:
            pins[vcpu] = _single(next(own)) if spec.is_dedicated(vcpu) else floating
    return dict(sorted(pins.items()))


def _emulator(spec: VmSpec, host: Host, slot: SlotPins, pins: Mapping[int, frozenset[int]]) -> frozenset[int] | None:
    policy = spec.emulator_threads
    if policy is EmulatorPolicy.ISOLATE:
        return slot.extra
    if policy is not EmulatorPolicy.SHARE and host.housekeeping_cpus:
        return host.housekeeping_cpus
    own: set[int] = set().union(*pins.values())
    return frozenset(own)


_SINGLES: dict[int, frozenset[int]] = {}


def _single(cpu: int) -> frozenset[int]:
    """Return {cpu}; the same object each time, since a fleet has millions of them."""
    if cpu not in _SINGLES:
        _SINGLES[cpu] = frozenset((cpu,))
    return _SINGLES[cpu]
