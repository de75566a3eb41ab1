"""A plan as domain XML: a copy of the domain's own XML with the elements that placer owns set, or a new fragment."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from placer.emit.domain.cpu_topology import guest_topology, set_topology, wants_topology
from placer.emit.domain.elements import (
    page_layout,
    remove_cells,
    set_cells,
    set_cputune,
    set_device_nodemasks,
    set_hugepages,
    set_numatune,
    set_vcpu,
    set_vcpu_pins,
)
from placer.emit.domain.hostdevs import add_hostdevs, given_devices, replace_hostdevs, show_nodes
from placer.emit.domain.kept import cells_fit, is_as_planned, pins_that_differ, stays
from placer.emit.domain.mdevs import add_mediated
from placer.emit.domain.refs import host_reference_faults
from placer.emit.domain.xml_tree import add_child, serialise, xml_text
from placer.errors import Fault, InputError
from placer.measure.memory_mode import memory_of_loose, replaced_modes
from placer.model.cpuset import format_cpuset
from placer.model.host import Host, Topology
from placer.model.plan import Change, PlanVm
from placer.model.units import format_kib
from placer.model.vm import Vm, VmSpec
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.memory import device_memory, sorted_cells
from placer.read.domains.reading import DomainReading
from placer.read.domains.scan import DomainScan
from placer.read.text.xml import line_of, parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

_CARRIAGE_RETURN = {"\r": "&#13;"}
"""What lxml escapes in a text beside the signs of XML itself."""


def patch_domain(
    xml: bytes | None,
    vm: PlanVm,
    spec: VmSpec,
    host: Host,
    *,
    source: str | None = None,
    known: Vm | None = None,
    origin: Topology | None = None,
) -> bytes:
    """Return the XML of a domain as the plan wants it; of a VM that stays as it is not a byte changes.

    Owned and set: ``<vcpu placement cpuset>``, vcpupin, emulatorpin and iothreadpin of ``<cputune>``, ``<numatune>``,
    huge pages where the spec's page size differs, the host nodes of memory devices, the host addresses of devices that
    the plan names, and the guest's cells with their distances where they are new. All the rest stays as it is, comments
    and foreign namespaces included; nothing is ever added to an existing ``<cpu>`` but cells and, with `reshape`, the
    topology, for its defaults differ by machine type and the guest sees them.

    Parameters
    ----------
    xml
        The domain's own XML, or None: then a fragment is made that libvirt completes.
    vm, spec, host
        The placed VM, what it needs, and the host it is placed on.
    source
        The name of the XML in messages.
    known
        The VM as the fleet has it. Where the plan leaves it as it is, the XML is returned as given, or with no other
        change than the cpusets of vCPUs that give way to dedicated ones and the memory mode that is asked for.
    origin
        The host that the VM comes from: it tells of what kind the devices are that the XML names.

    Raises
    ------
    InputError
        The XML is of another domain, its vCPUs, cells or IOThreads are not the plan's, or it refers to the host in a
        way that the plan would make false. Every fault is named.
    """
    where = source or f"domain XML of {vm.name!r}"
    _check_placing(vm, spec, host)
    if xml is None:
        root, missing = _fragment(vm, spec, host), given_devices(vm)
        pages: tuple[int | None, ...] = (None,)
        if wants_topology(spec, has_xml=False, new_cells=True):
            set_topology(root, guest_topology(vm, spec, host), host)
        if vm.shown:
            set_cells(root, vm.cells, {}, host.topology)
    else:
        reading = read_domain(xml, where)
        root, pages = parse_xml(xml, where), page_layout(reading.spec)
        given, missing = replace_hostdevs(root, vm, host, origin)
        new = known is not None and known.current is None
        _check_source(root, reading, vm, spec, host, where, given, new=new)
        if known is None or known.current is not None:
            missing = []
        if known is not None and stays(vm, known) and is_as_planned(vm, known, reading, host.topology.cpus):
            differ = pins_that_differ(vm, reading.pins, host.topology.cpus)
            other_mode = replaced_modes(vm.cells, spec.memory_mode, reading.memory_modes)
            if not differ and not other_mode:
                return xml
            if differ:
                set_vcpu_pins(root, differ)
            if other_mode:
                set_numatune(root, vm, _cell_ids(root, where) if vm.shown else None, spec.memory_mode)
            return serialise(root, xml)
        new_cells = not cells_fit(reading, vm)
        if new_cells:
            _reshape(root, vm, host, where)
        restarts = vm.change is Change.RESTART or known is None or known.current is None
        if restarts and wants_topology(spec, has_xml=True, new_cells=new_cells):
            set_topology(root, guest_topology(vm, spec, host), host)
        if restarts and spec.reshape:
            show_nodes(root, vm, host, given)
    cell_ids = _cell_ids(root, where) if vm.shown else None
    if page_layout(spec) != pages:
        set_hugepages(root, spec)
    set_vcpu(root, vm, host.topology.cpus)
    set_cputune(root, vm, host.topology.cpus)
    loose = None if known is None or origin is None else memory_of_loose(known, vm.bound, origin, host.topology)
    set_numatune(root, vm, cell_ids, spec.memory_mode, loose)
    set_device_nodemasks(root, vm, cell_ids, host.topology, origin)
    if missing:
        add_hostdevs(root, vm, host, missing)
    if known is None or known.current is None:
        add_mediated(root, vm)
    return serialise(root, xml)


def _check_placing(vm: PlanVm, spec: VmSpec, host: Host) -> None:
    """Refuse a plan that leaves a vCPU without a CPU, or names CPUs or nodes that the host lacks."""
    faults = []
    if set(vm.pins) != set(range(spec.vcpus)):
        faults.append(Fault(message=f"VM {vm.name!r}: the plan pins {len(vm.pins)} vCPUs, the VM has {spec.vcpus}"))
    empty = [vcpu for vcpu, cpus in vm.pins.items() if not cpus]
    if empty:
        faults.append(Fault(message=f"VM {vm.name!r}: vCPU {empty[0]} has no CPU at all"))
    named = frozenset().union(*vm.pins.values(), *vm.iothreads.values(), vm.emulator or frozenset())
    if named - host.topology.cpus:
        lacking = format_cpuset(named - host.topology.cpus)
        faults.append(Fault(message=f"VM {vm.name!r}: host {host.name!r} has no CPUs {lacking}"))
    nodes = frozenset().union(*(cell.nodes for cell in vm.cells))
    if nodes - set(host.topology.node_ids):
        lacking = format_cpuset(nodes - set(host.topology.node_ids))
        faults.append(Fault(message=f"VM {vm.name!r}: host {host.name!r} has no NUMA nodes {lacking}"))
    if faults:
        raise InputError(faults)


def _check_source(
    root: _Element,
    reading: DomainReading,
    vm: PlanVm,
    spec: VmSpec,
    host: Host,
    where: str,
    given: Collection[_Element],
    *,
    new: bool,
) -> None:
    """Refuse XML that is not of this VM, or that a plan for this host would make false; `given` are devices of it."""
    wrong = []
    same_name = vm.name == reading.name or vm.name.endswith("/" + reading.name)
    if (vm.uuid is not None and reading.uuid is not None and vm.uuid.lower() != reading.uuid) or (
        (vm.uuid is None or reading.uuid is None) and not same_name
    ):
        wrong.append(f"is of domain {reading.name!r} ({reading.uuid}), not of VM {vm.name!r} ({vm.uuid})")
    if reading.spec.vcpus != spec.vcpus:
        wrong.append(f"has {reading.spec.vcpus} vCPUs, VM {vm.name!r} was planned with {spec.vcpus}")
    if reading.spec.memory_kib != spec.memory_kib:
        wrong.append(
            f"has {format_kib(reading.spec.memory_kib)}, VM {vm.name!r} was planned with {format_kib(spec.memory_kib)}"
        )
    strangers = sorted(set(vm.iothreads) - set(reading.spec.iothreads))
    if strangers:
        wrong.append(f"has no IOThread {strangers[0]}, which the plan pins for VM {vm.name!r}")
    if not cells_fit(reading, vm) and not (vm.new_cells or spec.reshape):
        wrong.append(f"has other guest cells than the plan of VM {vm.name!r}, and a guest keeps its cells")
    faults = [
        Fault(
            message=f"this XML {text}", file=where, line=line_of(root), cure="import the domain again and solve again"
        )
        for text in wrong
    ]
    faults += host_reference_faults(root, vm, host.topology, reading.pins, where, given, new=new)
    if faults:
        raise InputError(faults)


def _reshape(root: _Element, vm: PlanVm, host: Host, where: str) -> None:
    if not vm.shown:
        remove_cells(root)
        return
    devices_kib, _ = device_memory(DomainScan(root, where), tuple(range(len(vm.cells))))
    for number, cell in enumerate(vm.cells):
        if cell.memory_kib <= devices_kib.get(number, 0):
            raise InputError(
                f"VM {vm.name!r}: guest cell {number} would hold nothing but memory devices",
                file=where,
                line=line_of(root),
                cure="detach them, or give the VM its cells",
            )
    set_cells(root, vm.cells, devices_kib, host.topology)


def _cell_ids(root: _Element, where: str) -> list[int]:
    return [number for number, _ in sorted_cells(DomainScan(root, where))]


def identity_lines(vm: PlanVm) -> bytes:
    """Return the lines of a fragment that say which VM it is: all that fragments of VMs in like places differ in."""
    text = f"  <name>{escape(xml_text(vm.name), _CARRIAGE_RETURN)}</name>\n"
    if vm.uuid is not None:
        text += f"  <uuid>{escape(vm.uuid)}</uuid>\n"
    return text.encode()


def _fragment(vm: PlanVm, spec: VmSpec, host: Host) -> _Element:
    """Return the least domain that libvirt completes by itself: identity, size, machine kind; pins come later."""
    from lxml import etree

    root = etree.Element("domain", type="kvm" if spec.kvm else "qemu")
    add_child(root, "name").text = xml_text(vm.name)
    if vm.uuid is not None:
        add_child(root, "uuid").text = vm.uuid
    memory = add_child(root, "memory")
    memory.set("unit", "KiB")
    memory.text = str(sum(cell.memory_kib for cell in vm.cells))
    vcpu = add_child(root, "vcpu")
    vcpu.text = str(spec.vcpus)
    if spec.vcpus_current is not None:
        vcpu.set("current", str(spec.vcpus_current))
    if spec.iothreads:
        add_child(root, "iothreads").text = str(len(spec.iothreads))
        if spec.iothreads != tuple(range(1, len(spec.iothreads) + 1)):
            ids = add_child(root, "iothreadids")
            for number in spec.iothreads:
                add_child(ids, "iothread").set("id", str(number))
    kind = add_child(add_child(root, "os"), "type")
    kind.text = "hvm"
    if host.topology.arch is not None:
        kind.set("arch", host.topology.arch)
    return root
