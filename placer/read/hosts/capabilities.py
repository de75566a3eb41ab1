"""Reader of libvirt's capabilities XML (``virsh capabilities``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placer.errors import InputError, PlacerError
from placer.model.host import Topology
from placer.model.units import libvirt_kib
from placer.read.hosts.cpu_groups import CpusetReader, ExhaustingError, group_by
from placer.read.hosts.normal_form import build
from placer.read.hosts.raw_host import RawHost, RawNode
from placer.read.text.located import FaultLog
from placer.read.text.text import whole_count
from placer.read.text.xml import line_of, parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

MIB_S_PER_MB_S = 10**6 / 2**20
"""HMAT bandwidths are in MB/s, 10^6 bytes; placer keeps MiB/s."""
_NO_CLUSTER = {"-1", "65535"}
_PREFERENCE = ("access", "read", "write")


def parse_capabilities(data: bytes, source: str) -> Topology:
    """Read nodes, CPUs, siblings, dies, page pools, distances, HMAT figures, L3 domains and whether KVM can run.

    Page counts are totals, and those of the small page leave the huge ones out; `<memory>` is the whole of a node.
    KVM can run where a guest architecture has `<domain type='kvm'>`, cannot where guests are listed without one, and
    is unknown where none is listed (a connection without an emulator).

    Raises
    ------
    InputError
        Not capabilities, no host topology in them, numbers that are none, or CPUs that contradict themselves; all
        faults at once, each with its line.
    """
    root = parse_xml(data, source)
    if root.tag != "capabilities":
        raise InputError(f"this is no capabilities XML: its root is <{str(root.tag)[:40]}>", file=source)
    return build(_Reader(root, source).raw())


class _Reader:
    """One capabilities document; collects faults so that a person sees all of them."""

    def __init__(self, root: _Element, source: str) -> None:
        self._root = root
        self._source = source
        self._faults = FaultLog(source)
        self._cpusets = CpusetReader(source)

    def raw(self) -> RawHost:
        raw = RawHost(source=self._source, kvm=self._kvm())
        raw.arch = self._root.findtext("host/cpu/arch")
        raw.model = self._root.findtext("host/cpu/model")
        cells = self._root.findall("host/topology/cells/cell")
        if not cells:
            raise InputError(
                "the capabilities do not tell the host's topology",
                file=self._source,
                cure="run virsh capabilities on the host itself; or give lstopo, numactl or a tar of /sys",
            )
        self._cores: dict[int, object] = {}
        self._siblings: dict[int, frozenset[int]] = {}
        self._packages: dict[int, object] = {}
        self._dies: dict[int, object] = {}
        self._clusters: dict[int, object] = {}
        small: set[int] = set()
        for cell in cells:
            self._cell(cell, raw, small)
        raw.page_kib = min(small, default=None)
        raw.cores = self._core_groups()
        raw.packages = group_by(self._packages)
        raw.dies = group_by(self._dies) if len(set(self._dies.values())) > 1 else []
        raw.clusters = group_by(self._clusters) if len(set(self._clusters.values())) > 1 else []
        raw.l3 = self._l3()
        self._interconnects(raw)
        self._faults.raise_if_any()
        return raw

    def _kvm(self) -> bool | None:
        domains = self._root.findall("guest/arch/domain")
        if not domains and not self._root.findall("guest"):
            return None
        return any(domain.get("type") == "kvm" for domain in domains)

    def _cell(self, cell: _Element, raw: RawHost, small: set[int]) -> None:
        node_id = self._int(cell, "id")
        if node_id is None:
            return
        if node_id in raw.nodes:
            self._fault(cell, f"NUMA node {node_id} stands there twice")
            return
        node = raw.nodes[node_id] = RawNode()
        memory = cell.find("memory")
        if memory is not None:
            node.memory_kib = self._kib(memory, memory.text)
        sizes = [(self._page_size(pages), pages) for pages in cell.findall("pages")]
        base = min((size for size, _ in sizes if size), default=None)
        for size, pages in sizes:
            count = self._number(pages, "the number of pages", pages.text)
            if size is None or count is None:
                continue
            if size == base:
                small.add(size)
            else:
                node.pages[size] = count
        for sibling in cell.findall("distances/sibling"):
            other, value = self._int(sibling, "id"), self._int(sibling, "value")
            if other is not None and value is not None:
                raw.distances[node_id, other] = float(value)
        for cpu in cell.findall("cpus/cpu"):
            self._cpu(cpu, node, raw)
        told = cell.find("cpus")
        listed = told.get("num") if told is not None else None
        if listed is not None and listed.strip() != str(len(node.cpus)):
            raw.assumptions.append(
                f"node {node_id} says {listed[:9]} CPUs and lists {len(node.cpus)}: those listed are taken"
            )

    def _page_size(self, pages: _Element) -> int | None:
        return self._kib(pages, pages.get("size"))

    def _cpu(self, cpu: _Element, node: RawNode, raw: RawHost) -> None:
        cpu_id = self._int(cpu, "id")
        if cpu_id is None:
            return
        node.cpus.add(cpu_id)
        raw.online.add(cpu_id)
        package, die = cpu.get("socket_id"), cpu.get("die_id", "0")
        if package is None:
            return
        self._packages[cpu_id] = package
        self._dies[cpu_id] = (package, die)
        cluster, core = cpu.get("cluster_id"), cpu.get("core_id")
        if cluster is not None and cluster not in _NO_CLUSTER:
            self._clusters[cpu_id] = (package, die, cluster)
        if core is not None:
            self._cores[cpu_id] = (package, die, cluster, core)
        siblings = cpu.get("siblings")
        if siblings is not None:
            try:
                self._siblings[cpu_id] = self._cpusets.parse(siblings) | {cpu_id}
            except ExhaustingError:
                raise
            except PlacerError as error:
                self._fault(cpu, f"siblings: {error.faults[0].message}")

    def _core_groups(self) -> list[frozenset[int]]:
        """Return the cores by their `siblings`, and by package, die and core ids for CPUs that have none."""
        groups = list(self._siblings.values())
        by_id = {cpu: key for cpu, key in self._cores.items() if cpu not in self._siblings}
        return groups + group_by(by_id)

    def _l3(self) -> list[frozenset[int]]:
        """Return the L3 domains; bank ids repeat across levels and mean nothing here."""
        groups = []
        for bank in self._root.findall("host/cache/bank"):
            if bank.get("level") != "3" or bank.get("type") == "code":
                continue
            try:
                groups.append(self._cpusets.parse(bank.get("cpus", "")))
            except ExhaustingError:
                raise
            except PlacerError as error:
                self._fault(bank, f"cpus: {error.faults[0].message}")
        return groups

    def _interconnects(self, raw: RawHost) -> None:
        """Take HMAT's figures; those of a memory-side cache, marked with `cache`, are not the memory's."""
        for name, matrix in (("latency", raw.latencies), ("bandwidth", raw.bandwidths_mib_s)):
            told: dict[tuple[int, int], dict[str, float]] = {}
            for element in self._root.findall(f"host/topology/interconnects/{name}"):
                if element.get("cache") is not None:
                    continue
                value = self._int(element, "value")
                pair = self._int(element, "initiator"), self._int(element, "target")
                if value is None or pair[0] is None or pair[1] is None:
                    continue
                if name == "bandwidth":
                    # libvirt multiplies HMAT's MB/s by 1024 and calls it KiB.
                    told.setdefault((pair[0], pair[1]), {})[element.get("type", "")] = value / 1024 * MIB_S_PER_MB_S
                else:
                    told.setdefault((pair[0], pair[1]), {})[element.get("type", "")] = float(value)
            for key, by_type in told.items():
                for kind in _PREFERENCE:
                    if by_type.get(kind):
                        matrix[key] = by_type[kind]
                        break

    def _int(self, element: _Element, name: str) -> int | None:
        return self._number(element, name, element.get(name))

    def _number(self, element: _Element, what: str, text: str | None) -> int | None:
        return whole_count(text, what, self._source, lambda message: self._fault(element, message))

    def _kib(self, element: _Element, text: str | None) -> int | None:
        try:
            return libvirt_kib(text or "", element.get("unit"))
        except PlacerError as error:
            self._fault(element, error.faults[0].message)
            return None

    def _fault(self, element: _Element, message: str) -> None:
        self._faults.add(message, line=line_of(element), field=f"<{element.tag}>")
