"""Node devices of libvirt (``virsh nodedev-dumpxml``): PCI functions that a VM may want near its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placer.model.host import Device
from placer.read.hosts.sysfs_devices import device_kind
from placer.read.text.xml import parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

_ADDRESS = ("domain", "bus", "slot", "function")


def parse_nodedev(data: bytes, source: str) -> Device | None:
    """Read one node device; None for what no VM asks for, virtual functions and other capabilities than PCI.

    A card with virtual functions counts as many as it has, else as many as it can have: each can be given to a VM.

    Raises
    ------
    InputError
        Not XML, or with a DOCTYPE.
    """
    root = parse_xml(data, source)
    pci = next((part for part in root.iterfind("capability") if part.get("type") == "pci"), None)
    if root.tag != "device" or pci is None:
        return None
    inner = {part.get("type"): part for part in pci.iterfind("capability")}
    address = _address(pci)
    kind = device_kind(_hexadecimal(pci.findtext("class"), 6)[:4], _vendor(pci))
    if kind is None or address is None or "phys_function" in inner:
        return None
    numa = pci.find("numa")
    node = numa.get("node", "") if numa is not None else ""
    virtual = inner.get("virt_functions")
    most = virtual.get("maxCount", "") if virtual is not None else ""
    named = () if virtual is None else [_hexadecimal_address(one) for one in virtual.iterfind("address")]
    functions = tuple(one for one in named if one is not None)
    return Device(
        address=address,
        kind=kind,
        node=int(node) if node.isascii() and node.isdigit() and len(node) < 6 else None,
        count=len(functions) or (max(1, int(most)) if most.isascii() and most.isdigit() and len(most) < 6 else 1),
        functions=functions,
    )


def _address(pci: _Element) -> str | None:
    parts = [(pci.findtext(name) or "").strip() for name in _ADDRESS]
    if not all(part.isascii() and part.isdigit() and len(part) < 7 for part in parts):
        return None
    domain, bus, slot, function = map(int, parts)
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def _hexadecimal_address(element: _Element) -> str | None:
    """Return the address of an element with attributes such as ``bus='0x3b'``."""
    parts = [_hexadecimal(element.get(name), digits) for name, digits in zip(_ADDRESS, (4, 2, 2, 1), strict=True)]
    return "{}:{}:{}.{}".format(*parts) if all(parts) else None


def _vendor(pci: _Element) -> str | None:
    vendor = pci.find("vendor")
    return vendor.get("id") if vendor is not None else None


def _hexadecimal(text: str | None, digits: int) -> str:
    """Return libvirt's ``0x020000`` as its digits, nothing where it is something else."""
    compact = (text or "").strip().lower().removeprefix("0x")
    return compact if len(compact) == digits and all(char in "0123456789abcdef" for char in compact) else ""
