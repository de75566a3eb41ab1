"""The changes of a plan: what each needs, copies and gains, and where a rollback takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from placer.measure.as_now import AsNow
from placer.measure.lost_cpuset import lost_cpuset
from placer.measure.measure import ScoreCache
from placer.measure.memory_mode import memory_modes_of
from placer.measure.moved import Move, is_present, is_repinned
from placer.model.fleet import Fleet
from placer.model.notebook import html_table
from placer.model.plan import Change, Plan, PlanVm
from placer.model.units import count
from placer.model.vm import Bound, Vm
from placer.moves.need import Need, moved_kib, need_of

_KIB_PER_GIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a VM is at one end of a change: nodes of its vCPUs and of its memory, None where nothing binds them."""

    host: str
    cpu_nodes: tuple[int, ...] | None
    memory_nodes: tuple[int, ...] | None
    pins: Mapping[int, frozenset[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class VmChange:
    """One VM that a plan changes.

    Attributes
    ----------
    source : where it is, and where a rollback takes it; None for a VM that is nowhere yet.
    memory_gib : memory that leaves its node or host while the VM runs, GiB.
    disk_gib : disks that are copied with it to another host, GiB.
    gain : remote access that the change saves (vCPU equivalents, negative: costs); None where it is not known now.
    bound_at_start : its memory is bound to nodes of its host from its next start on, and stays where it is till then.
    pins_unknown : it stays and not all its pins are known now, so that the goal ``repins`` does not count it.
    """

    vm: str
    uuid: str | None
    change: Change
    need: Need
    source: Spot | None
    target: Spot
    memory_gib: float
    gain: float | None
    disk_gib: float = 0.0
    bound_at_start: bool = False
    pins_unknown: bool = False

    @property
    def moves_memory(self) -> bool:
        """Tell whether memory goes elsewhere, rather than only the CPUs that reach it."""
        if self.source is None or self.need is Need.PIN:
            return False
        return self.source.host != self.target.host or self.source.memory_nodes != self.target.memory_nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """All changes of a plan, those that gain most first, and how many VMs stay as they are.

    Of those that `follow` only the cpusets change: they leave CPUs that others are given. `memory_modes` are the VMs,
    whether they stay or not, whose memory is bound in another mode from their next start on: old mode and new.
    `lost_cpusets` are the CPUs that VMs are confined to now which float over all of the host that they come to.
    """

    vms: tuple[VmChange, ...]
    stay: int
    follow: int = 0
    memory_modes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    lost_cpusets: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        """Show the changes in a notebook."""
        rows = [
            (
                vm.vm,
                None if vm.source is None else vm.source.host,
                vm.target.host,
                vm.memory_gib,
                vm.gain,
                vm.need.value,
            )
            for vm in self.vms
        ]
        moving = f"{count(len(self.moving), 'VM')} {'moves' if len(self.moving) == 1 else 'move'} memory"
        caption = f"{moving}, {len(self.pinned):,} only get other CPUs, {self.stay:,} stay"
        return html_table(caption, ("VM", "from", "to", "GiB", "gain", "needs"), rows)

    @property
    def moving(self) -> tuple[VmChange, ...]:
        """VMs whose memory goes to another node or host."""
        return tuple(vm for vm in self.vms if vm.moves_memory)

    @property
    def pinned(self) -> tuple[VmChange, ...]:
        """VMs that only get other CPUs, while they run."""
        return tuple(vm for vm in self.vms if not vm.moves_memory and vm.need is not Need.START)

    @property
    def starting(self) -> tuple[VmChange, ...]:
        """VMs that are nowhere yet."""
        return tuple(vm for vm in self.vms if vm.need is Need.START)

    @property
    def shut_off(self) -> tuple[VmChange, ...]:
        """VMs that are down for a while, unless their pages are moved by hand."""
        return tuple(vm for vm in self.vms if vm.need.is_downtime)

    @property
    def memory_gib(self) -> float:
        """Memory that is copied, GiB."""
        return sum(vm.memory_gib for vm in self.vms)

    @property
    def disk_gib(self) -> float:
        """Disks that are copied beside, GiB."""
        return sum(vm.disk_gib for vm in self.vms)

    @property
    def gain(self) -> float:
        """Remote access saved by the VMs of which it is known, vCPU equivalents."""
        return sum(vm.gain for vm in self.vms if vm.gain is not None)


def plan_changes(fleet: Fleet, plan: Plan) -> Changes:
    """Return what a plan that `check` accepts changes, and what each change needs."""
    cache, spots, standing = ScoreCache(), Spots(fleet), AsNow()
    found, stay, follow = [], 0, 0
    modes: dict[str, tuple[str, str]] = {}
    lost: dict[str, frozenset[int]] = {}
    for planned in plan.vms:
        vm = fleet.vm_by_name[planned.name]
        if (mode := memory_modes_of(vm, planned, fleet)) is not None:
            modes[vm.name] = mode
        if (cpus := lost_cpuset(vm, planned, fleet)) is not None:
            lost[vm.name] = cpus
        if planned.change is Change.NONE and vm.current is not None:
            stay += 1
        elif planned.change is Change.FOLLOW:
            follow += 1
        else:
            found.append(_change(fleet, vm, planned, cache, spots, standing))
    found.sort(key=lambda one: (one.gain is None, -(one.gain or 0.0), one.memory_gib))
    return Changes(vms=tuple(found), stay=stay, follow=follow, memory_modes=modes, lost_cpusets=lost)


def _change(fleet: Fleet, vm: Vm, planned: PlanVm, cache: ScoreCache, spots: Spots, standing: AsNow) -> VmChange:
    now = None
    if vm.current is not None and is_present(fleet, vm):
        now = standing.of(vm, fleet.host_by_name[vm.current.host])
    target = spots.of(planned)
    source = _last_known(vm) if now is None else spots.of(now)
    need = Need.START
    if vm.current is not None:
        need = need_of(planned.change, vm.running, () if now is None else now.cells, planned.cells)
    copied = 0
    if vm.running and need in (Need.LIVE, Need.REBIND):
        copied = vm.spec.memory_kib
        if need is Need.REBIND and now is not None and (kib := moved_kib(now.cells, planned.cells)) is not None:
            copied = kib
    gain = None
    if now is not None and not now.bound and not planned.bound:
        before, after = (
            cache.score(vm.spec, fleet.host_by_name[at.host].topology, at).extra_distance for at in (now, planned)
        )
        gain = vm.spec.weight * (before - after)
    loose = now is not None and moved_kib(now.cells, planned.cells) is None and not planned.bound
    return VmChange(
        vm=vm.name,
        uuid=vm.uuid,
        change=planned.change,
        need=need,
        source=source,
        target=target,
        memory_gib=copied / _KIB_PER_GIB,
        gain=gain,
        disk_gib=vm.disk_gib if now is not None and now.host != planned.host else 0.0,
        bound_at_start=need is Need.PIN and loose,
        pins_unknown=now is not None and planned.change is Change.REPIN and _names_pins(vm, planned),
    )


def _names_pins(vm: Vm, planned: PlanVm) -> bool:
    """Tell whether a VM that stays gets CPUs where none are known, beside what the goal ``repins`` counts."""
    known = {} if vm.current is None else vm.current.pins
    return not planned.pins.keys() <= known.keys() and not is_repinned(vm, planned, Move.STAYS)


@dataclass(slots=True)
class Spots:
    """Where VMs are, in the terms of a plan: nodes are worked out once for VMs that share their pins and cells."""

    fleet: Fleet
    # The place is kept beside its nodes: else another object could come to have its identity.
    _known: dict[
        tuple[int, int, int, tuple[Bound, ...]], tuple[PlanVm, tuple[int, ...] | None, tuple[int, ...] | None]
    ] = field(default_factory=dict)

    def of(self, at: PlanVm) -> Spot:
        """Return where a VM is."""
        topology = self.fleet.host_by_name[at.host].topology
        key = (id(topology), id(at.pins), id(at.cells), at.bound)
        if key not in self._known:
            node_of = topology.node_of_cpu
            cpus = {node_of[cpu] for pin in at.pins.values() for cpu in pin}
            memory = {node for cell in at.cells for node in cell.nodes}
            loose = [one.memory for one in at.bound]
            anywhere = at.bound and len(cpus) == sum(bool(node.cpus) for node in topology.nodes)
            memory |= {node for nodes in loose for node in nodes or ()}
            bound = all(cell.nodes for cell in at.cells) or (bool(loose) and None not in loose)
            self._known[key] = (at, None if anywhere else _sorted(cpus), _sorted(memory) if bound else None)
        _, cpu_nodes, memory_nodes = self._known[key]
        return Spot(host=at.host, cpu_nodes=cpu_nodes, memory_nodes=memory_nodes, pins=at.pins)


def _last_known(vm: Vm) -> Spot | None:
    now = vm.current
    if now is None:
        return None
    nodes = None if now.nodes is None else _sorted(now.nodes)
    memory = nodes if now.memory_nodes is None else _sorted(now.memory_nodes)
    return Spot(host=now.host, cpu_nodes=nodes, memory_nodes=memory, pins=now.pins)


def _sorted(nodes: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(nodes)))
