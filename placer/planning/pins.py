"""Pins: give every dedicated vCPU of a host its CPU, every shared one its floating set. Hosts of one pattern share the answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from placer.errors import PlacerError
from placer.model.vm import Vm
from placer.planning.capacity import HostCapacity, NodeCapacity
from placer.planning.compile import Compiled
from placer.planning.needs import Needs, part_vcpus, spec_needs
from placer.planning.placements import Placement
from solvers.pinning import Core, Item, pin_node


@dataclass(frozen=True, slots=True)
class SlotPins:
    """CPUs of one VM: a part, those of its dedicated vCPUs in order, and the set its shared ones float over; the emulator's own."""

    cpus: tuple[tuple[int, ...], ...]
    floating: tuple[frozenset[int], ...]
    extra: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class HostPins:
    """Pins of one host, a slot each of its placed VMs in the order they were given."""

    slots: tuple[SlotPins, ...]


@dataclass(slots=True)
class Pinner:
    """Pins hosts one by one; equal capacities, patterns and current pins are answered once."""

    compiled: Compiled
    _answers: dict[Hashable, HostPins] = field(default_factory=dict)
    _needs: dict[tuple[int, int], tuple[int, Needs]] = field(default_factory=dict)

    def pin(self, host: int, placed: Sequence[tuple[Placement, int]]) -> HostPins:
        """Return the pins of the VMs (placement, index into the fleet) on a host.

        Raises
        ------
        PlacerError
            The CPU rows allow the counts but they cannot be pinned: a fault of ours.
        """
        capacity = self.compiled.capacities[host]
        vms = [self.compiled.fleet.vms[number] for _, number in placed]
        needs = [self._needs_of(vm, len(placement.cpu_nodes)) for vm, (placement, _) in zip(vms, placed, strict=True)]
        name = self.compiled.fleet.hosts[host].name
        here = [self._current(vm, name) for vm in vms]
        key = (id(capacity), tuple((need[0], placement, pins) for need, (placement, _), pins in zip(needs, placed, here, strict=True)))
        if key not in self._answers:
            self._answers[key] = self._pin(name, capacity, vms, [need[1] for need in needs], [placement for placement, _ in placed])
        return self._answers[key]

    def _needs_of(self, vm: Vm, parts: int) -> tuple[int, Needs]:
        """Return the needs with exactly these parts, and a number that stands for them in keys."""
        key = (id(vm.spec), parts)
        if key not in self._needs:
            options = spec_needs(vm.spec, locked_cells=parts)
            self._needs[key] = (len(self._needs), options)
        return self._needs[key]

    def _current(self, vm: Vm, host: str) -> Hashable:
        if vm.current is None or vm.current.host != host or not vm.current.pins:
            return None
        return (vm.pins_fixed, tuple(sorted((vcpu, tuple(sorted(cpus))) for vcpu, cpus in vm.current.pins.items())), vm.current.emulator)

    def _pin(self, name: str, capacity: HostCapacity, vms: Sequence[Vm], needs: Sequence[Needs], placements: Sequence[Placement]) -> HostPins:
        cpus: list[list[tuple[int, ...]]] = [[() for _ in placement.cpu_nodes] for placement in placements]
        floating = [[frozenset[int]() for _ in placement.cpu_nodes] for placement in placements]
        extra: list[frozenset[int] | None] = [None] * len(vms)
        on_node: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for number, placement in enumerate(placements):
            for slot, node in enumerate(placement.cpu_nodes):
                on_node[node].append((number, slot))
        for node, wanted in sorted(on_node.items()):
            self._pin_node(f"{name}, node {node}", capacity.nodes[node], wanted, vms, needs, cpus, floating, extra)
        return HostPins(slots=tuple(SlotPins(tuple(cpus[n]), tuple(floating[n]), extra[n]) for n in range(len(vms))))

    def _pin_node(self, where: str, node: NodeCapacity, wanted: Sequence[tuple[int, int]], vms: Sequence[Vm], needs: Sequence[Needs],
                  cpus: list[list[tuple[int, ...]]], floating: list[list[frozenset[int]]], extra: list[frozenset[int] | None]) -> None:
        items: list[Item] = []
        owners: list[tuple[int, int]] = []
        for number, slot in wanted:
            vm, part = vms[number], needs[number].options[0][slot]
            if vm.pins_fixed:
                cpus[number][slot] = _fixed_cpus(vm, slot, len(needs[number].options[0]))
                extra[number] = vm.current.emulator if vm.current and needs[number].extra_cpu else None
                continue
            emulator = 1 if needs[number].extra_cpu and slot == 0 else 0
            if part.dedicated or emulator:
                items.append(Item(policy=needs[number].thread_policy, vcpus=part.dedicated, extra=emulator,
                                  current=_current_cpus(vm, slot, needs[number]), current_extra=_current_extra(vm) if emulator else ()))
                owners.append((number, slot))
        cores = [Core(cpus=core.cpus, width=core.width, l3=core.l3) for core in node.cores]
        answer = pin_node(cores, items)
        if answer is None:
            raise PlacerError(f"{where}: the counts fit the CPU rows but cannot be pinned", cure="report this with the fleet file")
        for (number, slot), pinned in zip(owners, answer.items, strict=True):
            cpus[number][slot] = pinned.cpus
            if pinned.extra:
                extra[number] = frozenset(pinned.extra)
        free = node.shared_cpus - answer.held
        for number, slot in wanted:
            if needs[number].options[0][slot].shared:
                floating[number][slot] = free


def _fixed_cpus(vm: Vm, slot: int, parts: int) -> tuple[int, ...]:
    pins = vm.current.pins if vm.current else {}
    return tuple(min(pins[vcpu]) for vcpu in part_vcpus(vm.spec, parts)[slot] if vm.spec.is_dedicated(vcpu))


def _current_cpus(vm: Vm, slot: int, needs: Needs) -> tuple[int, ...] | None:
    """Return the CPUs that the dedicated vCPUs of a part have now, in order; None where they are not all pinned one to one."""
    if vm.current is None or not vm.current.pins:
        return None
    own = [vcpu for vcpu in part_vcpus(vm.spec, len(needs.options[0]))[slot] if vm.spec.is_dedicated(vcpu)]
    sets = [vm.current.pins.get(vcpu, frozenset()) for vcpu in own]
    if any(len(cpus) != 1 for cpus in sets):
        return None
    return tuple(min(cpus) for cpus in sets)


def _current_extra(vm: Vm) -> tuple[int, ...]:
    return tuple(sorted(vm.current.emulator)) if vm.current is not None and vm.current.emulator is not None else ()
