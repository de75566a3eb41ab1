"""Which device of the host each VM gets: counts become addresses, those of a VM near one another."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import PlanVm

Slot = tuple[str, int | None]
"""Kind and node of a device of a plan."""


def with_addresses(fleet: Fleet, vms: Sequence[PlanVm]) -> tuple[PlanVm, ...]:
    """Return the VMs with an address for each device, as far as the hosts tell them.

    A VM that stays on its host keeps what it is known to have there. The others get what nobody has, and only where
    that is too little what a VM that leaves gives up. The VMs with most devices choose first, each from the groups
    (PCIe root ports, islands of NVLink) that serve most of what it still needs, the smallest of them first. Where a VM
    runs with a device of which nobody knows the address, none of its kind is given on that host.
    """
    asking = [number for number, vm in enumerate(vms) if vm.devices]
    if not asking:
        return tuple(vms)
    by_host: dict[str, list[int]] = defaultdict(list)
    for number in asking:
        by_host[vms[number].host].append(number)
    residents: dict[str, list[str]] = defaultdict(list)
    for vm in fleet.vms:
        if vm.current is not None and (vm.spec.devices or vm.current.devices):
            residents[vm.current.host].append(vm.name)
    out = list(vms)
    for name, numbers in by_host.items():
        pool = _Pool(host=fleet.host_by_name[name])
        pool.hold(fleet, residents[name], {vms[number].name for number in numbers})
        given = {number: pool.keep(fleet, vms[number]) for number in numbers}
        for number in sorted(numbers, key=lambda one: (-len(vms[one].devices), vms[one].name)):
            found = pool.give(vms[number].devices, given[number])
            if any(found):
                out[number] = replace(vms[number], addresses=found)
    return tuple(out)


@dataclass(slots=True)
class _Pool:
    """The addresses of a host: what each is, who has it, and which kinds are held under no name."""

    host: Host
    slot_of: dict[str, Slot] = field(default_factory=dict)
    group_of: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        ids = self.host.topology.node_ids
        for device in self.host.topology.devices:
            for address in device.addresses:
                self.slot_of[address] = (device.kind, device.node if device.node in ids else None)
                # What is in no group is near nothing: a group by itself. Functions of one card are one group.
                self.group_of[address] = device.group or device.address

    def hold(self, fleet: Fleet, residents: Iterable[str], stay: set[str]) -> None:
        """Note what VMs have that are on the host now; `stay` are those that a plan leaves there."""
        for name in residents:
            vm = fleet.vm_by_name[name]
            known = [address for address in (vm.current.devices if vm.current else ()) if address in self.slot_of]
            (self.taken if name in stay else self.leaving).update(known)
            kinds = Counter(self.slot_of[address][0] for address in known)
            for request in vm.spec.devices:
                if kinds[request.kind] < request.count:
                    self.unknown.add(request.kind)

    def keep(self, fleet: Fleet, planned: PlanVm) -> dict[int, str | None]:
        """Return device -> the address that a VM has already, where it is of the planned kind and node."""
        current = fleet.vm_by_name[planned.name].current
        if current is None or current.host != planned.host:
            return {}
        kept: dict[int, str | None] = {}
        for address in current.devices:
            slot = self.slot_of.get(address)
            at = next((n for n, one in enumerate(planned.devices) if one == slot and n not in kept), None)
            if at is not None:
                kept[at] = address
            elif not planned.change.stays:
                self.taken.discard(address)
                self.leaving.add(address)
            else:
                # It keeps a device that the plan takes to be on another node: no other address is named for it.
                kinds = enumerate(planned.devices)
                at = next((n for n, (kind, _) in kinds if slot and kind == slot[0] and n not in kept), None)
                if at is not None:
                    kept[at] = None
        return kept

    def give(self, devices: Sequence[Slot], kept: Mapping[int, str | None]) -> tuple[str | None, ...]:
        """Return the address of each device of a VM, None where none is known."""
        chosen = dict(kept)
        open_ = [number for number, (kind, _) in enumerate(devices) if number not in kept and kind not in self.unknown]
        groups = Counter(self.group_of[address] for address in chosen.values() if address is not None)
        while open_:
            wanted = Counter(devices[number] for number in open_)
            free: dict[str, dict[Slot, list[str]]] = defaultdict(lambda: defaultdict(list))
            for address, slot in self.slot_of.items():
                if slot in wanted and address not in self.taken:
                    free[self.group_of[address]][slot].append(address)
            if not free:
                break

            ranks = {name: self._rank(here, wanted, groups[name]) for name, here in free.items()}
            _, best = min((rank, name) for name, rank in ranks.items())
            for number in tuple(open_):
                found = free[best].get(devices[number])
                if found:
                    address = min(found, key=lambda one: (one in self.leaving, one))
                    found.remove(address)
                    self.taken.add(address)
                    chosen[number] = address
                    open_.remove(number)
            groups[best] += 1
        return tuple(chosen.get(number) for number in range(len(devices)))

    def _rank(self, free: Mapping[Slot, list[str]], wanted: Counter[Slot], own: int) -> tuple[int, int, int, int]:
        """Return the order of a group: what serves most unused, then one that the VM is in, then the smallest."""
        unused = sum(min(sum(one not in self.leaving for one in found), wanted[slot]) for slot, found in free.items())
        served = sum(min(len(found), wanted[slot]) for slot, found in free.items())
        return -unused, -own, -served, sum(map(len, free.values()))
