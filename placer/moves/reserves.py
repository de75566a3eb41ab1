"""Room kept for failures, between steps: steps begin only where what fails meanwhile would still find a place.

While VMs are under way both their ends are taken, and a failure hits them at both: what survives so survives in
whatever order the steps of a wave end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from placer.failures.reserve import sweep_of_rule, without_reserve
from placer.failures.slots import slots_free
from placer.failures.sweep import standing
from placer.model.fleet import Fleet
from placer.model.rules import RuleKind, own_name
from placer.model.vm import CellMode, Current, Vm
from placer.moves.model import Broken, Place, StepKind, Wave
from placer.options import SweepOptions
from placer.planning.after import with_vms

LOOKS = 80
"""States of the fleet that are looked at for one plan."""
MOST_SOLVES = 4
"""Failures of a state that no greedy fit shows to be harmless are planned for, so many at most..."""
_OPTIONS = SweepOptions(time_limit_s=5.0, rounds=4, total_time_s=20.0)
"""... and so much is done for each."""


@dataclass(slots=True)
class ReserveWatch:
    """Reserve rules of a fleet, and the fleet as steps change it.

    `ends` are the VMs that are elsewhere than at the start, `under_way` those of the wave that is made, at their next
    place; `let_go` steps may begin whatever they do to the rules, since nothing else can go.
    """

    fleet: Fleet
    rules: frozenset[int]
    looks: int = LOOKS
    let_go: int = 0
    ends: dict[str, Vm] = field(default_factory=dict)
    under_way: dict[str, Vm] = field(default_factory=dict)
    _known: dict[frozenset[tuple[str, str, bool]], frozenset[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, fleet: Fleet) -> ReserveWatch | None:
        """Return a watch over all reserve rules; None where there are none."""
        numbers = frozenset(n for n, rule in enumerate(fleet.rules) if rule.kind is RuleKind.RESERVE)
        return cls(fleet, numbers) if numbers else None

    def without_broken(self) -> ReserveWatch | None:
        """Return the watch over the rules that are proven to be kept as things are; None where there are none."""
        kept = self._kept()
        return dataclasses.replace(self, rules=kept) if kept else None

    def again(self) -> ReserveWatch:
        """Return the watch at the start, with what it has learned."""
        return dataclasses.replace(self, ends={}, under_way={}, let_go=0)

    def always_kept(self, moves: Iterable[tuple[Vm, StepKind, Place]]) -> bool:
        """Tell whether every order of some moves keeps all: with all their VMs at both ends at once it is kept."""
        self.under_way = {vm.name: _at(vm, place) for vm, kind, place in moves if _counts(kind)}
        kept = self._kept()
        self.under_way = {}
        return kept >= self.rules

    def admits(self, vm: Vm, kind: StepKind, place: Place) -> bool:
        """Tell whether the rules are kept when a VM that goes to a place joins the wave that is made."""
        if not _counts(kind):
            return True
        if self.let_go:
            self.let_go -= 1
            return True
        moved = _at(vm, place)
        self.under_way[vm.name] = moved
        kept = self._kept() >= self.rules
        del self.under_way[vm.name]
        if not kept and not self.under_way:
            # Alone in its wave, a step is over when the next one begins: what counts is where the VM is then.
            before = self.ends.get(vm.name)
            self.ends[vm.name] = moved
            kept = self._kept() >= self.rules
            if before is None:
                del self.ends[vm.name]
            else:
                self.ends[vm.name] = before
        return kept

    def begins(self, vm: Vm, kind: StepKind, place: Place) -> None:
        """Note that a VM is under way to a place."""
        if _counts(kind):
            self.under_way[vm.name] = _at(vm, place)

    def refuses(self, vm: Vm, kind: StepKind, place: Place) -> bool:
        """Tell whether a move that could be made by itself waits for the rules."""
        return not self.let_go and not self.admits(vm, kind, place)

    def closes(self) -> None:
        """Note that all that is under way has arrived."""
        self.ends |= self.under_way
        self.under_way = {}

    def broken_in(self, waves: Sequence[Wave]) -> tuple[Broken, ...]:
        """Return the rules that are not proven to be kept in some waves, looked at from the start."""
        watch = self.again()
        worse: dict[int, list[int]] = {}
        for number, wave in enumerate(waves, start=1):
            steps = [step for step in wave.steps if _counts(step.kind)]
            for step in steps:
                watch.under_way[step.vm] = _at(self.fleet.vm_by_name[step.vm], step.target)
            kept = watch._kept() if steps else self.rules
            watch.closes()
            if kept < self.rules and len(steps) == 1:
                kept = watch._kept()
            for rule in self.rules - kept:
                worse.setdefault(rule, []).append(number)
        over = self.rules - watch._kept()
        return tuple(
            Broken.of(self.fleet.rules[rule].label, waves, when, by_any=False, mended=rule not in over)
            for rule, when in sorted(worse.items())
        )

    def _kept(self) -> frozenset[int]:
        """Return the rules that are proven to be kept as things are."""
        key = frozenset(
            [(vm.name, repr(vm.current), False) for vm in self.ends.values()]
            + [(vm.name, repr(vm.current), True) for vm in self.under_way.values()]
        )
        if key not in self._known:
            self._known[key] = self._look() if len(self._known) < self.looks else frozenset()
        return self._known[key]

    def _look(self) -> frozenset[int]:
        fleet = without_reserve(self.fleet)
        vms = [self.ends.get(vm.name, vm) for vm in fleet.vms]
        doubles = [_double(vm) for vm in self.under_way.values()]
        state = standing(with_vms(fleet, [*vms, *doubles]))
        asked = {number: self.fleet.rules[number] for number in sorted(self.rules)}
        kept = set()
        for number, rule in asked.items():
            if rule.holds:
                continue
            sweep = sweep_of_rule(state, None, rule, _OPTIONS, most_solves=MOST_SOLVES)
            if not sweep.harmful and not sweep.unknown:
                kept.add(number)
        holding = [rule for rule in asked.values() if rule.holds]
        numbers = [number for number, rule in asked.items() if rule.holds]
        free = slots_free(state, holding, _OPTIONS) if holding else {}
        kept |= {numbers[n] for n, one in free.items() if one.free == one.wanted}
        return frozenset(kept)


def _counts(kind: StepKind) -> bool:
    """Tell whether a step takes room elsewhere than where its VM is."""
    return kind is not StepKind.REPIN


def _at(vm: Vm, place: Place) -> Vm:
    """Return a VM at a place."""
    devices = tuple(address for address in place.addresses if address is not None)
    if place.bound:
        return dataclasses.replace(vm, current=Current(host=place.host, bound=place.bound, devices=devices))
    memory = [tuple(cell.nodes) for cell in place.cells]
    flat = tuple(node for nodes in memory for node in nodes) if vm.spec.cell_mode is CellMode.NONE else None
    return dataclasses.replace(
        vm,
        current=Current(
            host=place.host,
            nodes=place.nodes,
            memory_nodes=(flat or tuple(nodes[0] for nodes in memory)) if memory and all(memory) else None,
            pins=place.pins,
            emulator=place.emulator,
            iothread_pins=place.iothreads,
            devices=devices,
        ),
    )


def _double(vm: Vm) -> Vm:
    """Return what a VM takes at its next place, beside itself: rules see it as they see the VM."""
    labels: Mapping[str, str] = {**vm.spec.labels, "name": own_name(vm.name, vm.spec.labels)}
    spec = dataclasses.replace(vm.spec, labels=labels)
    return dataclasses.replace(vm, name=f"{vm.name}\0on its way", uuid=None, spec=spec)
