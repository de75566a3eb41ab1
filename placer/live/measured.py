"""Where the threads and the memory of a running QEMU really are, and the remote share that this amounts to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from placer.errors import InputError
from placer.live.host_files import MemoryArea, Process
from placer.measure.measure import ScoreCache
from placer.model.cpuset import parse_cpuset
from placer.model.host import Topology
from placer.model.plan import PlanVm
from placer.model.units import libvirt_kib
from placer.model.vm import VmSpec
from placer.read.domains.memory import device_memory, read_numatune, sorted_cells
from placer.read.domains.scan import DomainScan
from placer.read.text.xml import parse_xml

_VCPU = re.compile(r"CPU (\d+)/(?:KVM|TCG)")
_IOTHREAD = re.compile(r"IO iothread(\d+)")
_RAM_FILE = re.compile(r"ram-node(\d+)(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the host's kernel says of one QEMU.

    `vcpus`, `iothreads` and `emulator` are the CPUs that threads may run on; the emulator set is that of QEMU's main
    thread and of vhost threads, each by its name. `cells_kib` holds the memory of each cell by node; a cell that could
    not be told apart from QEMU's other memory is not in it. `remote_share` is None where threads or memory are unknown.
    """

    vcpus: Mapping[int, frozenset[int]] = field(default_factory=dict)
    iothreads: Mapping[int, frozenset[int]] = field(default_factory=dict)
    emulator: Mapping[str, frozenset[int]] = field(default_factory=dict)
    cells_kib: Mapping[int, Mapping[int, int]] = field(default_factory=dict)
    remote_share: float | None = None


def measure(vm: PlanVm, spec: VmSpec, topology: Topology, live_xml: bytes, process: Process) -> Measured:
    """Return where a running VM is.

    The remote share is the plan's measure (`placer.measure.measure`) of what was found: each vCPU on the CPUs its
    thread may run on, each cell's memory on the nodes where its pages are. It says where accesses go if the guest uses
    its cells as the plan supposes, not which it makes.
    """
    vcpus: dict[int, frozenset[int]] = {}
    iothreads: dict[int, frozenset[int]] = {}
    emulator: dict[str, frozenset[int]] = {}
    for thread in process.threads:
        if match := _VCPU.fullmatch(thread.name):
            vcpus[int(match[1])] = thread.cpus
        elif match := _IOTHREAD.fullmatch(thread.name):
            iothreads[int(match[1])] = thread.cpus
        elif thread.id == process.pid:
            emulator["main thread"] = thread.cpus
        elif thread.name.startswith("vhost-"):
            emulator[f"{thread.name} ({thread.id})"] = thread.cpus
    cells = cell_memory(live_xml, len(vm.cells), process.areas)
    return Measured(
        vcpus=vcpus,
        iothreads=iothreads,
        emulator=emulator,
        cells_kib=cells,
        remote_share=_remote_share(vm, spec, topology, vcpus, cells),
    )


def _remote_share(
    vm: PlanVm,
    spec: VmSpec,
    topology: Topology,
    vcpus: Mapping[int, frozenset[int]],
    cells_kib: Mapping[int, Mapping[int, int]],
) -> float | None:
    """Return the measure of the VM as it was found, None where a vCPU or a cell's memory was not."""
    pins = {vcpu: vcpus.get(vcpu, frozenset()) & topology.cpus for vcpu in vm.pins}
    cells = []
    for position, cell in enumerate(vm.cells):
        nodes = {node: kib for node, kib in cells_kib.get(position, {}).items() if node in topology.node_ids}
        if cell.memory_kib and not sum(nodes.values()):
            return None
        cells.append(replace(cell, nodes=nodes or cell.nodes))
    if not all(pins.values()):
        return None
    return ScoreCache().score(spec, topology, replace(vm, pins=pins, cells=tuple(cells))).remote_share


@dataclass(frozen=True, slots=True)
class _Block:
    """A piece of guest memory that QEMU maps as one: its size, its cell and the nodes it is bound to, if any."""

    size_kib: int
    cell: int
    nodes: frozenset[int]


def cell_memory(live_xml: bytes, cells: int, areas: Iterable[MemoryArea]) -> dict[int, dict[int, int]]:
    """Return the pages (KiB) by node of each guest cell, as far as its memory is found among a process's areas.

    A file-backed area names its cell. Anonymous ones are known by their size, and among equal sizes by the nodes that
    they are bound to; an area of that size that belongs to no cell has another policy and fewer pages.
    """
    blocks = _blocks(live_xml, cells)
    free = [area for area in areas if area.size_kib in {block.size_kib for block in blocks}]
    found: dict[int, dict[int, int]] = {}
    lost: set[int] = set()
    for block in sorted(blocks, key=lambda block: (not block.nodes, block.cell)):
        area = _best(block, free)
        if area is None:
            lost.add(block.cell)
            continue
        free.remove(area)
        nodes = found.setdefault(block.cell, {})
        for node, kib in area.nodes_kib.items():
            nodes[node] = nodes.get(node, 0) + kib
    return {cell: nodes for cell, nodes in found.items() if cell not in lost}


def _best(block: _Block, areas: Sequence[MemoryArea]) -> MemoryArea | None:
    fitting = [area for area in areas if area.size_kib == block.size_kib and _names(area) in (None, block.cell)]
    if not fitting:
        return None
    return max(
        fitting,
        key=lambda area: (
            _names(area) == block.cell,
            _bound_to(area) == block.nodes,
            bool(_bound_to(area)) == bool(block.nodes),
            sum(area.nodes_kib.values()),
        ),
    )


def _names(area: MemoryArea) -> int | None:
    match = _RAM_FILE.search(area.file)
    return None if match is None else int(match[1])


def _bound_to(area: MemoryArea) -> frozenset[int]:
    """Return the nodes of a policy such as ``bind:1`` or ``interleave:0,2``."""
    try:
        return parse_cpuset(area.policy.partition(":")[2])
    except InputError:
        return frozenset()


def _blocks(live_xml: bytes, cells: int) -> list[_Block]:
    scan = DomainScan(parse_xml(live_xml, "live XML"), "live XML")
    elements = sorted_cells(scan)
    ids = tuple(number for number, _ in elements)
    numatune = read_numatune(scan, ids)
    policies = [numatune.of_cell(position) for position in range(max(cells, len(ids), 1))]
    nodes = [frozenset() if policy is None or policy.nodeset is None else policy.nodeset for policy in policies]
    devices, _ = device_memory(scan, ids)
    blocks = []
    for device in scan.all("devices/memory"):
        size = device.find("target/size")
        if size is not None and device.get("model") in ("dimm", "virtio-mem"):
            target = (device.findtext("target/node") or "0").strip()
            cell = ids.index(int(target)) if target.isdigit() and int(target) in ids else 0
            blocks.append(_Block(libvirt_kib(size.text or "0", size.get("unit")), cell, nodes[cell]))
    if elements:
        sizes = [libvirt_kib(element.get("memory", "0"), element.get("unit")) for _, element in elements]
        blocks += [_Block(size, cell, nodes[cell]) for cell, size in enumerate(sizes) if size]
    else:
        memory = scan.root.find("memory")
        total = 0 if memory is None else libvirt_kib(memory.text or "0", memory.get("unit"))
        blocks.append(_Block(total - sum(devices.values()), 0, nodes[0]))
    return blocks
