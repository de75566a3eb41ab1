"""PCI addresses, and UUIDs of mediated devices, as machine files and domains write them."""

from __future__ import annotations

import re

PciAddress = tuple[int, int, int, int]
"""Domain, bus, slot and function."""
AddressKey = PciAddress | str
"""What tells one device from another: the PCI address or UUID however it is written, else the text."""
_PCI = re.compile(r"(?:([0-9a-fA-F]{4,8}):)?([0-9a-fA-F]{2}):([0-9a-fA-F]{2})\.([0-7])")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def pci_address(text: str) -> PciAddress | None:
    """Return a PCI address as ``0000:81:00.0``, None where the text is none."""
    found = _PCI.fullmatch(text.strip())
    if found is None:
        return None
    domain, bus, slot, function = found.groups()
    return int(domain or "0", 16), int(bus, 16), int(slot, 16), int(function, 16)


def mdev_uuid(text: str) -> str | None:
    """Return the UUID of a mediated device (a slice of a card, as vGPU and MIG have), None where the text is none."""
    said = text.strip().lower()
    return said if _UUID.fullmatch(said) else None


def pci_text(address: PciAddress) -> str:
    """Return a PCI address as text, ``0000:81:00.0``."""
    domain, bus, slot, function = address
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def address_key(text: str) -> AddressKey:
    """Return what is equal for every way to write an address."""
    return pci_address(text) or mdev_uuid(text) or text.strip()
