"""PCI devices of the host in a guest: the addresses that a plan gives, and where the guest sees new ones hang."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from placer.emit.domain.elements import DOMAIN_ORDER
from placer.emit.domain.xml_tree import add_child, child_of
from placer.model.host import Host, Topology
from placer.model.pci import PciAddress, pci_address
from placer.model.plan import PlanVm
from placer.read.domains.hostdevs import PARTS, pci_of, source_addresses

if TYPE_CHECKING:
    from lxml.etree import _Element

Given = tuple[str, int | None, PciAddress]
"""Kind, node and address of a device of the host that a VM gets."""
_NETWORK = re.compile(r"\b(?:nic|vf|net|network|ethernet|sr-?iov)\b", re.IGNORECASE)
"""Kinds of devices that an ``<interface>`` can be of."""


def given_devices(vm: PlanVm) -> list[Given]:
    """Return the devices of a plan whose PCI addresses it names."""
    named = zip(vm.devices, vm.addresses, strict=False)
    found = [(kind, node, pci_address(text)) for (kind, node), text in named if text is not None]
    return [(kind, node, address) for kind, node, address in found if address is not None]


def replace_hostdevs(
    root: _Element, vm: PlanVm, host: Host, origin: Topology | None
) -> tuple[list[_Element], list[Given]]:
    """Give the devices that a domain has the addresses of the plan, nothing else of them is touched.

    Each gets one of its kind: what kind it is tells the host that the VM comes from (`origin`), of a VM that is on
    this host or nowhere yet this host. Where that is not told of any, devices of one kind alone are taken in their
    order. A disk of type nvme is never given another address, for there are other data; nor is a whole card with
    virtual functions; an ``<interface>`` only gets a network card or a function of one.

    Returns
    -------
    given, missing
        The devices of the domain that now are those of the plan, and those of the plan that the domain lacks.
    """
    left = given_devices(vm)
    moved = vm.from_host is not None and vm.from_host != host.name
    kinds = _kinds(origin if moved else host.topology)
    open_: list[tuple[_Element, _Element, PciAddress]] = []
    given: list[_Element] = []
    for device, element, address in source_addresses(root):
        same = next((one for one in left if one[2] == address), None)
        if same is not None and (same[0] == kinds.get(address) if moved and device.tag != "disk" else not moved):
            left.remove(same)
            given.append(device)
        elif device.tag != "disk":
            open_.append((device, element, address))
    untold = all(address not in kinds for _, _, address in open_) and len(open_) == len(left)
    alike = untold and len({kind for kind, _, _ in left}) == 1
    for device, element, address in open_:
        fit = [one for one in left if device.tag != "interface" or _NETWORK.search(one[0])]
        other = next((one for one in fit if alike or one[0] == kinds.get(address)), None)
        if other is not None:
            left.remove(other)
            given.append(device)
            _name_address(element, other[2])
    return given, left


def _kinds(topology: Topology | None) -> dict[PciAddress | None, str | None]:
    """Return the kind of each device of a host by its address, None of a card whose functions VMs get."""
    kinds: dict[PciAddress | None, str | None] = {}
    for device in () if topology is None else topology.devices:
        kinds.setdefault(pci_address(device.address), None)
        kinds.update((pci_address(text), device.kind) for text in device.addresses)
    return kinds


def _cell_near(vm: PlanVm, host: Host, node: int | None) -> int | None:
    """Return the guest cell whose vCPUs are on a node, where the guest sees several."""
    if node is None or not vm.shown or len(vm.cells) < 2:
        return None
    node_of = host.topology.node_of_cpu
    return next(
        (cell.id for cell in vm.cells if cell.vcpus and node_of[min(vm.pins[min(cell.vcpus)])] == node),
        None,
    )


def add_hostdevs(root: _Element, vm: PlanVm, host: Host, given: Sequence[Given]) -> None:
    """Add a ``<hostdev>`` a device; those near a guest cell behind a ``pcie-expander-bus`` that names the cell.

    Only a machine of kind q35 takes such a bus; elsewhere, and for a flat guest, libvirt chooses the guest's address.
    """
    devices = [(address, _cell_near(vm, host, node)) for _, node, address in given]
    kind = root.find("os/type")
    machine = "" if kind is None else kind.get("machine", "")
    near = any(cell is not None for _, cell in devices)
    if near and kind is not None and not machine and kind.get("arch", "x86_64") == "x86_64":
        kind.set("machine", "q35")
    parent = child_of(root, "devices", DOMAIN_ORDER)
    ports = _Ports(root)
    for address, cell in devices:
        at = ports.behind(cell) if cell is not None and ports.possible else None
        element = add_child(parent, "hostdev")
        for name, value in (("mode", "subsystem"), ("type", "pci"), ("managed", "yes")):
            element.set(name, value)
        _set_address(add_child(element, "source"), address, guest=False)
        if at is not None:
            _set_address(element, (0, at, 0, 0), guest=True)


def show_nodes(root: _Element, vm: PlanVm, host: Host, given: Collection[_Element]) -> None:
    """Hang the devices that a guest has already (`given`) behind the expander bus of the cell beside them.

    Functions of one guest slot stay together, and keep their numbers; what hangs there already is left alone. The guest
    sees other PCI addresses, so this is for guests that may be reshaped.
    """
    ports = _Ports(root)
    if not ports.possible:
        return
    node_of = {address: node for _, node, address in given_devices(vm)}
    moved: dict[tuple[int, int], int] = {}
    for device, _, address in source_addresses(root):
        cell = _cell_near(vm, host, node_of.get(address))
        if device not in given or cell is None:
            continue
        guest = device.find("address")
        at = None if guest is None else pci_of(guest)
        if at is not None and ports.cell_of.get(at[1]) == cell:
            continue
        function = 0 if at is None else at[3]
        slot = (-len(moved) - 1, 0) if at is None else (at[1], at[2])
        if slot not in moved:
            moved[slot] = ports.behind(cell)
        if guest is None:
            _set_address(device, (0, moved[slot], 0, function), guest=True)
        else:
            _name_address(guest, (0, moved[slot], 0, function))


class _Ports:
    """Root ports behind the expander buses of a guest, a bus a cell: those that are there, and new ones."""

    def __init__(self, root: _Element) -> None:
        kind = root.find("os/type")
        machine = "" if kind is None else kind.get("machine", "")
        self.possible = "q35" in machine
        self._parent = child_of(root, "devices", DOMAIN_ORDER)
        controllers = [one for one in self._parent.findall("controller") if _number(one.get("index")) is not None]
        self._next = max([_number(one.get("index")) or 0 for one in controllers], default=0) + 1
        self._buses: dict[int, int] = {}
        self._slots: dict[int, int] = {}
        self.cell_of: dict[int, int] = {}
        """Guest cell of each PCI bus behind an expander bus."""
        for one in controllers:
            cell, index = _number(one.findtext("target/node")), _number(one.get("index"))
            if one.get("model") == "pcie-expander-bus" and cell is not None and index is not None:
                self._buses.setdefault(cell, index)
                self.cell_of[index] = cell
        for one in controllers:
            element, index = one.find("address"), _number(one.get("index"))
            at = None if element is None else pci_of(element)
            if at is not None and index is not None and at[1] in self.cell_of:
                self._slots[at[1]] = max(self._slots.get(at[1], 0), at[2] + 1)
                self.cell_of[index] = self.cell_of[at[1]]

    def behind(self, cell: int) -> int:
        """Return the bus of a new root port on the expander bus of a cell, which is made where there is none."""
        if cell not in self._buses:
            bus = _controller(self._parent, self._next, "pcie-expander-bus")
            add_child(add_child(bus, "target"), "node").text = str(cell)
            self._buses[cell] = self._next
            self._next += 1
        bus_index = self._buses[cell]
        slot = self._slots.get(bus_index, 0)
        self._slots[bus_index] = slot + 1
        _set_address(_controller(self._parent, self._next, "pcie-root-port"), (0, bus_index, slot, 0), guest=True)
        self._next += 1
        return self._next - 1


def _number(text: str | None) -> int | None:
    said = (text or "").strip()
    return int(said) if said.isascii() and said.isdigit() and len(said) < 6 else None


def _controller(parent: _Element, index: int, model: str) -> _Element:
    element = add_child(parent, "controller")
    for name, value in (("type", "pci"), ("index", str(index)), ("model", model)):
        element.set(name, value)
    return element


def _set_address(parent: _Element, address: PciAddress, *, guest: bool) -> None:
    element = add_child(parent, "address")
    if guest:
        element.set("type", "pci")
    _name_address(element, address)


def _name_address(element: _Element, address: PciAddress) -> None:
    for name, digits, value in zip(PARTS, (4, 2, 2, 1), address, strict=True):
        element.set(name, f"0x{value:0{digits}x}")
