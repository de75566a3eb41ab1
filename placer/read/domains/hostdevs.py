"""Devices of the host that a domain has: the PCI addresses it names, and what devices of a machine file these are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

from placer.model.host import Device, Topology
from placer.model.pci import AddressKey, PciAddress, address_key, mdev_uuid
from placer.model.vm import DeviceRequest
from placer.read.domains.scan import DomainScan

if TYPE_CHECKING:
    from lxml.etree import _Element

_DEVICES = ("devices/hostdev", "devices/interface", "devices/disk")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")
PARTS = ("domain", "bus", "slot", "function")
"""The attributes of an address, in the order of `PciAddress`."""


def host_addresses(root: _Element) -> frozenset[AddressKey]:
    """Return the PCI addresses of the host's devices that a domain names, and the UUIDs of mediated ones."""
    return frozenset[AddressKey](address for _, _, address in source_addresses(root)) | source_uuids(root).keys()


def source_uuids(root: _Element) -> dict[AddressKey, _Element]:
    """Return the UUIDs of the mediated devices of the host that a domain names, and the devices that do."""
    found: dict[AddressKey, _Element] = {}
    for device in root.findall("devices/hostdev"):
        element = device.find("source/address")
        uuid = None if element is None or device.get("type") != "mdev" else mdev_uuid(element.get("uuid", ""))
        if uuid is not None:
            found[uuid] = device
    return found


def source_addresses(root: _Element) -> list[tuple[_Element, _Element, PciAddress]]:
    """Return the devices that name a PCI address of the host, the element that does, and the address."""
    found: list[tuple[_Element, _Element, PciAddress]] = []
    for path in _DEVICES:
        for device in root.findall(path):
            element = device.find("source/address")
            if element is not None and _is_pci(device, element):
                address = pci_of(element)
                if address is not None:
                    found.append((device, element, address))
    return found


def pci_of(element: _Element) -> PciAddress | None:
    """Return the address of an element as libvirt reads it: numbers as C writes them, what is missing is 0.

    None where a number is none, or beyond what PCI has.
    """
    texts = [element.get(name, "0").strip() for name in PARTS]
    if not all(len(text) <= 12 and _NUMBER.fullmatch(text) for text in texts):
        return None
    # C takes 02 for an octal number, which int() with base 0 refuses.
    domain, bus, slot, function = (
        int(text, 0 if text[:2].lower() == "0x" else 8 if text.startswith("0") else 10) for text in texts
    )
    return (domain, bus, slot, function) if bus < 256 and slot < 32 and function < 8 else None


def note_addresses(scan: DomainScan) -> None:
    """Note a fault for each device of the host whose address is none: whose device it is nobody could tell."""
    for path in _DEVICES:
        for device in scan.all(path):
            element = device.find("source/address")
            if element is not None and _is_pci(device, element) and pci_of(element) is None:
                text = " ".join(f"{name}={element.get(name, '')[:20]!r}" for name in PARTS if name in element.attrib)
                scan.fault(
                    element, f"{text} is no PCI address", cure="write numbers as libvirt does: 0x41, octal 02 or 65"
                )


def _is_pci(device: _Element, element: _Element) -> bool:
    """Tell whether the source of a device is an address of the host's PCI."""
    other = device.tag == "hostdev" and device.get("type", "pci") != "pci"
    return not other and element.get("type", "pci") == "pci" and any(name in element.attrib for name in PARTS)


def devices_of(addresses: Set[AddressKey], topology: Topology) -> tuple[DeviceRequest, ...]:
    """Return the devices that a domain has of those that its host tells: they are taken, and nobody else's."""
    kinds: Counter[str] = Counter()
    for device, names in _held(addresses, topology):
        kinds[device.kind] += device.held(names)
    return tuple(DeviceRequest(kind=kind, policy="required", count=count) for kind, count in sorted(kinds.items()))


def names_of(addresses: Set[AddressKey], topology: Topology) -> tuple[str, ...]:
    """Return the addresses that a domain has as its host writes them, in order; those that it does not tell are left
    out. A whole card is named by its own address.
    """
    return tuple(sorted({name for _, names in _held(addresses, topology) for name in names}))


def with_held(asked: Sequence[DeviceRequest], held: Sequence[DeviceRequest]) -> tuple[DeviceRequest, ...]:
    """Return what a VM asks for, and what it has beyond that: nobody else can have it."""
    counts = Counter[str]()
    for one in asked:
        counts[one.kind] += one.count
    more = (replace(one, count=one.count - counts[one.kind]) for one in held if one.count > counts[one.kind])
    return (*asked, *more)


def _held(addresses: Set[AddressKey], topology: Topology) -> list[tuple[Device, frozenset[str]]]:
    """Return the devices of a host of which some are among these addresses, and which."""
    found = []
    for device in topology.devices if addresses else ():
        texts = (*device.addresses, *(() if device.card is None else (device.card,)))
        if names := frozenset(text for text in texts if address_key(text) in addresses):
            found.append((device, names))
    return found
