"""Hosts of a report: alike ones under one pattern, with what lies on each node and each CPU now and as planned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from placer.measure.cpu_use import cpu_use
from placer.measure.memory_use import memory_taken
from placer.model.fleet import Fleet
from placer.model.host import Host, Topology
from placer.model.memory_room import memory_room
from placer.model.plan import Change, Plan, PlanVm
from placer.model.vm import Vm, VmSpec
from placer.moves.model import Place
from placer.moves.places import place_now
from placer.planning.compile.needs import part_vcpus
from placer.show.plan_map import MappedCell, MappedNode, in_place, letter, map_host


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUse:
    """One node under a plan: its cells, CPUs by what they do, and its ordinary memory for VMs (KiB).

    `held` are CPUs that a vCPU or an emulator thread has for itself, `idle` threads that a thread policy keeps empty.
    `free_pages` maps a page size (KiB) to the pages left of its pool.
    """

    mapped: MappedNode
    held: frozenset[int]
    idle: frozenset[int]
    room_kib: int
    free_kib: int
    free_pages: Mapping[int, int]

    @property
    def cpus(self) -> frozenset[int]:
        """All CPUs of the node."""
        return frozenset(cpu for core in self.mapped.cores for cpu in core)

    @property
    def open(self) -> frozenset[int]:
        """CPUs that nobody keeps and nobody is known to use."""
        mapped = self.mapped
        return self.cpus - self.held - mapped.floating - mapped.reserved - self.idle

    @property
    def untold(self) -> int:
        """CPUs that vCPUs have for themselves and of which nobody knows which of those open they are."""
        return min(len(self.open), sum(len(cell.vcpus) for cell in self.mapped.cells if cell.untold))

    @property
    def free(self) -> int:
        """How many CPUs nobody uses and nobody keeps."""
        return len(self.open) - self.untold


@dataclass(slots=True, kw_only=True)
class Pattern:
    """Hosts alike in shape and content. `vms` holds, a host, its VMs in one order, so that the letters fit all.

    `nodes` is the content as planned, `nodes_now` as it is (empty where nothing changes or nothing is known).
    """

    number: int
    shape: int
    hosts: list[Host] = field(default_factory=list)
    vms: list[tuple[PlanVm, ...]] = field(default_factory=list)
    nodes: tuple[NodeUse, ...] = ()
    nodes_now: tuple[NodeUse, ...] = ()
    leaving: tuple[str, ...] = ()

    @property
    def topology(self) -> Topology:
        """The topology of all its hosts."""
        return self.hosts[0].topology

    @property
    def changed(self) -> bool:
        """Tell whether the plan changes anything on its hosts."""
        return bool(self.leaving) or any(vm.change is not Change.NONE for vm in self.vms[0])


def find_patterns(fleet: Fleet, plan: Plan) -> tuple[Pattern, ...]:
    """Return the patterns in the order of their first hosts; hosts that the plan changes stand alone."""
    shapes = _Shapes()
    placed: dict[str, list[PlanVm]] = defaultdict(list)
    for planned in plan.vms:
        placed[planned.host].append(planned)
    now = _residents(fleet)
    found: dict[Hashable, Pattern] = {}
    for host in fleet.hosts:
        vms = tuple(in_place(placed.get(host.name, ())))
        leaving = tuple(
            vm.name for vm in now.get(host.name, ()) if vm.name not in plan.vm_by_name or _goes(plan, vm, host)
        )
        shape = shapes.number(host)
        changed = bool(leaving) or any(vm.change is not Change.NONE for vm in vms)
        key: Hashable = host.name if changed else (shape, tuple(_content(fleet.vm_by_name[vm.name], vm) for vm in vms))
        pattern = found.setdefault(key, Pattern(number=len(found) + 1, shape=shape, leaving=leaving))
        pattern.hosts.append(host)
        pattern.vms.append(vms)
    for pattern in found.values():
        _fill(pattern, fleet, now)
    return tuple(found.values())


def shape_key(host: Host) -> Hashable:
    """Return what makes hosts alike in a picture: nodes, caches, cores, distances, and what is kept back."""
    topology = host.topology
    nodes = tuple((node.id, node.cpus, node.memory_kib, tuple(node.pages.items())) for node in topology.nodes)
    reserve = host.reserve
    kept = (reserve.cpus, tuple(reserve.memory_kib.items()), repr(reserve.pages), host.memory_ratio)
    groups = (topology.cores, topology.packages, topology.dies, topology.clusters, topology.l3)
    return nodes, groups, topology.distances, kept, host.failed


class _Shapes:
    """Numbers for shapes; hosts of one inventory entry share a topology, so most are looked up by identity."""

    def __init__(self) -> None:
        self._by_identity: dict[Hashable, int] = {}
        self._numbers: dict[Hashable, int] = {}

    def number(self, host: Host) -> int:
        identity = (id(host.topology), id(host.reserve), host.memory_ratio, host.failed)
        if identity not in self._by_identity:
            self._by_identity[identity] = self._numbers.setdefault(shape_key(host), len(self._numbers))
        return self._by_identity[identity]


def _residents(fleet: Fleet) -> dict[str, list[Vm]]:
    found: dict[str, list[Vm]] = defaultdict(list)
    for vm in fleet.vms:
        if vm.current is not None:
            found[vm.current.host].append(vm)
    return found


def _goes(plan: Plan, vm: Vm, host: Host) -> bool:
    return plan.vm_by_name[vm.name].host != host.name


def _content(vm: Vm, planned: PlanVm) -> Hashable:
    spec: VmSpec = vm.spec
    cells = tuple((cell.vcpus, cell.memory_kib, cell.mode, tuple(sorted(cell.nodes.items()))) for cell in planned.cells)
    held = (spec.cpu_policy, spec.thread_policy, spec.dedicated_vcpus, spec.page_kib, spec.overhead_taken_kib)
    return cells, tuple(sorted(planned.pins.items())), planned.emulator, held


def _fill(pattern: Pattern, fleet: Fleet, now: Mapping[str, Sequence[Vm]]) -> None:
    host, vms = pattern.hosts[0], pattern.vms[0]
    marks = {name: letter(number) for number, name in enumerate([*(vm.name for vm in vms), *pattern.leaving])}
    pattern.nodes = _node_uses(fleet, host, vms, marks)
    if not pattern.changed:
        return
    known = [_planned_now(vm) for vm in now.get(host.name, ())]
    here = in_place(vm for vm in known if vm is not None)
    if here and len(here) == len(now[host.name]):
        pattern.nodes_now = _node_uses(fleet, host, here, marks)


def _planned_now(vm: Vm) -> PlanVm | None:
    """Return a VM where it is now as a plan would hold it; None where a CPU or its memory's nodes are not known."""
    place = place_now(vm)
    return _as_planned(vm, place, place.pins) if set(place.pins) == set(range(vm.spec.vcpus)) else None


def _as_planned(vm: Vm, place: Place, pins: Mapping[int, frozenset[int]]) -> PlanVm | None:
    cells = place.cells
    if not cells:
        return None
    if len(cells) > 1:
        cells = tuple(
            replace(cell, vcpus=frozenset(run))
            for cell, run in zip(cells, part_vcpus(vm.spec, len(cells)), strict=True)
        )
    elif not cells[0].vcpus:
        cells = (replace(cells[0], vcpus=frozenset(range(vm.spec.vcpus))),)
    return PlanVm(
        name=vm.name,
        host=place.host,
        cells=cells,
        pins=pins,
        shown=len(cells) > 1,
        emulator=place.emulator,
        iothreads=place.iothreads,
        devices=place.devices,
    )


def plan_now(fleet: Fleet) -> tuple[PlanVm, ...]:
    """Return every VM whose nodes are known, where it is now; without a pin a vCPU may run all over its node.

    That is enough to measure how far the VMs are from their memory, for which only nodes count.
    """
    found = []
    for vm in fleet.vms:
        host = None if vm.current is None else fleet.host_by_name.get(vm.current.host)
        if host is None:
            continue
        place = place_now(vm)
        pins = dict(place.pins)
        if place.nodes is not None:
            for node, run in zip(place.nodes, part_vcpus(vm.spec, len(place.nodes)), strict=True):
                pins = {**dict.fromkeys(run, host.topology.node(node).cpus), **pins}
        if set(pins) == set(range(vm.spec.vcpus)):
            found.append(_as_planned(vm, place, pins))
    return tuple(place for place in found if place is not None)


def _node_uses(fleet: Fleet, host: Host, vms: Sequence[PlanVm], marks: Mapping[str, str]) -> tuple[NodeUse, ...]:
    use = cpu_use(host, [(fleet.vm_by_name[vm.name], vm) for vm in vms])
    free = memory_room(host)
    room = dict(free)
    for known, planned in use.placed:
        for pool, kib in memory_taken(known.spec, host.topology, planned):
            free[pool] = free.get(pool, 0) - kib
    idle = frozenset(use.idle.keys() - use.holders.keys())
    found = []
    for mapped in map_host(vms, host):
        cells = tuple(
            replace(cell, mark=marks[cell.vm.name], untold=_is_untold(cell, fleet.vm_by_name[cell.vm.name]))
            for cell in mapped.cells
        )
        cpus = host.topology.node(mapped.id).cpus
        found.append(
            NodeUse(
                mapped=replace(mapped, cells=cells),
                held=frozenset(use.holders.keys() & cpus),
                idle=idle & cpus,
                room_kib=room.get((mapped.id, None), 0),
                free_kib=free.get((mapped.id, None), 0),
                free_pages={
                    size: kib // size for (node, size), kib in free.items() if node == mapped.id and size is not None
                },
            )
        )
    return tuple(found)


def _is_untold(cell: MappedCell, vm: Vm) -> bool:
    """Tell whether the vCPUs of a cell have CPUs of their own on its node, only that nobody tells which."""
    return (
        cell.floats
        and not (cell.across or cell.vm.bound or vm.pins_fixed)
        and all(vm.spec.is_dedicated(vcpu) and len(cell.vm.pins[vcpu]) > 1 for vcpu in cell.vcpus)
    )


def owners(nodes: Sequence[NodeUse]) -> Iterator[tuple[int, str, str]]:
    """Yield (CPU, mark, what runs there) of every CPU that a vCPU or an emulator thread has for itself."""
    for node in nodes:
        for cell in node.mapped.cells:
            emulator = cell.vm.emulator or frozenset()
            if len(emulator) == 1 and emulator <= node.held:
                yield min(emulator), cell.mark, f"{cell.vm.name} emulator"
    for node in nodes:
        for cell in node.mapped.cells:
            if cell.floats:
                continue
            for vcpu in sorted(cell.vcpus):
                for cpu in cell.vm.pins[vcpu]:
                    yield cpu, cell.mark, f"{cell.vm.name} vCPU {vcpu}"
