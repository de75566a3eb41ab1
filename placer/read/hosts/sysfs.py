"""Reader of a copy of /sys: a directory, /sys itself, or a tar archive."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from placer.errors import InputError, PlacerError
from placer.model.host import Topology
from placer.read.hosts.archive import ArchiveTree
from placer.read.hosts.capabilities import MIB_S_PER_MB_S
from placer.read.hosts.cpu_groups import CpusetReader, group_by, overlap, slower
from placer.read.hosts.cpuinfo import CpuInfo, read_cpuinfo
from placer.read.hosts.normal_form import ONE_NODE, build
from placer.read.hosts.raw_host import RawHost, RawNode
from placer.read.hosts.sysfs_devices import device_memory_nodes, pci_devices
from placer.read.hosts.tree import DirectoryTree, Tree

_CPU = re.compile(r"cpu(\d{1,6})")
_NODE = re.compile(r"node(\d{1,6})")
_POOL = re.compile(r"hugepages-(\d{1,12})kB")
_MEMINFO = re.compile(r"(?:Node\s+\d+\s+)?([A-Za-z()_]+):\s+(\d{1,15})(?!\d)(?:\s*kB)?")
_FREE_PARTS = ("MemFree", "Active(file)", "Inactive(file)", "SReclaimable")
_SYSTEM = ("sys/devices/system", "devices/system", "system", "")
_NO_CLUSTER = {"-1", "65535"}


def parse_sysfs_archive(data: bytes, source: str) -> Topology:
    """Read a host from a tar archive of /sys, plain or packed with gzip, bzip2 or xz.

    Raises
    ------
    InputError
        As `read_sysfs`; or the archive is damaged, leads out of itself, or is above the limits.
    """
    return read_sysfs(ArchiveTree(data, source))


def parse_sysfs_directory(path: Path, source: str) -> Topology:
    """Read a host from a directory that holds a copy of /sys, or from /sys itself.

    Raises
    ------
    InputError
        As `read_sysfs`; or a file in it is a link that leads out.
    """
    return read_sysfs(DirectoryTree(path, source))


def read_sysfs(tree: Tree) -> Topology:
    """Read nodes, CPUs, caches, pools, distances, HMAT figures and devices of the one host in the tree.

    Raises
    ------
    InputError
        The tree holds no CPUs, several hosts, or figures that contradict each other.
    """
    return build(_Reader(tree).raw())


def _find_system(tree: Tree) -> str:
    """Return the path of ``devices/system``; it may stand a few folders deep, but only one may be there."""
    found: list[str] = []
    folders = [""]
    for _ in range(4):
        for folder in folders:
            for inner in _SYSTEM:
                path = "/".join(part for part in (folder, inner) if part)
                names = tree.names(f"{path}/cpu" if path else "cpu")
                if any(_CPU.fullmatch(name) for name in names):
                    found.append(path)
                    break
        if found:
            break
        folders = [
            f"{folder}/{name}".lstrip("/") for folder in folders[:64] for name in sorted(tree.names(folder))[:64]
        ]
    if not found:
        raise InputError("there is no devices/system/cpu/cpu0 in it: this is no copy of /sys", file=tree.source)
    if len(found) > 1:
        raise InputError(
            f"it holds {len(found)} hosts, {found[0]!r} and {found[1]!r} among them",
            file=tree.source,
            cure="give one at a time",
        )
    return found[0]


class _Reader:
    """One tree; every path below is relative to ``devices/system``."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._cpusets = CpusetReader(tree.source)
        self._system = _find_system(tree)
        whole = self._system.removesuffix("devices/system")
        self._sys: str | None = whole if whole != self._system else None
        self._host = self._sys.removesuffix("sys/") if self._sys is not None and self._sys.endswith("sys/") else None

    def raw(self) -> RawHost:
        raw = RawHost(source=self._tree.source)
        info = self._processors(raw)
        self._cpus(raw, info)
        for node_id in self._node_ids(raw):
            self._node(raw, node_id)
        self._distances(raw)
        self._whole_memory(raw)
        if self._sys is not None:
            raw.devices = pci_devices(self._tree, self._sys)
            for node_id, is_device in device_memory_nodes(self._tree, self._sys, self._host).items():
                if node_id in raw.nodes:
                    raw.nodes[node_id].device_memory = is_device
            if "kvm" in self._tree.names(f"{self._sys}devices/virtual/misc"):
                raw.kvm = True
        return raw

    # -- small files -------------------------------------------------------------------------------------------------

    def _text(self, path: str) -> str | None:
        return self._tree.text(f"{self._system}/{path}" if self._system else path)

    def _names(self, path: str) -> frozenset[str]:
        return self._tree.names(f"{self._system}/{path}" if self._system else path)

    def _cpuset(self, *paths: str) -> frozenset[int] | None:
        """Return the CPUs of the first file that is there: a list, or a mask where the name says so."""
        for path in paths:
            text = self._text(path)
            if text is None:
                continue
            try:
                is_list = path.endswith(("list", "online", "offline", "present", "possible"))
                return self._cpusets.parse(text) if is_list else self._cpusets.parse_mask(text or "0")
            except PlacerError as error:
                raise InputError(f"{path}: {error.faults[0].message}", file=self._tree.source) from None
        return None

    def _number(self, path: str) -> int | None:
        return _whole(self._text(path))

    # -- CPUs --------------------------------------------------------------------------------------------------------

    def _processors(self, raw: RawHost) -> CpuInfo:
        """Take from /proc, where the tree has it, what /sys does not tell."""
        if self._host is None:
            return CpuInfo()
        info = read_cpuinfo((self._tree.text(f"{self._host}proc/cpuinfo") or "").splitlines())
        raw.arch, raw.model, raw.kvm = info.arch, info.model, info.kvm
        for line in (self._tree.text(f"{self._host}proc/hwloc-nofile-info") or "").splitlines():
            key, _, value = line.partition(": ")
            if key == "Architecture":
                raw.arch = value.strip() or raw.arch
            elif key == "PageSize" and value.strip().isdecimal() and len(value) < 12:
                raw.page_kib = max(1, int(value) // 1024)
        return info

    def _cpus(self, raw: RawHost, info: CpuInfo) -> None:
        numbers = {int(match[1]) for name in self._names("cpu") if (match := _CPU.fullmatch(name))}
        told = self._cpuset("cpu/online")
        if told is None:
            # The kernel takes topology/ away from a CPU that goes offline; a tree may be too old to have any.
            running = {cpu for cpu in numbers if self._names(f"cpu/cpu{cpu}/topology")} or numbers
            raw.online = {cpu for cpu in running if self._text(f"cpu/cpu{cpu}/online") != "0"}
            raw.offline = numbers - raw.online
        else:
            raw.online = set(told)
            raw.offline = (
                numbers | (self._cpuset("cpu/offline") or frozenset()) & (self._cpuset("cpu/present") or frozenset())
            ) - told
        present = sorted(numbers & raw.online)
        raw.cores = self._shared(
            present,
            "topology/core_cpus_list",
            "topology/thread_siblings_list",
            "topology/core_cpus",
            "topology/thread_siblings",
        )
        if not raw.cores:
            raw.cores = group_by(info.cores)
        raw.packages = self._shared(
            present,
            "topology/package_cpus_list",
            "topology/core_siblings_list",
            "topology/package_cpus",
            "topology/core_siblings",
        )
        if not raw.packages:
            ids = {cpu: self._number(f"cpu/cpu{cpu}/topology/physical_package_id") for cpu in present}
            raw.packages = group_by(
                {cpu: package for cpu, package in ids.items() if package is not None and package >= 0}
            )
        raw.dies = self._shared(present, "topology/die_cpus_list", "topology/die_cpus")
        clustered = [
            cpu for cpu in present if (self._text(f"cpu/cpu{cpu}/topology/cluster_id") or "-1") not in _NO_CLUSTER
        ]
        raw.clusters = self._shared(clustered, "topology/cluster_cpus_list", "topology/cluster_cpus")
        raw.l3 = self._l3(present, raw.cores)
        raw.efficiency = self._efficiency(present)

    def _efficiency(self, cpus: Iterable[int]) -> set[int]:
        """Return the CPUs of efficiency cores: Intel's atoms by type, elsewhere those of less ``cpu_capacity``."""
        atoms = [name for name in self._names("cpu/types") if name.startswith("intel_atom")]
        if atoms:
            return set().union(*(self._cpuset(f"cpu/types/{name}/cpulist") or frozenset() for name in atoms))
        told = {cpu: self._number(f"cpu/cpu{cpu}/cpu_capacity") for cpu in cpus}
        return slower({cpu: float(capacity) for cpu, capacity in told.items() if capacity})

    def _shared(self, cpus: Iterable[int], *files: str) -> list[frozenset[int]]:
        """Return the sets of CPUs that share something with each of `cpus`: by the first of the files that tells it
        without contradiction, else by the first that tells it at all.
        """
        first: list[frozenset[int]] = []
        for file in files:
            told = {cpu: self._cpuset(f"cpu/cpu{cpu}/{file}") for cpu in cpus}
            groups = [_with(group, cpu) for cpu, group in told.items() if group]
            if groups and overlap(set(groups)) is None:
                return groups
            first = first or groups
        return first

    def _l3(self, cpus: Iterable[int], cores: Iterable[frozenset[int]]) -> list[frozenset[int]]:
        """Return the L3 domains by lists or by maps, whichever does not contradict itself: either may be damaged.

        A domain without CPUs, as ia64 tells it, is the CPU's own core.
        """
        core_of = {cpu: core for core in cores for cpu in core}
        caches = [
            (cpu, f"cpu/cpu{cpu}/cache/{index}")
            for cpu in cpus
            for index in self._names(f"cpu/cpu{cpu}/cache")
            if self._text(f"cpu/cpu{cpu}/cache/{index}/level") == "3"
        ]
        groups: list[frozenset[int]] = []
        for file in ("shared_cpu_list", "shared_cpu_map"):
            told = [(cpu, self._cpuset(f"{path}/{file}")) for cpu, path in caches]
            groups = [_with(group or core_of.get(cpu, group), cpu) for cpu, group in told if group is not None]
            if groups and overlap(set(groups)) is None:
                break
        return groups

    # -- nodes -------------------------------------------------------------------------------------------------------

    def _node_ids(self, raw: RawHost) -> list[int]:
        ids = {int(match[1]) for name in self._names("node") if (match := _NODE.fullmatch(name))}
        online = self._cpuset("node/online")
        if online and ids - online and ids & online:
            raw.assumptions.append(f"nodes {sorted(ids - online)} are offline: left out")
            ids &= online
        return sorted(ids)

    def _node(self, raw: RawHost, node_id: int) -> None:
        path = f"node/node{node_id}"
        node = raw.nodes[node_id] = RawNode()
        cpus = self._cpuset(f"{path}/cpulist", f"{path}/cpumap")
        if cpus is None:
            # Old trees have nothing but links; their names are enough.
            cpus = frozenset(int(match[1]) for name in self._names(path) if (match := _CPU.fullmatch(name)))
        raw.place(node_id, cpus)
        meminfo = self._meminfo(self._text(f"{path}/meminfo"))
        node.memory_kib = meminfo.get("MemTotal")
        if "MemFree" in meminfo:
            node.free_kib = sum(meminfo.get(part, 0) for part in _FREE_PARTS)
        self._pools(node, f"{self._system}/{path}/hugepages".lstrip("/"))
        self._latencies(raw, node_id, f"{path}/access1/initiators")

    def _meminfo(self, text: str | None) -> dict[str, int]:
        matches = (_MEMINFO.match(line.strip()) for line in (text or "").splitlines())
        return {match[1]: int(match[2]) for match in matches if match}

    def _pools(self, node: RawNode, path: str) -> None:
        """Take the pools of huge pages in a folder of the whole tree."""
        for name in self._tree.names(path):
            match = _POOL.fullmatch(name)
            count = _whole(self._tree.text(f"{path}/{name}/nr_hugepages"))
            if match is None or count is None or count < 0:
                continue
            node.pages[int(match[1])] = count
            free = _whole(self._tree.text(f"{path}/{name}/free_hugepages"))
            if free is not None and free >= 0:
                node.free_pages[int(match[1])] = free

    def _latencies(self, raw: RawHost, node_id: int, path: str) -> None:
        """Take HMAT's figures of the best CPU initiators of a node's memory.

        ``access0`` may name a device as initiator, so ``access1`` it is. Figures are in ns and MB/s; 0 is unknown.
        """
        initiators = [int(match[1]) for name in self._names(path) if (match := _NODE.fullmatch(name))]
        latency = self._number(f"{path}/read_latency")
        bandwidth = self._number(f"{path}/read_bandwidth")
        for initiator in initiators:
            if latency is not None and latency > 0:
                raw.latencies[initiator, node_id] = float(latency)
            if bandwidth is not None and bandwidth > 0:
                raw.bandwidths_mib_s[initiator, node_id] = bandwidth * MIB_S_PER_MB_S

    def _distances(self, raw: RawHost) -> None:
        """Take each node's row; its columns are the existing nodes in order, whatever their ids."""
        ids = sorted(raw.nodes)
        odd: list[int] = []
        for node_id in ids:
            row = (self._text(f"node/node{node_id}/distance") or "").split()
            if not row:
                continue
            if len(row) != len(ids) or not all(re.fullmatch(r"\d{1,6}", word) for word in row):
                odd.append(node_id)
                continue
            raw.distances.update({(node_id, other): float(word) for other, word in zip(ids, row, strict=True)})
        if odd:
            raw.assumptions.append(
                f"the distances of node {odd[0]} do not fit the {len(ids)} nodes of the tree: not taken"
            )

    def _whole_memory(self, raw: RawHost) -> None:
        """Take memory and pools of the host where there are no nodes, or one that tells none."""
        if self._host is None or len(raw.nodes) > 1:
            return
        meminfo = self._meminfo(self._tree.text(f"{self._host}proc/meminfo"))
        if not raw.nodes:
            raw.assumptions.append(ONE_NODE)
        node = raw.nodes.setdefault(0, RawNode(cpus=set(raw.online))) if not raw.nodes else raw.nodes[min(raw.nodes)]
        if node.memory_kib is None:
            node.memory_kib = meminfo.get("MemTotal")
        if not node.pages:
            self._pools(node, f"{self._sys}kernel/mm/hugepages")


def _with(group: frozenset[int], cpu: int) -> frozenset[int]:
    """Return the set with the CPU in it; no copy of it where the CPU is in it already."""
    return group if cpu in group else group | {cpu}


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,15}", text) else None
