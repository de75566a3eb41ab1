"""Which device of the host each VM gets: counts become addresses, those of a VM near one another."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Change, PlanVm
from placer.model.vm import CellMode, Vm

Slot = tuple[str, int | None]
"""Kind and node of a device of a plan."""


def with_addresses(fleet: Fleet, vms: Sequence[PlanVm]) -> tuple[PlanVm, ...]:
    """Return the VMs with an address for each device, as far as the hosts tell them.

    A VM that stays on its host keeps what it is known to have there, and is named nothing else: what more it has,
    nobody knows. Who has a whole card has all its functions. The others get what nobody has, and only where
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
    stay: dict[str, set[str]] = defaultdict(set)
    for vm_ in vms:
        stay[vm_.host].add(vm_.name)
    out = list(vms)
    for name, numbers in by_host.items():
        pool = _Pool(host=fleet.host_by_name[name])
        pool.hold(fleet, residents[name], stay[name])
        given = {number: pool.keep(fleet, vms[number]) for number in numbers}
        for number in sorted(numbers, key=lambda one: (-len(vms[one].devices), vms[one].name)):
            found = pool.give(vms[number].devices, *given[number])
            if any(found):
                out[number] = replace(vms[number], addresses=found)
    return tuple(out)


@dataclass(slots=True)
class _Pool:
    """The addresses of a host: what each is, who has it, and which kinds are held under no name."""

    host: Host
    slot_of: dict[str, Slot] = field(default_factory=dict)
    group_of: dict[str, str] = field(default_factory=dict)
    parts_of: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The functions of a card by its own address."""
    free: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        ids = self.host.topology.node_ids
        for device in self.host.topology.devices:
            slot = (device.kind, device.node if device.node in ids else None)
            for address in device.addresses:
                self.slot_of[address] = slot
                # What is in no group is near nothing: a group by itself. Functions of one card are one group.
                self.group_of[address] = device.group or device.address
                self.free.add(address)
        for device in self.host.topology.devices:
            if device.card is not None:
                slot = (device.kind, device.node if device.node in ids else None)
                self.slot_of.setdefault(device.card, slot)
                self.group_of.setdefault(device.card, device.group or device.address)
                self.parts_of[device.card] += device.addresses

    def hold(self, fleet: Fleet, residents: Iterable[str], stay: set[str]) -> None:
        """Note what VMs have that are on the host now; `stay` are those that a plan leaves there."""
        for name in residents:
            vm = fleet.vm_by_name[name]
            names = frozenset(vm.current.devices if vm.current else ())
            known = self._whole(names)
            if name in stay:
                self.free -= known
            else:
                self.leaving |= known
            kinds: Counter[str] = Counter()
            for device in self.host.topology.devices:
                kinds[device.kind] += device.held(names)
            for request, count in vm.spec.device_requests(_cells_now(vm)):
                kinds[request.kind] -= count
            self.unknown |= {kind for kind, left in kinds.items() if left < 0}

    def _whole(self, addresses: Iterable[str]) -> set[str]:
        """Return addresses with those of the functions of the cards among them."""
        return {part for address in addresses for part in (address, *self.parts_of.get(address, ()))}

    def keep(self, fleet: Fleet, planned: PlanVm) -> tuple[dict[int, str], set[str]]:
        """Return device -> the address that a VM has already, where it is of the planned kind and node, of a VM that
        stays of the kind; and the kinds of which it is named no other.
        """
        current = fleet.vm_by_name[planned.name].current
        if current is None or current.host != planned.host:
            return {}, set()
        kept: dict[int, str] = {}
        spare: list[str] = []
        for address in current.devices:
            slot = self.slot_of.get(address)
            at = next((n for n, one in enumerate(planned.devices) if one == slot and n not in kept), None)
            if at is not None:
                kept[at] = address
            elif slot is not None:
                spare.append(address)
        if planned.change in (Change.RENODE, Change.RESTART):
            released = self._whole(spare) - self._whole(kept.values())
            self.free |= released & {one for device in self.host.topology.devices for one in device.addresses}
            self.leaving |= released
            return kept, {self.slot_of[address][0] for address in kept.values() if address in self.parts_of}
        for address in spare:
            kind = self.slot_of[address][0]
            at = next((n for n, one in enumerate(planned.devices) if one[0] == kind and n not in kept), None)
            if at is not None:
                kept[at] = address
        return kept, {kind for kind, _ in planned.devices}

    def give(self, devices: Sequence[Slot], kept: Mapping[int, str], closed: Set[str]) -> tuple[str | None, ...]:
        """Return the address of each device of a VM, None where none is known; of `closed` kinds those `kept` alone."""
        chosen = dict(kept)
        none = self.unknown | closed
        open_ = [number for number, (kind, _) in enumerate(devices) if number not in kept and kind not in none]
        groups = Counter(self.group_of[address] for address in chosen.values() if address is not None)
        while open_:
            wanted = Counter(devices[number] for number in open_)
            free: dict[str, dict[Slot, list[str]]] = defaultdict(lambda: defaultdict(list))
            for address in self.free:
                slot = self.slot_of[address]
                if slot in wanted and self.free.issuperset(self.parts_of.get(address, ())):
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
                    self.free -= self._whole([address])
                    chosen[number] = address
                    open_.remove(number)
            groups[best] += 1
        return tuple(chosen.get(number) for number in range(len(devices)))

    def _rank(self, free: Mapping[Slot, list[str]], wanted: Counter[Slot], own: int) -> tuple[int, int, int, int]:
        """Return the order of a group: what serves most unused, then one that the VM is in, then the smallest."""
        unused = sum(min(sum(one not in self.leaving for one in found), wanted[slot]) for slot, found in free.items())
        served = sum(min(len(found), wanted[slot]) for slot, found in free.items())
        return -unused, -own, -served, sum(map(len, free.values()))


def _cells_now(vm: Vm) -> int:
    """Return how many cells with vCPUs a VM has where it is."""
    if vm.spec.cell_mode is CellMode.AUTO:
        return len(vm.current.nodes) if vm.current is not None and vm.current.nodes else 1
    return 1 if vm.spec.cell_mode is CellMode.NONE else sum(1 for cell in vm.spec.cells if cell.vcpus)
