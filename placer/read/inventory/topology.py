"""From the topology keys of ``hosts[]`` to topologies: one object for all entries that say the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from placer.errors import InputError, PlacerError
from placer.model.cpuset import format_cpuset
from placer.model.host import LOCAL, THREADS_UNTOLD, UNREACHABLE, Topology
from placer.model.units import format_kib
from placer.read.hosts.cpu_groups import likely_slower, siblings_by_rule
from placer.read.hosts.normal_form import NARROW_ARE_SLOW, build
from placer.read.hosts.nvidia_topo import with_links
from placer.read.hosts.raw_host import MAX_NODE, MAX_PLACED, RawHost, RawNode
from placer.read.inventory.devices import with_devices
from placer.read.inventory.files import Files
from placer.read.inventory.schema import HostEntry
from placer.read.inventory.validation import Problem

_HOST_UUID = re.compile(rb"(\s*(?:<\?xml[^>]{0,200}>\s*)?<capabilities>\s*<host>\s*)<uuid>[^<]{0,80}</uuid>")
"""What tells one host of a kind from the next in libvirt's capabilities: nothing is read of it."""
TOPOLOGY_KEYS = (
    "topology",
    "nodes",
    "siblings",
    "threads_per_core",
    "packages",
    "dies",
    "clusters",
    "l3",
    "offline",
    "efficiency",
    "page_size",
    "arch",
    "model",
    "source",
    "assumptions",
    "bandwidth_mib_s",
    "distances",
    "distances_from",
    "devices",
    "links_from",
    "kvm",
)
"""The keys of a host entry that make its topology: entries that agree in them share one object."""
_INLINE_ONLY = ("dies", "clusters", "offline", "page_size", "arch", "model", "source", "assumptions", "bandwidth_mib_s")
_ASSUMED_OF_PACKAGES = "packages are not told"


class TopologyBuilder:
    """Builds each distinct topology of an inventory once."""

    def __init__(self, files: Files, file: str | None) -> None:
        self.files = files
        self.file = file
        self._built: dict[Hashable, tuple[Topology | None, list[Problem]]] = {}
        self._read: dict[bytes, Topology] = {}

    def build(self, entry: HostEntry, key: Hashable) -> tuple[Topology | None, list[Problem]]:
        """Return the entry's topology, or what is wrong with it; `key` tells equal topologies."""
        if key not in self._built:
            problems: list[Problem] = []
            topology = self._build(entry, problems)
            self._built[key] = (None if problems else topology, problems)
        return self._built[key]

    def _build(self, entry: HostEntry, problems: list[Problem]) -> Topology | None:
        if entry.nodes is None and entry.topology is None:
            problems.append((("nodes",), "is missing", "list the host's nodes, or name a host file in topology"))
            return None
        if entry.nodes is not None and entry.topology is not None:
            problems.append((("topology",), "the host has nodes of its own too", "keep topology or nodes"))
            return None
        try:
            base = self._from_file(entry, problems) if entry.topology is not None else self._inline(entry, problems)
            if base is None or problems:
                return None
            return self._linked(
                with_devices(self._with_distances(base, entry, problems), entry, problems), entry, problems
            )
        except PlacerError as error:
            problems.extend(
                ((), fault.message if fault.file in (None, self.file) else str(fault), fault.cure)
                for fault in error.faults
            )
            return None

    def _from_file(self, entry: HostEntry, problems: list[Problem]) -> Topology | None:
        from placer.read.hosts.combine import combine

        problems.extend(
            ((name,), "the host file tells it", "leave it out, or list the nodes here")
            for name in _INLINE_ONLY
            if entry.given(name)
        )
        names = entry.topology or []
        held = [self.files.content(name, ("topology",), problems) for name in names]
        found = [(name, data) for name, data in zip(names, held, strict=True) if data is not None]
        if problems or len(found) < len(names):
            return None
        path = self.files.base_dir / found[0][0]
        try:
            read = [replace(self._topology(data, self.files.base_dir / name), source=name) for name, data in found]
            return self._with_groups(combine(read), entry, problems)
        except PlacerError as error:
            problems.extend(
                (
                    ("topology",),
                    f"{fault.file or path}: {fault.message}"
                    if fault.line is None
                    else f"{fault.file}:{fault.line}: {fault.message}",
                    fault.cure,
                )
                for fault in error.faults
            )
            return None

    def _topology(self, data: bytes, path: Path) -> Topology:
        """Return what a host file tells; files that tell nothing else than one before, but for the host's UUID, are
        not read again.
        """
        from placer.read.hosts.host import parse_topology

        own = _HOST_UUID.match(data)
        key = hashlib.sha256(data if own is None else own[1] + data[own.end() :]).digest()
        if key not in self._read:
            self._read[key] = parse_topology(data, str(path))
        return self._read[key]

    def _with_groups(self, topology: Topology, entry: HostEntry, problems: list[Problem]) -> Topology:
        """Set cores, packages and L3 domains beside a host file that does not tell them, such as numactl's text."""
        before = len(problems)
        if _too_long(entry, problems):
            return topology
        for name in ("siblings", "packages", "l3"):
            _check_groups(name, getattr(entry, name) or (), topology.cpus, problems)
        cores = _cores(entry, topology.node_of_cpu, problems)
        if len(problems) > before:
            return topology
        assumptions = list(topology.assumptions)
        if cores is not None:
            listed = frozenset().union(*cores)
            topology = replace(topology, cores=_sorted([*cores, *(frozenset({cpu}) for cpu in topology.cpus - listed)]))
            assumptions = [
                said for said in assumptions if not said.startswith(THREADS_UNTOLD) and said != NARROW_ARE_SLOW
            ]
            if not topology.efficiency and (slow := likely_slower(topology.cores, topology.offline)):
                topology = replace(topology, efficiency=slow)
                assumptions.append(NARROW_ARE_SLOW)
        if entry.packages:
            topology = replace(topology, packages=_sorted(entry.packages))
            assumptions = [said for said in assumptions if not said.startswith(_ASSUMED_OF_PACKAGES)]
        if entry.l3:
            topology = replace(topology, l3=_sorted(entry.l3))
        if entry.efficiency is not None:
            topology = replace(topology, efficiency=_efficiency(entry.efficiency, topology, problems))
            assumptions = [said for said in assumptions if said != NARROW_ARE_SLOW]
        return replace(topology, assumptions=tuple(assumptions))

    def _inline(self, entry: HostEntry, problems: list[Problem]) -> Topology | None:
        nodes = entry.nodes or []
        if _too_long(entry, problems):
            return None
        _check_nodes(entry, problems)
        online = frozenset().union(*(node.cpus for node in nodes))
        offline = entry.offline or frozenset()
        if both := online & offline:
            problems.append((("offline",), f"CPUs {format_cpuset(both)} are in a node: offline CPUs are in none", None))
        for name in ("siblings", "packages", "dies", "clusters", "l3"):
            _check_groups(name, getattr(entry, name) or (), online, problems)
        cores = _cores(entry, {cpu: node.id for node in nodes for cpu in node.cpus}, problems)
        if problems:
            return None
        ids = [node.id for node in nodes]
        pairs = _pairs(entry.distances, ids)
        raw = RawHost(
            source=self.file or "inventory",
            nodes={
                node.id: RawNode(
                    cpus=set(node.cpus),
                    memory_kib=node.memory,
                    pages=dict(node.pages),
                    free_kib=node.free,
                    free_pages=dict(node.free_pages),
                    device_memory=node.kind == "device",
                )
                for node in nodes
            },
            online=set(online),
            offline=set(offline),
            cores=cores,
            packages=list(entry.packages) if entry.packages else None,
            dies=list(entry.dies or ()),
            clusters=list(entry.clusters or ()),
            l3=list(entry.l3 or ()),
            distances=pairs,
            bandwidths_mib_s={
                pair: value for pair, value in _pairs(entry.bandwidth_mib_s, ids).items() if value is not None
            },
            page_kib=entry.page_size,
            pages_told=entry.huge_pages is None,
            arch=entry.arch,
            model=entry.model,
        )
        built = build(raw)
        said = built.assumptions
        if entry.efficiency is not None:
            said = tuple(one for one in said if one != NARROW_ARE_SLOW)
        resources = {node.id: {name: amount for name, (amount, _) in node.resources.items()} for node in nodes}
        return replace(
            built,
            source=entry.source,
            assumptions=said if entry.assumptions is None else tuple(entry.assumptions),
            kvm=entry.kvm,
            efficiency=built.efficiency if entry.efficiency is None else _efficiency(entry.efficiency, built, problems),
            nodes=tuple(replace(node, resources=resources[node.id]) for node in built.nodes),
        )

    def _with_distances(self, topology: Topology, entry: HostEntry, problems: list[Problem]) -> Topology:
        if entry.topology is not None and entry.distances is not None:
            if not _check_distances(entry.distances, len(topology.nodes), problems):
                return topology
            rows = tuple(
                tuple(LOCAL if i == j else value for j, value in enumerate(row))
                for i, row in enumerate(entry.distances)
            )
            topology = replace(topology, distances=rows)
        if entry.distances_from is not None:
            path = self.files.path(entry.distances_from, ("distances_from",), problems)
            if path is not None:
                topology = _measured(topology, path)
        return topology

    def _linked(self, topology: Topology, entry: HostEntry, problems: list[Problem]) -> Topology:
        path = None if entry.links_from is None else self.files.path(entry.links_from, ("links_from",), problems)
        return topology if path is None else with_links(topology, path)


def _efficiency(cpus: frozenset[int], topology: Topology, problems: list[Problem]) -> frozenset[int]:
    """Return the CPUs of efficiency cores; cores are of one kind."""
    if unknown := cpus - topology.cpus - topology.offline:
        problems.append((("efficiency",), f"the host has no CPUs {format_cpuset(unknown)}", None))
    for core in topology.cores:
        if core & cpus and core - cpus:
            problems.append((("efficiency",), f"only a part of the core of CPUs {format_cpuset(core)} is named", None))
    return cpus & topology.cpus


def _check_nodes(entry: HostEntry, problems: list[Problem]) -> None:
    owner: dict[int, int] = {}
    seen: set[int] = set()
    nodes = entry.nodes or []
    if not any(node.cpus for node in nodes):
        problems.append((("nodes",), "no node has a CPU", None))
    for number, node in enumerate(nodes):
        if node.id in seen:
            problems.append((("nodes", number, "id"), f"node {node.id} is here twice", None))
        if node.id > MAX_NODE:
            problems.append((("nodes", number, "id"), f"node {node.id} is above the largest node id {MAX_NODE}", None))
        seen.add(node.id)
        for other in sorted({owner[cpu] for cpu in node.cpus if cpu in owner}):
            both = {cpu for cpu in node.cpus if owner.get(cpu) == other}
            problems.append(
                (
                    ("nodes", number, "cpus"),
                    f"CPUs {format_cpuset(both)} are in node {other} too; a CPU is in one node",
                    None,
                )
            )
        owner.update((cpu, node.id) for cpu in node.cpus if cpu not in owner)
        if node.kind is not None and (node.kind == "normal") != bool(node.cpus):
            has = "CPUs" if node.cpus else "no CPUs"
            problems.append((("nodes", number, "kind"), f"node {node.id} has {has}, so it is not {node.kind}", None))
        pools = sum(size * count for size, count in node.pages.items())
        if pools > node.memory:
            problems.append(
                (
                    ("nodes", number, "pages"),
                    f"the page pools take {format_kib(pools)}, the node has {format_kib(node.memory)}",
                    None,
                )
            )
    for name in ("distances", "bandwidth_mib_s"):
        rows: Sequence[Sequence[float | None]] | None = getattr(entry, name)
        if rows is not None and name == "distances":
            _check_distances(entry.distances or [], len(nodes), problems)
        elif rows is not None and (len(rows) != len(nodes) or any(len(row) != len(nodes) for row in rows)):
            problems.append(((name,), f"is not a {len(nodes)} x {len(nodes)} matrix", None))


def _check_distances(rows: Sequence[Sequence[float]], size: int, problems: list[Problem]) -> bool:
    if len(rows) != size or any(len(row) != size for row in rows):
        problems.append((("distances",), f"is not a {size} x {size} matrix, a row and a column a node", None))
        return False
    before = len(problems)
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            if i == j and value not in (0, LOCAL):
                problems.append((("distances", i, j), f"a node's distance to itself is 10, not {value:g}", None))
            elif i != j and not LOCAL <= value <= UNREACHABLE:
                problems.append((("distances", i, j), f"{value:g} is not from 10 to 255", None))
    return len(problems) == before


def _too_long(entry: HostEntry, problems: list[Problem]) -> bool:
    """Tell whether lists of CPUs are made to exhaust us: what is on one machine is in them once, or a few times."""
    lists: dict[str, Sequence[frozenset[int]]] = {"nodes": [node.cpus for node in entry.nodes or ()]}
    lists |= {name: getattr(entry, name) or () for name in ("siblings", "packages", "dies", "clusters", "l3")}
    for name, groups in lists.items():
        if sum(map(len, groups)) > MAX_PLACED:
            problems.append(((name,), f"list more than {MAX_PLACED} CPUs together, most of them over and over", None))
            return True
    return False


def _check_groups(name: str, groups: Sequence[frozenset[int]], online: frozenset[int], problems: list[Problem]) -> None:
    seen: set[int] = set()
    for number, group in enumerate(groups):
        if lacking := group - online:
            message = f"CPUs {format_cpuset(lacking)} are in no node of the host"
            problems.append(((name, number), message, f"it has {format_cpuset(online)}"))
        if name != "clusters" and (twice := group & seen):
            problems.append(((name, number), f"CPUs {format_cpuset(twice)} are in two of the {name}", None))
        seen |= group
    if name == "packages" and groups and (left := online - seen):
        problems.append((("packages",), f"CPUs {format_cpuset(left)} are in no package", None))


def _cores(entry: HostEntry, node_of_cpu: Mapping[int, int], problems: list[Problem]) -> list[frozenset[int]] | None:
    """Return the cores: as listed, or CPU n beside CPU n + half as Linux numbers them."""
    threads = entry.threads_per_core
    if threads is None:
        return entry.siblings
    if entry.siblings is not None:
        problems.append((("threads_per_core",), "the host lists siblings too", "keep one of them"))
        return None
    if len(node_of_cpu) % threads:
        problems.append(
            (("threads_per_core",), f"{len(node_of_cpu)} CPUs are no multiple of {threads}", "list siblings")
        )
        return None
    cores = siblings_by_rule(node_of_cpu, threads, adjacent=False)
    for core in cores:
        homes = sorted({node_of_cpu[cpu] for cpu in core})
        if len(homes) > 1:
            message = f"by Linux's numbering CPUs {format_cpuset(core)} would be one core"
            cure = f"they are in nodes {format_cpuset(homes)}: list siblings"
            problems.append((("threads_per_core",), message, cure))
            break
    return cores


def _sorted(groups: Iterable[frozenset[int]]) -> tuple[frozenset[int], ...]:
    return tuple(sorted(groups, key=sorted))


def _measured(topology: Topology, path: Path) -> Topology:
    """Return the topology with the distances of a measurement, or of another file of the same host."""
    from placer.read.hosts.host import parse_topology, read_file
    from placer.read.hosts.mlc import refine_distances
    from placer.read.recognise import Format, recognise

    data = read_file(path, str(path))
    if recognise(data, str(path)) is Format.MLC:
        return refine_distances(topology, data, str(path))
    other = parse_topology(data, str(path))
    if other.node_ids != topology.node_ids:
        ids, others = format_cpuset(topology.node_ids), format_cpuset(other.node_ids)
        raise InputError(f"it tells distances between nodes {others}; the host has nodes {ids}", file=str(path))
    return replace(
        topology, distances=other.distances, bandwidth_mib_s=other.bandwidth_mib_s or topology.bandwidth_mib_s
    )


def _pairs(rows: Sequence[Sequence[float | None]] | None, ids: Sequence[int]) -> dict[tuple[int, int], float]:
    """Key a matrix by pairs of node ids: rows and columns stand in the order in which the file lists the nodes."""
    if rows is None:
        return {}
    return {(ids[i], ids[j]): value for i, row in enumerate(rows) for j, value in enumerate(row) if value is not None}
