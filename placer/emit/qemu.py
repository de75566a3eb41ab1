"""A plan as arguments of QEMU, for VMs that libvirt does not run: sizes, guest cells, memory bound to host nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from placer.emit.domain.cpu_topology import guest_topology, wants_topology
from placer.emit.domain.elements import guest_distances
from placer.emit.domain.files import source_xml
from placer.emit.export import Exporter
from placer.emit.qemu_hmat import has_hmat, hmat_arguments, initiators
from placer.emit.qemu_memory import (
    devices_kib,
    has_nvdimm,
    hotplug_room,
    memory_backend,
    memory_devices,
    memory_policy,
    runs,
    size_text,
    whole_kib,
)
from placer.emit.script import by_host, comment, quote
from placer.emit.writer import safe_file_name
from placer.errors import Fault, InputError
from placer.model.cpu_topology import LEVELS
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Vm, VmSpec
from placer.read.domains.qemu_smp import read_smp
from placer.read.text.xml import parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

_REMOTE = 20
"""The distance to another guest cell of which nothing is told."""


def qemu_arguments(vm: PlanVm, spec: VmSpec, host: Host, xml: bytes | None = None) -> list[str]:
    """Return the arguments that make QEMU run a VM as planned, of its devices those of memory; pins: ``taskset``.

    Memory is bound by ``host-nodes`` and ``policy``: ``bind`` for one node, ``interleave`` for several, ``preferred``
    where the domain's XML says so and none where it is restrictive, which cgroups enforce and QEMU does not know. Huge
    pages come from memfd, which needs no mount; sizes are rounded up to pages. Topology, distances, latencies and
    caches of cells, and whether memory is shared, are those of the XML where there is one; XML without a topology means
    a socket for every vCPU, as in libvirt, and without XML it is made from cells and pins. vCPUs online behind one that
    is not are plugged in one by one.

    Raises
    ------
    InputError
        A guest cell has no memory: QEMU binds all cells or none.
    """
    root = None if xml is None else parse_xml(xml, vm.name)
    pairs = _level_pairs(vm, spec, host, root)
    plugged = devices_kib(root, vm)
    arguments = ["-name", f"guest={vm.name.replace(',', ',,')},debug-threads=on"]
    if vm.uuid is not None:
        arguments += ["-uuid", vm.uuid]
    arguments += [
        "-m",
        size_text(sum(whole_kib(c.memory_kib - plugged.get(n, 0), spec.page_of(n)) for n, c in enumerate(vm.cells)))
        + hotplug_room(root),
        "-smp",
        _smp(spec, pairs),
    ]
    arguments += _plugged(spec, root, pairs)
    if not vm.shown:
        policy = memory_policy(vm, 0, root, spec.memory_mode)
        backend = memory_backend("ram0", vm.cells[0].memory_kib, spec.page_of(0), root, policy, None)
        arguments += ["-object", backend, "-machine", "memory-backend=ram0"]
    else:
        arguments += _cells(vm, spec, host, root)
        if root is not None and not vm.new_cells:
            arguments += hmat_arguments(root)
            arguments += memory_devices(root, vm, spec)
            told = [name for name, has in (("hmat", has_hmat(root)), ("nvdimm", has_nvdimm(root))) if has]
            if told:
                arguments += ["-machine", ",".join(f"{name}=on" for name in told)]
    for number in spec.iothreads:
        arguments += ["-object", f"iothread,id=iothread{number}"]
    return arguments


def _cells(vm: PlanVm, spec: VmSpec, host: Host, root: _Element | None) -> Iterator[str]:
    plugged = devices_kib(root, vm)
    first = {} if vm.new_cells else initiators(root, vm)
    for number, cell in enumerate(vm.cells):
        if not cell.memory_kib and not cell.vcpus:
            yield from ("-numa", f"node,nodeid={number}")
            continue
        if not cell.memory_kib:
            raise InputError(f"VM {vm.name!r}: guest cell {number} has no memory", cure="give it some, or leave it out")
        access = spec.cells[number].mem_access if number < len(spec.cells) else None
        cpus = "".join(f",cpus={run}" for run in runs(cell.vcpus))
        kib = cell.memory_kib - plugged.get(number, 0)
        policy = memory_policy(vm, number, root, spec.memory_mode)
        backend = memory_backend(f"ram-node{number}", kib, spec.page_of(cell.id), root, policy, access)
        yield from ("-object", backend)
        initiator = f",initiator={first[number]}" if number in first else ""
        yield from ("-numa", f"node,nodeid={number}{cpus}{initiator},memdev=ram-node{number}")
    rows = _given_distances(root)
    if not rows and (vm.new_cells or root is None):
        table = guest_distances(vm.cells, host.topology)
        rows = {(i, j): value for i, row in enumerate(table) for j, value in enumerate(row)}
    for (source, target), value in sorted(rows.items()):
        if source != target:
            yield from ("-numa", f"dist,src={source},dst={target},val={value}")


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
    """Return the distances of a domain's own cells, empty where it tells none.

    QEMU wants a value for each pair where it has one of any. libvirt completes them: as the other way round, else 20.
    """
    rows: dict[tuple[int, int], int] = {}
    ids: list[int] = []
    for position, cell in enumerate([] if root is None else root.findall("cpu/numa/cell")):
        ids.append(int(cell.get("id", position)))
        for sibling in cell.findall("distances/sibling"):
            target, value = sibling.get("id", ""), sibling.get("value", "")
            if target.isdigit() and value.isdigit():
                rows[ids[-1], int(target)] = int(value)
    if not rows:
        return {}
    pairs = [(one, other) for one in ids for other in ids if one != other]
    return {(one, other): rows.get((one, other), rows.get((other, one), _REMOTE)) for one, other in pairs}


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
