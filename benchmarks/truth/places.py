"""Every place one VM may have on one host: a node for each cell's vCPUs and memory, one for each device request.

From docs/reference/model.md (cells, memory, overhead, devices) and measure.md (distances).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from benchmarks.truth.floats import Nodes, Part, beyond, floats_newly, floats_now, memory_of, parts_on
from benchmarks.truth.reads.reading import Cell, Host, Node, Vm, equal_cells

MAX_CELLS = 8
MICRO = 10**6
"""Remote access is counted in millionths of a vCPU."""
_FAR = Fraction(255, 10)
_ORDINARY_KIB = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One way to put a VM on a host. `cells`, `cpu_nodes` and `memory_nodes` run side by side, a cell or part each;
    `device_nodes` a device request, None where the host's device is on no node. A VM that floats has `parts`, and no
    node a cell.
    """

    host: Host
    cells: tuple[Cell, ...]
    cpu_nodes: tuple[int, ...]
    memory_nodes: tuple[int, ...]
    device_nodes: tuple[int | None, ...]
    parts: tuple[Part, ...] = ()


def cuts(vm: Vm, present: bool) -> list[tuple[Cell, ...]]:
    """Return the ways to cut a VM in cells, or in parts where a flat guest is spread over nodes.

    A guest that has a place or had one keeps its cells; only with `reshape` may they change.
    """
    if vm.flat:
        return [equal_cells(vm.vcpus, vm.memory_kib, vm.interleave)]
    if not vm.auto:
        return [vm.cells]
    if vm.nodes is not None and not vm.reshape:
        return [equal_cells(vm.vcpus, vm.memory_kib, len(vm.nodes))]
    pages = -(-vm.memory_kib // (vm.page_kib or 4))
    counts = [k for k in range(1, MAX_CELLS + 1) if vm.vcpus % k == 0 and (k == 1 or pages % k == 0)]
    return [equal_cells(vm.vcpus, vm.memory_kib, k) for k in counts]


def places(vm: Vm, host: Host, present: bool, binds: str | None = None) -> Iterator[Place]:
    """Yield every place of a VM on a host, whatever else is there; `binds` says that one which floats "shall" be bound,
    or "may" be where it reaches over less than is expected of it.

    A VM that runs on a host without KVM may stay on it. A cell's memory is on the node of its vCPUs; where that node
    has none, on any that can be reached. Memory-only nodes hold it with ``memory_tier: any``. Cells are on nodes apart
    unless the VM says `share_node`, and no vCPU uses memory that its node cannot reach.
    """
    if vm.kvm and not host.kvm and not (present and vm.host == host.name):
        return
    most = None
    if binds or (floats_newly(vm) and (present or vm.pin != "must")):
        stays = present and vm.host == host.name
        parts = parts_on(vm, host, stays=stays)
        loose = Place(
            host=host,
            cells=tuple(Cell(vcpus=part.vcpus, memory_kib=part.memory_kib) for part in parts),
            cpu_nodes=(),
            memory_nodes=(),
            device_nodes=(),
            parts=parts,
        )
        most = expected_access(vm, loose) if binds == "may" else None
        if stays or not any(beyond(host, part) for part in parts):
            yield loose
        if not binds:
            return
    slots = [(node.id, memory) for node in host.nodes if node.cpus & host.usable for memory in _memory(vm, host, node)]
    bare = [(node.id, node.id) for node in host.nodes if node.kind != "device" and node.has_memory]
    far = {node.id for node in host.nodes if node.kind == "memory-only"}
    apart = not vm.share_node or vm.flat
    # A guest that runs flat is bound as it is.
    flat = binds and vm.host is not None and vm.auto
    for cells in [equal_cells(vm.vcpus, vm.memory_kib, 1)] if flat else cuts(vm, present):
        for chosen in itertools.product(*(slots if cell.vcpus else bare for cell in cells)):
            cpu_nodes = tuple(cpu for cpu, _ in chosen)
            memory_nodes = tuple(memory for _, memory in chosen)
            # Parts of interleaved memory on memory-only nodes run beside others.
            own = [cpu for cpu, memory in chosen if not (vm.flat and memory in far)]
            if apart and len(set(own)) < len(own):
                continue
            if vm.flat and len(set(memory_nodes)) < len(cells):
                continue
            if not _reaches(vm, host, cells, cpu_nodes, memory_nodes):
                continue
            for devices in itertools.product(*_device_choices(vm, host, cells, cpu_nodes)):
                place = Place(
                    host=host, cells=cells, cpu_nodes=cpu_nodes, memory_nodes=memory_nodes, device_nodes=devices
                )
                if most is None or remote_access(vm, place) < most:
                    yield place


def place_as_is(vm: Vm, host: Host) -> list[Place]:
    """Return the place of a VM whose memory is where no plan would put it: away from its vCPUs."""
    for cells in cuts(vm, True):
        if vm.nodes is not None and vm.memory_nodes is not None and len(cells) == len(vm.nodes) == len(vm.memory_nodes):
            return [
                Place(
                    host=host,
                    cells=cells,
                    cpu_nodes=vm.nodes,
                    memory_nodes=vm.memory_nodes,
                    device_nodes=devices,
                )
                for devices in itertools.product(*_device_choices(vm, host, cells, vm.nodes))
            ]
    return []


def _memory(vm: Vm, host: Host, node: Node) -> list[int]:
    if node.kind != "normal":
        return []
    if node.has_memory:
        found = [node.id]
    else:
        found = [n.id for n in host.nodes if n.kind == "normal" and n.has_memory and _can(host, node.id, n.id)]
    if vm.any_tier:
        found += [n.id for n in host.nodes if n.kind == "memory-only" and n.has_memory and _can(host, node.id, n.id)]
    return found


def _can(host: Host, node: int, other: int) -> bool:
    return host.distance[node, other] is not None


def _reaches(vm: Vm, host: Host, cells: Sequence[Cell], cpu_nodes: Sequence[int], memory_nodes: Sequence[int]) -> bool:
    share = shares(vm, cells)
    return all(
        _can(host, node, other) or not share[c][e]
        for c, node in enumerate(cpu_nodes)
        for e, other in enumerate(memory_nodes)
        if cells[c].vcpus
    )


def requests(vm: Vm, cells: Sequence[Cell]) -> list[tuple[str, str, int | None]]:
    """Return kind, policy and cell (None: any) of each device of a VM of these cells, in the order of a plan."""
    found: list[tuple[str, str, int | None]] = []
    for kind, policy, per, count in vm.devices:
        own = [number for number, cell in enumerate(cells) if cell.vcpus] if per == "cell" and not vm.flat else [None]
        found += [(kind, policy, number) for number in own for _ in range(count)]
    return found


def _device_choices(vm: Vm, host: Host, cells: Sequence[Cell], cpu_nodes: Sequence[int]) -> list[list[int | None]]:
    found: list[list[int | None]] = []
    near = {node for cell, node in zip(cells, cpu_nodes, strict=True) if cell.vcpus}
    for kind, policy, number in requests(vm, cells):
        there = [node for own, node in host.devices if own == kind]
        if number is not None:
            found.append([node for node in there if node == cpu_nodes[number]])
        else:
            found.append([node for node in there if policy != "required" or node is None or node in near])
    return found


def shares(vm: Vm, cells: Sequence[Cell]) -> list[list[Fraction]]:
    """Return T[c][e] of the measure: which share of cell c's accesses goes to cell e's memory."""
    sizes = [Fraction(cell.memory_kib) for cell in cells]
    if not sum(sizes):
        sizes = [Fraction(1) for _ in cells]
    total = sum(sizes)
    if vm.locality is None or len(cells) == 1:
        return [[size / total for size in sizes] for _ in cells]
    table = []
    for own, size in enumerate(sizes):
        rest = total - size
        if rest:
            table.append([vm.locality if e == own else (1 - vm.locality) * sizes[e] / rest for e in range(len(cells))])
        else:
            table.append([Fraction(int(e == own)) for e in range(len(cells))])
    return table


def remote_access(vm: Vm, place: Place) -> int:
    """Return the remote access of a placed VM in millionths of a vCPU, weight included; nothing where it floats."""
    if place.parts:
        return 0
    distance = place.host.distance
    share = shares(vm, place.cells)
    total = Fraction(0)
    for c, (cell, node) in enumerate(zip(place.cells, place.cpu_nodes, strict=True)):
        extra = Fraction(-1)
        for e, other in enumerate(place.memory_nodes):
            extra += share[c][e] * (distance[node, other] or _FAR)
        for (_, policy, _), at in zip(requests(vm, place.cells), place.device_nodes, strict=True):
            if policy == "preferred" and at is not None:
                extra += (distance[node, at] or _FAR) - 1
        total += len(cell.vcpus) * extra
    return round(vm.weight * total * MICRO)


def expected_access(vm: Vm, place: Place) -> int:
    """Return what a VM that floats can be expected to reach over, in millionths of a vCPU: its vCPUs run on all CPUs of
    their nodes alike, and its memory lies on its nodes as they have it.
    """
    host = place.host
    share = shares(vm, place.cells)
    pool = host.shared or host.usable
    cpus = {node.id: Fraction(len(node.cpus & pool)) for node in host.nodes}
    memory = {node.id: Fraction(node.whole_kib) for node in host.nodes}
    total = Fraction(0)
    for c, own in enumerate(place.parts):
        for e, far in enumerate(place.parts):
            for node, runs in _parts_of(own.cpus, cpus):
                for other, lies in _parts_of(far.memory, memory):
                    away = (host.distance[node, other] or _FAR) - 1
                    total += len(own.vcpus) * share[c][e] * runs * lies * away
    return round(vm.weight * total * MICRO)


def _parts_of(nodes: Nodes, amounts: Mapping[int, Fraction]) -> list[tuple[int, Fraction]]:
    whole = sum(amounts[node] for node in nodes)
    return [(node, amounts[node] / whole if whole else Fraction(1, len(nodes))) for node in nodes]


def memory_use(vm: Vm, place: Place) -> Counter[tuple[Nodes, int | None]]:
    """Return (nodes, page size or None for ordinary memory) -> KiB that a VM takes of them in whole pages."""
    if place.parts:
        return memory_of(vm, place.parts)
    used: Counter[tuple[Nodes, int | None]] = Counter()
    overhead = -(-vm.overhead_kib // len(place.cells))
    for cell, node in zip(place.cells, place.memory_nodes, strict=True):
        size = vm.page_kib if cell.page_kib is None else cell.page_kib if cell.page_kib > _ORDINARY_KIB else None
        page = size or 1
        used[frozenset({node}), None] += overhead
        used[frozenset({node}), size] += -(-cell.memory_kib // page) * page
    return used


def resource_use(vm: Vm, place: Place) -> Counter[tuple[int | None, str]]:
    """Return (node, or None for the host, resource) -> amount: equal parts on the cells' nodes where nodes have it."""
    on_nodes = {name for node in place.host.nodes for name in node.resources}
    used: Counter[tuple[int | None, str]] = Counter()
    for name, amount in vm.resources.items():
        if name in on_nodes:
            for node in place.cpu_nodes:
                used[node, name] += -(-amount // len(place.cpu_nodes))
        else:
            used[None, name] += amount
    return used


def device_use(vm: Vm, place: Place) -> Counter[tuple[str, int | None]]:
    """Return (kind, node or None) -> devices taken."""
    used: Counter[tuple[str, int | None]] = Counter()
    for (kind, _, _), node in zip(requests(vm, place.cells), place.device_nodes, strict=not place.parts):
        used[kind, node] += 1
    return used


def is_at(vm: Vm, place: Place) -> bool:
    """Tell whether a place is where the VM is now, as far as that is known."""
    if vm.host != place.host.name:
        return False
    if floats_now(vm):
        return bool(place.parts) or _within(parts_on(vm, place.host, stays=True), place)
    if vm.nodes is not None and place.cpu_nodes != vm.nodes:
        return False
    if vm.memory_nodes is None:
        return True
    if vm.flat:
        return set(place.memory_nodes) == set(vm.memory_nodes)
    return place.memory_nodes == vm.memory_nodes


def _within(parts: Sequence[Part], place: Place) -> bool:
    """Tell whether a node a cell lies in the sets that a VM is bound to."""
    cpus = frozenset[int]().union(*(part.cpus for part in parts))
    memory = frozenset[int]().union(*(part.memory for part in parts))
    sets = [(part.cpus, part.memory) for part in parts] if len(parts) == len(place.cells) else None
    return all(
        node in (sets[n][0] if sets else cpus) and far in (sets[n][1] if sets else memory)
        for n, (node, far) in enumerate(zip(place.cpu_nodes, place.memory_nodes, strict=True))
    )
