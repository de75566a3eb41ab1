"""Check which devices of its host each VM gets: they exist, nobody has one twice, and who stays keeps its own."""

from __future__ import annotations

from collections.abc import Set

from placer.check.findings import Findings
from placer.measure.alike import Placed
from placer.model.host import Host


def check_addresses(host: Host, placed: Placed, arrivals: Set[str], found: Findings) -> None:
    """Note every address that a host lacks, that is of another kind or node than the plan says, or that two VMs have.

    A VM that stays has what it has: a plan that names other devices for it, or gives them to somebody else, is refused.
    Two VMs that both have an address already are only warned of. `arrivals` are the VMs that are not on their planned
    nodes now.
    """
    if not any(planned.addresses or (vm.current is not None and vm.current.devices) for vm, planned in placed):
        return
    ids = host.topology.node_ids
    told = {
        address: (device.kind, device.node if device.node in ids else None)
        for device in host.topology.devices
        for address in device.addresses
    }
    held: dict[str, str] = {}
    both: set[str] = set()
    for vm, planned in placed:
        here = vm.current is not None and vm.current.host == host.name and planned.name not in arrivals
        own = [address for address in (vm.current.devices if vm.current and here else ()) if address in told]
        named = [address for address in planned.addresses if address is not None]
        if planned.addresses and len(planned.addresses) != len(planned.devices):
            message = f"{len(planned.addresses)} addresses for {len(planned.devices)} devices"
            found.vm(planned, message, where="devices")
        for slot, address in zip(planned.devices, planned.addresses, strict=False):
            if address is None:
                continue
            if address not in told:
                found.vm(planned, f"the host has no device {address}", where="devices")
            elif told[address] != slot and address not in own:
                at = "no node" if told[address][1] is None else f"node {told[address][1]}"
                message = f"{address} is a {told[address][0]} on {at}, and the plan says {slot[0]} on node {slot[1]}"
                found.vm(planned, message, where="devices")
        strange = sorted(set(named).difference(own)) if own and here else []
        kinds = [told[address][0] for address in own]
        lost = sorted(set(own).difference(named)) if planned.addresses and here else []
        if strange and lost and any(told.get(address, ("",))[0] in kinds for address in strange):
            found.vm(planned, f"stays, has {', '.join(lost)}, and gets {', '.join(strange)}", where="devices")
        for address in dict.fromkeys([*named, *own]):
            other = held.setdefault(address, planned.name)
            if other == planned.name:
                if named.count(address) > 1:
                    found.vm(planned, f"has {address} twice", where="devices")
                if address in own:
                    both.add(address)
            elif address in both and address in own:
                found.warn(f"host {host.name!r}: VMs {other!r} and {planned.name!r} both have {address} now")
            else:
                found.vm(planned, f"gets {address}, which VM {other!r} has", where="devices")
