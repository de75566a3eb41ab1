"""Check what a host has: memory and page pools of each node, devices, free resources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from placer.check.findings import Findings
from placer.measure.measure import device_places
from placer.measure.memory_use import Pool, memory_now, memory_room, memory_taken
from placer.measure.spec_numbers import SpecNumbers
from placer.model.host import Host, Topology
from placer.model.plan import PlanVm
from placer.model.units import format_kib
from placer.model.vm import Vm

Placed = Sequence[tuple[Vm, PlanVm]]


@dataclass(slots=True)
class CapacityChecker:
    """Checks hosts one by one; what VMs of one spec take on the same nodes is computed once.

    The caches key objects by identity: keep the fleet alive as long as the checker.
    """

    residents: Mapping[str, Sequence[Vm]]
    """Host name -> VMs that are there now."""
    specs: SpecNumbers
    _taken: dict[tuple[object, ...], tuple[tuple[Pool, int], ...]] = field(default_factory=dict)
    _rooms: dict[tuple[int, int, float], dict[Pool, int]] = field(default_factory=dict)

    def check(self, host: Host, placed: Placed, arrivals: set[str], found: Findings) -> None:
        """Note everything of which a host has less than its VMs take.

        What is short now already may stay so but not get worse: memory by its amount, all else as long as none of
        `arrivals` (VMs that are not on their planned nodes now) takes of it. That warns.
        """
        self._memory(host, placed, found)
        if any(vm.spec.devices for vm, _ in placed):
            _devices(host, placed, arrivals, found)
        if any(vm.spec.resources for vm, _ in placed):
            _resources(host, placed, arrivals, found)

    def _memory(self, host: Host, placed: Placed, found: Findings) -> None:
        total: dict[Pool, int] = {}
        for vm, planned in placed:
            for pool, kib in self._taken_by(vm, host.topology, planned):
                total[pool] = total.get(pool, 0) + kib
        room = self._room(host)
        over = {pool: kib for pool, kib in total.items() if kib > room.get(pool, 0)}
        if not over:
            return
        now = memory_now(host.topology, self.residents.get(host.name, ()))
        for (node, size), kib in sorted(over.items(), key=lambda item: (item[0][0], item[0][1] or 0)):
            what = "memory" if size is None else f"the pool of {format_kib(size)} pages"
            has = room.get((node, size), 0)
            message = f"host {host.name!r}, node {node}: {what} has {format_kib(has)}, and VMs take {format_kib(kib)}"
            if kib <= now.get((node, size), 0):
                found.warn(f"{message}; now they take {format_kib(now[node, size])}")
            else:
                found.fault(message, where="vms.cells")

    def _taken_by(self, vm: Vm, topology: Topology, planned: PlanVm) -> tuple[tuple[Pool, int], ...]:
        key = (self.specs.of(vm.spec), id(topology), tuple([tuple(cell.nodes.items()) for cell in planned.cells]))
        taken = self._taken.get(key)
        if taken is None:
            taken = self._taken[key] = tuple(memory_taken(vm.spec, topology, planned))
        return taken

    def _room(self, host: Host) -> dict[Pool, int]:
        key = (id(host.topology), id(host.reserve), host.memory_ratio)
        room = self._rooms.get(key)
        if room is None:
            room = self._rooms[key] = memory_room(host)
        return room


def _devices(host: Host, placed: Placed, arrivals: set[str], found: Findings) -> None:
    """Every request has its devices; required ones hang on a node of the VM; none is given twice.

    A VM that stays keeps the devices that it has, so it may leave open on which node they are.
    """
    kinds: Counter[str] = Counter()
    there: Counter[tuple[str, int | None]] = Counter()
    for device in host.topology.devices:
        node = device.node if device.node in host.topology.node_ids else None
        kinds[device.kind] += device.count
        there[device.kind, node] += device.count
    used: Counter[str] = Counter()
    given: Counter[tuple[str, int | None]] = Counter()
    newly: set[str] = set()
    node_of = host.topology.node_of_cpu
    for vm, planned in placed:
        arrives = planned.name in arrivals
        wanted = sorted(request.kind for request in vm.spec.devices)
        if [kind for kind, _ in planned.devices] != wanted:
            named = [kind for kind, _ in planned.devices]
            found.vm(planned, f"its devices are of the kinds {named}, and it asks for {wanted}", where="devices")
            continue
        own = {node_of[cpu] for pin in planned.pins.values() for cpu in pin}
        for request, node in device_places(vm.spec, planned):
            used[request.kind] += request.count
            if arrives:
                newly.add(request.kind)
            if node is not None or arrives:
                given[request.kind, node] += request.count
            if request.policy == "required" and node is not None and node not in own:
                found.vm(
                    planned,
                    f"requires a {request.kind} on a node of its own, and has one on node {node}",
                    where="devices",
                )
            if request.policy == "required" and node is None and arrives and not there[request.kind, None]:
                found.vm(
                    planned, f"requires a {request.kind} on a node of its own, and the plan names none", where="devices"
                )
    for kind, count in sorted(used.items()):
        if count > kinds[kind]:
            message = f"host {host.name!r} has {kinds[kind]} devices of kind {kind}, and its VMs have {count}"
            _short(message, bool(newly & {kind}), "devices", found)
    for (kind, node), count in sorted(given.items(), key=str):
        if count > there[kind, node] and used[kind] <= kinds[kind]:
            where = "on no node" if node is None else f"on node {node}"
            message = (
                f"host {host.name!r} has {there[kind, node]} devices of kind {kind} {where}, and its VMs have {count}"
            )
            _short(message, bool(newly & {kind}), "devices", found)


def _resources(host: Host, placed: Placed, arrivals: set[str], found: Findings) -> None:
    """A free resource that nodes have is taken in equal parts on the nodes of the cells' vCPUs, else from the host."""
    nodes = host.topology.nodes
    on_nodes = {name for node in nodes for name in node.resources}
    has: dict[tuple[int | None, str], int] = {(None, name): amount for name, amount in host.resources.items()}
    has.update({(node.id, name): amount for node in nodes for name, amount in node.resources.items()})
    used: Counter[tuple[int | None, str]] = Counter()
    newly: set[tuple[int | None, str]] = set()
    for vm, planned in placed:
        for name, amount in vm.spec.resources.items():
            parts: Iterable[int | None] = list(_cell_nodes(host.topology, vm, planned)) if name in on_nodes else [None]
            parts = list(parts)
            for node in parts:
                used[node, name] += -(-amount // len(parts))
                if planned.name in arrivals:
                    newly.add((node, name))
    for (node, name), amount in sorted(used.items(), key=str):
        if amount > has.get((node, name), 0):
            where = "" if node is None else f", node {node},"
            message = f"host {host.name!r}{where} has {has.get((node, name), 0)} of {name}, and its VMs take {amount}"
            _short(message, (node, name) in newly, "vms", found)


def _cell_nodes(topology: Topology, vm: Vm, planned: PlanVm) -> Iterator[int]:
    """Yield the node of each cell's vCPUs, of each part's where a flat guest is spread over nodes."""
    for cell in planned.cells:
        nodes = {topology.node_of_cpu[cpu] for vcpu in cell.vcpus for cpu in planned.pins[vcpu]}
        yield from sorted(nodes) if vm.spec.interleave > 1 else sorted(nodes)[:1]


def _short(message: str, newly: bool, where: str, found: Findings) -> None:
    if newly:
        found.fault(message, where=where)
    else:
        found.warn(f"{message}; all of them are there already")
