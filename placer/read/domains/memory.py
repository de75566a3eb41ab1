"""Memory of a domain: its size, guest cells, memory devices, page size and ``<numatune>``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from placer.model.vm import Cell
from placer.read.domains.scan import DomainScan

if TYPE_CHECKING:
    from lxml.etree import _Element

RAM_DEVICES = frozenset({"dimm", "virtio-mem"})
"""Memory devices that take ordinary memory of the host."""
_DEFAULT_HUGE_KIB = {"ppc64": 16 * 1024, "ppc64le": 16 * 1024, "s390x": 1024}
_ORDINARY_KIB = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPolicy:
    """A ``<memory>`` or ``<memnode>`` of numatune: its mode and host nodes (None: left to numad or to the kernel)."""

    mode: str
    nodeset: frozenset[int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Numatune:
    """The memory policies of a domain; `memnodes` is by the position of the guest cell, not by its id."""

    memory: MemoryPolicy | None = None
    memnodes: Mapping[int, MemoryPolicy] = field(default_factory=dict)

    def of_cell(self, position: int) -> MemoryPolicy | None:
        """Return what holds for a cell: its memnode, else the domain's memory policy."""
        return self.memnodes.get(position, self.memory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the guest's memory is made of; `cells` is empty for a flat guest, `cell_ids` are their ids in the XML."""

    total_kib: int
    cells: tuple[Cell, ...]
    cell_ids: tuple[int, ...]


def read_memory(scan: DomainScan, vcpus: int) -> Memory:
    """Return size and guest cells, memory devices added to their cells.

    With guest cells libvirt takes the size from them and not from ``<memory>``. A device that is not made of the
    host's ordinary memory (nvdimm, virtio-pmem, sgx-epc) is noted and not counted.
    """
    cell_elements = sorted_cells(scan)
    cell_ids = tuple(number for number, _ in cell_elements)
    devices, uncounted_kib = device_memory(scan, cell_ids)
    if not cell_elements:
        memory = scan.find("memory")
        if memory is None:
            scan.fault(scan.root, "the domain has neither <memory> nor guest cells", field="<memory>")
            return Memory(total_kib=0, cells=(), cell_ids=())
        total = scan.size_kib(memory, memory.text or "") or 0
        return Memory(total_kib=max(0, total - uncounted_kib), cells=(), cell_ids=())
    cells: list[Cell] = []
    owners = _owners(scan, cell_elements, vcpus)
    for position, (_, element) in enumerate(cell_elements):
        size = (scan.size_kib(element, element.get("memory")) or 0) + devices.get(position, 0)
        mine = frozenset(vcpu for vcpu, owner in owners.items() if owner == position)
        cells.append(Cell(vcpus=mine, memory_kib=size, mem_access=element.get("memAccess")))
        scan.name_unknown_attributes(element, ("id", "cpus", "memory", "unit", "memAccess"), "guest <cell>")
        scan.name_unknown(element, ("distances",), "guest <cell>")
    scan.name_unknown(scan.find("cpu/numa"), ("cell",), "<cpu><numa>")
    return Memory(total_kib=sum(cell.memory_kib for cell in cells), cells=tuple(cells), cell_ids=cell_ids)


def sorted_cells(scan: DomainScan) -> list[tuple[int, _Element]]:
    """Return the guest cells with their ids, ascending; a cell without id has its position, as in libvirt."""
    cells: dict[int, _Element] = {}
    for position, element in enumerate(scan.all("cpu/numa/cell")):
        number = scan.number(element, element.get("id", str(position)), field="<cell id>")
        if number is None:
            continue
        if number in cells:
            scan.fault(element, f"guest cell {number} is there twice", field="<cell id>")
        else:
            cells[number] = element
    ordered = sorted(cells.items())
    if [number for number, _ in ordered] != list(range(len(ordered))):
        first = ordered[0][1]
        scan.note(first, f"guest cells are numbered {', '.join(str(n) for n, _ in ordered)}; libvirt wants 0 and up")
    return ordered


def _owners(scan: DomainScan, cells: list[tuple[int, _Element]], vcpus: int) -> dict[int, int]:
    """Return the cell position of every vCPU; those in no cell go to the first one, as libvirt fills it for QEMU."""
    owners: dict[int, int] = {}
    for position, (number, element) in enumerate(cells):
        for vcpu in sorted(scan.cpuset(element, "cpus") or ()):
            if vcpu >= vcpus:
                scan.note(element, f"guest cell {number} names vCPU {vcpu} and more, the domain has {vcpus}; left out")
                break
            if vcpu in owners:
                scan.fault(element, f"vCPU {vcpu} is in two guest cells", field="<cell cpus>")
                break
            owners[vcpu] = position
    missing = [vcpu for vcpu in range(vcpus) if vcpu not in owners]
    if missing:
        are = "1 vCPU is in no guest cell; it counts"
        if len(missing) > 1:
            are = f"{len(missing)} vCPUs are in no guest cell; they count"
        scan.note(cells[0][1], f"{are} to the first one, as libvirt does it")
    return owners | dict.fromkeys(missing, 0)


def device_memory(scan: DomainScan, cell_ids: tuple[int, ...]) -> tuple[dict[int, int], int]:
    """Return the memory devices' KiB by cell position, and the KiB of those that take no ordinary memory."""
    counted: dict[int, int] = {}
    uncounted = 0
    for device in scan.all("devices/memory"):
        model = device.get("model", "")
        size_element = device.find("target/size")
        size = scan.size_kib(size_element, size_element.text or "") if size_element is not None else None
        if size is None:
            scan.note(device, f"memory device {model!r} has no size; it is not counted")
            continue
        if model not in RAM_DEVICES:
            scan.note(
                device, f"memory device {model!r} of {size} KiB takes no ordinary memory of the host; it is not counted"
            )
            uncounted += size
            continue
        target = device.find("target/node")
        number = scan.number(target, target.text or "", field="<target><node>") if target is not None else None
        if number is not None and number not in cell_ids:
            scan.note(device, f"memory device {model!r} is in guest cell {number}, which the domain lacks")
        position = cell_ids.index(number) if number in cell_ids else 0
        counted[position] = counted.get(position, 0) + size
        if device.find("source/pagesize") is not None:
            scan.note(device, "<source><pagesize> of a memory device is not understood; it is kept as it is")
    return counted, uncounted


def read_pages(scan: DomainScan, memory: Memory) -> tuple[int | None, tuple[Cell, ...]]:
    """Return the huge page size (KiB) that the guest's memory is made of, None for ordinary pages, and its cells, those
    of other pages with a size of their own.
    """
    backing = scan.find("memoryBacking")
    scan.name_unknown(backing, ("hugepages", "locked", "access", "source"), "<memoryBacking>")
    huge = scan.find("memoryBacking/hugepages")
    if huge is None:
        return None, memory.cells
    scan.name_unknown(huge, ("page",), "<hugepages>")
    pages = huge.findall("page")
    if not pages:
        scan.note(huge, "<hugepages> names no size; the host's default is assumed")
        return _default_huge_kib(scan), memory.cells
    default: int | None = None
    by_cell: dict[int, int] = {}
    for page in pages:
        size = scan.size_kib(page, page.get("size"))
        scan.name_unknown_attributes(page, ("size", "unit", "nodeset"), "<page>")
        if size is None:
            continue
        if page.get("nodeset") is None:
            default = size
        else:
            named = scan.cpuset(page, "nodeset") or frozenset()
            by_cell.update(dict.fromkeys(named, size))
            _note_strangers(scan, page, named, memory.cell_ids)
    cells = memory.cells
    if not memory.cells:
        chosen = default if default is not None else by_cell.get(0)
    else:
        sizes = {number: by_cell.get(number, default) for number in memory.cell_ids}
        largest = max(range(len(memory.cells)), key=lambda position: memory.cells[position].memory_kib)
        chosen = sizes[memory.cell_ids[largest]]
        cells = tuple(
            cell if size == chosen else replace(cell, page_kib=size or _ORDINARY_KIB)
            for cell, size in zip(memory.cells, (sizes[number] for number in memory.cell_ids), strict=True)
        )
    return None if chosen is None or chosen <= _ORDINARY_KIB else chosen, cells


def _note_strangers(scan: DomainScan, page: _Element, cells: frozenset[int], cell_ids: tuple[int, ...]) -> None:
    strangers = sorted(cells - set(cell_ids or (0,)))
    if strangers:
        scan.note(
            page, f"<page nodeset> names guest cell {strangers[0]}, which the domain lacks; libvirt will not start it"
        )


def _default_huge_kib(scan: DomainScan) -> int:
    kind = scan.find("os/type")
    arch = kind.get("arch", "") if kind is not None else ""
    return _DEFAULT_HUGE_KIB.get(arch, 2048)


def read_numatune(scan: DomainScan, cell_ids: tuple[int, ...]) -> Numatune:
    """Return the memory policies, their modes as they stand there."""
    scan.name_unknown(scan.find("numatune"), ("memory", "memnode"), "<numatune>")
    memory = scan.find("numatune/memory")
    memnodes: dict[int, MemoryPolicy] = {}
    for element in scan.all("numatune/memnode"):
        number = scan.number(element, element.get("cellid"), field="<memnode cellid>")
        if number is None:
            continue
        policy = _policy(scan, element)
        if number not in cell_ids:
            scan.note(element, f"<memnode> names guest cell {number}, which the domain lacks; it is left out")
        else:
            memnodes[cell_ids.index(number)] = policy
    # Where every cell has a memnode, the policy of the whole holds for nothing: it cannot be too vague.
    stands_in = not cell_ids or len(memnodes) < len(cell_ids)
    return Numatune(memory=None if memory is None else _policy(scan, memory, noted=stands_in), memnodes=memnodes)


def _policy(scan: DomainScan, element: _Element, *, noted: bool = True) -> MemoryPolicy:
    mode = element.get("mode", "strict")
    nodes = scan.cpuset(element, "nodeset")
    where = f"<{element.tag} mode={mode!r}>"
    if element.get("placement") == "auto":
        scan.note(element, f"{where} with placement='auto' leaves the nodes to numad: the memory floats")
        return MemoryPolicy(mode=mode, nodeset=None)
    if noted and mode not in ("strict", "interleave", "preferred", "restrictive"):
        scan.note(element, f"{where} is not understood; its nodes are taken as a wish")
    return MemoryPolicy(mode=mode, nodeset=nodes)
