"""Devices of the host that a domain has: the PCI addresses it names, and what devices of a machine file these are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

from placer.model.host import Topology
from placer.model.pci import AddressKey, PciAddress, address_key
from placer.model.vm import DeviceRequest

if TYPE_CHECKING:
    from lxml.etree import _Element

_DEVICES = ("devices/hostdev", "devices/interface", "devices/disk")
PARTS = ("domain", "bus", "slot", "function")
"""The attributes of an address, in the order of `PciAddress`."""


def host_addresses(root: _Element) -> frozenset[PciAddress]:
    """Return the PCI addresses of the host's devices that a domain names."""
    return frozenset(address for _, _, address in source_addresses(root))


def source_addresses(root: _Element) -> list[tuple[_Element, _Element, PciAddress]]:
    """Return the devices that name a PCI address of the host, the element that does, and the address."""
    found: list[tuple[_Element, _Element, PciAddress]] = []
    for path in _DEVICES:
        for device in root.findall(path):
            element = device.find("source/address")
            other = device.tag == "hostdev" and device.get("type", "pci") != "pci"
            if other or element is None or element.get("type", "pci") != "pci" or element.get("bus") is None:
                continue
            texts = [element.get(name, "0") for name in PARTS]
            if all(len(text) <= 10 for text in texts):
                try:
                    domain, bus, slot, function = (int(text, 0) for text in texts)
                except ValueError:
                    continue
                found.append((device, element, (domain, bus, slot, function)))
    return found


def devices_of(addresses: Set[AddressKey], topology: Topology) -> tuple[DeviceRequest, ...]:
    """Return the devices that a domain has of those that its host tells: they are taken, and nobody else's."""
    kinds = Counter(kind for kind, _ in _held(addresses, topology))
    return tuple(DeviceRequest(kind=kind, policy="required", count=count) for kind, count in sorted(kinds.items()))


def with_held(asked: Sequence[DeviceRequest], held: Sequence[DeviceRequest]) -> tuple[DeviceRequest, ...]:
    """Return what a VM asks for, and what it has beyond that: nobody else can have it."""
    counts = Counter[str]()
    for one in asked:
        counts[one.kind] += one.count
    more = (replace(one, count=one.count - counts[one.kind]) for one in held if one.count > counts[one.kind])
    return (*asked, *more)


def names_of(addresses: Set[AddressKey], topology: Topology) -> tuple[str, ...]:
    """Return the addresses that a domain has as its host writes them, in order; those that it does not tell are left
    out.
    """
    return tuple(sorted(text for _, text in _held(addresses, topology)))


def _held(addresses: Set[AddressKey], topology: Topology) -> list[tuple[str, str]]:
    """Return kind and address of the devices of a host that are among these."""
    return (
        [
            (device.kind, text)
            for device in topology.devices
            for text in device.addresses
            if address_key(text) in addresses
        ]
        if addresses
        else []
    )
