"""Pins: give every dedicated vCPU of a host its CPU, every shared one its floating set. Hosts of one pattern share
the answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from placer.errors import NothingFoundError, PlacerError
from placer.model.rules import RuleKind
from placer.model.vm import Vm
from placer.planning.compile.capacity import HostCapacity, NodeCapacity
from placer.planning.compile.compile import Compiled
from placer.planning.compile.needs import Needs, part_vcpus, spec_needs
from placer.planning.compile.placements import Placement
from placer.planning.compile.structures import core_of
from solvers.pins.construct import pin_node
from solvers.pins.cores import Core, Item, PinResult


@dataclass(frozen=True, slots=True)
class SlotPins:
    """CPUs of one VM: a part, those of its dedicated vCPUs in order, and the set its shared ones float over; the
    emulator's own.
    """

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
    minimise_l3: bool = False
    _answers: dict[Hashable, HostPins] = field(default_factory=dict)
    _needs: dict[tuple[int, int], tuple[int, Needs]] = field(default_factory=dict)

    def pin(self, host: int, placed: Sequence[tuple[Placement, int]]) -> HostPins:
        """Return the pins of the VMs (placement, index into the fleet) on a host.

        Raises
        ------
        PlacerError
            The CPU rows allow the counts but they cannot be pinned: a fault of ours.
        NothingFoundError
            A rule over L3 domains, which the counts only bound, cannot be kept on a node.
        """
        capacity = self.compiled.capacities[host]
        name = self.compiled.fleet.hosts[host].name
        vms = [_as_of(self.compiled.fleet.vms[number], name) for _, number in placed]
        needs = [self._needs_of(vm, len(placement.cpu_nodes)) for vm, (placement, _) in zip(vms, placed, strict=True)]
        here = [self._current(vm, name) for vm in vms]
        tied = [self._l3_rules_of(number) for _, number in placed]
        key = (
            id(capacity),
            tuple(
                (need[0], placement, pins, rules)
                for need, (placement, _), pins, rules in zip(needs, placed, here, tied, strict=True)
            ),
        )
        if key not in self._answers:
            self._answers[key] = self._pin(
                name, capacity, vms, [need[1] for need in needs], [placement for placement, _ in placed], tied
            )
        return self._answers[key]

    def _needs_of(self, vm: Vm, parts: int) -> tuple[int, Needs]:
        """Return the needs with exactly these parts, and a number that stands for them in keys."""
        key = (id(vm.spec), parts)
        if key not in self._needs:
            options = spec_needs(vm.spec, locked_cells=parts)
            self._needs[key] = (len(self._needs), options)
        return self._needs[key]

    def _l3_rules_of(self, number: int) -> tuple[int, ...]:
        """Return the rules of scope l3 that a VM is in."""
        flavors = self.compiled.flavors
        flavor = flavors.of_vm[number]
        tied = flavors.groups[flavor].rules if flavor >= 0 else flavors.fixed[number][0]
        return tuple(rule for rule in tied if self.compiled.fleet.rules[rule].scope == "l3")

    def _current(self, vm: Vm, host: str) -> Hashable:
        if vm.current is None or vm.current.host != host or not vm.current.pins:
            return None
        return (
            vm.pins_fixed,
            tuple(sorted((vcpu, tuple(sorted(cpus))) for vcpu, cpus in vm.current.pins.items())),
            vm.current.emulator,
        )

    def _pin(
        self,
        name: str,
        capacity: HostCapacity,
        vms: Sequence[Vm],
        needs: Sequence[Needs],
        placements: Sequence[Placement],
        tied: Sequence[tuple[int, ...]],
    ) -> HostPins:
        cpus: list[list[tuple[int, ...]]] = [[() for _ in placement.cpu_nodes] for placement in placements]
        floating = [[frozenset[int]() for _ in placement.cpu_nodes] for placement in placements]
        extra: list[frozenset[int] | None] = [None] * len(vms)
        on_node: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for number, placement in enumerate(placements):
            for slot, node in enumerate(placement.cpu_nodes):
                on_node[node].append((number, slot))
        for node, wanted in sorted(on_node.items()):
            self._pin_node(f"{name}, node {node}", capacity, node, wanted, vms, needs, tied, cpus, floating, extra)
        return HostPins(slots=tuple(SlotPins(tuple(cpus[n]), tuple(floating[n]), extra[n]) for n in range(len(vms))))

    def _pin_node(
        self,
        where: str,
        capacity: HostCapacity,
        at: int,
        wanted: Sequence[tuple[int, int]],
        vms: Sequence[Vm],
        needs: Sequence[Needs],
        tied: Sequence[tuple[int, ...]],
        cpus: list[list[tuple[int, ...]]],
        floating: list[list[frozenset[int]]],
        extra: list[frozenset[int] | None],
    ) -> None:
        node = capacity.nodes[at]
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
                items.append(
                    Item(
                        policy=needs[number].thread_policy,
                        vcpus=part.dedicated,
                        extra=emulator,
                        current=_current_cpus(vm, slot, needs[number]),
                        current_extra=_current_extra(vm) if emulator else (),
                    )
                )
                owners.append((number, slot))
        cores = [core_of(core) for core in node.cores]
        shared = sum(needs[number].options[0][slot].shared for number, slot in wanted)
        floats = _floating(node, capacity.ratio, shared)
        # What runs already may be more than the CPUs to float over carry: then as much as is left is.
        answer = pin_node(cores, items, floats) or (pin_node(cores, items) if floats else None)
        if answer is None:
            raise PlacerError(
                f"{where}: the counts fit the CPU rows but cannot be pinned", cure="report this with the fleet file"
            )
        answer = self._over_l3(where, cores, items, answer, [tied[number] for number, _ in owners], floats)
        for (number, slot), pinned in zip(owners, answer.items, strict=True):
            cpus[number][slot] = pinned.cpus
            if pinned.extra:
                extra[number] = frozenset(pinned.extra)
        free = node.shared_cpus - answer.held
        for number, slot in wanted:
            if needs[number].options[0][slot].shared:
                floating[number][slot] = free

    def _over_l3(
        self,
        where: str,
        cores: Sequence[Core],
        items: Sequence[Item],
        answer: PinResult,
        tied: Sequence[tuple[int, ...]],
        floats: int,
    ) -> PinResult:
        """Return pins that keep the rules over L3 domains and, where that is a goal, use as few domains as can be."""
        if not any(tied) and not self.minimise_l3:
            return answer
        from solvers.pins.exact import L3Rule, fewest_l3, l3_used, pin_node_exact

        rules = []
        for number in sorted({rule for own in tied for rule in own}):
            rule = self.compiled.fleet.rules[number]
            members = tuple(n for n, own in enumerate(tied) if number in own)
            rules.append(L3Rule(members=members, max_per=rule.max_per if rule.kind is RuleKind.ANTI_AFFINITY else None))
        if not rules and l3_used(cores, answer) <= sum(fewest_l3(cores, item) for item in items):
            return answer
        better = pin_node_exact(cores, items, rules, hint=answer, floating=floats)
        if better is not None:
            return better
        # A rule that is broken on this node now may stay so, as long as its VMs keep the CPUs they have.
        bound = [n for n, own in enumerate(tied) if own]
        if all(set(answer.items[n].cpus) == set(items[n].current or ()) for n in bound):
            return answer
        names = ", ".join(
            self.compiled.fleet.rules[number].label for number in sorted({rule for own in tied for rule in own})
        )
        raise NothingFoundError(
            f"{where}: the VMs fit the node, but no pinning keeps {names} over its L3 domains",
            cure="give the rule the scope node or host, or a larger max_per",
        )


def _as_of(vm: Vm, host: str) -> Vm:
    """Return a VM as a host knows it: pins on another host, even fixed ones, mean nothing here."""
    if vm.current is None or vm.current.host == host:
        return vm
    return replace(vm, current=None, pins_fixed=False)


def _floating(node: NodeCapacity, ratio: Fraction, shared: int) -> int:
    """Return how many CPUs of a node's cores so many shared vCPUs need to float over."""
    elsewhere = len(node.shared_cpus) - sum(len(core.floats) for core in node.cores)
    return max(0, -(-shared * ratio.denominator // ratio.numerator) - elsewhere)


def _fixed_cpus(vm: Vm, slot: int, parts: int) -> tuple[int, ...]:
    pins = vm.current.pins if vm.current else {}
    return tuple(min(pins[vcpu]) for vcpu in part_vcpus(vm.spec, parts)[slot] if vm.spec.is_dedicated(vcpu))


def _current_cpus(vm: Vm, slot: int, needs: Needs) -> tuple[int, ...] | None:
    """Return the CPUs that the dedicated vCPUs of a part have now, in order; None where they are not all pinned one
    to one.
    """
    if vm.current is None or not vm.current.pins:
        return None
    own = [vcpu for vcpu in part_vcpus(vm.spec, len(needs.options[0]))[slot] if vm.spec.is_dedicated(vcpu)]
    sets = [vm.current.pins.get(vcpu, frozenset()) for vcpu in own]
    if any(len(cpus) != 1 for cpus in sets):
        return None
    return tuple(min(cpus) for cpus in sets)


def _current_extra(vm: Vm) -> tuple[int, ...]:
    return tuple(sorted(vm.current.emulator)) if vm.current is not None and vm.current.emulator is not None else ()
