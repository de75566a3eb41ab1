"""What a VM takes of its host at a place, and what a step takes and gives back, as numbers that can be added."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from placer.measure.as_now import as_now
from placer.measure.cpu_use import NOBODY, cpu_use
from placer.measure.memory_use import cells_now, memory_taken
from placer.measure.sets_taken import taken_by
from placer.model.fleet import Fleet
from placer.model.host import Host, Topology
from placer.model.plan import PlanCell, PlanVm
from placer.model.sets import known_nodes
from placer.model.vm import CpuPolicy, EmulatorPolicy, ThreadPolicy, Vm, VmSpec
from placer.moves.floating import floating_vcpus
from placer.moves.model import Place, StepKind
from placer.planning.after import part_nodes
from placer.planning.compile.needs import spec_needs


class Key(NamedTuple):
    """Something that is added up on a host: memory (of a page size in KiB, None: ordinary), CPUs, devices, resources.

    `name` is the kind of device or the resource; `node` None is the host as a whole.
    """

    what: Literal["memory", "cpus", "device", "resource"]
    node: int | None
    name: str | None = None
    page_kib: int | None = None


SetKey = tuple[Literal["memory", "shared"], frozenset[int], int | None]
"""Memory of a page size, or shared vCPUs, that may be on any of some nodes."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a VM takes of a host.

    `amounts` add up; "cpus" counts CPUs for dedicated use on a node, known by number or not. `own` are CPUs that
    nobody else may use, `idle` those that nobody may. `shared` are shared vCPUs a node. `sets` is what may be on any of
    several nodes: nobody knows where. `floats` are the shared vCPUs by the nodes over whose CPUs they float. `nodes`
    and `caches` are the nodes and L3 domains that it counts on for rules: of its CPUs, or all that these may be in.
    """

    amounts: Mapping[Key, int] = field(default_factory=dict)
    own: frozenset[int] = NOBODY
    idle: frozenset[int] = NOBODY
    shared: Mapping[int, float] = field(default_factory=dict)
    sets: Mapping[SetKey, int] = field(default_factory=dict)
    floats: Mapping[tuple[int, ...], frozenset[int]] = field(default_factory=dict)
    nodes: frozenset[int] = frozenset()
    caches: frozenset[int] = frozenset()


NOTHING = Claims()


def place_now(vm: Vm, host: Host | None = None, cells: tuple[PlanCell, ...] | None = None) -> Place:
    """Return where a present VM is, as far as it is known; `cells` are its `cells_now` where they are at hand.

    With its `host` the cells of a VM that is bound to sets of nodes, or to none, are told too.
    """
    now = vm.current
    assert now is not None, vm.name
    loose = as_now(vm, host) if host is not None and known_nodes(vm) is None else None
    known = cells_now(vm) if cells is None else cells
    return Place(
        host=now.host,
        nodes=now.nodes,
        cells=known if loose is None else loose.cells,
        pins=now.pins,
        emulator=now.emulator,
        iothreads=now.iothread_pins,
        addresses=now.devices,
        bound=() if loose is None else loose.bound,
    )


def place_planned(vm: Vm, planned: PlanVm, topology: Topology) -> Place:
    """Return where a plan puts a VM."""
    return Place(
        host=planned.host,
        nodes=None if planned.bound else part_nodes(vm, planned, topology)[0],
        cells=planned.cells,
        pins=planned.pins,
        emulator=planned.emulator,
        iothreads=planned.iothreads,
        devices=planned.devices,
        addresses=planned.addresses,
        bound=planned.bound,
    )


@dataclass(slots=True)
class ClaimMaker:
    """Makes claims; with `domains` they say on which nodes and L3 domains a VM is, which rules may ask."""

    fleet: Fleet
    domains: bool = False
    _known: dict[tuple[str, int], tuple[Place, Claims]] = field(default_factory=dict)
    # The place is kept beside what was worked out for it: else another object could come to have its identity.
    _alike: dict[Hashable, tuple[Place, Claims]] = field(default_factory=dict)
    _cells: dict[Hashable, tuple[PlanCell, ...]] = field(default_factory=dict)

    def claims(self, vm: Vm, place: Place) -> Claims:
        """Return what a VM takes at a place; computed once for a place object, and for those that are alike."""
        known = self._known.get((vm.name, id(place)))
        if known is None:
            known = self._known[vm.name, id(place)] = (place, self._shared_claims(vm, place))
        return known[1]

    def now(self, vm: Vm) -> Place:
        """Return where a present VM is, as far as it is known; VMs of one spec on the same nodes share their cells."""
        now = vm.current
        assert now is not None, vm.name
        key = (id(vm.spec), now.nodes, now.memory_nodes)
        if key not in self._cells:
            self._cells[key] = cells_now(vm)
        return place_now(vm, self.fleet.host_by_name[now.host], self._cells[key])

    def _shared_claims(self, vm: Vm, place: Place) -> Claims:
        """Return what a VM takes, worked out once for VMs of one spec that share cells and pins on hosts alike."""
        host = self.fleet.host_by_name[place.host]
        sets = (id(host.topology), id(host.reserve), host.dedicated_cpus, host.shared_cpus)
        pins = id(place.pins) if place.pins else None
        known = (place.nodes, place.bound, id(place.cells), pins, place.emulator, place.devices, place.addresses)
        key = (id(vm.spec), vm.pins_fixed, sets, known)
        if key not in self._alike:
            self._alike[key] = (place, self._claims(vm, host, place))
        return self._alike[key][1]

    def _claims(self, vm: Vm, host: Host, place: Place) -> Claims:
        nodes, caches = self._domains(vm, host, place) if self.domains else (NOBODY, NOBODY)
        if place.bound:
            return dataclasses.replace(self._loose(vm, host, place), nodes=nodes, caches=caches)
        amounts: Counter[Key] = Counter()
        planned = PlanVm(name=vm.name, host=place.host, cells=place.cells, pins=place.pins, emulator=place.emulator)
        if place.cells:
            for (node, size), kib in memory_taken(vm.spec, host.topology, planned):
                amounts[Key("memory", node, page_kib=size)] += kib
        own, idle = _cpus(vm, host, planned)
        for node, count in _dedicated(vm, host, place, own | idle).items():
            amounts[Key("cpus", node)] += count
        self._things(vm.spec, host, place, amounts)
        return Claims(
            amounts=dict(amounts),
            own=own,
            idle=idle,
            shared=_shared(vm.spec, host.topology, place),
            floats=floating_vcpus(vm, host.topology, place),
            nodes=nodes,
            caches=caches,
        )

    def _loose(self, vm: Vm, host: Host, place: Place) -> Claims:
        """Return what a VM takes that is bound to sets of nodes, or to none: of one node where a set is one."""
        pins = place.pins
        if len(pins) < vm.spec.vcpus and (now := as_now(vm, host)) is not None:
            pins = now.pins
        planned = PlanVm(
            name=vm.name, host=host.name, cells=place.cells, pins=pins, emulator=place.emulator, bound=place.bound
        )
        taken = taken_by(vm, host, planned)
        amounts: Counter[Key] = Counter()
        sets: Counter[SetKey] = Counter()
        shared: dict[int, float] = {}
        for (nodes, size), kib in taken.memory.items():
            if len(nodes) == 1:
                amounts[Key("memory", min(nodes), page_kib=size)] += kib
            else:
                sets["memory", nodes, size] += kib
        for nodes, vcpus in taken.shared.items():
            if len(nodes) == 1:
                shared[min(nodes)] = shared.get(min(nodes), 0.0) + vcpus
            else:
                sets["shared", nodes, None] += vcpus
        own, idle = _cpus(vm, host, planned)
        for node, count in taken.threads.items():
            amounts[Key("cpus", node)] += count
        self._things(vm.spec, host, place, amounts)
        return Claims(
            amounts=dict(amounts),
            own=own,
            idle=idle,
            shared=shared,
            sets=dict(sets),
            floats=floating_vcpus(vm, host.topology, place),
        )

    def _things(self, spec: VmSpec, host: Host, place: Place, amounts: Counter[Key]) -> None:
        cells = len(place.nodes or ()) or 1
        kinds = [request.kind for request, count in spec.device_requests(cells) for _ in range(count)]
        for number, kind in enumerate(kinds):
            amounts[Key("device", None, kind)] += 1
            node = place.devices[number][1] if number < len(place.devices) else None
            if node is None:
                there = {device.node for device in host.topology.devices if device.kind == kind}
                node = next(iter(there)) if len(there) == 1 else None
            if node is not None:
                amounts[Key("device", node, kind)] += 1
        for address in place.addresses:
            if address is not None:
                amounts[Key("device", None, address)] += 1
        on_nodes = {name for node in host.topology.nodes for name in node.resources} if spec.resources else set()
        for name, amount in spec.resources.items():
            parts: Sequence[int | None] = [None]
            if name in on_nodes:
                parts = place.nodes or ()
            for part in parts:
                amounts[Key("resource", part, name)] += -(-amount // len(parts))

    @staticmethod
    def _domains(vm: Vm, host: Host, place: Place) -> tuple[frozenset[int], frozenset[int]]:
        """Return the nodes and L3 domains of a VM's CPUs; where not all are known, all that these may be in."""
        topology = host.topology
        cpus: frozenset[int] = frozenset().union(*place.pins.values())
        nodes = frozenset(topology.node_of_cpu[cpu] for cpu in cpus if cpu in topology.node_of_cpu)
        if len(place.pins) < vm.spec.vcpus:
            loose = as_now(vm, host) if place.bound else None
            bound = cpus if loose is None else frozenset().union(*loose.pins.values())
            nodes = frozenset(topology.node_of_cpu[cpu] for cpu in bound if cpu in topology.node_of_cpu)
            nodes = frozenset(place.nodes) if place.nodes is not None else nodes or frozenset(topology.node_ids)
            cpus = cpus | {cpu for cpu, node in topology.node_of_cpu.items() if node in nodes}
        where = topology.l3_domain_of_cpu
        return nodes, frozenset(where[cpu] for cpu in cpus if cpu in where)


def _cpus(vm: Vm, host: Host, planned: PlanVm) -> tuple[frozenset[int], frozenset[int]]:
    """Return the CPUs that a VM has for itself and those it leaves idle: none where its pins are not known."""
    if vm.spec.cpu_policy is CpuPolicy.SHARED and vm.spec.emulator_threads is not EmulatorPolicy.ISOLATE:
        return NOBODY, NOBODY
    for vcpu in range(vm.spec.vcpus):
        if vm.spec.is_dedicated(vcpu) and (
            not planned.pins.get(vcpu) or (len(planned.pins[vcpu]) > 1 and not vm.pins_fixed)
        ):
            return NOBODY, NOBODY
    if vm.spec.cpu_policy is CpuPolicy.DEDICATED and vm.spec.thread_policy is ThreadPolicy.PREFER:
        isolated = planned.emulator if vm.spec.emulator_threads is EmulatorPolicy.ISOLATE else None
        return frozenset().union(*planned.pins.values(), isolated or NOBODY), NOBODY
    use = cpu_use(host, [(vm, planned)])
    return frozenset(use.holders), frozenset(use.idle) - frozenset(use.holders)


def _dedicated(vm: Vm, host: Host, place: Place, known: frozenset[int]) -> Counter[int]:
    """Return node -> CPUs of the dedicated pool that a VM needs there, idle siblings included."""
    topology, pool = host.topology, host.dedicated_pool
    if known:
        return Counter(topology.node_of_cpu[cpu] for cpu in known if cpu in pool)
    found: Counter[int] = Counter()
    for number, (node, vcpus) in enumerate(_parts(vm.spec, place.nodes)):
        width = max((len(core) for core in topology.cores), default=1)
        if vcpus and vm.spec.thread_policy is ThreadPolicy.ISOLATE:
            vcpus *= width
        elif vm.spec.thread_policy.fills_cores:
            vcpus = -(-vcpus // width) * width
        if number == 0 and vm.spec.emulator_threads is EmulatorPolicy.ISOLATE:
            vcpus += 1
        found[node] += vcpus
    return found


def _parts(spec: VmSpec, nodes: Sequence[int] | None) -> Iterable[tuple[int, int]]:
    """Yield node and dedicated vCPUs of each part; nothing where the nodes are not known."""
    if nodes is None:
        return
    options = spec_needs(spec, locked_cells=len(nodes)).options
    if options and len(options[0]) == len(nodes):
        for node, part in zip(nodes, options[0], strict=True):
            yield node, part.dedicated


def _shared(spec: VmSpec, topology: Topology, place: Place) -> Mapping[int, float]:
    """Return node -> shared vCPUs; one whose cpuset spans nodes counts by its CPUs."""
    found: dict[int, float] = {}
    if spec.cpu_policy is CpuPolicy.DEDICATED:
        return found
    if place.nodes is not None:
        options = spec_needs(spec, locked_cells=len(place.nodes)).options
        if options and len(options[0]) == len(place.nodes):
            for node, part in zip(place.nodes, options[0], strict=True):
                if part.shared:
                    found[node] = found.get(node, 0.0) + part.shared
            return found
    for vcpu, pin in place.pins.items():
        if not spec.is_dedicated(vcpu):
            for cpu in pin:
                node = topology.node_of_cpu[cpu]
                found[node] = found.get(node, 0.0) + 1 / len(pin)
    return found


@dataclass(frozen=True, slots=True)
class Transition:
    """What a step takes when it begins (`gain`, on the target's host) and gives back at its end (`drop`)."""

    gain: Claims
    drop: Claims


def transition(
    kind: StepKind, spec: VmSpec, topology: Topology, old: tuple[Place, Claims] | None, new: tuple[Place, Claims]
) -> Transition:
    """Return what a step takes and gives back; while it is under way, source and target both carry the VM.

    Within a host only what changes counts twice: memory of cells that change node, CPUs by number. How many CPUs a VM
    has on a node changes at once, since each vCPU leaves its CPU as it gets the next. A VM that restarts on its host
    is never there twice, and neither is what may be on any of several nodes.
    """
    if old is None or old[0].host != new[0].host:
        return Transition(gain=new[1], drop=NOTHING if old is None else old[1])
    before, after = old[1], new[1]
    kept = _kept_memory(spec, topology, old[0], new[0]) if kind is StepKind.RENODE else None
    more: dict[Key, int] = {}
    less: dict[Key, int] = {}
    for key in before.amounts.keys() | after.amounts.keys():
        was, will = before.amounts.get(key, 0), after.amounts.get(key, 0)
        both = min(was, will)
        if kept is not None and key.what == "memory":
            both = min(both, kept[key])
        if will > both:
            more[key] = will - both
        if was > both:
            less[key] = was - both
    nodes = before.shared.keys() | after.shared.keys()
    shared = {node: before.shared.get(node, 0.0) - after.shared.get(node, 0.0) for node in nodes}
    sets = {key: after.sets.get(key, 0) - before.sets.get(key, 0) for key in before.sets.keys() | after.sets.keys()}
    return Transition(
        gain=Claims(
            amounts=more,
            own=after.own - before.own,
            idle=after.idle - before.idle,
            shared={node: -count for node, count in shared.items() if count < 0},
            sets={key: amount for key, amount in sets.items() if amount},
            nodes=after.nodes,
            caches=after.caches,
        ),
        drop=Claims(
            amounts=less,
            own=before.own - after.own,
            idle=before.idle - after.idle,
            shared={node: count for node, count in shared.items() if count > 0},
            nodes=before.nodes,
            caches=before.caches,
        ),
    )


def _kept_memory(spec: VmSpec, topology: Topology, old: Place, new: Place) -> Counter[Key]:
    """Return the memory that a change of node leaves where it is: that of parts whose node stays."""
    kept: Counter[Key] = Counter()
    both = []
    for place in (old, new):
        planned = PlanVm(name="", host=place.host, cells=place.cells, pins={})
        both.append(list(memory_taken(spec, topology, planned)) if place.cells else [])
    if len(both[0]) == len(both[1]):
        for (pool, kib), (other, more) in zip(*both, strict=True):
            if pool == other:
                kept[Key("memory", pool[0], page_kib=pool[1])] += min(kib, more)
    return kept
