"""What firmware settings do to a topology: nodes per socket (NPS), sub-NUMA clusters (SNC), SMT, memory, page pools.

Nodes are cut and joined inside their packages. CPUs, cores, L3 domains, memory, pages and free resources are conserved
to the last one, so that NPS4 followed by NPS1 gives the host back as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from placer.errors import InputError
from placer.model.host import LOCAL, Device, Host, Node, NodeKind, Reserve, Topology
from placer.model.units import format_kib

WITHIN_PACKAGE = 12.0
"""The distance between two nodes of one package, as EPYC firmware tells it in NPS2 and NPS4."""
WITHIN_SNC = 11.0
"""The same for the clusters of a Xeon socket in SNC2."""


Key = TypeVar("Key", int, str)


@dataclass(frozen=True, slots=True)
class _Cut:
    """How a topology is cut: new node id -> its CPUs and package; old node id -> the new ones in its place."""

    cpus: Mapping[int, frozenset[int]]
    heirs: Mapping[int, tuple[int, ...]]
    packages: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
    """Old and new node ids of each package, and of each node without CPUs by itself."""


def with_nodes_per_package(host: Host, count: int, *, inside: float = WITHIN_PACKAGE) -> Host:
    """Return the host with `count` NUMA nodes in every package.

    Parameters
    ----------
    count : nodes a package; 1 joins them.
    inside : SLIT distance between two nodes of one package where the host does not already tell it.

    Notes
    -----
    A package is cut along its L3 domains (along its cores where they are not told), in the order of their lowest CPU.
    Distances between packages are the mean of those between their nodes.

    Raises
    ------
    InputError
        The packages are not known, a node spans packages, or the count does not divide L3 domains or cores.
    """
    topology = host.topology
    cut = _cut(topology, count)
    if all(len(old) == len(new) for old, new in cut.packages):
        return host
    nodes = _nodes(topology, cut)
    new = replace(
        topology,
        nodes=nodes,
        distances=_distances(topology, cut, inside),
        devices=tuple(_moved(device, cut) for device in topology.devices),
        bandwidth_mib_s=None,
        assumptions=tuple(dict.fromkeys((*topology.assumptions, _assumed(count, inside)))),
    )
    return replace(host, topology=new, reserve=_reserve(host.reserve, cut))


def without_smt(host: Host) -> Host:
    """Return the host with the first thread of every core only; the others go offline.

    Raises
    ------
    InputError
        No core has two threads.
    """
    topology = host.topology
    gone = frozenset(cpu for core in topology.cores for cpu in core if cpu != min(core))
    if not gone:
        raise InputError(f"host {host.name}: no core has two threads, SMT is off already")

    def kept(groups: Iterable[frozenset[int]]) -> tuple[frozenset[int], ...]:
        return tuple(group - gone for group in groups)

    new = replace(
        topology,
        nodes=tuple(replace(node, cpus=node.cpus - gone) for node in topology.nodes),
        cores=kept(topology.cores),
        packages=kept(topology.packages),
        dies=kept(topology.dies),
        clusters=kept(topology.clusters),
        l3=kept(topology.l3),
        offline=topology.offline | gone,
    )
    return replace(
        host,
        topology=new,
        reserve=replace(host.reserve, cpus=host.reserve.cpus - gone),
        dedicated_cpus=None if host.dedicated_cpus is None else host.dedicated_cpus - gone,
        shared_cpus=None if host.shared_cpus is None else host.shared_cpus - gone,
        isolated_cpus=host.isolated_cpus - gone,
    )


def with_memory(host: Host, memory_of: Callable[[Node], int]) -> Host:
    """Return the host with other memory (KiB) on its nodes of CPUs and memory; its page pools stay.

    Raises
    ------
    InputError
        A node would have less memory than its page pools.
    """
    nodes = []
    for node in host.topology.nodes:
        if node.kind is not NodeKind.NORMAL or not node.memory_kib:
            nodes.append(node)
            continue
        memory_kib = memory_of(node)
        if memory_kib < node.pool_kib:
            raise InputError(
                f"host {host.name}: node {node.id} would have {format_kib(memory_kib)}, "
                f"its page pools take {format_kib(node.pool_kib)}",
                cure="change the pools first",
            )
        nodes.append(replace(node, memory_kib=memory_kib, free_kib=None))
    return replace(host, topology=replace(host.topology, nodes=tuple(nodes)))


def with_pages(host: Host, pools: Mapping[int, int | Fraction]) -> Host:
    """Return the host with these page pools in place of its own on every node of CPUs and memory.

    Parameters
    ----------
    pools : page size (KiB) -> pages a node, or the share of the node's memory, rounded down to whole pages.

    Raises
    ------
    InputError
        The pools are larger than a node.
    """
    nodes = []
    for node in host.topology.nodes:
        if node.kind is not NodeKind.NORMAL or not node.memory_kib:
            nodes.append(node)
            continue
        pages = {
            size: int(node.memory_kib * many / size) if isinstance(many, Fraction) else many
            for size, many in pools.items()
        }
        changed = replace(node, pages={size: many for size, many in pages.items() if many}, free_pages={})
        if changed.pool_kib > node.memory_kib:
            raise InputError(
                f"host {host.name}: the page pools take {format_kib(changed.pool_kib)}, "
                f"node {node.id} has {format_kib(node.memory_kib)}"
            )
        nodes.append(changed)
    return replace(host, topology=replace(host.topology, nodes=tuple(nodes)))


def _cut(topology: Topology, count: int) -> _Cut:
    if not topology.packages:
        raise InputError("the host's packages are not known", cure='list them: packages: ["0-15", "16-31"]')
    cpus: dict[int, frozenset[int]] = {}
    heirs: dict[int, tuple[int, ...]] = {}
    packages: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for package in sorted(topology.packages, key=min):
        old = tuple(node.id for node in topology.nodes if node.cpus & package)
        for node_id in old:
            if not topology.node(node_id).cpus <= package:
                raise InputError(f"node {node_id} has CPUs of two packages, so no package can be cut by itself")
        new = tuple(range(len(cpus), len(cpus) + count))
        cpus.update(zip(new, _parts(topology, package, count), strict=True))
        packages.append((old, new))
        for position, node_id in enumerate(old):
            first, last = position * count // len(old), -(-(position + 1) * count // len(old))
            heirs[node_id] = new[first:last]
    for node in topology.nodes:
        if not node.cpus:
            number = len(cpus)
            cpus[number] = frozenset()
            heirs[node.id] = (number,)
            packages.append(((node.id,), (number,)))
    return _Cut(cpus, heirs, packages)


def _parts(topology: Topology, package: frozenset[int], count: int) -> list[frozenset[int]]:
    """Cut a package in `count` parts of as many whole L3 domains, or whole domains in as many parts of cores.

    Where L3 domains are not told, it is cut along its cores.
    """
    domains = sorted((group & package for group in topology.l3 if group & package), key=min)
    order = {cpu: number for number, domain in enumerate(domains) for cpu in domain}
    cores = sorted(
        (core & package for core in topology.cores if core & package),
        key=lambda core: (order.get(min(core), len(domains)), min(core)),
    )
    units = cores
    if len(order) == len(package) and len(domains) > 1:
        if len(domains) % count and count % len(domains):
            raise InputError(f"{count} nodes a package do not divide its {len(domains)} L3 domains")
        units = domains if len(domains) % count == 0 else cores
    if len(units) % count:
        raise InputError(f"{count} nodes a package do not divide its {len(cores)} cores")
    each = len(units) // count
    return [frozenset().union(*units[n * each : (n + 1) * each]) for n in range(count)]


def _split(total: int, parts: int) -> list[int]:
    """Cut an amount in parts as equal as can be, the larger ones first."""
    return [total // parts + (number < total % parts) for number in range(parts)]


def _split_all(amounts: Sequence[Mapping[Key, int]], parts: int) -> list[dict[Key, int]]:
    """Add amounts up by key and cut each sum."""
    out: list[dict[Key, int]] = [{} for _ in range(parts)]
    for key in dict.fromkeys(key for one in amounts for key in one):
        total = sum(one.get(key, 0) for one in amounts)
        for part, own in zip(out, _split(total, parts), strict=True):
            if own:
                part[key] = own
    return out


def _nodes(topology: Topology, cut: _Cut) -> tuple[Node, ...]:
    out: dict[int, Node] = {}
    for old, new in cut.packages:
        before = [topology.node(node_id) for node_id in old]
        if len(before) == len(new) == 1:
            out[new[0]] = replace(before[0], id=new[0], cpus=cut.cpus[new[0]])
            continue
        pages = _split_all([node.pages for node in before], len(new))
        resources = _split_all([node.resources for node in before], len(new))
        # Memory is cut beside the pools, so that a pool whose pages do not divide takes its memory along.
        rest = _split(sum(node.memory_kib - node.pool_kib for node in before), len(new))
        for number, node_id in enumerate(new):
            own = pages[number]
            out[node_id] = Node(
                id=node_id,
                cpus=cut.cpus[node_id],
                memory_kib=rest[number] + sum(size * many for size, many in own.items()),
                pages=own,
                kind=NodeKind.NORMAL,
                resources=resources[number],
            )
    return tuple(out[node_id] for node_id in sorted(out))


def _distances(topology: Topology, cut: _Cut, inside: float) -> tuple[tuple[float, ...], ...]:
    home = {new: number for number, (_, ids) in enumerate(cut.packages) for new in ids}
    index = {node_id: position for position, node_id in enumerate(topology.node_ids)}

    def between(one: int, other: int) -> float:
        if one == other:
            return LOCAL
        old_one, old_other = cut.packages[home[one]][0], cut.packages[home[other]][0]
        pairs = [(i, j) for i in old_one for j in old_other if i != j]
        if home[one] == home[other] and not pairs:
            return inside
        return sum(topology.distances[index[i]][index[j]] for i, j in pairs) / len(pairs)

    return tuple(tuple(between(one, other) for other in sorted(home)) for one in sorted(home))


def _moved(device: Device, cut: _Cut) -> Device:
    return device if device.node is None else replace(device, node=cut.heirs[device.node][0])


def _reserve(reserve: Reserve, cut: _Cut) -> Reserve:
    """Return what the host keeps, what a node kept now kept by the nodes in its place."""
    memory: dict[int | None, int] = {}
    pages: dict[int | None, Mapping[int, int]] = {}
    if None in reserve.memory_kib:
        memory[None] = reserve.memory_kib[None]
    if None in reserve.pages:
        pages[None] = reserve.pages[None]
    for old, new in cut.packages:
        kept = sum(reserve.memory_kib.get(node_id, 0) for node_id in old)
        own = _split_all([reserve.pages.get(node_id, {}) for node_id in old], len(new))
        for number, node_id in enumerate(new):
            if part := _split(kept, len(new))[number]:
                memory[node_id] = part
            if own[number]:
                pages[node_id] = own[number]
    return replace(reserve, memory_kib=memory, pages=pages)


def _assumed(count: int, inside: float) -> str:
    if count == 1:
        return "after joining nodes devices hang on the joined node"
    return f"nodes cut out of one package are {inside:g} apart, and devices hang on the first of them"
