"""Devices of the host that a domain has: the PCI addresses it names, and what devices of a machine file these are."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from placer.model.host import Topology
from placer.model.pci import PciAddress, pci_address
from placer.model.vm import DeviceRequest

if TYPE_CHECKING:
    from lxml.etree import _Element

_SOURCES = ("devices/hostdev/source/address", "devices/interface/source/address")
_PARTS = ("domain", "bus", "slot", "function")


def host_addresses(root: _Element) -> frozenset[PciAddress]:
    """Return the PCI addresses of the host's devices that a domain names."""
    found = set()
    for path in _SOURCES:
        for element in root.findall(path):
            texts = [element.get(name, "0") for name in _PARTS]
            if all(len(text) <= 10 for text in texts):
                try:
                    domain, bus, slot, function = (int(text, 0) for text in texts)
                except ValueError:
                    continue
                found.add((domain, bus, slot, function))
    return frozenset(found)


def devices_of(addresses: frozenset[PciAddress], topology: Topology) -> tuple[DeviceRequest, ...]:
    """Return the devices that a domain has of those that its host tells: they are taken, and nobody else's."""
    kinds = Counter(device.kind for device in topology.devices if pci_address(device.address) in addresses)
    return tuple(DeviceRequest(kind=kind, policy="required", count=count) for kind, count in sorted(kinds.items()))
