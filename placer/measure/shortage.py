"""What has no place on a host: demand less the largest flow from VMs over the nodes that may hold it.

Nothing here knows of the planner's rows: for each host and resource it builds the network of demands and nodes, and
augments along paths in whole units. The worst set of nodes is read from the smallest cut.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from placer.measure.cpu_use import CpuUse
from placer.measure.sets_taken import Nodes, Taken, beside_shared, room_beside, taken_by
from placer.model.host import Host
from placer.model.memory_room import memory_room
from placer.model.plan import PlanVm
from placer.model.vm import Vm

BEYOND = "vCPUs are above the CPUs that their VM may run on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """What has no place: units of a resource, and the set of nodes (None: the host) where it shows."""

    part: str
    what: str
    units: float
    nodes: Nodes | None
    counts: bool = True
    """Whether it is part of the goal ``excess``: what other parts of it tell of is not told twice."""


@dataclass(slots=True)
class HostTaken:
    """What all VMs of a host take together."""

    host: Host
    all: Taken = field(default_factory=Taken)
    pins: Counter[int] = field(default_factory=Counter)
    """CPU -> VMs that have it for themselves."""
    had_shared: bool = False
    """Whether shared vCPUs are there now: then dedicated ones that leave no CPU for any count, even if all leave. Where
    none are, those that come lack nothing, for they come to no place that is over."""

    @classmethod
    def of(cls, use: CpuUse, *, had_shared: bool, taken: Callable[[Vm, Host, PlanVm], Taken] = taken_by) -> HostTaken:
        """Add up what the VMs of a host take, each as `taken` says."""
        out = cls(host=use.host, had_shared=had_shared)
        for vm, planned in use.placed:
            out.add(taken(vm, use.host, planned))
        for cpu, holders in use.holders.items():
            out.pins[cpu] = len(holders)
        return out

    def add(self, taken: Taken) -> None:
        """Add what one more VM takes."""
        for name in ("memory", "shared", "threads", "cores", "floated", "devices", "resources"):
            mine = getattr(self.all, name)
            for key, units in getattr(taken, name).items():
                mine[key] += units
        self.all.beyond += taken.beyond


def shortages(held: HostTaken) -> list[Short]:
    """Return everything of a host that has no place, in the order of the parts of the goal ``excess``.

    Memory in KiB; dedicated CPUs by count; CPUs for shared vCPUs; devices and free resources in their own units.
    """
    host, taken = held.host, held.all
    out: list[Short] = []
    pools = memory_pools(host)
    for size in sorted({size for _, size in taken.memory}, key=lambda size: size or 0):
        room = pools.get(size)
        if room is None:
            continue
        wanted = {nodes: kib for (nodes, of), kib in taken.memory.items() if of == size}
        units, where = short_of(wanted, room)
        if units:
            what = "memory" if size is None else f"pages of {size} KiB"
            out.append(Short(part="memory", what=what, units=units, nodes=where))
    out += _dedicated(held)
    out += _shared(held)
    if taken.beyond:
        out.append(Short(part="vCPUs", what=BEYOND, units=taken.beyond, nodes=None))
    out += _devices(held)
    return out


def short_of(wanted: Mapping[Nodes, int], room: Mapping[int, int]) -> tuple[int, Nodes | None]:
    """Return how much of what is wanted of sets of nodes has no place, and the set where it shows.

    Whole units; the flow is as large as can be, so what is left is the same whichever way it goes.
    """
    left = {nodes: units for nodes, units in wanted.items() if units > 0}
    free = dict(room)
    if all(len(nodes) == 1 for nodes in left):
        over = {node: max(0, units - free.get(node, 0)) for nodes, units in left.items() for node in nodes}
        short = sum(over.values())
        return short, frozenset(node for node, units in over.items() if units) or None
    flow: dict[tuple[Nodes, int], int] = {}
    for nodes in sorted(left, key=lambda nodes: (len(nodes), sorted(nodes))):
        _send(nodes, left, free, flow)
    short = sum(left.values())
    return short, (_cut(left, flow) if short else None)


def _send(start: Nodes, left: dict[Nodes, int], free: dict[int, int], flow: dict[tuple[Nodes, int], int]) -> None:
    """Send what a set wants along shortest augmenting paths until it is served or none is left."""
    while left[start]:
        came: dict[int, tuple[Nodes, int | None]] = {}
        seen = {start}
        queue: deque[tuple[Nodes, int | None]] = deque([(start, None)])
        end: int | None = None
        while queue and end is None:
            nodes, through = queue.popleft()
            for node in sorted(nodes):
                if node in came:
                    continue
                came[node] = (nodes, through)
                if free.get(node, 0):
                    end = node
                    break
                for (other, at), units in flow.items():
                    if at == node and units and other not in seen:
                        seen.add(other)
                        queue.append((other, node))
        if end is None:
            return
        path: list[tuple[Nodes, int, int | None]] = []
        at_: int | None = end
        units = min(left[start], free[end])
        while at_ is not None:
            nodes, through = came[at_]
            path.append((nodes, at_, through))
            if through is not None:
                units = min(units, flow[nodes, through])
            at_ = through
        for nodes, to, through in path:
            flow[nodes, to] = flow.get((nodes, to), 0) + units
            if through is not None:
                flow[nodes, through] -= units
        free[end] -= units
        left[start] -= units


def _cut(left: Mapping[Nodes, int], flow: Mapping[tuple[Nodes, int], int]) -> Nodes:
    """Return the nodes that what has no place can reach: they are full with what may lie nowhere else."""
    reached: set[int] = set()
    queue = [nodes for nodes, units in left.items() if units]
    seen = set(queue)
    while queue:
        for node in queue.pop():
            if node in reached:
                continue
            reached.add(node)
            for (other, at), units in flow.items():
                if at == node and units and other not in seen:
                    seen.add(other)
                    queue.append(other)
    return frozenset(reached)


def memory_pools(host: Host) -> dict[int | None, dict[int, int]]:
    """Return the room of each pool (KiB) by node; pools that the host does not tell of are left out."""
    out: dict[int | None, dict[int, int]] = {}
    for (node, size), kib in memory_room(host).items():
        out.setdefault(size, {})[node] = kib
    if not any(node.memory_kib for node in host.topology.nodes):
        out.pop(None, None)
    return out


def _shared(held: HostTaken) -> list[Short]:
    """Return CPUs that shared vCPUs lack at the ratio, beside what others take of those that they float over."""
    host, taken = held.host, held.all
    if not (taken.shared or held.had_shared):
        return []
    ratio = Fraction(str(host.cpu_ratio))
    wanted = Counter({nodes: vcpus * ratio.denominator for nodes, vcpus in taken.shared.items()})
    room = room_beside(host)
    for nodes, cpus in beside_shared(taken, host, room):
        wanted[nodes] += cpus * ratio.numerator
    units, where = short_of(wanted, {node: cpus * ratio.numerator for node, cpus in room.items()})
    if not units or where is None:
        return []
    lacked, where = units / ratio.numerator, frozenset(node for node in where if node >= 0)
    return [Short(part="vCPUs", what="shared vCPUs", units=lacked, nodes=where, counts=held.had_shared)]


def _dedicated(held: HostTaken) -> list[Short]:
    """Return dedicated vCPUs without a CPU of the pool that is theirs alone: by their pins, and at least by count.

    Where a thread policy takes whole cores, the count is a lower one.
    """
    host, taken = held.host, held.all
    topology = host.topology
    out = []
    for node in topology.nodes:
        pool = node.cpus & host.dedicated_pool
        pinned = sum(many - (cpu in pool) for cpu, many in held.pins.items() if cpu in node.cpus)
        units = float(max(0, pinned))
        threads, cores = taken.threads[node.id], taken.cores[node.id]
        if threads > len(pool) or cores:
            all_cores = {topology.cores[topology.core_of_cpu[cpu]] for cpu in node.cpus}
            width = max((len(core) for core in all_cores), default=1)
            # A core that `dedicated_cpus` cuts can be left to one VM whole, one with a reserved thread cannot.
            whole = sum(1 for core in all_cores if core & pool and core <= host.usable_cpus)
            units = max(units, (threads - len(pool)) / (width if cores else 1), cores - whole)
        if units > 0:
            out.append(Short(part="CPUs", what="dedicated vCPUs", units=units, nodes=frozenset((node.id,))))
    return out


def _devices(held: HostTaken) -> list[Short]:
    host, taken = held.host, held.all
    has: Counter[tuple[int | None, str]] = Counter()
    for device in host.topology.devices:
        has[device.node if device.node in host.topology.node_ids else None, device.kind] += device.count
    for name, amount in host.resources.items():
        has[None, f"resource {name}"] += amount
    for node in host.topology.nodes:
        for name, amount in node.resources.items():
            has[node.id, f"resource {name}"] += amount
    wanted = dict(taken.devices)
    wanted.update({(node, f"resource {name}"): amount for (node, name), amount in taken.resources.items()})
    out = []
    for (at, kind), amount in sorted(wanted.items(), key=str):
        if amount > has[at, kind]:
            nodes = None if at is None else frozenset((at,))
            out.append(Short(part="others", what=kind, units=amount - has[at, kind], nodes=nodes))
    return out


def excess_parts(shorts: Sequence[Short]) -> Counter[str]:
    """Return what has no place by part of the goal ``excess``."""
    out: Counter[str] = Counter()
    for short in shorts:
        out[short.part] += short.units * short.counts  # type: ignore[assignment]
    return out
