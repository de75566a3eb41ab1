"""Hosts as entries of an inventory: by the file they came from where that still tells the same, else in full."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from placer.errors import PlacerError
from placer.model.host import LOCAL, THREADS_UNTOLD, Device, Host, HostSettings, Node, NodeKind, Reserve, Topology
from placer.read.hosts.cpu_groups import likely_slower, siblings_by_rule
from placer.read.hosts.normal_form import REMOTE_DEFAULT
from placer.read.inventory import yaml_form as y

Entry = dict[str, str | list[str]]
"""An entry as written: key to the text after it, or to the items of a list that stands below it."""

_CORES_ASSUMED = f"{THREADS_UNTOLD}: every CPU counts as a core"
_PACKAGES_ASSUMED = "packages are not told: every NUMA node with CPUs is taken as one"
_DISTANCES_ASSUMED = "distances are not told: 20 between any two nodes, as the kernel assumes"
_BY_RULE = frozenset({_CORES_ASSUMED, _PACKAGES_ASSUMED, _DISTANCES_ASSUMED})


class HostWriter:
    """Writes hosts; `resource` writes an amount of a free resource, `content` returns the bytes of a named file."""

    def __init__(self, resource: Callable[[str, int], str], content: Callable[[str], bytes | None]) -> None:
        self.resource = resource
        self.content = content
        self._topologies: dict[tuple[int, str | None], Entry] = {}

    def entry(self, host: Host) -> Entry:
        """Return a host without its name; equal entries may be written as one with a count."""
        entry: Entry = {}
        if host.uuid is not None:
            entry["uuid"] = host.uuid
        if host.uri is not None:
            entry["uri"] = y.scalar(host.uri)
        topology = host.topology
        shape = (id(topology), host.source)
        if shape not in self._topologies:
            self._topologies[shape] = self._topology(topology, host.source)
        entry.update(self._topologies[shape])
        if host.kvm is not (topology.kvm is not False):
            entry["kvm"] = y.boolean(host.kvm)
        if host.reserve != Reserve():
            entry["reserve"] = _reserve(host.reserve)
        for name in ("dedicated_cpus", "shared_cpus", "isolated_cpus"):
            cpus = getattr(host, name)
            if cpus is not None and (cpus or name != "isolated_cpus"):
                entry[name] = y.cpus(cpus)
        if host.memory_ratio != 1:
            entry["overcommit"] = y.flow_map({"cpu": y.number(host.cpu_ratio), "memory": y.number(host.memory_ratio)})
        elif host.cpu_ratio != 1:
            entry["overcommit"] = y.number(host.cpu_ratio)
        if host.cost != 1:
            entry["cost"] = y.number(host.cost)
        if host.wide_vms:
            entry["wide_vms"] = y.boolean(True)
        for key, watts in (("idle_watts", host.idle_watts), ("busy_watts", host.busy_watts)):
            if watts is not None:
                entry[key] = y.number(watts)
        if host.failed:
            entry["failed"] = "true"
        if host.gen:
            entry["gen"] = str(host.gen)
        if host.migration_domain is not None:
            entry["migration_domain"] = y.scalar(host.migration_domain)
        if host.labels:
            entry["labels"] = y.text_map(host.labels)
        if host.resources:
            entry["resources"] = self._amounts(host.resources)
        if host.settings != HostSettings():
            entry["settings"] = _settings(host.settings)
        return entry

    def _amounts(self, amounts: Mapping[str, int]) -> str:
        return y.flow_map({y.scalar(name): self.resource(name, amount) for name, amount in amounts.items()})

    def _topology(self, topology: Topology, source: str | None) -> Entry:
        told = None if source is None else self._told_by_file(topology, source)
        if told is None:
            return self._inline(topology, source)
        entry: Entry = {"topology": y.scalar(str(source))}
        added = [device for device in topology.devices if device not in told.devices]
        if added:
            entry["devices"] = [_device(device) for device in added]
        return entry

    def _told_by_file(self, topology: Topology, source: str) -> Topology | None:
        """Return what the topology's own file tells, if that and further devices are all there is to it."""
        from placer.read.hosts.host import parse_topology

        data = self.content(source)
        if data is None:
            return None
        try:
            told = parse_topology(data, source)
        except PlacerError:
            return None
        kept = {(device.address, device.kind) for device in (*told.devices, *topology.devices)}
        same = replace(told, devices=topology.devices) == topology and len(kept) == len(topology.devices)
        return told if same else None

    def _inline(self, topology: Topology, source: str | None) -> Entry:
        """Return the topology in full; what the reader would assume anyway is left out if nothing else was assumed."""
        assumed = set(topology.assumptions) if set(topology.assumptions) <= _BY_RULE else set()
        entry: Entry = {"nodes": [self._node(node) for node in topology.nodes]}
        if _CORES_ASSUMED not in assumed or any(len(core) > 1 for core in topology.cores):
            entry.update(_cores(topology))
        by_node = tuple(sorted((node.cpus for node in topology.nodes if node.cpus), key=sorted))
        if topology.packages != by_node or (_PACKAGES_ASSUMED not in assumed and len(topology.nodes) > 1):
            entry["packages"] = y.flow_list(map(y.cpus, topology.packages))
        for name in ("dies", "clusters", "l3"):
            if groups := getattr(topology, name):
                entry[name] = y.flow_list(map(y.cpus, groups))
        if len(topology.nodes) > 1 and not (_DISTANCES_ASSUMED in assumed and _flat(topology)):
            entry["distances"] = y.flow_list(y.flow_list(map(y.number, row)) for row in topology.distances)
        if topology.bandwidth_mib_s is not None:
            rows = topology.bandwidth_mib_s
            entry["bandwidth_mib_s"] = y.flow_list(
                y.flow_list("null" if value is None else y.number(value) for value in row) for row in rows
            )
        if topology.devices:
            entry["devices"] = [_device(device) for device in topology.devices]
        if topology.offline:
            entry["offline"] = y.cpus(topology.offline)
        if topology.efficiency or likely_slower(topology.cores, topology.offline):
            entry["efficiency"] = y.cpus(topology.efficiency)
        if topology.page_kib != 4:
            entry["page_size"] = y.size(topology.page_kib)
        if not topology.pages_told:
            entry["huge_pages"] = "unknown"
        for name, said in (("arch", topology.arch), ("model", topology.model), ("source", source)):
            if said is not None:
                entry[name] = y.scalar(said)
        if topology.kvm is not None:
            entry["kvm"] = y.boolean(topology.kvm)
        if set(topology.assumptions) - assumed or _assumes_by_itself(topology):
            entry["assumptions"] = y.texts(topology.assumptions)
        return entry

    def _node(self, node: Node) -> str:
        out = {"id": str(node.id)}
        if node.cpus:
            out["cpus"] = y.cpus(node.cpus)
        out["memory"] = y.size(node.memory_kib)
        if node.pages:
            out["pages"] = y.page_map(node.pages)
        if node.kind is NodeKind.DEVICE:
            out["kind"] = node.kind.value
        if node.resources:
            out["resources"] = self._amounts(node.resources)
        if node.free_kib is not None:
            out["free"] = y.size(node.free_kib)
        if node.free_pages:
            out["free_pages"] = y.page_map(node.free_pages)
        return y.flow_map(out)


def _cores(topology: Topology) -> Entry:
    threads = max(map(len, topology.cores))
    within = all(len({topology.node_of_cpu[cpu] for cpu in core}) == 1 for core in topology.cores)
    if within and set(siblings_by_rule(topology.cpus, threads, adjacent=False)) == set(topology.cores):
        return {"threads_per_core": str(threads)}
    return {"siblings": y.flow_list(map(y.cpus, topology.cores))}


def _flat(topology: Topology) -> bool:
    rows = topology.distances
    return all(d == (LOCAL if i == j else REMOTE_DEFAULT) for i, row in enumerate(rows) for j, d in enumerate(row))


def _assumes_by_itself(topology: Topology) -> bool:
    """Tell whether reading the entry back would note something that the topology does not say of itself."""
    rows = topology.distances
    near = any(d == LOCAL for i, row in enumerate(rows) for j, d in enumerate(row) if i != j)
    return near or bool(topology.offline) or any(node.kind is NodeKind.DEVICE for node in topology.nodes)


def _device(device: Device) -> str:
    out = {"address": y.scalar(device.address), "kind": y.scalar(device.kind)}
    if device.node is not None:
        out["node"] = str(device.node)
    if device.count != max(1, len(device.functions)):
        out["count"] = str(device.count)
    if device.functions:
        out["functions"] = y.texts(device.functions)
    if device.group is not None:
        out["group"] = y.scalar(device.group)
    return y.flow_map(out)


def _reserve(reserve: Reserve) -> str:
    out: dict[str, str] = {}
    if reserve.cpus:
        out["cpus"] = y.cpus(reserve.cpus)
    if None in reserve.memory_kib:
        out["memory"] = y.size(reserve.memory_kib[None])
    if None in reserve.pages:
        out["pages"] = y.page_map(reserve.pages[None])
    nodes: dict[str, str] = {}
    for node in sorted({key for key in (*reserve.memory_kib, *reserve.pages) if key is not None}):
        part: dict[str, str] = {}
        if node in reserve.memory_kib:
            part["memory"] = y.size(reserve.memory_kib[node])
        if node in reserve.pages:
            part["pages"] = y.page_map(reserve.pages[node])
        nodes[str(node)] = y.flow_map(part)
    if nodes:
        out["nodes"] = y.flow_map(nodes)
    return y.flow_map(out)


def _settings(settings: HostSettings) -> str:
    said: dict[str, str] = {}
    for name in ("numa_balancing", "ksm", "ksm_across_nodes", "numad"):
        value = getattr(settings, name)
        if value is not None:
            said[name] = y.boolean(value)
    if settings.thp is not None:
        said["thp"] = y.scalar(settings.thp)
    if settings.swap_kib is not None:
        said["swap"] = y.size(settings.swap_kib)
    return y.flow_map(said)
