"""Devices that the entry of a host lists, on top of those that its machine file tells."""

from __future__ import annotations

from dataclasses import replace

from placer.model.host import Device, Topology
from placer.model.pci import AddressKey, address_key
from placer.read.inventory.schema import HostEntry
from placer.read.inventory.validation import Problem, no_node


def with_devices(topology: Topology, entry: HostEntry, problems: list[Problem]) -> Topology:
    """Return a host with the devices of its entry on top of those that its file tells; each function is one VM's."""
    if not entry.devices:
        return topology
    devices = {(device.address, device.kind): device for device in topology.devices}
    here: set[tuple[str, str]] = set()
    for number, device in enumerate(entry.devices):
        key = (device.address, device.kind)
        if key in here:
            message = f"the {device.kind} at {device.address} is here twice"
            problems.append((("devices", number, "address"), message, "keep one"))
        if device.node is not None and device.node not in topology.node_ids:
            problems.append((("devices", number, "node"), no_node(device.node, topology), None))
        here.add(key)
        if device.count is not None and device.count < len(device.functions):
            message = f"{device.count} devices, and {len(device.functions)} functions are listed"
            problems.append((("devices", number, "count"), message, "leave it out"))
        devices[key] = Device(
            address=device.address,
            kind=device.kind,
            node=device.node,
            count=device.count or len(device.functions) or 1,
            functions=tuple(device.functions),
            group=device.group,
        )
    seen: dict[AddressKey, tuple[str, bool]] = {}
    for one in devices.values():
        for text in one.addresses:
            # Machine files tell some cards under two kinds: these have one address, as they write it.
            this = (text, not one.functions)
            other = seen.setdefault(address_key(text), this)
            if other is not this and not (other == this and this[1]):
                message = f"{text} and {other[0]} are one function, which only one VM can have"
                problems.append((("devices",), message, "list it once, under one device"))
    return replace(topology, devices=tuple(sorted(devices.values(), key=lambda device: device.address)))
