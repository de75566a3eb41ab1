"""A plan as arguments of QEMU, for VMs that libvirt does not run: sizes, guest cells, memory bound to host nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from placer.emit.domain.cpu_topology import guest_topology, wants_topology
from placer.emit.domain.elements import guest_distances, memory_modes
from placer.emit.domain.files import source_xml
from placer.emit.export import Exporter
from placer.emit.script import by_host, comment, quote
from placer.emit.writer import safe_file_name
from placer.errors import Fault, InputError
from placer.model.cpu_topology import LEVELS
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan, PlanCell, PlanVm
from placer.model.units import KIB_PER_MIB
from placer.model.vm import Vm, VmSpec
from placer.read.domains.qemu_smp import read_smp
from placer.read.text.xml import parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

_ALIGNMENT_KIB = 8


def qemu_arguments(vm: PlanVm, spec: VmSpec, host: Host, xml: bytes | None = None) -> list[str]:
    """Return the arguments that make QEMU run a VM as planned, but for its devices; pins are ``taskset``'s part.

    Memory is bound by ``host-nodes`` and ``policy``: ``bind`` for one node, ``interleave`` for several, ``preferred``
    where the domain's XML says so and none where it is restrictive, which cgroups enforce and QEMU does not know. Huge
    pages come from memfd, which needs no mount; sizes are rounded up to pages. Topology, distances and whether memory
    is shared are those of the XML where there is one; XML without a topology means a socket for every vCPU, as in
    libvirt, and without XML it is made from cells and pins. vCPUs online behind
    one that is not are plugged in one by one.

    Raises
    ------
    InputError
        A guest cell has no memory: QEMU binds all cells or none.
    """
    root = None if xml is None else parse_xml(xml, vm.name)
    pairs = _level_pairs(vm, spec, host, root)
    arguments = ["-name", f"guest={vm.name.replace(',', ',,')},debug-threads=on"]
    if vm.uuid is not None:
        arguments += ["-uuid", vm.uuid]
    arguments += [
        "-m",
        _size(sum(_whole_kib(cell, spec.page_of(number)) for number, cell in enumerate(vm.cells))),
        "-smp",
        _smp(spec, pairs),
    ]
    arguments += _plugged(spec, root, pairs)
    if not vm.shown:
        backend = _backend("ram0", vm.cells[0], spec, root, _policy(vm, 0, root), None)
        arguments += ["-object", backend, "-machine", "memory-backend=ram0"]
    else:
        arguments += _cells(vm, spec, host, root)
    for number in spec.iothreads:
        arguments += ["-object", f"iothread,id=iothread{number}"]
    return arguments


def _cells(vm: PlanVm, spec: VmSpec, host: Host, root: _Element | None) -> Iterator[str]:
    for number, cell in enumerate(vm.cells):
        if not cell.memory_kib and not cell.vcpus:
            yield from ("-numa", f"node,nodeid={number}")
            continue
        if not cell.memory_kib:
            raise InputError(f"VM {vm.name!r}: guest cell {number} has no memory", cure="give it some, or leave it out")
        access = spec.cells[number].mem_access if number < len(spec.cells) else None
        cpus = "".join(f",cpus={run}" for run in _runs(cell.vcpus))
        yield from ("-object", _backend(f"ram-node{number}", cell, spec, root, _policy(vm, number, root), access))
        yield from ("-numa", f"node,nodeid={number}{cpus},memdev=ram-node{number}")
    rows = _given_distances(root)
    if not rows and (vm.new_cells or root is None):
        table = guest_distances(vm.cells, host.topology)
        rows = {(i, j): value for i, row in enumerate(table) for j, value in enumerate(row)}
    for (source, target), value in sorted(rows.items()):
        if source != target:
            yield from ("-numa", f"dist,src={source},dst={target},val={value}")


def _policy(vm: PlanVm, number: int, root: _Element | None) -> tuple[frozenset[int], str | None]:
    """Return the host nodes that hold a cell's memory and QEMU's policy for them; none where nothing binds it.

    Of a VM that is not bound to one node a cell these are the nodes that it may use, as its XML has it, or those that
    its memory rather lies on.
    """
    cell = vm.cells[number]
    policies = {"strict": "bind", "interleave": "interleave", "preferred": "preferred"}
    if cell.nodes or not vm.bound:
        return frozenset(cell.nodes), policies.get(memory_modes(root, vm, None)[1][cell.id])
    bound = vm.bound[number if len(vm.bound) == len(vm.cells) else 0]
    if bound.memory is None:
        return bound.wish, "preferred"
    said = None
    if root is not None:
        said = root.find(f"numatune/memnode[@cellid='{cell.id}']")
        said = root.find("numatune/memory") if said is None else said
    return bound.memory, "bind" if said is None else policies.get(said.get("mode", "strict"))


def _backend(
    name: str,
    cell: PlanCell,
    spec: VmSpec,
    root: _Element | None,
    policy: tuple[frozenset[int], str | None],
    access: str | None,
) -> str:
    """Return the backend of a cell's memory.

    A memfd is shared unless told otherwise, which libvirt's other sources are not: where the domain has none of either,
    it is told.
    """
    given = None if root is None else root.find("memoryBacking/access")
    access = access or (None if given is None else given.get("mode"))
    source = None if root is None else root.find("memoryBacking/source")
    is_memfd = source is not None and source.get("type") == "memfd"
    page_kib = spec.page_of(cell.id)
    if page_kib is not None:
        kind = f"memory-backend-memfd,id={name},hugetlb=on,hugetlbsize={_size(page_kib)},prealloc=on"
    else:
        kind = f"memory-backend-{'memfd' if is_memfd or access == 'shared' else 'ram'},id={name}"
    shared = {"shared": ",share=on", "private": ",share=off"}.get(access or "", "")
    if not shared and root is not None and not is_memfd and page_kib is not None:
        shared = ",share=off"
    nodes = "".join(f",host-nodes={run}" for run in _runs(policy[0]))
    bound = f"{nodes},policy={policy[1]}" if nodes and policy[1] is not None else ""
    return f"{kind},size={_size(_whole_kib(cell, page_kib))}{bound}{shared}"


def _first_online(spec: VmSpec) -> int:
    """Return how many vCPUs are online from the first on without a hole."""
    return next((vcpu for vcpu in range(spec.vcpus) if not spec.is_online(vcpu)), spec.vcpus)


def _plugged(spec: VmSpec, root: _Element | None, pairs: list[tuple[str, str]]) -> Iterator[str]:
    """Yield a device for each vCPU that is online behind a hole: ``-smp`` brings up the first ones only."""
    first = _first_online(spec)
    behind = [vcpu for vcpu in range(first, spec.vcpus) if spec.is_online(vcpu)]
    if not behind:
        return
    smp = read_smp([("cpus", str(first)), *pairs, ("maxcpus", str(spec.vcpus))], "-smp")
    model = None if root is None else root.findtext("cpu/model")
    kind = None if root is None else root.find("os/type")
    arch = (None if kind is None else kind.get("arch")) or "x86_64"
    for vcpu in behind:
        ids = smp.level_ids(vcpu)
        place = "".join(f",{level[:-1]}-id={ids[f'{level[:-1]}-id']}" for level, _ in pairs)
        yield from ("-device", f"{model or 'host'}-{arch}-cpu,id=vcpu{vcpu}{place}")


def _smp(spec: VmSpec, pairs: list[tuple[str, str]]) -> str:
    shown = [f"{name}={count}" for name, count in pairs]
    return ",".join([str(_first_online(spec)), *shown, f"maxcpus={spec.vcpus}"])


def _level_pairs(vm: PlanVm, spec: VmSpec, host: Host, root: _Element | None) -> list[tuple[str, str]]:
    """Return the levels of the guest's topology that a line names: those that QEMU asks for, and what is not 1."""
    if wants_topology(spec, has_xml=root is not None, new_cells=vm.new_cells):
        return [(level, str(count)) for level, count in guest_topology(vm, spec, host).told()]
    topology = None if root is None else root.find("cpu/topology")
    if topology is None:
        return [("sockets", str(spec.vcpus)), ("cores", "1"), ("threads", "1")]
    levels = {level: topology.get(level, "1") for level in LEVELS}
    return [(name, count) for name, count in levels.items() if name in ("sockets", "cores", "threads") or count != "1"]


def _given_distances(root: _Element | None) -> dict[tuple[int, int], int]:
    rows: dict[tuple[int, int], int] = {}
    for position, cell in enumerate([] if root is None else root.findall("cpu/numa/cell")):
        for sibling in cell.findall("distances/sibling"):
            target, value = sibling.get("id", ""), sibling.get("value", "")
            if target.isdigit() and value.isdigit():
                rows[int(cell.get("id", position)), int(target)] = int(value)
    return rows


def _runs(numbers: frozenset[int]) -> list[str]:
    return format_cpuset(numbers).split(",") if numbers else []


def _whole_kib(cell: PlanCell, page_kib: int | None) -> int:
    """Return a cell's memory (KiB) in whole pages, ordinary ones as QEMU rounds ``-m``.

    Backends that do not add up to ``-m`` are refused, and so is a file of huge pages that ends inside one.
    """
    page = page_kib or _ALIGNMENT_KIB
    return -(-cell.memory_kib // page) * page


def _size(kib: int) -> str:
    return f"{kib // KIB_PER_MIB}M" if kib % KIB_PER_MIB == 0 else f"{kib}K"


def _lines(plan_vms: list[PlanVm], fleet: Fleet) -> Iterator[str]:
    faults: list[Fault] = []
    for vm in plan_vms:
        known: Vm = fleet.vm_by_name[vm.name]
        try:
            arguments = qemu_arguments(vm, known.spec, fleet.host_by_name[vm.host], source_xml(known, fleet))
        except InputError as error:
            faults += error.faults
            continue
        yield comment(f"{vm.name} on {vm.host}")
        yield " ".join(map(quote, arguments))
    if faults:
        raise InputError(faults)


def qemu_document(plan: Plan, fleet: Fleet) -> bytes:
    """Return the arguments of every placed VM as shell words, one VM a line under a comment that names it."""
    vms = [vm for group in by_host(plan).values() for vm in group]
    return ("\n".join(_lines(vms, fleet)) + "\n").encode("utf-8", "surrogateescape")


def qemu_files(plan: Plan, fleet: Fleet) -> dict[str, bytes]:
    """Return one file a host."""
    return {
        f"{safe_file_name(name)}.args": ("\n".join(_lines(vms, fleet)) + "\n").encode("utf-8", "surrogateescape")
        for name, vms in by_host(plan).items()
    }


EXPORTER = Exporter(files=qemu_files, document=qemu_document)
