"""All ways to put one VM on a host: which node for each part, which for each device, and what that costs."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from placer.model.host import LOCAL, UNREACHABLE, Host, NodeKind
from placer.planning.compile.needs import Needs
from solvers.problem import COST_UNIT

MAX_MAPS = 16_384
"""Maps of one option that are enumerated at most, sets of nodes for parts that are alike: 8 of 16 nodes are 12,870.
Where there are more, each node begins as many, and the shape is marked incomplete and claims no bound."""


MAX_DEVICE_WAYS = 512
"""Ways to take the devices of one request from nodes that are enumerated at most; more make the shape incomplete."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One way to put a VM: option of its needs; CPU node, memory node a part; a node a device (None: not on a
    node).

    Nodes are positions in the topology's `nodes`, not ids. Of a part without vCPUs the CPU node is its memory node.
    """

    option: int
    cpu_nodes: tuple[int, ...]
    memory_nodes: tuple[int, ...]
    device_nodes: tuple[int | None, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeView:
    """The part of a topology that placements depend on: equal views share their placements.

    `distances` are relative (1 = local, None = not reachable); `cpu_nodes` may take vCPUs; `near_memory` gives for
    each node
    the memory nodes a part on it may use (itself; for a CPU node without memory the nodes that have some);
    `tier_memory` those a VM with ``memory_tier: any`` may use beside; `all_memory` those that a cell without vCPUs may
    lie on; `device_nodes` maps a kind to the nodes that
    have one.
    """

    distances: tuple[tuple[float | None, ...], ...]
    cpu_nodes: tuple[int, ...]
    near_memory: tuple[tuple[int, ...], ...]
    tier_memory: tuple[tuple[int, ...], ...]
    all_memory: tuple[int, ...]
    device_nodes: tuple[tuple[str, tuple[int | None, ...]], ...]


def view_of(host: Host) -> NodeView:
    """Return what placements on this host depend on."""
    topology = host.topology
    nodes = topology.nodes
    usable = host.usable_cpus
    relative = tuple(tuple(None if d >= UNREACHABLE else d / LOCAL for d in row) for row in topology.distances)
    with_memory = [j for j, node in enumerate(nodes) if node.kind is NodeKind.NORMAL and node.memory_kib]
    tier = tuple(j for j, node in enumerate(nodes) if node.kind is NodeKind.MEMORY_ONLY and node.memory_kib)
    near, far = [], []
    for i, node in enumerate(nodes):
        own = (i,) if node.memory_kib else tuple(j for j in with_memory if relative[i][j] is not None)
        near.append(own if node.kind is NodeKind.NORMAL else ())
        far.append(tuple(j for j in tier if relative[i][j] is not None))
    position = {node.id: i for i, node in enumerate(nodes)}
    kinds: dict[str, set[int | None]] = {}
    for device in topology.devices:
        kinds.setdefault(device.kind, set()).add(None if device.node is None else position.get(device.node))
    return NodeView(
        distances=relative,
        cpu_nodes=tuple(i for i, node in enumerate(nodes) if node.kind is NodeKind.NORMAL and node.cpus & usable),
        near_memory=tuple(near),
        tier_memory=tuple(far),
        all_memory=tuple(j for j, node in enumerate(nodes) if node.memory_kib and node.kind is not NodeKind.DEVICE),
        device_nodes=tuple(
            (kind, tuple(sorted(found, key=lambda n: (n is None, n or 0)))) for kind, found in sorted(kinds.items())
        ),
    )


def placements_of(needs: Needs, view: NodeView) -> tuple[list[Placement], int | None]:
    """Enumerate the placements of a flavor, up to equal parts; also return what those that are left out cost at least,
    None where all of them are there.
    """
    found: list[Placement] = []
    unlisted: list[int] = []
    for option in range(len(needs.options)):
        maps = list(itertools.islice(_maps(needs, option, view.cpu_nodes, view), MAX_MAPS + 1))
        complete = len(maps) <= MAX_MAPS
        if not complete:
            maps = _some_maps(needs, option, view)
        reached = not needs.takes_memory or not any(None in row for row in view.distances)
        for cpu, memory in maps:
            # Memory interleaved over k nodes is on k nodes; cells that the guest sees may share a far memory node.
            if not needs.shown and len(set(memory)) < len(memory):
                continue
            if not reached and not _reaches(needs, option, cpu, memory, view):
                continue
            ways, all_ways = _device_choices(needs, option, cpu, view)
            complete &= all_ways
            found.extend(Placement(option, cpu, memory, devices) for devices in ways)
        if not complete:
            unlisted.append(_least_cost(needs, option, view))
    return found, min(unlisted, default=None)


def running_nodes(needs: Needs, placement: Placement) -> tuple[int, ...]:
    """Return the node of each part that has vCPUs, in the order of the parts."""
    parts = needs.options[placement.option]
    return tuple(node for part, node in zip(parts, placement.cpu_nodes, strict=True) if part.vcpus)


def placement_cost(needs: Needs, placement: Placement, view: NodeView) -> int:
    """Return the remote access of one VM so placed, in millionths of a vCPU (design section 4): weight × Σ_u
    (distance(u) − 1).
    """
    parts = needs.options[placement.option]
    shares = needs.transfer(placement.option)
    units = needs.device_units(placement.option)
    distances, unreachable = view.distances, UNREACHABLE / LOCAL
    total = 0.0
    for own, (part, node) in enumerate(zip(parts, placement.cpu_nodes, strict=True)):
        extra = -1.0
        for other, memory_node in enumerate(placement.memory_nodes):
            if shares[own][other]:
                away = distances[node][memory_node]
                extra += shares[own][other] * (away if away is not None else unreachable)
        for (_, policy, _), device_node in zip(units, placement.device_nodes, strict=True):
            if policy == "preferred" and device_node is not None:
                away = distances[node][device_node]
                extra += (away if away is not None else unreachable) - 1.0
        total += part.vcpus * extra
    return round(COST_UNIT * needs.weight * total)


def _least_cost(needs: Needs, option: int, view: NodeView) -> int:
    """Return what no placement of an option costs less than: every part where its accesses would be nearest.

    Of parts that are each on a node of their own, the one whose memory is used most is the nearest.
    """
    parts, shares = needs.options[option], needs.transfer(option)
    apart = not needs.share_node and not any(part.is_empty for part in parts)
    apart &= all(tuple(_memory_choices(needs, node, view)) == (node,) for node in view.cpu_nodes)
    devices = sum(policy == "preferred" for _, policy, _ in needs.device_units(option))
    total = 0.0
    for own, part in enumerate(parts):
        least = math.inf
        for node in view.cpu_nodes if part.vcpus else ():
            away = [UNREACHABLE / LOCAL if distance is None else distance for distance in view.distances[node]]
            nearest = min(away)
            cost = devices * (min(1.0, nearest) - 1.0) - 1.0
            if apart:
                others = sorted(away[other] for other in view.all_memory if other != node)
                rest = sorted((shares[own][slot] for slot in range(len(parts)) if slot != own), reverse=True)
                cost += shares[own][own] * away[node] + sum(map(operator.mul, rest, others))
            else:
                cost += sum(shares[own]) * nearest
            least = min(least, cost)
        total += part.vcpus * least if part.vcpus else 0.0
    # A hair less, since sums of fractions depend on their order: what comes out is rounded as costs are.
    return round(COST_UNIT * needs.weight * total - 1e-4)


def canonical(needs: Needs, placement: Placement) -> Placement:
    """Return the representative of a placement: parts that are alike, and devices, take their nodes in ascending order;
    devices of a cell go with it.
    """
    pairs = list(zip(placement.cpu_nodes, placement.memory_nodes, strict=True))
    for group in part_groups(needs, placement.option):
        for slot, pair in zip(group, sorted(pairs[slot] for slot in group), strict=True):
            pairs[slot] = pair
    devices: list[int | None] = []
    at = 0
    for (_, _, part), units in itertools.groupby(needs.device_units(placement.option)):
        nodes = placement.device_nodes[at : at + sum(1 for _ in units)]
        at += len(nodes)
        if part is not None:
            nodes = tuple(None if node is None else pairs[part][0] for node in nodes)
        devices += sorted(nodes, key=device_order)
    return Placement(
        placement.option, tuple(cpu for cpu, _ in pairs), tuple(memory for _, memory in pairs), tuple(devices)
    )


def part_groups(needs: Needs, option: int) -> list[list[int]]:
    """Group the parts that may be exchanged: equal parts, the first with vCPUs apart where it brings the emulator's own
    CPU; empty ones come last.
    """
    groups: dict[object, list[int]] = {}
    for slot, part in enumerate(needs.options[option]):
        groups.setdefault((part, needs.extra_cpu and slot == needs.lead(option)), []).append(slot)
    parts = needs.options[option]
    return sorted(groups.values(), key=lambda group: parts[group[0]].is_empty)


def _some_maps(needs: Needs, option: int, view: NodeView) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return `MAX_MAPS` maps or so: from every node on those of nodes side by side first, so that none is left out."""
    nodes = view.cpu_nodes
    groups = [group for group in part_groups(needs, option) if len(group) > 1]
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], None] = {}
    for first in range(len(nodes)):
        turned = (*nodes[first:], *nodes[:first])
        for cpu, memory in itertools.islice(_maps(needs, option, turned, view), MAX_MAPS // len(nodes)):
            pairs = list(zip(cpu, memory, strict=True))
            for group in groups:
                for slot, pair in zip(group, sorted(pairs[slot] for slot in group), strict=True):
                    pairs[slot] = pair
            found[tuple(node for node, _ in pairs), tuple(node for _, node in pairs)] = None
    return list(found)


def _maps(
    needs: Needs, option: int, nodes: Sequence[int], view: NodeView
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield a CPU node and a memory node a part, of parts that are alike one order; the first of `nodes` come first.

    Parts are on nodes apart, but that those of interleaved memory which lie on memory-only nodes run beside others.
    """
    parts = needs.options[option]
    slots = [(node, memory) for node in nodes for memory in _memory_choices(needs, node, view)]
    apart = [(node, node) for node in view.all_memory]
    groups = part_groups(needs, option)
    chosen: list[tuple[int, int]] = [(-1, -1)] * len(parts)

    tier = frozenset().union(*view.tier_memory) if needs.any_tier and not needs.shown else frozenset[int]()

    def place(number: int, used: frozenset[int]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        if number == len(groups):
            yield tuple(cpu for cpu, _ in chosen), tuple(memory for _, memory in chosen)
            return
        group = groups[number]
        if parts[group[0]].is_empty:
            for slot in group:
                chosen[slot] = chosen[needs.lead(option)]
            yield from place(number + 1, used)
            return
        able = slots if parts[group[0]].vcpus else apart
        free = [(cpu, memory) for cpu, memory in able if memory in tier or cpu not in used]
        pick = itertools.combinations_with_replacement if needs.share_node else itertools.combinations
        for combo in pick(free, len(group)):
            taken = [cpu for cpu, memory in combo if memory not in tier]
            if not needs.share_node and len(set(taken)) < len(taken):
                continue
            for slot, pair in zip(group, combo, strict=True):
                chosen[slot] = pair
            yield from place(number + 1, used if needs.share_node else used.union(taken))

    yield from place(0, frozenset())


def _memory_choices(needs: Needs, node: int, view: NodeView) -> Sequence[int]:
    if not needs.takes_memory:
        return (node,)
    return view.near_memory[node] + view.tier_memory[node] if needs.any_tier else view.near_memory[node]


def _reaches(needs: Needs, option: int, cpu: tuple[int, ...], memory: tuple[int, ...], view: NodeView) -> bool:
    shares = needs.transfer(option)
    return not needs.takes_memory or all(
        view.distances[node][other] is not None or not shares[own][slot]
        for own, node in enumerate(cpu)
        if needs.options[option][own].vcpus
        for slot, other in enumerate(memory)
    )


def nearest_devices(needs: Needs, view: NodeView, cpu_nodes: tuple[int, ...]) -> tuple[int | None, ...] | None:
    """Return the node that each device of a VM that floats is taken to hang on: one of its own nodes, else the nearest;
    None where the host has no such device.
    """
    where = dict(view.device_nodes)
    chosen = []
    for kind, _, _ in needs.device_units(0):
        nodes = where.get(kind, ())
        if not nodes:
            return None
        chosen.append(min(nodes, key=lambda n: (n is not None and n not in cpu_nodes, _away(view, cpu_nodes[0], n))))
    return tuple(chosen)


def _away(view: NodeView, node: int, other: int | None) -> float:
    distance = 1.0 if other is None else view.distances[node][other]
    return float("inf") if distance is None else distance


def device_order(node: int | None) -> tuple[bool, int]:
    """Return the order of nodes in which devices that are alike are named."""
    return node is None, node or 0


def _device_choices(
    needs: Needs, option: int, cpu: tuple[int, ...], view: NodeView
) -> tuple[list[tuple[int | None, ...]], bool]:
    """Return the ways to take a VM's devices, a node each, and whether all of them are there."""
    where, parts = dict(view.device_nodes), needs.options[option]
    running = {node for part, node in zip(parts, cpu, strict=True) if part.vcpus}
    choices: list[list[tuple[int | None, ...]]] = []
    complete = True
    for (kind, policy, part), units in itertools.groupby(needs.device_units(option)):
        count = sum(1 for _ in units)
        nodes: list[int | None] = list(where.get(kind, ()))
        if part is not None:
            nodes = [node for node in nodes if node == cpu[part]]
        elif policy == "required":
            nodes = [node for node in nodes if node is None or node in running]
        ways = list(itertools.islice(itertools.combinations_with_replacement(nodes, count), MAX_DEVICE_WAYS + 1))
        if len(ways) > MAX_DEVICE_WAYS:
            complete = False
            ways += [(node,) * count for node in nodes]
        choices.append(list(dict.fromkeys(ways)))
    return [tuple(itertools.chain.from_iterable(one)) for one in itertools.product(*choices)], complete
