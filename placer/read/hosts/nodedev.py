"""Node devices of libvirt (``virsh nodedev-dumpxml``): PCI functions that a VM may want near its memory, and cards that
are cut for VMs, as vGPU, MIG and s390 do.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from placer.model.host import Device
from placer.model.pci import mdev_uuid
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


@dataclass(slots=True)
class _Card:
    """A card: its address and node, how many more of each type it can be cut into, and those that are there."""

    address: str
    node: int | None
    available: dict[str, int]
    there: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


@dataclass(slots=True)
class Mediated:
    """Cards of a host and what they are cut into, from the texts of its node devices in any order."""

    _cards: dict[str, _Card] = field(default_factory=dict)
    _there: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, data: bytes, source: str, card: Device | None) -> None:
        """Take note of one node device; `card` is what it is besides.

        Raises
        ------
        InputError
            Not XML, or with a DOCTYPE.
        """
        root = parse_xml(data, source)
        name, parent = (root.findtext("name") or "").strip(), (root.findtext("parent") or "").strip()
        for part in root.iterfind("capability"):
            if part.get("type") == "mdev":
                kind = part.find("type")
                uuid = mdev_uuid(part.findtext("uuid") or name.removeprefix("mdev_")[:36].replace("_", "-"))
                if kind is not None and kind.get("id") and uuid is not None:
                    self._there.append((parent, kind.get("id", ""), uuid))
            types = next((one for one in part.iterfind("capability") if one.get("type") == "mdev_types"), None)
            address = _address(part) or (card.address if card is not None else None)
            if types is None or address is None:
                continue
            numa = part.find("numa")
            node = "" if numa is None else numa.get("node", "")
            self._cards[name] = _Card(
                address=address,
                node=int(node) if node.isascii() and node.isdigit() and len(node) < 6 else None,
                available={
                    one.get("id", ""): _count(one.findtext("availableInstances"))
                    for one in types.iterfind("type")
                    if one.get("id")
                },
            )

    def devices(self) -> tuple[tuple[Device, ...], tuple[str, ...]]:
        """Return what the cards are cut into, each type a kind, and what cannot be told.

        A card is cut into one type at a time: of one with several types only those count that are there already. What
        one without any is to be cut into is for a person to say.
        """
        for parent, kind, uuid in self._there:
            if parent in self._cards:
                self._cards[parent].there[kind].append(uuid)
        found, said = [], []
        for card in sorted(self._cards.values(), key=lambda one: one.address):
            kinds = sorted(card.there) or [kind for kind, count in sorted(card.available.items()) if count]
            if not card.there and len(kinds) > 1:
                types = ", ".join(f"{kind} ({card.available[kind]})" for kind in kinds)
                said.append(
                    f"the card at {card.address} can be cut into {types}: say which under devices, such as "
                    f"{{address: '{card.address}', kind: {kinds[0]}, count: {card.available[kinds[0]]}}}"
                )
                continue
            for kind in kinds:
                uuids = tuple(sorted(card.there.get(kind, ())))
                more = card.available.get(kind, 0) if len(kinds) == 1 else 0
                device = Device(
                    address=card.address, kind=kind, node=card.node, count=len(uuids) + more, functions=uuids
                )
                found.append(device)
        return tuple(found), tuple(said)


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


def _count(text: str | None) -> int:
    said = (text or "").strip()
    return int(said) if said.isascii() and said.isdigit() and len(said) < 6 else 0
