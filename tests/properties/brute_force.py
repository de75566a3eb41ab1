"""The optimum of a small fleet by enumeration: every VM on every host in every map, with a search over core states.

Written from the design's text alone; it shares no code with the compiler, the engines or the checker.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from placer.model.fleet import Fleet
from placer.model.host import Host, NodeKind
from placer.model.rules import RuleKind
from placer.model.vm import CellMode, CpuPolicy, EmulatorPolicy, ThreadPolicy, Vm, VmSpec

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Choice:
    """One way to put a VM: host, (dedicated, shared, memory) a part, CPU and memory nodes a part, device nodes,
    remote access.
    """

    host: int
    parts: tuple[tuple[int, int, int], ...]
    cpu: tuple[int, ...]
    memory: tuple[int, ...]
    devices: tuple[int, ...]
    remote: float


def best_vector(fleet: Fleet, *, max_moves: int | None = None, with_moves: bool = False) -> Vector:
    """Return the lexicographically least (vCPUs unplaced, VMs unplaced a priority, remote access, cost of hosts).

    `with_moves` puts (VMs that change host, VMs that change host or node) in place of the cost of hosts. VMs that are
    on a
    host are never left out, and at most `max_moves` of them change host or node.
    """
    priorities = sorted({vm.spec.priority for vm in fleet.vms if vm.current is None}, reverse=True)
    order = sorted(fleet.vms, key=lambda vm: (-vm.spec.priority, -vm.spec.vcpus))
    choices = [[choice for host in range(len(fleet.hosts)) for choice in _choices(fleet, vm, host)] for vm in order]
    best: list[Vector | None] = [None]

    def vector(chosen: list[Choice | None]) -> Vector:
        unplaced = [
            (
                sum(
                    vm.spec.vcpus
                    for vm, c in zip(order, chosen, strict=False)
                    if c is None and vm.current is None and vm.spec.priority == p
                ),
                sum(
                    1
                    for vm, c in zip(order, chosen, strict=False)
                    if c is None and vm.current is None and vm.spec.priority == p
                ),
            )
            for p in priorities
        ]
        remote = sum(c.remote for c in chosen if c)
        if with_moves:
            return (*itertools.chain.from_iterable(unplaced), round(remote, 6), *map(float, moved(chosen)))
        hosts = sum(fleet.hosts[h].cost for h in {c.host for c in chosen if c})
        return (*itertools.chain.from_iterable(unplaced), round(remote, 6), hosts)

    def moved(chosen: list[Choice | None]) -> tuple[int, int]:
        pairs = [(vm, c) for vm, c in zip(order, chosen, strict=False) if vm.current is not None and c is not None]
        away = sum(fleet.hosts[c.host].name != vm.current.host for vm, c in pairs if vm.current)
        return away, sum(not _stays(fleet, vm, c) for vm, c in pairs)

    def descend(chosen: list[Choice | None]) -> None:
        now = vector(chosen)
        if best[0] is not None and now >= best[0]:
            return
        if max_moves is not None and moved(chosen)[1] > max_moves:
            return
        if len(chosen) == len(order):
            best[0] = now
            return
        for choice in sorted(choices[len(chosen)], key=lambda c: c.remote):
            if _fits(fleet, order, [*chosen, choice], choice.host):
                descend([*chosen, choice])
        if order[len(chosen)].current is None:
            descend([*chosen, None])

    descend([])
    assert best[0] is not None
    return best[0]


def _stays(fleet: Fleet, vm: Vm, choice: Choice) -> bool:
    """Tell whether a choice leaves the VM on its host and nodes; equal cells are not told apart."""
    now = vm.current
    if now is None or now.nodes is None or fleet.hosts[choice.host].name != now.host:
        return now is not None and now.nodes is None and fleet.hosts[choice.host].name == now.host
    if len(now.nodes) != len(choice.parts):
        return False
    ids = fleet.hosts[choice.host].topology.node_ids
    here = [(part, ids[c], ids[m]) for part, c, m in zip(choice.parts, choice.cpu, choice.memory, strict=False)]
    there = list(zip(choice.parts, now.nodes, now.memory_nodes or now.nodes, strict=False))
    first = vm.spec.emulator_threads is EmulatorPolicy.ISOLATE
    return here == there if first and here[0] != there[0] else sorted(here) == sorted(there)


def _choices(fleet: Fleet, vm: Vm, number: int) -> Iterator[Choice]:
    host, spec = fleet.hosts[number], vm.spec
    if not _may(fleet, vm, host):
        return
    nodes = host.topology.nodes
    usable = host.topology.cpus - host.reserve.cpus
    slots = []
    for i, node in enumerate(nodes):
        if not node.cpus & usable:
            continue
        slots.extend(
            (i, j)
            for j, other in enumerate(nodes)
            if j == i or (spec.memory_tier == "any" and other.kind is NodeKind.MEMORY_ONLY)
        )
    nics = [device.node for device in host.topology.devices if device.kind == "nic" and device.node is not None]
    seen = set()
    for parts in _parts(spec):
        if (
            vm.current is not None
            and vm.current.nodes is not None
            and spec.cell_mode is CellMode.AUTO
            and len(parts) != len(vm.current.nodes)
        ):
            continue
        # A cell without vCPUs lies on any node with memory, and counts as being there.
        alone = [(j, j) for j, other in enumerate(nodes) if other.memory_kib]
        for combo in itertools.product(*(slots if part[0] + part[1] else alone for part in parts)):
            cpu = tuple(c for c, _ in combo)
            memory = tuple(m for _, m in combo)
            own = list(cpu)
            if spec.cell_mode is CellMode.NONE:
                # Interleaved parts on memory-only nodes run where others do.
                own = [c for c, m in combo if nodes[m].kind is not NodeKind.MEMORY_ONLY]
            if len(set(own)) < len(own) and (not spec.share_node or spec.cell_mode is CellMode.NONE):
                continue
            if spec.cell_mode is CellMode.NONE and len(set(memory)) < len(memory):
                continue
            own = [c for c, part in zip(cpu, parts, strict=True) if part[0] + part[1]]
            for devices in _devices(spec, own, nics):
                remote = _remote(spec, host, parts, cpu, memory, devices)
                pages = [cell.page_kib or 0 for cell in spec.cells] if spec.cell_mode is CellMode.GIVEN else parts
                alike = sorted(zip(parts[1:], pages[1:], combo[1:], strict=False))
                key = (tuple(alike), parts[0], combo[0], devices)
                if key not in seen:
                    seen.add(key)
                    yield Choice(number, parts, cpu, memory, devices, remote)


def _devices(spec: VmSpec, own: list[int], nics: list[int]) -> Iterator[tuple[int, ...]]:
    """Yield the nodes of a VM's devices: all ways to take them, each on a node of the VM where that is required, or so
    many on the node of each of its cells.
    """
    if not spec.devices:
        yield ()
        return
    (request,) = spec.devices
    if request.per == "cell" and spec.cell_mode is not CellMode.NONE:
        ways = [tuple(node for node in own for _ in range(request.count))]
    else:
        ways = list(itertools.combinations_with_replacement(sorted(set(nics)), request.count))
    for way in ways:
        if set(way) <= set(nics) and (request.policy == "preferred" or set(way) <= set(own)):
            yield way


def _parts(spec: VmSpec) -> Iterator[tuple[tuple[int, int, int], ...]]:
    def split(count: int) -> tuple[tuple[int, int, int], ...]:
        out, first = [], 0
        for k in range(count):
            size = spec.vcpus // count + (k < spec.vcpus % count)
            ids = range(first, first + size)
            first += size
            dedicated = sum(_pinned(spec, v) for v in ids)
            out.append((dedicated, size - dedicated, spec.memory_kib // count))
        return tuple(out)

    if spec.cell_mode is CellMode.GIVEN:
        yield tuple(
            (sum(_pinned(spec, v) for v in cell.vcpus), sum(not _pinned(spec, v) for v in cell.vcpus), cell.memory_kib)
            for cell in spec.cells
        )
    elif spec.cell_mode is CellMode.NONE:
        yield split(spec.interleave)
    else:
        page = spec.page_kib or 4
        for k in range(1, 9):
            if spec.vcpus % k == 0 and (spec.memory_kib // page) % k == 0:
                yield split(k)


def _pinned(spec: VmSpec, vcpu: int) -> bool:
    return spec.cpu_policy is CpuPolicy.DEDICATED or (
        spec.cpu_policy is CpuPolicy.MIXED and vcpu in spec.dedicated_vcpus
    )


def _may(fleet: Fleet, vm: Vm, host: Host) -> bool:
    labels = vm.spec.labels
    newly = vm.current is None or vm.current.host != host.name
    running = sum(vm.spec.is_dedicated(vcpu) or vm.spec.is_online(vcpu) for vcpu in range(vm.spec.vcpus))
    if newly and running > len(host.topology.cpus - host.reserve.cpus):
        return False
    fills = vm.spec.thread_policy is ThreadPolicy.REQUIRE and any(_pinned(vm.spec, v) for v in range(vm.spec.vcpus))
    if newly and fills and all(len(core) < 2 for core in host.topology.cores):
        return False
    for rule in fleet.rules:
        member = rule.members is not None and all(labels.get(k) == v for k, v in rule.members.items())
        chosen = rule.hosts is not None and all(
            (host.name if k == "name" else host.labels.get(k)) == v for k, v in rule.hosts.items()
        )
        if rule.kind is RuleKind.DRAIN and chosen:
            return False
        if rule.kind is RuleKind.WITHIN and member and not chosen:
            return False
        if rule.kind is RuleKind.OUTSIDE and member and chosen:
            return False
    return True


def _remote(
    spec: VmSpec,
    host: Host,
    parts: tuple[tuple[int, int, int], ...],
    cpu: tuple[int, ...],
    memory: tuple[int, ...],
    devices: tuple[int, ...],
) -> float:
    d = [[x / 10 for x in row] for row in host.topology.distances]
    total = sum(m for _, _, m in parts)
    shown = spec.cell_mode is not CellMode.NONE
    out = 0.0
    for c, (dedicated, shared, _) in enumerate(parts):
        distance = 0.0
        for e, (_, _, size) in enumerate(parts):
            if len(parts) == 1:
                share = 1.0
            elif spec.locality is None or not shown:
                share = size / total
            elif c == e:
                share = spec.locality
            else:
                share = (1 - spec.locality) * size / (total - parts[c][2])
            distance += share * d[cpu[c]][memory[e]]
        near = (
            sum(d[cpu[c]][device] - 1 for device in devices)
            if spec.devices and spec.devices[0].policy == "preferred"
            else 0.0
        )
        out += spec.weight * (dedicated + shared) * (distance - 1 + near)
    return out


def _fits(fleet: Fleet, order: list[Vm], chosen: list[Choice | None], touched: int) -> bool:
    return _rules_hold(fleet, order, chosen) and _host_holds(
        fleet.hosts[touched], [(vm, c) for vm, c in zip(order, chosen, strict=False) if c and c.host == touched]
    )


def _rules_hold(fleet: Fleet, order: list[Vm], chosen: list[Choice | None]) -> bool:
    for rule in fleet.rules:
        if rule.kind not in (RuleKind.ANTI_AFFINITY, RuleKind.AFFINITY) or rule.members is None:
            continue
        count: Counter[object] = Counter()
        for vm, choice in zip(order, chosen, strict=False):
            if choice is None or any(vm.spec.labels.get(k) != v for k, v in rule.members.items()):
                continue
            host = fleet.hosts[choice.host]
            if rule.scope == "node":
                own = {node for node, part in zip(choice.cpu, choice.parts, strict=True) if part[0] + part[1]}
                if rule.kind is RuleKind.AFFINITY:
                    count[choice.host, frozenset(own)] += 1
                else:
                    count.update({(choice.host, node): 1 for node in own})
            else:
                count[choice.host if rule.scope == "host" else host.labels[rule.scope]] += 1
        if rule.kind is RuleKind.ANTI_AFFINITY and any(n > rule.max_per for n in count.values()):
            return False
        if rule.kind is RuleKind.AFFINITY:
            domains = set(count)
            if rule.scope == "node":
                domains = {(host, node) for host, nodes in count for node in nodes}  # type: ignore[misc]
            if len(domains) > 1:
                return False
    return True


def _host_holds(host: Host, placed: list[tuple[Vm, Choice]]) -> bool:
    topology = host.topology
    usable = topology.cpus - host.reserve.cpus
    memory: Counter[int] = Counter()
    pages: Counter[int] = Counter()
    items: dict[int, list[tuple[str, int]]] = {}
    shared: Counter[int] = Counter()
    nics: Counter[int] = Counter()
    disk = 0
    for vm, choice in placed:
        spec = vm.spec
        disk += spec.resources.get("disk", 0)
        nics.update(choice.devices)
        for slot, (dedicated, floats, kib) in enumerate(choice.parts):
            node = choice.memory[slot]
            memory[node] += -(-(spec.overhead_kib or 0) // len(choice.parts))
            own = spec.cells[slot].page_kib if spec.cell_mode is CellMode.GIVEN else None
            if (own or spec.page_kib or 4) > 4:
                pages[node] += -(-kib // 2048)
            else:
                memory[node] += kib
            here = items.setdefault(choice.cpu[slot], [])
            if dedicated:
                here.append((spec.thread_policy.value, dedicated))
            if slot == 0 and spec.emulator_threads is EmulatorPolicy.ISOLATE:
                here.append((ThreadPolicy.PREFER.value, 1))
            shared[choice.cpu[slot]] += floats
    if disk > host.resources.get("disk", 0):
        return False
    for position, node in enumerate(topology.nodes):
        pool = node.pages.get(2048, 0)
        if memory[position] > node.memory_kib - 2048 * pool or pages[position] > pool:
            return False
        if nics[position] > sum(d.count for d in topology.devices if d.node == position):
            return False
        cores = tuple(sorted((len(core), len(core & usable)) for core in topology.cores if core <= node.cpus))
        here = tuple(sorted(items.get(position, [])))
        if not _pinnable(cores, here, shared[position], host.cpu_ratio):
            return False
    return True


@cache
def _pinnable(
    cores: tuple[tuple[int, int], ...], items: tuple[tuple[str, int], ...], shared: int, ratio: float
) -> bool:
    """Tell whether the items can be seated on cores (width, free threads), with room for the shared vCPUs left."""
    if not items:
        left = sum(free for _, free in cores)
        return shared == 0 or (left >= 1 and shared <= ratio * left)
    (policy, count), rest = items[0], items[1:]
    if policy == "prefer":
        return any(_pinnable(tuple(sorted(after)), rest, shared, ratio) for after in _seat(cores, count))
    whole = [core for core in cores if core[0] == core[1]]
    width = max((core[0] for core in cores), default=1)
    need = count if policy == "isolate" else -(-count // width)
    for taken in set(itertools.combinations(whole, need)):
        left = list(cores)
        for core in taken:
            left.remove(core)
        if _pinnable(tuple(left), rest, shared, ratio):
            return True
    return False


def _seat(cores: tuple[tuple[int, int], ...], count: int) -> Iterator[list[tuple[int, int]]]:
    seen = set()
    for seats in itertools.product(*(range(free + 1) for _, free in cores)):
        if sum(seats) == count:
            after = tuple(sorted((width, free - used) for (width, free), used in zip(cores, seats, strict=False)))
            if after not in seen:
                seen.add(after)
                yield list(after)
