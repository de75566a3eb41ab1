"""Places of VMs and contents of hosts that are alike in all that a check looks at: what holds for one, holds for all.

A large plan has few patterns of places. The whole value of a place is compared, pin by pin, so every VM's pins are
looked at; what follows from them is worked out once a pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from placer.measure.moved import has_fixed_pins
from placer.measure.spec_numbers import SpecNumbers
from placer.model.host import Host
from placer.model.plan import PlanVm
from placer.model.same_host import room_key
from placer.model.vm import Vm

Placed = Sequence[tuple[Vm, PlanVm]]
"""The VMs of one host: as the fleet knows them, and as the plan places them."""


@dataclass(slots=True)
class PlaceNumbers:
    """Gives every place a number by its value: cells, pins, emulator threads, IOThreads and devices, in their order."""

    # The object is kept beside its number: else another object could come to have its identity.
    _by_object: dict[int, tuple[PlanVm, int]] = field(default_factory=dict)
    _by_parts: dict[Hashable, int] = field(default_factory=dict)
    _by_value: dict[Hashable, int] = field(default_factory=dict)

    def of(self, planned: PlanVm) -> int:
        """Return the number of a VM's place: names, the host and what changes do not enter."""
        known = self._by_object.get(id(planned))
        if known is None:
            # VMs that one plan builds alike share the objects that they are made of: those need not be compared again.
            parts = (
                (id(planned.pins), id(planned.cells), id(planned.iothreads), planned.shown, planned.new_cells),
                (planned.emulator, planned.devices, planned.bound),
            )
            number = self._by_parts.get(parts)
            if number is None:
                number = self._by_value.setdefault(_value(planned), len(self._by_value))
                self._by_parts[parts] = number
            known = self._by_object[id(planned)] = (planned, number)
        return known[1]


def _value(planned: PlanVm) -> Hashable:
    return (
        tuple(planned.pins.items()),
        tuple([(c.id, c.vcpus, c.memory_kib, c.mode, tuple(c.nodes.items())) for c in planned.cells]),
        (planned.shown, planned.new_cells, planned.emulator, tuple(planned.iothreads.items()), planned.devices),
        planned.bound,
    )


@dataclass(slots=True)
class HostGroup:
    """Hosts of one kind whose VMs are alike in spec and place: the first of them, and the others."""

    host: Host
    placed: Placed
    others: list[tuple[Host, Placed]] = field(default_factory=list)

    @property
    def hosts(self) -> int:
        """How many hosts there are."""
        return 1 + len(self.others)


def alike_hosts(
    contents: Iterable[tuple[Host, Placed]],
    specs: SpecNumbers,
    places: PlaceNumbers,
    arrives: Callable[[PlanVm], bool],
) -> list[HostGroup]:
    """Return the hosts in groups, in the order in which the first of each comes.

    A host with fixed pins is alone: they are compared with where each VM is now. `arrives` tells the VMs that are not
    on their planned nodes yet: such a VM may be refused where one that stays is only warned of.
    """
    groups: dict[Hashable, HostGroup] = {}
    for host, placed in contents:
        key: Hashable = host.name
        if not any(vm.pins_fixed and has_fixed_pins(vm, planned) for vm, planned in placed):
            content = [(specs.of(vm.spec), places.of(planned), arrives(planned)) for vm, planned in placed]
            content.sort()
            key = (_settings(host), tuple(content))
        group = groups.get(key)
        if group is None:
            groups[key] = HostGroup(host=host, placed=placed)
        else:
            group.others.append((host, placed))
    return list(groups.values())


def _settings(host: Host) -> Hashable:
    return (room_key(host), host.kvm, host.failed)
