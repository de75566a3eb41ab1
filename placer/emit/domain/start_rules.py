"""What QEMU refuses when a domain starts, though libvirt's schema and its test driver take it.

Each rule is one function that yields what offends it. Source: libvirt 9.0, docs/formatdomain and the QEMU driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from placer.errors import Fault, InputError
from placer.model.cpu_topology import LEVELS
from placer.model.cpuset import format_cpuset, parse_cpuset
from placer.model.host import Topology
from placer.model.units import libvirt_kib
from placer.read.text.xml import line_of, parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

_NEEDS_SLOT = frozenset({"dimm", "nvdimm", "virtio-mem", "virtio-pmem"})
_ORDINARY_KIB = 4
_MOST_VCPUS = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What the rules look at. `cells` maps the id of each guest cell to its element, vCPUs and memory (KiB)."""

    root: _Element
    vcpus: int
    cells: dict[int, tuple[_Element, frozenset[int], int]]
    host: Topology | None


Offence = tuple["_Element", str]


def start_faults(xml: bytes, source: str, *, host: Topology | None = None) -> list[Fault]:
    """Return why this domain would not start; an empty list if it would, as far as its XML tells.

    Parameters
    ----------
    xml
        The domain's XML.
    source
        The name of the XML in messages.
    host
        The machine it is to start on; with it CPUs and nodes that the machine lacks are found too.

    Raises
    ------
    InputError
        The XML is not well-formed.
    """
    root = parse_xml(xml, source)
    guest = Guest(root=root, vcpus=_number(root.findtext("vcpu"), 1), cells=_cells(root), host=host)
    return [
        Fault(message=message, file=source, line=line_of(element), field=f"<{element.tag}>")
        for rule in RULES
        for element, message in rule(guest)
    ]


def cell_ids_count_from_zero(guest: Guest) -> Iterator[Offence]:
    """Guest cells are numbered from 0 without holes."""
    if guest.cells and sorted(guest.cells) != list(range(len(guest.cells))):
        first = guest.cells[min(guest.cells)][0]
        yield first, f"guest cells are numbered {format_cpuset(guest.cells)}, not 0-{len(guest.cells) - 1}"


def every_vcpu_is_in_one_cell(guest: Guest) -> Iterator[Offence]:
    """Every vCPU up to the maximum is in exactly one guest cell."""
    seen: set[int] = set()
    for element, vcpus, _ in guest.cells.values():
        if vcpus & seen:
            yield element, f"vCPUs {format_cpuset(vcpus & seen)} are in another guest cell too"
        seen |= vcpus
        beyond = {vcpu for vcpu in vcpus if vcpu >= guest.vcpus}
        if beyond:
            yield element, f"vCPUs {format_cpuset(beyond)} are beyond the domain's {guest.vcpus}"
    missing = set(range(guest.vcpus)) - seen
    if guest.cells and missing:
        yield next(iter(guest.cells.values()))[0], f"vCPUs {format_cpuset(missing)} are in no guest cell"


def topology_multiplies_to_vcpus(guest: Guest) -> Iterator[Offence]:
    """Sockets × dies × clusters × cores × threads is the maximum of vCPUs."""
    element = guest.root.find("cpu/topology")
    if element is None:
        return
    count = prod(_number(element.get(level), 1) for level in LEVELS)
    if count != guest.vcpus:
        yield element, f"the guest's topology has {count} threads, the domain {guest.vcpus} vCPUs"


def no_core_straddles_cells(guest: Guest) -> Iterator[Offence]:
    """The threads of a guest core are in one guest cell."""
    element = guest.root.find("cpu/topology")
    threads = 1 if element is None else _number(element.get("threads"), 1)
    if element is None or threads < 2 or not guest.cells:
        return
    owner = {vcpu: number for number, (_, vcpus, _) in guest.cells.items() for vcpu in vcpus}
    for first in range(0, guest.vcpus, threads):
        core = range(first, min(first + threads, guest.vcpus))
        if len({owner.get(vcpu) for vcpu in core}) > 1:
            yield element, f"the guest core of vCPUs {format_cpuset(core)} straddles guest cells"


def distances_are_sane(guest: Guest) -> Iterator[Offence]:
    """Guest distances are 10 on the diagonal, 11 to 255 elsewhere (255: not reachable), and name cells that exist."""
    for number, (cell, _, _) in guest.cells.items():
        for sibling in cell.findall("distances/sibling"):
            other, value = _number(sibling.get("id"), -1), _number(sibling.get("value"), -1)
            if other not in guest.cells:
                yield sibling, f"guest cell {number} has a distance to cell {other}, which there is not"
            elif (value != 10) if other == number else not 11 <= value <= 255:
                yield sibling, f"the guest distance {value} from cell {number} to cell {other} is none"


def pages_name_guest_cells(guest: Guest) -> Iterator[Offence]:
    """The nodeset of a huge page names guest cells, not host nodes."""
    known = set(guest.cells) or {0}
    for page in guest.root.findall("memoryBacking/hugepages/page"):
        strangers = _set(page.get("nodeset")) - known
        if strangers:
            yield page, f"the nodeset of a huge page names guest cells {format_cpuset(strangers)}, which there are not"


def memory_is_whole_pages(guest: Guest) -> Iterator[Offence]:
    """A cell, a memory device and a flat guest's memory are multiples of the huge page they are made of."""
    if guest.root.find("memoryBacking/hugepages/page") is None:
        return
    for number, (element, _, size) in guest.cells.items():
        page = _page_kib(guest, number)
        if size % page:
            yield element, f"guest cell {number} has {size} KiB, no multiple of its page of {page} KiB"
    for device in guest.root.findall("devices/memory"):
        page = _page_kib(guest, _number(device.findtext("target/node"), 0))
        size = _kib(device.find("target/size"))
        if device.get("model") in ("dimm", "virtio-mem") and size % page:
            yield device, f"a memory device has {size} KiB, no multiple of its page of {page} KiB"
    memory = guest.root.find("memory")
    if not guest.cells and memory is not None and _kib(memory) % _page_kib(guest, 0):
        yield memory, f"the guest has {_kib(memory)} KiB, no multiple of its page of {_page_kib(guest, 0)} KiB"


def memory_devices_have_a_cell(guest: Guest) -> Iterator[Offence]:
    """A memory device is in a guest cell that exists, and the domain has slots for it."""
    for device in guest.root.findall("devices/memory"):
        target = device.findtext("target/node")
        if target is not None and _number(target, -1) not in guest.cells:
            yield device, f"a memory device is in guest cell {target.strip()[:20]}, which there is not"
        if device.get("model") in _NEEDS_SLOT and guest.root.find("maxMemory") is None:
            yield device, "a memory device needs <maxMemory>"


def expander_buses_have_a_cell(guest: Guest) -> Iterator[Offence]:
    """A PCI expander bus names a guest cell that exists."""
    for controller in guest.root.findall("devices/controller"):
        target = controller.findtext("target/node")
        if target is not None and _number(target, -1) not in guest.cells:
            yield controller, f"a PCI expander bus is in guest cell {target.strip()[:20]}, which there is not"


def memnodes_have_a_cell(guest: Guest) -> Iterator[Offence]:
    """A memnode names a guest cell that exists, once."""
    seen: set[int] = set()
    for element in guest.root.findall("numatune/memnode"):
        number = _number(element.get("cellid"), -1)
        if number not in guest.cells:
            yield element, f"<memnode> names guest cell {number}, which there is not"
        if number in seen:
            yield element, f"<memnode> of guest cell {number} is there twice"
        seen.add(number)


def memnodes_are_static(guest: Guest) -> Iterator[Offence]:
    """There is no memnode beside ``placement='auto'``: of the memory, or of the vCPUs where the memory says nothing."""
    memory, vcpu = guest.root.find("numatune/memory"), guest.root.find("vcpu")
    automatic = memory is not None and memory.get("placement") == "auto"
    if memory is None and vcpu is not None:
        automatic = vcpu.get("placement") == "auto"
    memnode = guest.root.find("numatune/memnode")
    if automatic and memnode is not None:
        yield memnode, "<memnode> beside placement='auto'"


def restrictive_modes_agree(guest: Guest) -> Iterator[Offence]:
    """Where one memory policy is restrictive, all are."""
    policies = [*guest.root.findall("numatune/memory"), *guest.root.findall("numatune/memnode")]
    modes = {element.get("mode", "strict") for element in policies}
    if "restrictive" in modes and len(modes) > 1:
        yield policies[0], f"memory modes {', '.join(sorted(modes))}: restrictive holds for all or for none"


def pins_are_on_the_host(guest: Guest) -> Iterator[Offence]:
    """Pins name CPUs, and memory policies name nodes, that the host has."""
    if guest.host is None:
        return
    for path in ("vcpu", "cputune/vcpupin", "cputune/emulatorpin", "cputune/iothreadpin"):
        for element in guest.root.findall(path):
            strangers = _set(element.get("cpuset")) - guest.host.cpus
            if strangers:
                yield element, f"the host has no CPUs {format_cpuset(strangers)}"
    for path in ("numatune/memory", "numatune/memnode"):
        for element in guest.root.findall(path):
            strangers = _set(element.get("nodeset")) - set(guest.host.node_ids)
            if strangers:
                yield element, f"the host has no NUMA nodes {format_cpuset(strangers)}"


def pins_name_threads(guest: Guest) -> Iterator[Offence]:
    """A vcpupin names a vCPU of the domain, once, and gives it at least one CPU."""
    seen: set[int] = set()
    for element in guest.root.findall("cputune/vcpupin"):
        vcpu = _number(element.get("vcpu"), -1)
        if not 0 <= vcpu < guest.vcpus:
            yield element, f"<vcpupin> names vCPU {vcpu}, the domain has {guest.vcpus}"
        if vcpu in seen:
            yield element, f"<vcpupin> of vCPU {vcpu} is there twice"
        seen.add(vcpu)
        if not _set(element.get("cpuset")):
            yield element, f"vCPU {vcpu} is pinned to no CPU"


RULES: tuple[Callable[[Guest], Iterator[Offence]], ...] = (
    cell_ids_count_from_zero,
    every_vcpu_is_in_one_cell,
    topology_multiplies_to_vcpus,
    no_core_straddles_cells,
    distances_are_sane,
    pages_name_guest_cells,
    memory_is_whole_pages,
    memory_devices_have_a_cell,
    expander_buses_have_a_cell,
    memnodes_have_a_cell,
    memnodes_are_static,
    restrictive_modes_agree,
    pins_are_on_the_host,
    pins_name_threads,
)


def _cells(root: _Element) -> dict[int, tuple[_Element, frozenset[int], int]]:
    cells = {}
    for position, element in enumerate(root.findall("cpu/numa/cell")):
        number = _number(element.get("id"), position)
        cells[number] = (element, _set(element.get("cpus")), _kib(element, element.get("memory")))
    return cells


def _page_kib(guest: Guest, cell: int) -> int:
    """Return the page of a guest cell (KiB): that whose nodeset names it, else that without nodeset, else ordinary."""
    default = _ORDINARY_KIB
    for page in guest.root.findall("memoryBacking/hugepages/page"):
        size = _kib(page, page.get("size")) or _ORDINARY_KIB
        if page.get("nodeset") is None:
            default = size
        elif cell in _set(page.get("nodeset")):
            return size
    return default


def _number(text: str | None, default: int) -> int:
    digits = (text or "").strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
        return default
    return min(int(digits), _MOST_VCPUS)


def _set(text: str | None) -> frozenset[int]:
    try:
        return parse_cpuset(text or "")
    except InputError:
        return frozenset()


def _kib(element: _Element | None, text: str | None = None) -> int:
    if element is None:
        return 0
    try:
        return libvirt_kib(text if text is not None else element.text or "", element.get("unit"))
    except InputError:
        return 0
