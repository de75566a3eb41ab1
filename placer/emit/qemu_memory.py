"""The memory of a guest as QEMU takes it: a backend for each cell, bound to host nodes, and memory devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from placer.emit.domain.elements import memory_modes
from placer.errors import InputError
from placer.model.cpuset import format_cpuset
from placer.model.plan import PlanVm
from placer.model.units import KIB_PER_MIB, libvirt_kib
from placer.model.vm import MemoryMode, VmSpec
from placer.read.domains.memory import RAM_DEVICES, device_memory
from placer.read.domains.scan import DomainScan

if TYPE_CHECKING:
    from lxml.etree import _Element

_ALIGNMENT_KIB = 8
_ORDINARY_KIB = 4


def memory_policy(
    vm: PlanVm, number: int, root: _Element | None, asked: MemoryMode | None = None
) -> tuple[frozenset[int], str | None]:
    """Return the host nodes that hold a cell's memory and QEMU's policy for them; none where nothing binds it.

    Of a VM that is not bound to one node a cell these are the nodes that it may use, as its XML has it, or those that
    its memory rather lies on; where that is no more than what pins let expect, the XML binds nothing, and so does QEMU.
    """
    cell = vm.cells[number]
    policies = {"strict": "bind", "interleave": "interleave", "preferred": "preferred"}
    if cell.nodes or not vm.bound:
        return frozenset(cell.nodes), policies.get(memory_modes(root, vm.cells, asked=asked)[1][cell.id])
    bound = vm.bound[number if len(vm.bound) == len(vm.cells) else 0]
    said = None
    if root is not None:
        said = root.find(f"numatune/memnode[@cellid='{cell.id}']")
        said = root.find("numatune/memory") if said is None else said
    if bound.memory is None:
        wished = root is None or (said is not None and said.get("mode") == "preferred")
        return (bound.wish, "preferred") if wished else (frozenset(), None)
    return bound.memory, "bind" if said is None else policies.get(said.get("mode", "strict"))


def memory_backend(
    name: str,
    kib: int,
    page_kib: int | None,
    root: _Element | None,
    policy: tuple[frozenset[int], str | None],
    access: str | None,
) -> str:
    """Return a backend of so much memory (KiB) in pages of a size (KiB; None: ordinary ones).

    A memfd is shared unless told otherwise, which libvirt's other sources are not: where the domain has none of either,
    it is told.
    """
    given = None if root is None else root.find("memoryBacking/access")
    access = access or (None if given is None else given.get("mode"))
    source = None if root is None else root.find("memoryBacking/source")
    is_memfd = source is not None and source.get("type") == "memfd"
    if page_kib is not None:
        kind = f"memory-backend-memfd,id={name},hugetlb=on,hugetlbsize={size_text(page_kib)},prealloc=on"
    else:
        kind = f"memory-backend-{'memfd' if is_memfd or access == 'shared' else 'ram'},id={name}"
    shared = {"shared": ",share=on", "private": ",share=off"}.get(access or "", "")
    if not shared and root is not None and not is_memfd and page_kib is not None:
        shared = ",share=off"
    nodes = "".join(f",host-nodes={run}" for run in runs(policy[0]))
    bound = f"{nodes},policy={policy[1]}" if nodes and policy[1] is not None else ""
    return f"{kind},size={size_text(whole_kib(kib, page_kib))}{bound}{shared}"


def devices_kib(root: _Element | None, vm: PlanVm) -> Mapping[int, int]:
    """Return the KiB of memory devices by guest cell: they are in a plan's figures, and no memory of the boot."""
    if root is None or not vm.shown or vm.new_cells:
        return {}
    found, _ = device_memory(DomainScan(root, vm.name), tuple(range(len(vm.cells))))
    return found


def hotplug_room(root: _Element | None) -> str:
    """Return what ``-m`` says of slots and of the most memory, devices that are not there yet included."""
    most = None if root is None else root.find("maxMemory")
    if most is None:
        return ""
    written = most.get("slots", "").strip()
    if written and not (written.isascii() and written.isdecimal()):
        # Anything else would be options of its own behind a comma.
        raise InputError(f"<maxMemory slots={written[:40]!r}> of a domain is no number: write how many slots it has")
    slots = f",slots={int(written)}" if written else ""
    return f"{slots},maxmem={size_text(libvirt_kib(most.text or '', most.get('unit')))}"


def memory_devices(root: _Element, vm: PlanVm, spec: VmSpec) -> Iterator[str]:
    """Yield the arguments of the domain's DIMMs, NVDIMMs and virtio-mem devices, each bound as its guest cell is; an
    NVDIMM is the file that the XML names.

    A page size of its own, access and the wanted size of virtio-mem are those of the XML.
    """
    for number, device in enumerate(root.findall("devices/memory")):
        model = device.get("model", "")
        size = device.find("target/size")
        if model == "nvdimm" and size is not None:
            yield from _nvdimm(device, number, _kib(size), len(vm.cells))
            continue
        if model not in RAM_DEVICES or size is None:
            continue
        target = (device.findtext("target/node") or "0").strip()
        at = int(target) if target.isdigit() and int(target) < len(vm.cells) else 0
        page = device.find("source/pagesize")
        own = spec.page_of(at) if page is None else _kib(page)
        page_kib = None if own is None or own <= _ORDINARY_KIB else own
        access = device.get("access") or (spec.cells[at].mem_access if at < len(spec.cells) else None)
        name = f"{'memdimm' if model == 'dimm' else 'memvirtiomem'}{number}"
        policy = memory_policy(vm, at, root, spec.memory_mode)
        backend = memory_backend(name, _kib(size), page_kib, root, policy, access)
        if model != "dimm":
            # Its memory comes as it is wanted: all of it at once is what virtio-mem is there to avoid.
            backend = backend.replace(",prealloc=on", "") + ",reserve=off"
        yield from (
            "-object",
            backend,
            "-device",
            f"pc-dimm,node={at},memdev={name}" if model == "dimm" else _virtio_mem(device, at, name),
        )


def has_nvdimm(root: _Element) -> bool:
    """Tell whether a domain has memory that persists: then the machine says ``nvdimm=on``."""
    return root.find("devices/memory[@model='nvdimm']") is not None


def _nvdimm(device: _Element, number: int, kib: int, cells: int) -> Iterator[str]:
    """Yield the arguments of an NVDIMM: a file as its memory, not bound, for the file is where it is."""
    path = (device.findtext("source/path") or "").strip()
    if not path:
        raise InputError("<memory model='nvdimm'> of a domain names no <path>")
    name, target = f"memnvdimm{number}", (device.findtext("target/node") or "0").strip()
    backend = f"memory-backend-file,id={name},mem-path={path.replace(',', ',,')},size={size_text(kib)}"
    align, label = device.find("source/alignsize"), device.find("target/label/size")
    backend += "" if align is None else f",align={size_text(_kib(align))}"
    backend += ",pmem=on" if device.find("source/pmem") is not None else ""
    shared = {"shared": ",share=on", "private": ",share=off"}.get(device.get("access") or "", "")
    read_only = device.find("target/readonly") is not None
    backend += shared + (",readonly=on" if read_only else "")
    front = f"nvdimm,node={int(target) if target.isdigit() and int(target) < cells else 0},memdev={name}"
    front += "" if label is None else f",label-size={size_text(_kib(label))}"
    yield from ("-object", backend, "-device", front + (",unarmed=on" if read_only else ""))


def _virtio_mem(device: _Element, cell: int, name: str) -> str:
    parts = [f"virtio-mem-pci,node={cell},memdev={name}"]
    for key, tag in (("block-size", "block"), ("requested-size", "requested")):
        element = device.find(f"target/{tag}")
        if element is not None:
            parts.append(f"{key}={size_text(_kib(element))}")
    return ",".join(parts)


def _kib(element: _Element) -> int:
    try:
        return libvirt_kib(element.text or "", element.get("unit"))
    except InputError:
        return 0


def runs(numbers: frozenset[int]) -> list[str]:
    """Return a set of numbers as QEMU takes it, a value for each run."""
    return format_cpuset(numbers).split(",") if numbers else []


def whole_kib(kib: int, page_kib: int | None) -> int:
    """Return memory (KiB) in whole pages, ordinary ones as QEMU rounds ``-m``.

    Backends that do not add up to ``-m`` are refused, and so is a file of huge pages that ends inside one.
    """
    page = page_kib or _ALIGNMENT_KIB
    return -(-kib // page) * page


def size_text(kib: int) -> str:
    """Return KiB as QEMU writes a size."""
    return f"{kib // KIB_PER_MIB}M" if kib % KIB_PER_MIB == 0 else f"{kib}K"
