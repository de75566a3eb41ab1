"""PCI devices of the host in a guest: which address each VM gets, and where the guest sees it hang."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from placer.emit.domain.elements import DOMAIN_ORDER
from placer.emit.domain.xml_tree import add_child, child_of
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.pci import PciAddress, pci_address
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Vm
from placer.read.domains.hostdevs import host_addresses
from placer.read.text.xml import parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenDevice:
    """A device of the host that a VM gets: its address, and the guest cell it is near to (None: of no one)."""

    address: PciAddress
    cell: int | None


def given_devices(
    plan: Plan, fleet: Fleet, source: Callable[[Vm, Fleet], bytes | None]
) -> Mapping[str, tuple[GivenDevice, ...]]:
    """Return VM -> the devices it gets, for VMs that come to a host and have none in their own XML.

    Addresses that domains of a host name are theirs. Where a VM that runs there has a device of which nobody knows the
    address, none of its kind is chosen on that host. A device that is several is no single address.
    """
    asking = {vm.host for vm in plan.vms if vm.devices}
    if not asking:
        return {}
    names, unknown = _held(fleet, asking, source)
    out = {}
    free = {name: _free(fleet.host_by_name[name], names[name]) for name in asking}
    for vm in plan.vms:
        known = fleet.vm_by_name[vm.name]
        if not vm.devices or known.current is not None or _addresses(source(known, fleet)):
            continue
        host = fleet.host_by_name[vm.host]
        chosen: list[GivenDevice] = []
        for kind, node in vm.devices:
            left = free[vm.host].get((kind, node), [])
            if left and (vm.host, kind) not in unknown:
                chosen.append(GivenDevice(address=left.pop(0), cell=_cell_near(vm, host, node)))
        if chosen:
            out[vm.name] = tuple(chosen)
    return out


def _held(
    fleet: Fleet, hosts: set[str], source: Callable[[Vm, Fleet], bytes | None]
) -> tuple[Mapping[str, set[PciAddress]], set[tuple[str, str]]]:
    """Return the addresses that domains of each host name, and the kinds of which some are held unnamed there."""
    names: dict[str, set[PciAddress]] = defaultdict(set)
    unknown: set[tuple[str, str]] = set()
    for vm in fleet.vms:
        if vm.current is None or vm.current.host not in hosts:
            continue
        own = _addresses(source(vm, fleet))
        names[vm.current.host] |= own
        if vm.spec.devices and not own:
            unknown |= {(vm.current.host, request.kind) for request in vm.spec.devices}
    return names, unknown


def _addresses(xml: bytes | None) -> frozenset[PciAddress]:
    if xml is None or (b"hostdev" not in xml and b"<source" not in xml):
        return frozenset()
    return host_addresses(parse_xml(xml, "domain XML"))


def _free(host: Host, held: set[PciAddress]) -> dict[tuple[str, int | None], list[PciAddress]]:
    """Return (kind, node) -> addresses in order that nobody holds."""
    free: dict[tuple[str, int | None], list[PciAddress]] = defaultdict(list)
    for device in sorted(host.topology.devices, key=lambda one: one.address):
        address = pci_address(device.address) if device.count == 1 else None
        if address is not None and address not in held:
            node = device.node if device.node in host.topology.node_ids else None
            free[device.kind, node].append(address)
    return free


def _cell_near(vm: PlanVm, host: Host, node: int | None) -> int | None:
    """Return the guest cell whose vCPUs are on a node, where the guest sees several."""
    if node is None or not vm.shown or len(vm.cells) < 2:
        return None
    node_of = host.topology.node_of_cpu
    return next(
        (cell.id for cell in vm.cells if cell.vcpus and node_of[min(vm.pins[min(cell.vcpus)])] == node),
        None,
    )


def add_hostdevs(root: _Element, devices: Sequence[GivenDevice]) -> None:
    """Add a ``<hostdev>`` a device; those near a guest cell behind a ``pcie-expander-bus`` that names the cell.

    Only a machine of kind q35 takes such a bus; elsewhere, and for a flat guest, libvirt chooses the guest's address.
    """
    kind = root.find("os/type")
    machine = "" if kind is None else kind.get("machine", "")
    near = {device.cell for device in devices if device.cell is not None}
    if near and kind is not None and not machine and kind.get("arch", "x86_64") == "x86_64":
        kind.set("machine", machine := "q35")
    parent = child_of(root, "devices", DOMAIN_ORDER)
    used = [int(one.get("index", "0")) for one in parent.findall("controller") if one.get("index", "0").isdigit()]
    index = max(used, default=0) + 1
    buses: dict[int, tuple[int, int]] = {}
    for device in devices:
        at: int | None = None
        if device.cell is not None and "q35" in machine:
            if device.cell not in buses:
                bus = _controller(parent, index, "pcie-expander-bus")
                add_child(add_child(bus, "target"), "node").text = str(device.cell)
                buses[device.cell] = (index, 0)
                index += 1
            bus_index, slot = buses[device.cell]
            _set_address(_controller(parent, index, "pcie-root-port"), (0, bus_index, slot, 0), guest=True)
            buses[device.cell] = (bus_index, slot + 1)
            at = index
            index += 1
        element = add_child(parent, "hostdev")
        for name, value in (("mode", "subsystem"), ("type", "pci"), ("managed", "yes")):
            element.set(name, value)
        _set_address(add_child(element, "source"), device.address, guest=False)
        if at is not None:
            _set_address(element, (0, at, 0, 0), guest=True)


def _controller(parent: _Element, index: int, model: str) -> _Element:
    element = add_child(parent, "controller")
    for name, value in (("type", "pci"), ("index", str(index)), ("model", model)):
        element.set(name, value)
    return element


def _set_address(parent: _Element, address: PciAddress, *, guest: bool) -> None:
    element = add_child(parent, "address")
    if guest:
        element.set("type", "pci")
    for name, digits, value in zip(("domain", "bus", "slot", "function"), (4, 2, 2, 1), address, strict=True):
        element.set(name, f"0x{value:0{digits}x}")
