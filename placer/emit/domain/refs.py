"""What a domain says of the very host it is on: it goes along where it stays true, else the move is refused by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from placer.errors import Fault, InputError
from placer.model.cpuset import parse_cpuset
from placer.model.host import Topology
from placer.model.pci import pci_text
from placer.model.plan import PlanVm
from placer.read.domains.hostdevs import source_addresses
from placer.read.text.xml import line_of

if TYPE_CHECKING:
    from lxml.etree import _Element


def host_reference_faults(
    root: _Element,
    vm: PlanVm,
    topology: Topology,
    old_pins: Mapping[int, frozenset[int]],
    source: str,
    given: Collection[_Element] = (),
    *,
    new: bool = False,
) -> list[Fault]:
    """Return one fault for each reference to the host that the plan would make false.

    A host device stays behind when the VM changes host, but for those for which the plan names another (`given`). The
    XML of a VM that is nowhere yet (`new`) names no PCI device but those that the plan gives it.
    The cache and memory-bandwidth ids of ``<cachetune>`` and ``<memorytune>`` name one L3 domain, and no topology tells
    which: they stay true only while its vCPUs stay on the same L3 domains of the same host.
    """
    moved = vm.from_host is not None and vm.from_host != vm.host
    faults = []
    if moved:
        for element, what in _host_devices(root):
            if element in given:
                continue
            faults.append(
                Fault(
                    message=f"VM {vm.name!r} goes from {vm.from_host!r} to {vm.host!r}, but has {what} of its host",
                    file=source,
                    line=line_of(element),
                    cure="say movable: false, or detach the device",
                )
            )
    for element, _, address in source_addresses(root) if new and not moved else ():
        if element not in given:
            faults.append(
                Fault(
                    message=f"VM {vm.name!r} is new on {vm.host!r}, and its XML names the device "
                    f"{pci_text(address)}, which the plan does not give it",
                    file=source,
                    line=line_of(element),
                    cure="take the device out of the domain, and ask for it under devices",
                )
            )
    for tag in ("cachetune", "memorytune"):
        for element in root.findall(f"cputune/{tag}"):
            if moved or not _same_caches(element, vm, topology, old_pins):
                faults.append(
                    Fault(
                        message=f"VM {vm.name!r}: <{tag}> names a cache of its host, and its vCPUs change L3 domain",
                        file=source,
                        line=line_of(element),
                        cure=f"take <{tag}> out of the domain, or say pins: fixed",
                    )
                )
    return faults


def _host_devices(root: _Element) -> Iterator[tuple[_Element, str]]:
    for device in root.findall("devices/hostdev"):
        yield device, f"a hostdev ({device.get('type', 'unknown')})"
    for interface in root.findall("devices/interface"):
        teaming = interface.find("teaming")
        unplugged = teaming is not None and teaming.get("type") == "transient"
        if interface.get("type") in ("hostdev", "vdpa") and not unplugged:
            yield interface, f"an interface of type {interface.get('type')}"
    for disk in root.findall("devices/disk"):
        if disk.get("type") == "nvme":
            yield disk, "a disk of type nvme"
    for backend in root.findall("devices/tpm/backend"):
        if backend.get("type") == "passthrough":
            yield backend, "the TPM"


def _same_caches(element: _Element, vm: PlanVm, topology: Topology, old_pins: Mapping[int, frozenset[int]]) -> bool:
    if len(topology.l3) <= 1:
        return True
    try:
        vcpus = parse_cpuset(element.get("vcpus", ""))
    except InputError:
        return False
    for vcpu in vcpus:
        old = _caches(old_pins.get(vcpu, frozenset()), topology)
        if not old or old != _caches(vm.pins.get(vcpu, frozenset()), topology):
            return False
    return True


def _caches(cpus: frozenset[int], topology: Topology) -> frozenset[int]:
    return frozenset(topology.l3_of_cpu[cpu] for cpu in cpus if cpu in topology.l3_of_cpu)
