"""The elements of a domain that placer owns, one function each: pins, memory policy, new cells, huge pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from placer.emit.domain.xml_tree import add_beside, add_child, child_of, remove, remove_if_empty
from placer.errors import InputError
from placer.measure.memory_mode import LooseMemory
from placer.model.cpuset import format_cpuset, parse_cpuset
from placer.model.host import LOCAL, UNREACHABLE, Topology
from placer.model.plan import PlanCell, PlanVm
from placer.model.vm import MemoryMode, VmSpec
from placer.read.text.xml import elements

if TYPE_CHECKING:
    from lxml.etree import _Element

DOMAIN_ORDER = (
    "name", "uuid", "genid", "title", "description", "metadata", "maxMemory", "memory", "currentMemory", "blkiotune",
    "memtune", "memoryBacking", "vcpu", "vcpus", "iothreads", "iothreadids", "defaultiothread", "cputune", "numatune",
    "resource", "sysinfo", "bootloader", "os", "idmap", "features", "cpu", "clock", "on_poweroff", "on_reboot",
    "on_crash", "pm", "perf", "devices", "seclabel",
)  # fmt: skip
"""The order in which libvirt itself writes a domain: what placer adds stands where libvirt would put it."""

_CPUTUNE_ORDER = (
    "shares", "period", "quota", "global_period", "global_quota", "emulator_period", "emulator_quota",
    "iothread_period", "iothread_quota", "vcpupin", "emulatorpin", "iothreadpin",
)  # fmt: skip
_BACKING_ORDER = ("hugepages",)
_NUMATUNE_ORDER = ("memory", "memnode")
_CLOSEST, _FARTHEST = 11, 254


def floats_everywhere(vm: PlanVm, cpus: frozenset[int]) -> bool:
    """Tell whether a VM may run on all CPUs of its host, which are `cpus`: then it is pinned nowhere."""
    return bool(vm.bound) and all(pin >= cpus for pin in vm.pins.values())


def set_vcpu(root: _Element, vm: PlanVm, cpus: frozenset[int]) -> None:
    """Set ``<vcpu placement='static' cpuset>``: the union of all pins, also the default of threads without a pin.

    A VM that floats over all `cpus` of its host gets none, for a set of one host is wrong on the next.
    """
    vcpu = child_of(root, "vcpu", DOMAIN_ORDER)
    if vcpu.text is None:
        vcpu.text = str(len(vm.pins))
    vcpu.set("placement", "static")
    if floats_everywhere(vm, cpus):
        vcpu.attrib.pop("cpuset", "")
    else:
        vcpu.set("cpuset", format_cpuset(frozenset().union(*vm.pins.values())))


def set_cputune(root: _Element, vm: PlanVm, cpus: frozenset[int]) -> None:
    """Set vcpupin, emulatorpin and iothreadpin; quotas, schedulers and cache tuning beside them stay."""
    cputune = child_of(root, "cputune", DOMAIN_ORDER)
    _set_pins(cputune, "vcpupin", "vcpu", {} if floats_everywhere(vm, cpus) else vm.pins)
    if vm.emulator is None:
        for old in cputune.findall("emulatorpin"):
            remove(old)
    else:
        child_of(cputune, "emulatorpin", _CPUTUNE_ORDER).set("cpuset", format_cpuset(vm.emulator))
    _set_pins(cputune, "iothreadpin", "iothread", vm.iothreads)
    remove_if_empty(cputune)


def set_vcpu_pins(root: _Element, pins: Mapping[int, frozenset[int]]) -> None:
    """Set the vcpupin of these vCPUs; all the rest stays, the default cpuset of ``<vcpu>`` and its threads included."""
    cputune = child_of(root, "cputune", DOMAIN_ORDER)
    now = {element.get("vcpu"): element for element in cputune.findall("vcpupin")}
    for vcpu, cpus in sorted(pins.items()):
        element = now.get(str(vcpu))
        if element is None:
            element = add_child(cputune, "vcpupin", _CPUTUNE_ORDER)
            element.set("vcpu", str(vcpu))
        element.set("cpuset", format_cpuset(cpus))


def _set_pins(cputune: _Element, tag: str, key: str, pins: Mapping[int, frozenset[int]]) -> None:
    wanted = {str(number): {"cpuset": format_cpuset(cpus)} for number, cpus in sorted(pins.items())}
    _set_keyed(cputune, tag, key, wanted, _CPUTUNE_ORDER)


def _set_keyed(
    parent: _Element, tag: str, key: str, wanted: Mapping[str, Mapping[str, str]], order: Sequence[str]
) -> None:
    """Make the children `tag` of `parent` be `wanted` (key value -> attributes), old ones kept in their place."""
    kept: dict[str, _Element] = {}
    for element in parent.findall(tag):
        value = element.get(key, "")
        if value in wanted and value not in kept:
            kept[value] = element
        else:
            remove(element)
    first = next(iter(kept.values()), None)
    last: _Element | None = None
    for value, attributes in wanted.items():
        found = kept.get(value)
        if found is None:
            if last is not None:
                found = add_beside(last, tag)
            elif first is not None:
                found = add_beside(first, tag, before=True)
            else:
                found = add_child(parent, tag, order)
            found.set(key, value)
        for name, text in attributes.items():
            found.set(name, text)
        last = found


def set_numatune(
    root: _Element,
    vm: PlanVm,
    cell_ids: Sequence[int] | None,
    asked: MemoryMode | None = None,
    loose: LooseMemory | None = None,
) -> None:
    """Set the memory policy; a memnode for each guest cell (ids in `cell_ids`).

    One node a cell is bound in the mode that is `asked` for, else strictly, but where the domain says preferred or
    restrictive of it: that stays, for the node is what a plan is about. Without guest cells (`cell_ids` None) there is
    no memnode: libvirt refuses one. Memory of no node a cell is bound as `loose` says, if given.
    """
    nodes = frozenset().union(*(cell.nodes for cell in vm.cells))
    numatune = child_of(root, "numatune", DOMAIN_ORDER)
    if not nodes:
        if loose is None:
            remove(numatune)
            return
        wanted = {
            str(number): _policy(policy)
            for number, policy in zip(cell_ids or (), loose.cells, strict=False)
            if policy is not None
        }
        memory = child_of(numatune, "memory", _NUMATUNE_ORDER)
        memory.attrib.pop("placement", "")
        for name, text in _policy(loose.whole).items():
            memory.set(name, text)
        _set_keyed(numatune, "memnode", "cellid", wanted, _NUMATUNE_ORDER)
        return
    memory = child_of(numatune, "memory", _NUMATUNE_ORDER)
    if memory.get("placement") == "auto":
        del memory.attrib["placement"]
    mode, modes = memory_modes(root, vm.cells, cell_ids, asked)
    memory.set("mode", mode)
    memory.set("nodeset", format_cpuset(nodes))
    wanted = {
        str(number): {"mode": modes[cell.id], "nodeset": format_cpuset(cell.nodes)}
        for number, cell in zip(cell_ids or (), vm.cells, strict=cell_ids is not None)
        if cell.nodes
    }
    _set_keyed(numatune, "memnode", "cellid", wanted, _NUMATUNE_ORDER)


def _policy(policy: tuple[str, frozenset[int]]) -> dict[str, str]:
    return {"mode": policy[0], "nodeset": format_cpuset(policy[1])}


def loose_numatune(loose: LooseMemory) -> str:
    """Return the ``<numatune>`` of a VM of no node a cell in libvirt's own layout, two blanks a level."""
    policies = [("memory", loose.whole)]
    policies += [(f"memnode cellid='{cell}'", policy) for cell, policy in enumerate(loose.cells) if policy is not None]
    lines = (f"    <{tag} mode='{mode}' nodeset='{format_cpuset(nodes)}'/>" for tag, (mode, nodes) in policies)
    return "\n".join(["  <numatune>", *lines, "  </numatune>"])


def memory_modes(
    root: _Element | None,
    cells: Sequence[PlanCell],
    cell_ids: Sequence[int] | None = None,
    asked: MemoryMode | None = None,
) -> tuple[str, Mapping[int, str]]:
    """Return the mode of a domain's memory as a whole, and of each planned cell by its number in the plan.

    That is the planned mode, or in place of ``strict`` the one `asked` for, else the softer one that the XML has.
    Preferred is of one node only; restrictive is of the whole domain or of no cell of it, libvirt refuses any other
    mix.
    """
    nodes = frozenset().union(*(cell.nodes for cell in cells))
    if asked is not None:
        root = None
    memory = None if root is None else root.find("numatune/memory")
    old = (asked or "strict") if memory is None else memory.get("mode", "strict")
    said = (
        {}
        if root is None
        else {one.get("cellid"): one.get("mode", "strict") for one in root.findall("numatune/memnode")}
    )
    if all(cell.mode == "interleave" for cell in cells):
        mode = "interleave"
    else:
        mode = old if old == "restrictive" or (old == "preferred" and len(nodes) == 1) else "strict"
    modes: dict[int, str] = {}
    for number, cell in zip(cell_ids or range(len(cells)), cells, strict=True):
        soft = mode == "restrictive" or (said.get(str(number), old) == "preferred" and len(cell.nodes) == 1)
        modes[cell.id] = (
            cell.mode if not soft or cell.mode != "strict" else "restrictive" if mode == "restrictive" else "preferred"
        )
    return mode, modes


def page_layout(spec: VmSpec) -> tuple[int | None, ...]:
    """Return the page size (KiB) of each cell, None for ordinary pages; one figure where all are alike."""
    sizes = tuple(spec.page_of(cell) for cell in range(max(1, len(spec.cells))))
    return sizes[:1] if len(set(sizes)) == 1 else sizes


def set_hugepages(root: _Element, spec: VmSpec) -> None:
    """Set the page sizes of the guest's memory, by cell where they differ; ordinary pages are not named."""
    sizes = page_layout(spec)
    if set(sizes) == {None}:
        for old in root.findall("memoryBacking/hugepages"):
            remove(old)
        remove_if_empty(root.find("memoryBacking"))
        return
    backing = child_of(root, "memoryBacking", DOMAIN_ORDER)
    hugepages = child_of(backing, "hugepages", _BACKING_ORDER)
    for old in list(elements(hugepages)):
        remove(old)
    for size in sorted({size for size in sizes if size is not None}):
        page = add_child(hugepages, "page")
        page.set("size", str(size))
        page.set("unit", "KiB")
        if len(sizes) > 1:
            page.set("nodeset", format_cpuset(cell for cell, own in enumerate(sizes) if own == size))


def set_cells(root: _Element, cells: Sequence[PlanCell], devices_kib: Mapping[int, int], topology: Topology) -> None:
    """Write new guest cells, ids from 0, with distances scaled from the host's; a common memAccess is kept.

    `devices_kib` is the memory (KiB) of memory devices by cell: it is a cell's, but not in the cell's own figure.
    """
    cpu = child_of(root, "cpu", DOMAIN_ORDER)
    numa = child_of(cpu, "numa", ())
    access = {cell.get("memAccess") for cell in numa.findall("cell")}
    for old in list(numa):
        remove(old)
    distances = guest_distances(cells, topology)
    for number, cell in enumerate(cells):
        element = add_child(numa, "cell")
        element.set("id", str(number))
        if cell.vcpus:
            element.set("cpus", format_cpuset(cell.vcpus))
        element.set("memory", str(cell.memory_kib - devices_kib.get(number, 0)))
        element.set("unit", "KiB")
        common = next(iter(access)) if len(access) == 1 else None
        if common is not None:
            element.set("memAccess", common)
        if len(cells) > 1:
            _add_distances(element, distances[number])


def _add_distances(cell: _Element, row: Iterable[int]) -> None:
    parent = add_child(cell, "distances")
    for number, value in enumerate(row):
        sibling = add_child(parent, "sibling")
        sibling.set("id", str(number))
        sibling.set("value", str(value))


def guest_distances(cells: Sequence[PlanCell], topology: Topology) -> list[list[int]]:
    """Return what the guest is told of the distances between its cells: 10 on the diagonal, 11 to 254 beside it.

    A cell lies where its memory does, on several nodes in equal parts; 255 stays what it means, not reachable.
    """
    position = {node: number for number, node in enumerate(topology.node_ids)}
    places = [[position[node] for node in cell.nodes] for cell in cells]
    rows = []
    for own, here in enumerate(places):
        row = []
        for other, there in enumerate(places):
            if own == other:
                row.append(int(LOCAL))
                continue
            pairs = [topology.distances[i][j] for i in here for j in there]
            if not pairs or any(value >= UNREACHABLE for value in pairs):
                row.append(int(UNREACHABLE) if pairs else 20)
            else:
                row.append(max(_CLOSEST, min(_FARTHEST, round(sum(pairs) / len(pairs)))))
        rows.append(row)
    return rows


def remove_cells(root: _Element) -> None:
    """Take the guest's cells out: a reshaped VM is shown one flat memory."""
    for numa in root.findall("cpu/numa"):
        cpu = numa.getparent()
        remove(numa)
        remove_if_empty(cpu)


def set_device_nodemasks(
    root: _Element, vm: PlanVm, cell_ids: Sequence[int] | None, topology: Topology, origin: Topology | None = None
) -> None:
    """Make a memory device that names host nodes name those of its guest cell.

    Where that has none, the device keeps its nodes while the VM stays on its host. On another it has all where it has
    all on `origin`, else those that its cell is bound to, else those of its own that the host has too; libvirt takes no
    empty set.
    """
    by_id = {} if cell_ids is None else dict(zip(cell_ids, vm.cells, strict=True))
    moved = vm.from_host is not None and vm.from_host != vm.host
    for device in root.findall("devices/memory"):
        mask = device.find("source/nodemask")
        if mask is None:
            continue
        target = (device.findtext("target/node") or "").strip()
        cell = by_id.get(int(target)) if target.isascii() and target.isdigit() else None
        of = vm.cells if cell is None else (cell,)
        nodes = frozenset[int]().union(*(one.nodes for one in of))
        if not nodes and vm.bound and not moved and vm.from_host is not None:
            continue
        if not nodes:
            said = _node_set(mask.text)
            sets = [vm.bound[one.id if len(vm.bound) > 1 else 0] for one in of] if vm.bound else []
            bound = frozenset[int]().union(*(one.memory or one.wish for one in sets))
            everywhere = origin is not None and origin.memory_nodes <= said
            nodes = topology.memory_nodes if everywhere else bound or said & topology.memory_nodes
        mask.text = format_cpuset(nodes or topology.memory_nodes)


def _node_set(text: str | None) -> frozenset[int]:
    try:
        return parse_cpuset((text or "").strip())
    except InputError:
        return frozenset()
