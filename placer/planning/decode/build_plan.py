"""Build the plan's VMs from names and pins: cells, cpusets, emulator threads, and what changes for each VM."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from placer.measure.as_now import AsNow
from placer.measure.cpu_use import dedicated_cpus, emulator_cpus
from placer.model.core_pairs import in_groups
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Change, PlanCell, PlanVm
from placer.model.sets import known_nodes
from placer.model.vm import Bound, CellMode, EmulatorPolicy, Movable, Vm, VmSpec
from placer.planning.compile.capacity import with_idle
from placer.planning.compile.compile import Compiled
from placer.planning.compile.devices import DeviceNodes, devices_now
from placer.planning.compile.loose import Loose, NodeSet
from placer.planning.compile.loose_places import LoosePlaces, with_devices
from placer.planning.compile.needs import Needs, part_memory, part_vcpus, spec_needs
from placer.planning.compile.placements import Placement, canonical, view_of
from placer.planning.compile.row_table import Place
from placer.planning.decode.change import change_of
from placer.planning.decode.coming import Coming, coming
from placer.planning.decode.host_work import HostPins, SlotPins
from placer.planning.decode.names import Assignment, HostAssignment
from placer.planning.decode.pins import Pinner


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alike:
    """What VMs have in common that are alike in spec, place and CPUs."""

    cells: tuple[PlanCell, ...]
    pins: Mapping[int, frozenset[int]]
    emulator: frozenset[int] | None
    iothreads: Mapping[int, frozenset[int]]
    devices: tuple[tuple[str, int | None], ...]
    shown: bool


@dataclass(slots=True)
class PlanBuilder:
    """Builds `PlanVm`s; VMs that are alike in spec, place and CPUs share what they are made of."""

    compiled: Compiled
    pinner: Pinner
    _shared: dict[Hashable, _Alike] = field(default_factory=dict)
    _asking: dict[str, list[int]] | None = None
    _specs: dict[Hashable, VmSpec] = field(default_factory=dict)
    _standing: AsNow = field(default_factory=AsNow)
    _loose: LoosePlaces = field(init=False)

    def __post_init__(self) -> None:
        """Take the places of VMs that are bound to no node a cell."""
        self._loose = LoosePlaces(self.compiled.fleet)

    def build(self, assignment: Assignment) -> tuple[PlanVm, ...]:
        """Return all placed VMs, immovable ones included, in the fleet's order."""
        fleet = self.compiled.fleet
        found: dict[int, PlanVm] = {}
        entries = {entry.host: entry for entry in assignment.hosts}
        for number in sorted(entries.keys() | self.compiled.fixed.keys()):
            host = fleet.hosts[number]
            entry = entries.get(number)
            placed: list[tuple[Placement, int]] = []
            held: set[int] = set()
            floats: Counter[NodeSet] = Counter()
            coming: dict[int, Coming] = {}
            for place, vm in self._places(number, entry):
                if isinstance(place, Loose):
                    one = found[vm] = self._loose_vm(host, fleet.vms[vm], place)
                    for part in place.parts:
                        floats[part.cpus] += part.shared
                    if one.from_host is not None and (own := self._coming(vm, place)) is not None:
                        coming[vm] = own
                        placed.append((own.placement, vm))
                        continue
                    spec = fleet.vms[vm].spec
                    held |= with_idle(spec.thread_policy, dedicated_cpus(fleet.vms[vm], one), host.topology)
                    held |= emulator_cpus(spec, one)
                else:
                    placed.append((place, vm))
            stand_ins = {vm: own.stand_in for vm, own in coming.items()}
            pins = self.pinner.pin(
                number, placed, frozenset(held), floats=tuple(sorted((+floats).items())), stand_ins=stand_ins
            )
            for (placement, vm), slot in zip(placed, pins.slots, strict=True):
                if vm in coming:
                    found[vm] = self._with_own(host, fleet.vms[vm], found[vm], coming[vm], slot)
                else:
                    found[vm] = self._plan_vm(fleet, host, fleet.vms[vm], placement, slot, pins)
        return tuple(found[vm] for vm in sorted(found))

    def _places(self, number: int, entry: HostAssignment | None) -> Iterator[tuple[Place, int]]:
        """Yield the place of every VM on a host, immovable ones last."""
        fleet, flavors = self.compiled.fleet, self.compiled.flavors
        host = fleet.hosts[number]
        if entry is not None:
            for placement, vm in entry.vms:
                place = self.compiled.placements[entry.shape][placement]
                if isinstance(place, Placement):
                    place = in_order_now(place, flavors.groups[flavors.of_vm[vm]].needs, host, fleet.vms[vm])
                yield place, vm
        fixed = self.compiled.fixed.get(number, ())
        asks = any(fleet.vms[vm].spec.devices for vm in fixed)
        devices = devices_now(fleet, host, self._with_devices().get(host.name, ())) if asks else {}
        for vm in fixed:
            one = fleet.vms[vm]
            if known_nodes(one) is not None:
                yield fixed_placement(host, one, devices.get(vm)), vm
                continue
            place = self._loose.of(vm, host)
            if one.spec.devices:
                needs = spec_needs(one.spec, locked_cells=1 if one.spec.cell_mode is CellMode.AUTO else None)
                place = with_devices(place, needs, view_of(host), one, host)
            yield place, vm

    def _with_devices(self) -> dict[str, list[int]]:
        """Return host -> the VMs there that have devices."""
        if self._asking is None:
            self._asking = defaultdict(list)
            for number, vm in enumerate(self.compiled.fleet.vms):
                if vm.current is not None and vm.spec.devices:
                    self._asking[vm.current.host].append(number)
        return self._asking

    def _loose_vm(self, host: Host, vm: Vm, place: Loose) -> PlanVm:
        """Return a VM that is not bound to one node a cell: as it is where it stays, floating where it comes."""
        fleet = self.compiled.fleet
        ids = host.topology.node_ids
        devices = _devices_of(vm.spec, len(place.parts), place.device_nodes, ids)
        now = self._standing.of(vm, host)
        if now is not None:
            return replace(now, devices=devices)
        pool = host.shared_pool or host.usable_cpus or host.topology.cpus
        around = frozenset().union(*(host.topology.nodes[node].cpus for part in place.parts for node in part.cpus))
        around = around if len(around) > 1 else host.topology.cpus
        parts = len(place.parts) if vm.spec.cell_mode is CellMode.GIVEN else 1
        cells = tuple(
            PlanCell(id=n, vcpus=frozenset(vcpus), memory_kib=kib, mode="floats", nodes={})
            for n, (vcpus, kib) in enumerate(zip(part_vcpus(vm.spec, parts), part_memory(vm.spec, parts), strict=True))
        )
        old = None if vm.current is None else fleet.host_by_name.get(vm.current.host)
        change = Change.NONE
        if vm.current is not None:
            cold = vm.movable is Movable.COLD or old is None or old.failed
            change = Change.RESTART if cold else Change.MIGRATE
        return PlanVm(
            name=vm.name,
            uuid=vm.uuid,
            host=host.name,
            cells=cells,
            # One CPU alone would read as one of its own, which a dedicated vCPU that floats has not.
            pins={v: pool if len(pool) > 1 or not vm.spec.is_dedicated(v) else around for v in range(vm.spec.vcpus)},
            shown=_shown(vm.spec, parts),
            new_cells=vm.spec.cell_mode is CellMode.AUTO and vm.current is None,
            devices=devices,
            bound=(Bound(),),
            change=change,
            from_host=vm.current.host if vm.current is not None else None,
        )

    def _coming(self, vm: int, place: Loose) -> Coming | None:
        """Return how a VM is pinned that comes with CPUs of its own and its memory unbound; None for others."""
        parts = self.compiled.flavors.groups[self.compiled.flavors.of_vm[vm]].own
        return coming(self.compiled.fleet.vms[vm], self.compiled.fleet, place, self._specs) if parts else None

    def _with_own(self, host: Host, vm: Vm, floating: PlanVm, own: Coming, slot: SlotPins) -> PlanVm:
        """Return a VM that comes to a host with CPUs of its own; other threads that are pinned nowhere stay so."""
        pins = dict(sorted({**floating.pins, **own.pins(slot.cpus)}.items()))
        pinned = vm.current is not None and vm.current.emulator is not None
        isolated = vm.spec.emulator_threads is EmulatorPolicy.ISOLATE
        emulator = _emulator(vm.spec, host, slot, pins) if pinned or isolated else None
        threads = dict.fromkeys(vm.spec.iothreads, emulator) if emulator is not None else {}
        return replace(floating, pins=in_groups(vm.current, pins, host.topology), emulator=emulator, iothreads=threads)

    def _plan_vm(
        self, fleet: Fleet, host: Host, vm: Vm, placement: Placement, slot: SlotPins, pins: HostPins
    ) -> PlanVm:
        one = self._alike(vm.spec, host, placement, slot)
        if vm.current is None:
            return PlanVm(
                name=vm.name,
                uuid=vm.uuid,
                host=host.name,
                cells=one.cells,
                pins=one.pins,
                shown=one.shown,
                new_cells=vm.spec.cell_mode is CellMode.AUTO,
                emulator=one.emulator,
                iothreads=one.iothreads,
                devices=one.devices,
                change=Change.NONE,
            )
        vcpus, emulator, threads = in_groups(vm.current, one.pins, host.topology), one.emulator, one.iothreads
        kept_pins = vm.current if vm.pins_fixed and vm.current.host == host.name else None
        if kept_pins is not None:
            vcpus = {**vcpus, **kept_pins.pins}
            emulator = _emulator(vm.spec, host, slot, vcpus)
            threads = dict.fromkeys(vm.spec.iothreads, emulator) if emulator is not None else {}
        parts = part_vcpus(vm.spec, len(placement.cpu_nodes))
        unnamed = {vcpu for run, cpus in zip(parts, slot.cpus, strict=True) if not cpus for vcpu in run}
        named = {vcpu: pin for vcpu, pin in vcpus.items() if vcpu not in unnamed or kept_pins is not None}
        change = change_of(vm, host, placement, named, fleet, hold=self.pinner.hold)
        if kept_pins is not None:
            emulator = kept_pins.emulator or emulator
            threads = {**threads, **kept_pins.iothread_pins}
        elif change is Change.NONE:
            vcpus = _followed(vm, vcpus, pins.newly)
            # Isolated emulator threads have one CPU of their own: what they have now is kept only where it is that.
            own = slot.extra is not None and vm.current.emulator not in (None, slot.extra)
            change, emulator = (Change.REPIN, emulator) if own else (change, vm.current.emulator or emulator)
            threads = {**threads, **vm.current.iothread_pins}
            if change is Change.NONE and any(vcpus.get(vcpu, cpus) != cpus for vcpu, cpus in vm.current.pins.items()):
                change = Change.FOLLOW
        new_cells = vm.spec.cell_mode is CellMode.AUTO
        if new_cells:
            kept = known_nodes(vm)
            new_cells = (len(kept[0]) if kept is not None else 1) != len(placement.cpu_nodes)
        return PlanVm(
            name=vm.name,
            uuid=vm.uuid,
            host=host.name,
            cells=one.cells,
            pins=vcpus,
            shown=one.shown,
            new_cells=new_cells,
            emulator=emulator,
            iothreads=threads,
            devices=one.devices,
            change=change,
            from_host=vm.current.host if vm.current.host != host.name else None,
        )

    def _alike(self, spec: VmSpec, host: Host, placement: Placement, slot: SlotPins) -> _Alike:
        """Return what VMs of this spec share that are so placed on hosts with the same CPUs for emulator threads."""
        # Hosts with one answer of the pinner need not keep the same CPUs for themselves.
        sets = (id(host.topology), id(host.reserve), host.dedicated_cpus, host.shared_cpus, host.isolated_cpus)
        key = (id(spec), sets, placement, slot)
        if key not in self._shared:
            parts = len(placement.cpu_nodes)
            pins = _vcpu_pins(spec, host, placement, slot)
            emulator = _emulator(spec, host, slot, pins)
            self._shared[key] = _Alike(
                cells=_cells(spec, host, placement),
                pins=pins,
                emulator=emulator,
                iothreads=dict.fromkeys(spec.iothreads, emulator) if emulator is not None else {},
                devices=_devices_of(spec, parts, placement.device_nodes, host.topology.node_ids),
                shown=_shown(spec, parts),
            )
        return self._shared[key]


def _devices_of(
    spec: VmSpec, parts: int, nodes: Sequence[int | None], ids: Sequence[int]
) -> tuple[tuple[str, int | None], ...]:
    kinds = _device_kinds(spec, parts)
    return tuple((kind, None if node is None else ids[node]) for kind, node in zip(kinds, nodes, strict=False))


def _device_kinds(spec: VmSpec, parts: int) -> list[str]:
    """Return the kind of each device of a VM of so many parts."""
    cells = 1 if spec.cell_mode is CellMode.NONE else sum(1 for vcpus in part_vcpus(spec, parts) if vcpus)
    return [request.kind for request, count in spec.device_requests(cells) for _ in range(count)]


def _followed(vm: Vm, pins: Mapping[int, frozenset[int]], newly: frozenset[int]) -> Mapping[int, frozenset[int]]:
    """Return the pins of a VM that stays: cpusets that it has, less what dedicated vCPUs newly hold of them."""
    now = vm.current.pins if vm.current is not None else {}
    out = dict(pins)
    for vcpu, cpus in now.items():
        if vcpu not in out:
            continue
        if vm.spec.is_dedicated(vcpu):
            out[vcpu] = cpus
        elif left := cpus - newly:
            out[vcpu] = left
    return out


def fixed_placement(host: Host, vm: Vm, devices: DeviceNodes | None) -> Placement:
    """Return the placement that an immovable VM has now, with its devices as `devices_now` takes them to be."""
    parts = known_nodes(vm)
    assert parts is not None, f"{vm.name} is immovable but its nodes are not known"
    position = {node_id: n for n, node_id in enumerate(host.topology.node_ids)}
    cpu, memory = tuple(position[n] for n in parts[0]), tuple(position[n] for n in parts[1])
    count = len(_device_kinds(vm.spec, len(cpu)))
    return Placement(0, cpu, memory, (None,) * count if devices is None else devices)


def in_order_now(placement: Placement, needs: Needs, host: Host, vm: Vm) -> Placement:
    """Return the placement with cells that are alike in the order they have now, where the VM stays on its nodes.

    Counting does not tell equal cells apart; a running guest does: to exchange two cells would move their memory.
    """
    parts = known_nodes(vm) if vm.current and vm.current.host == host.name else None
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
    if now == placement or canonical(needs, now) != canonical(needs, placement):
        return placement
    return now


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


def _vcpu_pins(spec: VmSpec, host: Host, placement: Placement, slot: SlotPins) -> Mapping[int, frozenset[int]]:
    """Return vCPU -> cpuset: dedicated vCPUs of a part take its CPUs in order, shared ones float over its node's
    shared CPUs. Dedicated ones for which a node that is over has no CPU may run on all of it.
    """
    pins: dict[int, frozenset[int]] = {}
    parts = part_vcpus(spec, len(placement.cpu_nodes))
    for node, vcpus, cpus, floating in zip(placement.cpu_nodes, parts, slot.cpus, slot.floating, strict=True):
        own = iter(cpus)
        whole = host.topology.nodes[node].cpus
        for vcpu in vcpus:
            if spec.is_dedicated(vcpu):
                pins[vcpu] = _single(next(own)) if cpus else whole & host.usable_cpus or whole
            else:
                pins[vcpu] = floating or whole
    return dict(sorted(pins.items()))


def _emulator(spec: VmSpec, host: Host, slot: SlotPins, pins: Mapping[int, frozenset[int]]) -> frozenset[int] | None:
    policy = spec.emulator_threads
    if policy is EmulatorPolicy.ISOLATE:
        return slot.extra
    if policy is not EmulatorPolicy.SHARE and host.housekeeping_cpus:
        return host.housekeeping_cpus
    return spec.shared_with_helpers(pins)


_SINGLES: dict[int, frozenset[int]] = {}


def _single(cpu: int) -> frozenset[int]:
    """Return {cpu}; the same object each time, since a fleet has millions of them."""
    if cpu not in _SINGLES:
        _SINGLES[cpu] = frozenset((cpu,))
    return _SINGLES[cpu]
