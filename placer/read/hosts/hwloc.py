"""Reader of hwloc's XML (``lstopo --of xml``) in its three dialects: 1.x, 2 and 3."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from placer.errors import InputError, PlacerError
from placer.model.cpuset import MAX_CPU
from placer.model.host import Device, Topology
from placer.read.hosts.cpu_groups import CpusetReader, ExhaustingError, slower
from placer.read.hosts.hwloc_matrices import take_distances, take_latencies
from placer.read.hosts.normal_form import build
from placer.read.hosts.raw_host import RawHost, RawNode
from placer.read.hosts.sysfs_devices import device_kind
from placer.read.text.located import FaultLog
from placer.read.text.text import whole_count
from placer.read.text.xml import line_of, parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

DOCTYPE = rb'<!DOCTYPE\s+topology\s+SYSTEM\s+"hwloc2?\.dtd"\s*>'
"""The DOCTYPE on top of every file that lstopo writes; any other is refused."""

_OLD_NAMES = {"Socket": "Package", "Node": "NUMANode"}
_CACHE_TYPE_INSTRUCTION = "2"
_BITMAP = re.compile(r"(?:0x[0-9a-fA-F]{1,8})?(?:,(?:0x[0-9a-fA-F]{1,8})?)*")
_MAX_BITMAP_CHARACTERS = 100_000
_PCI_TYPE = re.compile(r"([0-9a-f]{4}) \[([0-9a-f]{4}):")
# Which node is the processors' own where several carry the same CPUs: hwloc gives a node without CPUs those near it.
_RANKS = {"DRAM": 0, None: 1, "HBM": 2, "MCDRAM": 2, "GPUMemory": 4}
_SPECIAL_RANK = 3


def parse_hwloc(data: bytes, source: str) -> Topology:
    """Read CPUs, cores, packages, L3 domains, nodes, pools, distances, memory attributes and PCI devices.

    In dialects 2 and 3 a node without CPUs carries the CPUs near it: among nodes that share CPUs, ordinary DRAM
    with the fewest CPUs and then the lowest id owns them, and the others are memory-only. Only allowed CPUs are
    taken. hwloc drops nodes without memory, a GPU's and overlapping ones before it writes, so CPUs that lie in no
    node of the file are left out.

    Raises
    ------
    InputError
        Not hwloc's XML, no CPUs, nodes that overlap in part, or numbers that are none; all faults at once.
    """
    root = parse_xml(data, source, doctype=DOCTYPE)
    if root.tag != "topology":
        raise InputError(f"this is no hwloc XML: its root is <{str(root.tag)[:40]}>", file=source)
    return build(_Reader(root, source).raw())


def _parse_bitmap(text: str) -> frozenset[int]:
    """Read hwloc's bitmap: 32-bit words from the highest, an empty one is 0 (``0x1,,0x3``)."""
    if len(text) > _MAX_BITMAP_CHARACTERS or not _BITMAP.fullmatch(text):
        raise InputError(f"{text[:40]!r} is no bitmap of hwloc's")
    numbers = []
    for position, word in enumerate(reversed(text.split(","))):
        value = int(word, 16) if word else 0
        numbers += [position * 32 + bit for bit in range(32) if value >> bit & 1]
    if numbers and max(numbers) > MAX_CPU:
        raise InputError(f"the bitmap names number {max(numbers)}, above {MAX_CPU}")
    return frozenset(numbers)


class _Reader:
    """One hwloc document; collects faults so that a person sees all of them."""

    def __init__(self, root: _Element, source: str) -> None:
        self._root = root
        self._source = source
        self._faults = FaultLog(source)
        self._bitmaps = CpusetReader(source)
        self._old = root.get("version") is None
        self._numa: list[tuple[int, _Element]] = []
        self._cpusets: dict[int, frozenset[int]] = {}

    def raw(self) -> RawHost:
        raw = RawHost(source=self._source, cores=[], packages=[])
        machine = self._root.find("object")
        if machine is None:
            raise InputError("the XML holds no object", file=self._source)
        complete = self._cpuset(machine, "complete_cpuset")
        allowed = self._cpuset(machine, "allowed_cpuset")
        for element in self._root.iter("object"):
            self._object(element, raw)
        if self._old and "online_cpuset" in machine.attrib:
            raw.online &= self._cpuset(machine, "online_cpuset")
        if allowed:
            raw.online &= allowed
        raw.offline = set(complete - raw.online)
        if raw.offline and not allowed >= complete:
            raw.assumptions.append("CPUs that the process which made the file was not allowed to use count as offline")
        self._infos(machine, raw)
        self._assign_cpus(raw)
        take_distances(self._root, [node_id for node_id, _ in self._numa], self._gp_indexes(), raw)
        take_latencies(self._root, self._gp_indexes(), raw, self._bitmap)
        for element in self._root.iter("object"):
            if element.get("type") == "PCIDev":
                self._pci(element, raw)
        self._kinds(raw)
        self._faults.raise_if_any()
        return raw

    def _kinds(self, raw: RawHost) -> None:
        """Take the efficiency cores: kinds of CPU that are Intel's atoms, or of less capacity than the best."""
        ranks: dict[int, float] = {}
        for element in self._root.iter("cpukind"):
            cpus = self._cpuset(element, "cpuset")
            names = {info.get("name"): info.get("value") for info in element.iter("info")}
            if names.get("CoreType") == "IntelAtom":
                raw.efficiency |= cpus
            rank = names.get("LinuxCapacity") or names.get("FrequencyMaxMHz") or ""
            ranks.update(dict.fromkeys(cpus, float(rank) if rank.isdecimal() and len(rank) < 12 else 0.0))
        raw.efficiency |= slower(ranks)

    def _object(self, element: _Element, raw: RawHost) -> None:
        kind = element.get("type") or ""
        kind = _OLD_NAMES.get(kind, kind)
        if kind == "PU":
            cpu = self._index(element, MAX_CPU)
            if cpu is not None:
                raw.online.add(cpu)
        elif kind == "Core":
            self._group(element, raw.cores)
        elif kind == "Package":
            self._group(element, raw.packages)
        elif kind == "Die":
            self._group(element, raw.dies)
        elif kind == "Group" and element.get("subtype") == "Cluster":
            self._group(element, raw.clusters)
        elif kind == "L3Cache" or (kind == "Cache" and element.get("depth") == "3"):
            if element.get("cache_type") != _CACHE_TYPE_INSTRUCTION:
                self._group(element, raw.l3)
        elif kind == "NUMANode":
            self._node(element, raw)
        elif kind == "Machine" and raw.memory_kib is None:
            raw.memory_kib = self._memory_kib(element)

    def _group(self, element: _Element, groups: list[frozenset[int]] | None) -> None:
        cpus = self._cpuset(element, "cpuset")
        if cpus and groups is not None:
            groups.append(cpus)

    # -- nodes -------------------------------------------------------------------------------------------------------

    def _node(self, element: _Element, raw: RawHost) -> None:
        node_id = self._index(element, 65535)
        if node_id is None:
            return
        if node_id in raw.nodes:
            self._fault(element, f"NUMA node {node_id} stands there twice")
            return
        node = raw.nodes[node_id] = RawNode(memory_kib=self._memory_kib(element))
        self._numa.append((node_id, element))
        self._cpusets[node_id] = self._cpuset(element, "cpuset")
        subtype = self._subtype(element)
        if subtype is not None and _RANKS.get(subtype, _SPECIAL_RANK) >= _SPECIAL_RANK:
            node.device_memory = subtype == "GPUMemory"
        if any(info.get("name") == "DAXDevice" for info in element.findall("info")):
            node.device_memory = False
        sizes: dict[int, int] = {}
        for page_type in element.findall("page_type"):
            size = self._number(page_type, "size", page_type.get("size"))
            count = self._number(page_type, "count", page_type.get("count"))
            if size and count is not None and size % 1024 == 0:
                sizes[size // 1024] = count
        base = min(sizes, default=None)
        if base is not None:
            raw.page_kib = base if raw.page_kib is None else min(base, raw.page_kib)
            node.pages = {size: count for size, count in sizes.items() if size != base}

    def _subtype(self, element: _Element) -> str | None:
        """Return the kind of memory; dialect 1 has it as an info named ``Type``."""
        infos = (info.get("value") for info in element.findall("info") if info.get("name") == "Type")
        return element.get("subtype") or next(infos, None)

    def _memory_kib(self, element: _Element) -> int | None:
        text = element.get("local_memory")
        if text is None:
            return None
        size = self._number(element, "local_memory", text)
        return None if size is None else size // 1024

    def _assign_cpus(self, raw: RawHost) -> None:
        """Give every CPU to one node, the processors' own, and leave the other nodes that carry it without CPUs."""

        def rank(item: tuple[int, _Element]) -> tuple[int, int, int]:
            node_id, element = item
            return (_RANKS.get(self._subtype(element), _SPECIAL_RANK), len(self._cpusets[node_id]), node_id)

        taken: set[int] = set()
        for node_id, element in sorted(self._numa, key=rank):
            cpus = self._cpusets[node_id] & raw.online
            if cpus & taken and not cpus <= taken:
                self._fault(
                    element, f"NUMA node {node_id} shares only some of its CPUs with other nodes; a CPU is in one node"
                )
            elif self._subtype(element) != "GPUMemory":
                raw.place(node_id, cpus - taken)
                taken |= cpus
        homeless = raw.online - taken
        if raw.nodes and taken and homeless:
            raw.assumptions.append(
                f"{len(homeless)} CPUs lie in no NUMA node of the file, for hwloc drops nodes without memory: left out"
            )
            raw.online -= homeless

    # -- the rest ----------------------------------------------------------------------------------------------------

    def _infos(self, machine: _Element, raw: RawHost) -> None:
        """Take architecture and model; they stand on the machine, in dialect 3 on the whole topology."""
        for info in self._root.iter("info"):
            name, value = info.get("name"), info.get("value")
            if name == "Architecture" and raw.arch is None:
                raw.arch = value
            elif name == "CPUModel" and raw.model is None:
                raw.model = value

    def _pci(self, element: _Element, raw: RawHost) -> None:
        """Take a useful PCI function with the node of the closest object that lies in one node only."""
        match = _PCI_TYPE.match((element.get("pci_type") or "").lower())
        kind = device_kind(match[1], f"0x{match[2]}") if match else None
        address = element.get("pci_busid")
        if kind is None or not address:
            return
        node: int | None = None
        for ancestor in element.iterancestors("object"):
            if ancestor.get("nodeset") is not None:
                nodes = self._bitmap(ancestor, "nodeset", ancestor.get("nodeset") or "") & raw.nodes.keys()
                owners = [node_id for node_id in nodes if raw.nodes[node_id].cpus] or sorted(nodes)
                node = owners[0] if len(owners) == 1 else None
                break
        ports = [
            port
            for bridge in element.iterancestors("object")
            if bridge.get("type") == "Bridge" and (port := bridge.get("pci_busid")) is not None
        ]
        raw.devices.append(Device(address=address, kind=kind, node=node, group=ports[-1] if ports else None))

    def _gp_indexes(self) -> dict[str, int]:
        return {gp: node_id for node_id, element in self._numa if (gp := element.get("gp_index")) is not None}

    # -- attributes --------------------------------------------------------------------------------------------------

    def _cpuset(self, element: _Element, name: str) -> frozenset[int]:
        return self._bitmap(element, name, element.get(name) or "")

    def _bitmap(self, element: _Element, name: str, text: str) -> frozenset[int]:
        """Return the numbers of a bitmap; a fault and none where it is damaged."""
        try:
            found = self._bitmaps.parse_with(text, _parse_bitmap)
        except ExhaustingError:
            raise
        except PlacerError as error:
            self._fault(element, f"{name}: {error.faults[0].message}")
            return frozenset()
        return found

    def _index(self, element: _Element, largest: int) -> int | None:
        value = self._number(element, "os_index", element.get("os_index"))
        if value is not None and value > largest:
            self._fault(element, f"os_index {value} is above {largest}")
            return None
        return value

    def _number(self, element: _Element, what: str, text: str | None) -> int | None:
        return whole_count(text, what, self._source, lambda message: self._fault(element, message))

    def _fault(self, element: _Element, message: str) -> None:
        kind = element.get("type")
        where = f"<{element.tag} {kind}>" if kind else f"<{element.tag}>"
        self._faults.add(message, line=line_of(element), field=where)
