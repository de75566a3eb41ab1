"""Check which devices of its host each VM gets: they exist, nobody has one twice, and who stays keeps its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set

from placer.check.findings import Findings
from placer.measure.alike import Placed
from placer.model.host import Host
from placer.model.pci import AddressKey, address_key
from placer.model.plan import PlanVm
from placer.model.vm import Vm


def check_addresses(host: Host, placed: Placed, arrivals: Set[str], found: Findings) -> None:
    """Note every address that a host lacks, that is of another kind or node than the plan says, or that two VMs have.

    A VM that stays has what it has: a plan that names other devices for it or leaves out its own, or gives them to
    somebody else, is refused; so is one that names a device of a kind of which a VM that stays has one that nobody
    knows. Who has a whole card has its functions.
    Two VMs that both have an address already are only warned of. `arrivals` are the VMs that are not on their planned
    nodes now.
    """
    if not any(planned.addresses or (vm.current is not None and vm.current.devices) for vm, planned in placed):
        return
    ids = host.topology.node_ids
    told: dict[str, tuple[str, int | None]] = {}
    parts: dict[str, tuple[str, ...]] = {}
    for device in host.topology.devices:
        slot = (device.kind, device.node if device.node in ids else None)
        told.update(dict.fromkeys(device.addresses, slot))
        if device.card is not None:
            told.setdefault(device.card, slot)
            parts[device.card] = (*parts.get(device.card, ()), *device.addresses)
    held: dict[AddressKey, str] = {}
    both: set[str] = set()
    hidden: dict[str, str] = {}
    for vm, planned in placed:
        if _stays(vm, planned, host, arrivals):
            known = frozenset(vm.current.devices if vm.current else ())
            for kind, count in Counter(kind for kind, _ in planned.devices).items():
                if count > sum(device.held(known) for device in host.topology.devices if device.kind == kind):
                    hidden[kind] = planned.name
    for vm, planned in placed:
        here = _stays(vm, planned, host, arrivals)
        own = [address for address in (vm.current.devices if vm.current and here else ()) if address in told]
        named = [address for address in planned.addresses if address is not None]
        if planned.addresses and len(planned.addresses) != len(planned.devices):
            message = f"{len(planned.addresses)} addresses for {len(planned.devices)} devices"
            found.vm(planned, message, where="devices")
        for slot, address in zip(planned.devices, planned.addresses, strict=False):
            if address is None or address in own:
                continue
            if address not in told or (address in parts and _is_card_only(host, address)):
                found.vm(planned, f"the host has no device {address}", where="devices")
            elif told[address] != slot:
                at = "no node" if told[address][1] is None else f"node {told[address][1]}"
                message = f"{address} is a {told[address][0]} on {at}, and the plan says {slot[0]} on node {slot[1]}"
                found.vm(planned, message, where="devices")
            elif slot[0] in hidden:
                message = f"gets {address}, which VM {hidden[slot[0]]!r} may have: nobody knows which {slot[0]} it has"
                found.vm(planned, message, where="devices")
        if here:
            strange = sorted(set(named).difference(own))
            asked = Counter(kind for kind, _ in planned.devices)
            kept = Counter(told[address][0] for address in own if address in named)
            has = Counter(told[address][0] for address in own)
            short = {kind for kind, count in asked.items() if kept[kind] < min(count, has[kind])}
            lost = sorted(address for address in own if told[address][0] in short and address not in named)
            if strange or lost:
                what = f"stays, has {', '.join(lost or own) or 'no known address'}, and gets "
                found.vm(planned, what + (", ".join(strange) or "none of that name"), where="devices")
        for address in dict.fromkeys([*named, *own]):
            if named.count(address) > 1:
                found.vm(planned, f"has {address} twice", where="devices")
            for one in (address, *parts.get(address, ())):
                other = held.setdefault(address_key(one), planned.name)
                if other == planned.name:
                    if address in own:
                        both.add(one)
                elif one in both and address in own:
                    found.warn(f"host {host.name!r}: VMs {other!r} and {planned.name!r} both have {one} now")
                else:
                    found.vm(planned, f"gets {one}, which VM {other!r} has", where="devices")


def _stays(vm: Vm, planned: PlanVm, host: Host, arrivals: Set[str]) -> bool:
    return vm.current is not None and vm.current.host == host.name and planned.name not in arrivals


def _is_card_only(host: Host, address: str) -> bool:
    """Tell whether an address is of a card whose functions VMs get, and of no device that a VM is given itself."""
    return all(address not in device.addresses for device in host.topology.devices)
