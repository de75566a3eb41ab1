"""Places for the time being: another host for a VM that others have to pass, other CPUs where its own are taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from placer.measure.memory_use import pool_size
from placer.measure.rule_excess import CONFINING, RuleIndex
from placer.model.fleet import Fleet
from placer.model.host import Host, NodeKind
from placer.model.plan import PlanCell
from placer.model.vm import CellMode, CoreKind, CpuPolicy, EmulatorPolicy, Movable, ThreadPolicy, Vm
from placer.moves.model import Place, StepKind
from placer.moves.places import ClaimMaker, Claims, Key
from placer.moves.state import Board, HostState
from placer.moves.waves import Task
from placer.planning.compile.needs import Part, part_vcpus, spec_needs


@dataclass(slots=True)
class Parking:
    """Finds places for the time being on the hosts of a fleet, those in the order of the fleet that have room first."""

    board: Board
    index: RuleIndex
    _confined: Mapping[str, Sequence[int]] = field(default_factory=dict)
    _parts: dict[tuple[str, int], tuple[Part, ...]] = field(default_factory=dict)
    _hosts: dict[Hashable, Sequence[Host]] = field(default_factory=dict)
    _version: int = -1

    def __post_init__(self) -> None:
        """Note which rules confine each VM."""
        confined: dict[str, list[int]] = {}
        for number, rule in enumerate(self.fleet.rules):
            if rule.kind in CONFINING and not rule.is_soft:
                for vm in {*self.index.vms[number], *self.index.others[number]}:
                    confined.setdefault(self.fleet.vms[vm].name, []).append(number)
        self._confined = confined

    @property
    def fleet(self) -> Fleet:
        """The fleet."""
        return self.board.fleet

    @property
    def maker(self) -> ClaimMaker:
        """What makes claims."""
        return self.board.maker

    def may_park(self, task: Task) -> bool:
        """Tell whether a VM may be put aside at all: it is somewhere, may move, and needs no device of its host."""
        vm = task.vm
        return (
            task.source is not None
            and not self.fleet.is_held(vm)
            and not vm.pins_fixed
            and not vm.spec.devices
            and bool(task.source[0].cells)
            and task.kind is not StepKind.REPIN
            and not task.parked
        )

    def places(
        self, task: Task, *, barred: frozenset[str] = frozenset(), wanted: Mapping[str, int] | None = None
    ) -> Iterator[tuple[Place, Claims]]:
        """Yield places on hosts other than `barred` where a VM fits just now and that it may go to.

        `wanted` is how many VMs wait for room on a host: those that fewest wait for come first.
        """
        assert task.source is not None
        now = task.source[0]
        home = self.fleet.host_by_name[now.host]
        parts = self._parts_of(task.vm, now)
        if not parts and not _roams(now):
            return
        hosts = self._roomy(task.vm, parts) if parts else self.fleet.hosts
        if wanted is not None:
            hosts = sorted(hosts, key=lambda host: wanted.get(host.name, 0))
        for host in hosts:
            if host.name in barred:
                continue
            place = None
            if self._allowed(task.vm, host, home):
                place = self._place(task.vm, host, now, parts) if parts else _floating(now, host)
            if place is None or (place.host == now.host and place.nodes == now.nodes):
                continue
            claims = self.maker.claims(task.vm, place)
            hop = hop_to(task, (place, claims))
            if self.board.fits(host.name, task.name, hop.change(self.board).gain):
                yield place, claims

    def _allowed(self, vm: Vm, host: Host, home: Host) -> bool:
        if host.failed or (vm.spec.kvm and not host.kvm) or (vm.spec.needs_smt and not host.smt):
            return False
        if vm.spec.width > host.widest_vm:
            return False
        if not host.takes_live_from(home) and vm.movable.is_live and vm.running:
            return False
        for number in self._confined.get(vm.name, ()):
            if self.fleet.rules[number].keeps_off(vm.name, vm.spec.labels, host.name, host.labels):
                return False
        return True

    def _parts_of(self, vm: Vm, now: Place) -> tuple[Part, ...]:
        """Return the VM's parts in their present number; none where that is not known."""
        if now.nodes is None:
            return ()
        key = (vm.name, len(now.nodes))
        if key not in self._parts:
            options = spec_needs(vm.spec, locked_cells=len(now.nodes)).options
            fits = bool(options) and len(options[0]) == len(now.nodes)
            self._parts[key] = tuple(options[0]) if fits else ()
        return self._parts[key]

    def _roomy(self, vm: Vm, parts: tuple[Part, ...]) -> Sequence[Host]:
        """Return the hosts that have room for parts as things are, in the order of the fleet."""
        if self._version != self.board.version:
            self._version = self.board.version
            self._hosts.clear()
        key = tuple((part.page_kib, part.memory_kib, part.dedicated) for part in parts)
        if key not in self._hosts:
            self._hosts[key] = [host for host in self.fleet.hosts if self._has_room(vm, host, parts)]
        return self._hosts[key]

    def _has_room(self, vm: Vm, host: Host, parts: Sequence[Part]) -> bool:
        """Tell in short whether each part finds memory and CPUs on some node of a host."""
        state = self.board.state(host.name)
        size = pool_size(vm.spec, host.topology)
        room = []
        for node in host.topology.nodes:
            if node.kind is NodeKind.NORMAL and node.cpus:
                memory, cpus = Key("memory", node.id, page_kib=size), Key("cpus", node.id)
                room.append((state.most(memory) - state.used[memory], state.most(cpus) - state.used[cpus]))
        return len(room) >= len(parts) and all(
            any(memory >= part.memory_kib and cpus >= part.dedicated for memory, cpus in room) for part in parts
        )

    def _place(self, vm: Vm, host: Host, now: Place, parts: Sequence[Part]) -> Place | None:
        """Return a place for the parts: largest first, each on the node with most memory left."""
        state = self.board.state(host.name)
        size = pool_size(vm.spec, host.topology)
        room = {
            node.id: state.most(key) - state.used[key]
            for node in host.topology.nodes
            if node.kind is NodeKind.NORMAL and node.cpus
            for key in (Key("memory", node.id, page_kib=size),)
        }
        chosen: dict[int, int] = {}
        cpus: dict[int, tuple[list[int], int | None]] = {}
        order = sorted(range(len(parts)), key=lambda n: (-parts[n].memory_kib, -parts[n].vcpus, n))
        for number in order:
            part = parts[number]
            for node in sorted(room, key=lambda n: (-room[n], n)):
                if node in chosen.values() or room[node] < part.memory_kib:
                    continue
                own = self._cpus_on(vm, state, node, part, first=number == 0)
                if own is not None:
                    chosen[number], cpus[number] = node, own
                    break
            else:
                return None
        nodes = tuple(chosen[number] for number in range(len(parts)))
        pins: dict[int, frozenset[int]] = {}
        taken = {cpu for own, extra in cpus.values() for cpu in (*own, *([] if extra is None else [extra]))}
        for number, vcpus in enumerate(part_vcpus(vm.spec, len(parts))):
            rest = iter(cpus[number][0])
            for vcpu in vcpus:
                dedicated = vm.spec.is_dedicated(vcpu)
                pins[vcpu] = frozenset({next(rest)}) if dedicated else state.floating(nodes[number]) - taken
        if any(not pin for pin in pins.values()):
            return None
        extra = cpus[0][1]
        emulator = emulator_cpus(vm, host, pins, extra)
        return Place(
            host=host.name,
            nodes=nodes,
            cells=_cells(vm, now.cells, nodes),
            pins=dict(sorted(pins.items())),
            emulator=emulator,
            iothreads=dict.fromkeys(vm.spec.iothreads, emulator),
        )

    def _cpus_on(
        self, vm: Vm, state: HostState, node: int, part: Part, *, first: bool
    ) -> tuple[list[int], int | None] | None:
        extra = first and vm.spec.emulator_threads is EmulatorPolicy.ISOLATE
        return free_cpus(vm, state, node, part.dedicated, extra=extra)

    def passing_place(self, task: Task) -> tuple[Place, Claims] | None:
        """Return the task's target with free CPUs of the same nodes in place of those that are still taken."""
        place, vm = task.target[0], task.vm
        if place.nodes is None or vm.pins_fixed or vm.spec.cpu_policy is CpuPolicy.SHARED:
            return None
        state = self.board.state(place.host)
        pins = dict(place.pins)
        given: dict[int, set[int]] = {}
        extra: int | None = None
        for number, (node, vcpus) in enumerate(zip(place.nodes, part_vcpus(vm.spec, len(place.nodes)), strict=True)):
            dedicated = [vcpu for vcpu in vcpus if vm.spec.is_dedicated(vcpu)]
            isolated = number == 0 and vm.spec.emulator_threads is EmulatorPolicy.ISOLATE
            found = free_cpus(vm, state, node, len(dedicated), extra=isolated, without=given.get(node, set()))
            if found is None:
                return None
            extra = found[1] if isolated else extra
            given.setdefault(node, set()).update(found[0])
            pins.update({vcpu: frozenset({cpu}) for vcpu, cpu in zip(dedicated, found[0], strict=True)})
        emulator = emulator_cpus(vm, state.host, pins, extra)
        other = dataclasses.replace(
            place, pins=pins, emulator=emulator, iothreads=dict.fromkeys(vm.spec.iothreads, emulator)
        )
        return other, self.maker.claims(vm, other)


def hop_to(task: Task, target: tuple[Place, Claims]) -> Task:
    """Return a task that takes a VM from where it is to a place that is not its last."""
    assert task.source is not None
    kind = StepKind.RESTART if task.vm.movable is Movable.COLD else StepKind.MIGRATE
    if target[0].host == task.source[0].host:
        kind = StepKind.RENODE
    return Task(vm=task.vm, kind=kind, source=task.source, target=target, parked=True)


def free_cpus(
    vm: Vm, state: HostState, node: int, count: int, *, extra: bool, without: set[int] | None = None
) -> tuple[list[int], int | None] | None:
    """Return free CPUs of a node for so many dedicated vCPUs, as the thread policy wants them, and one for emulator
    threads where `extra`; None where there are not enough.
    """
    free = state.free_cpus(node) - (without or set())
    topology, policy = state.host.topology, vm.spec.thread_policy
    if vm.spec.core_kind is not CoreKind.ANY:
        slow = vm.spec.core_kind is CoreKind.EFFICIENCY
        free = frozenset(cpu for cpu in free if (cpu in topology.efficiency) is slow)
    if policy is ThreadPolicy.PREFER:
        ordered = sorted(free)
        chosen, rest = ordered[:count], ordered[count:]
    else:
        chosen, rest = [], []
        for core in sorted((core for core in topology.cores if core <= free), key=min):
            threads = sorted(core)
            if len(chosen) < count:
                take = 1 if policy is ThreadPolicy.ISOLATE else min(len(threads), count - len(chosen))
                chosen += threads[:take]
            else:
                rest += threads
    if len(chosen) < count or (extra and not rest):
        return None
    return chosen, rest[0] if extra else None


def emulator_cpus(vm: Vm, host: Host, pins: Mapping[int, frozenset[int]], extra: int | None) -> frozenset[int]:
    """Return the CPUs of emulator threads, as their policy wants them."""
    if extra is not None:
        return frozenset({extra})
    if vm.spec.emulator_threads is not EmulatorPolicy.SHARE and host.housekeeping_cpus:
        return host.housekeeping_cpus
    return vm.spec.shared_with_helpers(pins)


def _cells(vm: Vm, cells: Sequence[PlanCell], nodes: Sequence[int]) -> tuple[PlanCell, ...]:
    """Return the cells with their memory on other nodes, a node a part."""
    if vm.spec.cell_mode is CellMode.NONE:
        cell = cells[0]
        sizes = list(cell.nodes.values())
        if len(sizes) != len(nodes):
            each, more = divmod(cell.memory_kib, len(nodes))
            sizes = [each + (number < more) for number in range(len(nodes))]
        return (dataclasses.replace(cell, nodes=dict(zip(nodes, sizes, strict=True))),)
    return tuple(
        dataclasses.replace(cell, nodes={node: cell.memory_kib}) for cell, node in zip(cells, nodes, strict=True)
    )


def _roams(now: Place) -> bool:
    """Tell whether a VM is bound to no node of its host, and would be to none of another one."""
    return bool(now.bound) and all(one.cpus is None and one.memory is None for one in now.bound) and not now.pins


def _floating(now: Place, host: Host) -> Place:
    """Return the place on another host of a VM that is bound to none of its nodes."""
    pool = host.shared_pool or host.usable_cpus
    pins = {vcpu: pool for cell in now.cells for vcpu in sorted(cell.vcpus)}
    return Place(host=host.name, nodes=None, cells=now.cells, pins=pins, bound=now.bound)
