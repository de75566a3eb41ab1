"""Lint of guests: vNUMA sizing, and domain XML that defeats its own memory policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from placer.errors import InputError
from placer.lint.seen import Guest, Said
from placer.model.cpu_topology import cut_sockets
from placer.model.cpuset import format_cpuset, parse_cpuset
from placer.model.units import count, format_kib, libvirt_kib
from placer.model.vm import CellMode, ThreadPolicy

if TYPE_CHECKING:
    from lxml.etree import _Element


def odd_vcpus(guest: Guest) -> Iterator[Said]:
    """An odd number of vCPUs above a node's size cannot be cut into equal cells."""
    vcpus = guest.vm.spec.vcpus
    if vcpus > guest.node.cpus and vcpus % 2:
        yield (
            f"{vcpus} vCPUs are more than a node's {guest.node.cpus} and odd: no two equal cells",
            "give an even count",
        )


def more_cells_than_needed(guest: Guest) -> Iterator[Said]:
    """A guest with more cells than the nodes it needs pays remote access inside for nothing.

    Cells of memory alone are none of them, vCPUs that are alone on their cores need as many cores, devices may ask for
    their nodes, cells of several page sizes are for these, and only as many cells as divide the vCPUs are advised.
    """
    spec = guest.vm.spec
    if len(set(spec.page_sizes)) > 1:
        return
    cells = sum(1 for cell in spec.cells if cell.vcpus)
    if spec.cell_mode is not CellMode.GIVEN or cells < 2 or any(one.policy == "required" for one in spec.devices):
        return
    alone = spec.thread_policy is ThreadPolicy.ISOLATE or guest.alone_on_cores
    for needed in range(1, cells):
        vcpus, kib = spec.vcpus // needed, -(-spec.memory_kib // needed)
        fits = sum((size.cores if alone else size.cpus) >= vcpus and size.memory_kib >= kib for size in guest.room)
        if spec.vcpus % needed == 0 and fits >= needed:
            yield f"{cells} cells, and {needed} would do on these nodes", f"cells: {needed} when it may restart"
            return


def cell_wider_than_cores(guest: Guest) -> Iterator[Said]:
    """A cell of more dedicated vCPUs than a node has cores runs on SMT siblings, and the guest does not know.

    Pins that are there tell more than sizes (`pins-over-siblings`), guest threads say it to the guest, and vCPUs that
    float run where there is room.
    """
    spec, cores, now = guest.vm.spec, guest.node.cores, guest.vm.current
    floats = now is not None and (now.nodes is None or now.pins)
    if cores == guest.node.cpus or floats or guest.topology("threads") > 1 or spec.interleave > 1:
        return
    for number, cell in enumerate(spec.cells):
        own = sum(spec.is_dedicated(vcpu) for vcpu in cell.vcpus)
        if cores < own <= guest.node.cpus:
            yield (
                f"cell {number} has {count(own, 'vCPU')}, a node has {count(cores, 'core')}: they share cores by SMT",
                "cut it into more cells, or accept the siblings",
            )


def memory_over_node(guest: Guest) -> Iterator[Said]:
    """Memory of one cell that is more than any node has cannot be local; not every source tells what nodes have."""
    for number, cell in enumerate(guest.vm.spec.cells if guest.node.memory_kib else ()):
        if cell.memory_kib > guest.node.memory_kib and guest.vm.spec.interleave == 1:
            yield (
                f"cell {number} has {format_kib(cell.memory_kib)}, "
                f"the largest node {format_kib(guest.node.memory_kib)}",
                "cut the guest into cells that fit",
            )


def sockets_not_cells(guest: Guest) -> Iterator[Said]:
    """Sockets that cells cut make the guest's scheduler see caches where there are none.

    A cell of several sockets is sound, and so are several cells in each of several sockets, or of one whose dies or
    clusters they do not cut.
    """
    spec = guest.vm.spec
    cells = [cell.vcpus for cell in spec.cells if cell.vcpus]
    sockets = guest.topology("sockets")
    told = guest.root is not None and guest.root.find("cpu/topology") is not None
    if not told or spec.cell_mode is not CellMode.GIVEN or len(cells) < 2 or not sockets or spec.vcpus % sockets:
        return
    if sockets == 1:
        dies = guest.topology("dies")
        for parts in (dies, dies * guest.topology("clusters")):
            whole = parts > 1 and spec.vcpus % parts == 0
            if whole and not any(cut_sockets(cells, spec.vcpus, spec.vcpus // parts)):
                return
        yield f"one socket over {len(cells)} cells", f"give {len(cells)} sockets, or dies"
        return
    socket = next(cut_sockets(cells, spec.vcpus, spec.vcpus // sockets), None)
    if socket is not None:
        yield (
            f"{sockets} sockets and {len(cells)} cells: vCPUs {format_cpuset(socket)} are one socket, and a cell "
            "cuts it",
            f"give {len(cells)} sockets, and each cell the vCPUs of whole ones",
        )


def hotplug_with_numa(guest: Guest) -> Iterator[Said]:
    """With CPU hot-plug, cells hold vCPUs that are not there yet, and fill unevenly; one cell has them all anyway."""
    spec = guest.vm.spec
    cells = sum(1 for cell in spec.cells if cell.vcpus)
    if spec.vcpus_current is not None and spec.vcpus_current < spec.vcpus and cells > 1:
        yield (
            f"{spec.vcpus_current} of {spec.vcpus} vCPUs are plugged in a guest with {cells} cells",
            "plug all of them, or leave the cells out",
        )


def ballooning_beside_strict(guest: Guest) -> Iterator[Said]:
    """A balloon gives memory back and takes it from wherever the policy still allows: strict nodes run out."""
    if guest.root is None or not guest.strict:
        return
    balloon = guest.root.find("devices/memballoon")
    memory, current = (_kib(guest.root.find(tag)) for tag in ("memory", "currentMemory"))
    auto = balloon is not None and "on" in (balloon.get("autodeflate"), balloon.get("freePageReporting"))
    smaller = memory is not None and current is not None and current < memory
    if auto or (smaller and not (balloon is not None and balloon.get("model") == "none")):
        yield "ballooning beside strict memory", "set currentMemory to memory, and <memballoon model='none'/>"


def numad_beside_pins(guest: Guest) -> Iterator[Said]:
    """Placement by numad at every start undoes a plan."""
    if guest.root is None:
        return
    paths = ("vcpu", "numatune/memory")
    if any((found := guest.root.find(path)) is not None and found.get("placement") == "auto" for path in paths):
        yield "placement='auto' asks numad at every start", "export the plan: it makes the placement static"


def hugepages_name_host_nodes(guest: Guest) -> Iterator[Said]:
    """The nodeset of huge pages counts guest cells; people write host nodes there."""
    if guest.root is None:
        return
    cells = range(len(guest.root.findall("cpu/numa/cell")) or 1)
    for page in guest.root.findall("memoryBacking/hugepages/page"):
        try:
            named = parse_cpuset(page.get("nodeset") or "")
        except InputError:
            continue
        strangers = named - frozenset(cells)
        if strangers:
            yield (
                f"the nodeset {format_cpuset(named)} of its huge pages names guest cells, and it has {len(cells)}",
                "name guest cells; host nodes stand in <numatune>",
            )


def swap_beside_strict(guest: Guest) -> Iterator[Said]:
    """Where a strict node is full, the kernel swaps the guest though other nodes have room."""
    if guest.host is None or not guest.host.settings.swap_kib or not guest.strict:
        return
    locked = guest.root is not None and guest.root.find("memoryBacking/locked") is not None
    if guest.vm.spec.page_kib is None and not locked:
        yield "strict ordinary memory on a host with swap", "huge pages, <locked/>, or no swap"


RULES: tuple[tuple[str, Callable[[Guest], Iterator[Said]]], ...] = (
    ("odd-vcpus", odd_vcpus),
    ("more-cells-than-needed", more_cells_than_needed),
    ("cell-wider-than-cores", cell_wider_than_cores),
    ("memory-over-node", memory_over_node),
    ("sockets-not-cells", sockets_not_cells),
    ("hotplug-with-numa", hotplug_with_numa),
    ("ballooning-beside-strict", ballooning_beside_strict),
    ("numad-placement", numad_beside_pins),
    ("hugepages-name-host-nodes", hugepages_name_host_nodes),
    ("swap-beside-strict", swap_beside_strict),
)


def _kib(element: _Element | None) -> int | None:
    try:
        return None if element is None else libvirt_kib(element.text or "", element.get("unit"))
    except InputError:
        return None
