"""What a plan is worth in each goal, computed from fleet and plan alone; maxima are positive counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import cached_property
from typing import TypeVar

from placer.errors import InputError
from placer.measure.alike import HostGroup, alike_hosts
from placer.measure.balance import balance_value
from placer.measure.cpu_use import (
    CpuUse,
    cpu_use,
    extra_l3,
    hosts_in_use,
    shared_cores,
)
from placer.measure.expected import expected_remote
from placer.measure.measure import FleetScore, ScoreCache, score_fleet
from placer.measure.moved import Move, is_present, is_repinned, move_of
from placer.measure.reserve_excess import reserve_excess
from placer.measure.rule_excess import Pair, RuleIndex, plan_excess, rule_index
from placer.measure.shortage import HostTaken, Short, excess_parts, shortages
from placer.measure.slots import Slot, free_slots
from placer.model.balance import loads_of
from placer.model.fleet import Fleet
from placer.model.goals import PART_WORDS, REMOTE_ACCESS, UNBOUND, as_most, parse_flavor
from placer.model.host import Host
from placer.model.plan import Plan, PlanVm
from placer.model.sets import PinMode, binding_of, pages_in_eighths, shares_cpus
from placer.model.vm import PinPolicy, Vm

Tier = tuple[str, float]
Figure = TypeVar("Figure")


class PlanValues:
    """Values of goals under one plan; what several goals need is computed once.

    Raises
    ------
    KeyError
        From any of its members: the plan names something that the fleet has not. `check` says what.
    """

    def __init__(
        self, fleet: Fleet, plan: Plan, *, rules: RuleIndex | None = None, scores: ScoreCache | None = None
    ) -> None:
        """Take a plan of the fleet, and where they are known already the fleet's `rule_index` and scores."""
        self.fleet = fleet
        self.plan = plan
        self.rules = rules or rule_index(fleet)
        self.scores = scores or ScoreCache()
        self._expected: dict[Hashable, float] = {}

    @cached_property
    def score(self) -> FleetScore:
        """The measure."""
        return score_fleet(self.fleet, self.plan, self.scores)

    @cached_property
    def excess(self) -> dict[Pair, int]:
        """How far the plan breaks each pair of rule and domain."""
        return plan_excess(self.fleet, self.plan, self.rules)

    @cached_property
    def groups(self) -> list[HostGroup]:
        """The hosts that hold a VM, those alike in kind and content together."""
        moves = self.moves
        return alike_hosts(
            hosts_in_use(self.fleet, self.plan),
            self.scores.specs,
            self.scores.places,
            lambda planned: moves[planned.name] is not Move.STAYS,
        )

    @cached_property
    def uses(self) -> list[CpuUse]:
        """CPUs taken on the first host of each of `groups`."""
        return [cpu_use(group.host, group.placed) for group in self.groups]

    @property
    def used(self) -> list[tuple[HostGroup, CpuUse]]:
        """`groups` with `uses`."""
        return list(zip(self.groups, self.uses, strict=True))

    @cached_property
    def idle(self) -> list[Host]:
        """Hosts that work and hold nothing."""
        taken = {planned.host for planned in self.plan.vms}
        return [host for host in self.fleet.hosts if host.name not in taken and not host.failed]

    @cached_property
    def moves(self) -> dict[str, Move]:
        """How far each placed VM goes."""
        found = self._of_each(lambda vm, planned: move_of(self.fleet, vm, planned))
        return {planned.name: move for planned, move in found}

    def _of_each(self, figure: Callable[[Vm, PlanVm], Figure]) -> Iterator[tuple[PlanVm, Figure]]:
        """Yield each placed VM with a figure of its change, worked out once for VMs bound alike where they are."""
        known: dict[Hashable, Figure] = {}
        for planned in self.plan.vms:
            vm = self.fleet.vm_by_name[planned.name]
            key = self._bound_alike(vm, planned)
            if key is None:
                yield planned, figure(vm, planned)
                continue
            if key not in known:
                known[key] = figure(vm, planned)
            yield planned, known[key]

    def _bound_alike(self, vm: Vm, planned: PlanVm) -> Hashable:
        """Return what a change of a VM that stays on its host, pinned nowhere, depends on; None for others."""
        now = vm.current
        if now is None or now.host != planned.host or now.pins or not is_present(self.fleet, vm):
            return None
        topology = self.fleet.host_by_name[planned.host].topology
        sets = (now.nodes, now.memory_nodes, now.bound, now.emulator, tuple(now.iothread_pins.items()))
        return (self.scores.specs.of(vm.spec), id(topology), self.scores.places.of(planned), sets)

    @property
    def pin(self) -> PinMode:
        """Which VMs that float the plan was asked to bind."""
        said = self.plan.options.get("pin")
        return said if said in ("worth", "all") else "none"

    def _present(self) -> Iterator[Vm]:
        return (vm for vm in self.fleet.vms if is_present(self.fleet, vm))

    def _floating(self) -> Iterator[Vm]:
        """Yield the VMs that are somewhere now and not bound to one node a cell by the plan."""
        planned = self.plan.vm_by_name
        return (vm for vm in self._present() if vm.name in planned and planned[vm.name].bound)

    def _unbound(self) -> int:
        """Return how many VMs float and shall not: of those that are somewhere, and of newcomers."""
        vms = self.fleet.vm_by_name
        new = [vms[one.name] for one in self.plan.vms if one.bound and vms[one.name].current is None]
        return sum(binding_of(vm, self.pin) == "shall" for vm in self._floating()) + sum(
            vm.pin is not PinPolicy.NEVER for vm in new
        )

    @cached_property
    def floating_access(self) -> float:
        """What the VMs that may be bound where that gains, and are not, can be expected to reach over."""
        if self.pin != "worth":
            return 0.0
        placed = [(vm, self.plan.vm_by_name[vm.name]) for vm in self._floating() if binding_of(vm, self.pin) == "may"]
        return math.fsum(self.expected(vm, one) for vm, one in placed)

    @cached_property
    def repinned(self) -> tuple[str, ...]:
        """VMs that stay where they are and get other CPUs than those that they are known to have, or other sets."""
        found = self._of_each(lambda vm, planned: is_repinned(vm, planned, self.moves[planned.name]))
        return tuple(planned.name for planned, is_other in found if is_other)

    def expected(self, vm: Vm, planned: PlanVm) -> float:
        """Return `expected_remote` of a VM under the plan."""
        topology = self.fleet.host_by_name[planned.host].topology
        now = vm.current
        lies = pages_in_eighths(now.memory_on) if now is not None and now.host == planned.host else ()
        key = (self.scores.specs.of(vm.spec), id(topology), self.scores.places.of(planned), lies)
        if key not in self._expected:
            self._expected[key] = expected_remote(vm, topology, planned)
        return self._expected[key]

    @cached_property
    def shared_now(self) -> frozenset[str]:
        """Hosts that hold shared or floating vCPUs now."""
        return frozenset(
            vm.current.host
            for vm in self.fleet.vms
            if vm.current is not None and is_present(self.fleet, vm) and shares_cpus(vm)
        )

    @cached_property
    def short(self) -> dict[str, list[Short]]:
        """What has no place, by host; hosts where all has one are left out."""
        out: dict[str, list[Short]] = {}
        for group, use in zip(self.groups, self.uses, strict=True):
            known: dict[bool, list[Short]] = {}
            for host in (group.host, *(host for host, _ in group.others)):
                had = host.name in self.shared_now
                if had not in known:
                    known[had] = shortages(HostTaken.of(use, had_shared=had, taken=self.scores.taken))
                if known[had]:
                    out[host.name] = known[had]
        return out

    def value(self, goal: str) -> float | None:
        """Return the value of a goal by its name (a tolerance behind ``~`` is ignored), None where it has no formula.

        ``placed``: vCPUs unplaced. ``excess``: what has no place where it is, its parts added up. ``rules``: excess
        over all rules and domains, those that are soft left out, and what has no place of what rules keep room for, as
        the plan tells (None where it does not). ``soft``: the excess of the soft ones of a priority, weighed.
        ``remote``: weighted remote access of VMs whose place is known. ``hosts``: cost of the hosts that hold a VM;
        with a label and value the hosts of that kind in use or those that hold a VM of that group, ``cores`` their
        cores. ``power``: watts of the hosts in use. ``cores`` alone, ``l3``: see `cpu_use`. ``balance`` in all its
        forms: see `balance_value`. ``moves``: VMs that change host. ``repins``: VMs that stay and get other CPUs or
        sets. ``headroom:<flavor>``: how many more of it fit.

        Raises
        ------
        InputError
            The goal is unknown, or the flavor of a headroom goal is none.
        """
        if loads := loads_of(self.fleet, goal):
            return balance_value(loads, self.used, self.idle)
        kind, _, argument = goal.partition("~")[0].partition(":")
        if kind == "headroom":
            flavor = as_most(self.fleet, parse_flavor(argument))
            slot = Slot(
                vcpus=flavor.vcpus,
                memory_kib=flavor.memory_kib,
                cells=flavor.cells,
                policy=flavor.policy or "dedicated",
            )
            return free_slots(self.fleet, self.plan, slot)
        label, _, value = argument.partition("=")
        if kind in ("hosts", "cores") and value:
            return self._chosen_hosts(label, value, cores=kind == "cores")
        if kind == "soft":
            return self.soft_excess(goal.partition("~")[0])
        if kind not in _VALUES:
            raise InputError(f"unknown goal {goal[:60]!r}")
        return _VALUES[kind](self)

    @property
    def placement_excess(self) -> int:
        """The excess of rules about where VMs are, those that are soft left out."""
        rules = self.fleet.rules
        return sum(over for (number, _), over in self.excess.items() if not rules[number].is_soft)

    def _rule_excess(self) -> float | None:
        kept_free = reserve_excess(self.fleet, self.plan)
        return None if kept_free is None else self.placement_excess + kept_free

    def soft_excess(self, goal: str) -> int:
        """Return the weighed excess of the soft rules that a goal counts."""
        rules = self.fleet.rules
        return sum(
            over * (rules[number].weight or 0)
            for (number, _), over in self.excess.items()
            if rules[number].is_soft and rules[number].soft_goal == goal
        )

    def tiers(self, goal: str) -> tuple[Tier, ...]:
        """Return the parts of a goal that is several objectives in order: (part, value); empty for a plain goal."""
        if goal.startswith("placed"):
            return tuple(self._unplaced())
        if goal.startswith("remote"):
            left = self._unbound()
            shall = left or any(binding_of(vm, self.pin) == "shall" for vm in self._present())
            return ((UNBOUND, left), (REMOTE_ACCESS, self.value("remote") or 0.0)) if shall else ()
        if goal.startswith("excess"):
            parts = excess_parts([short for shorts in self.short.values() for short in shorts])
            return tuple((words, parts[part]) for part, words in PART_WORDS.items())
        if goal.startswith("moves"):
            moves = list(self.moves.values())
            hosts, nodes = moves.count(Move.CHANGES_HOST), moves.count(Move.CHANGES_NODE)
            return (("VMs that change host", hosts), ("VMs that change host or node", hosts + nodes))
        return ()

    def _unplaced(self) -> Iterable[Tier]:
        """Yield unplaced vCPUs and VMs for each priority of VMs that are nowhere yet, from the highest."""
        placed = self.plan.vm_by_name
        arriving = [vm for vm in self.fleet.vms if not is_present(self.fleet, vm)]
        out = [vm for vm in self.fleet.vms if vm.name not in placed]
        priorities = sorted({vm.spec.priority for vm in [*arriving, *out]}, reverse=True)
        for priority in priorities:
            left = [vm.spec.vcpus for vm in out if vm.spec.priority == priority]
            suffix = f" of priority {priority}" if len(priorities) > 1 else ""
            yield f"vCPUs{suffix}", sum(left)
            yield f"VMs{suffix}", len(left)

    def _vcpus_unplaced(self) -> float:
        placed = self.plan.vm_by_name
        return sum(vm.spec.vcpus for vm in self.fleet.vms if vm.name not in placed)

    def _on_each_host(self, figure: Callable[[CpuUse], float]) -> Iterator[float]:
        for use, group in zip(self.uses, self.groups, strict=True):
            yield from itertools.repeat(figure(use), group.hosts)

    def _chosen_hosts(self, label: str, value: str, *, cores: bool) -> float:
        """Return the hosts in use (or their cores) that have a label, or that hold a VM with it if no host has."""
        by_hosts = any(host.labels.get(label) == value for host in self.fleet.hosts)
        vms, hosts = self.fleet.vm_by_name, self.fleet.host_by_name
        used = {
            vm.host
            for vm in self.plan.vms
            if (hosts[vm.host].labels if by_hosts else vms[vm.name].spec.labels).get(label) == value
        }
        return sum(len(hosts[name].topology.cores) if cores else 1 for name in used)

    def _power(self) -> float:
        """Return watts: what hosts in use take idle, and of the rest the share of their CPUs that VMs ask for."""
        hosts = self.fleet.host_by_name
        used = {vm.host for vm in self.plan.vms}
        total = math.fsum(hosts[name].idle_watts or 0.0 for name in used)
        for planned in self.plan.vms:
            host, spec = hosts[planned.host], self.fleet.vm_by_name[planned.name].spec
            idle = host.idle_watts or 0.0
            more = max(0.0, (idle if host.busy_watts is None else host.busy_watts) - idle)
            own = sum(map(spec.is_dedicated, range(spec.vcpus)))
            shared = sum(not spec.is_dedicated(vcpu) and spec.is_online(vcpu) for vcpu in range(spec.vcpus))
            total += more * (own + shared / host.cpu_ratio) / max(1, len(host.usable_cpus))
        return total

    def _host_cost(self) -> float:
        used = {vm.host for vm in self.plan.vms}
        return math.fsum(host.cost for host in self.fleet.hosts if host.name in used)


_VALUES: dict[str, Callable[[PlanValues], float | None]] = {
    "placed": lambda values: values._vcpus_unplaced(),
    "excess": lambda values: math.fsum(value for _, value in values.tiers("excess")),
    "rules": lambda values: values._rule_excess(),
    "remote": lambda values: values.score.remote_access + values.floating_access,
    "hosts": lambda values: values._host_cost(),
    "power": lambda values: values._power(),
    "cores": lambda values: math.fsum(values._on_each_host(shared_cores)),
    "l3": lambda values: math.fsum(values._on_each_host(extra_l3)),
    "moves": lambda values: list(values.moves.values()).count(Move.CHANGES_HOST),
    "repins": lambda values: len(values.repinned),
}


def goal_values(fleet: Fleet, plan: Plan, goals: Iterable[str]) -> dict[str, float | None]:
    """Return the value of each goal under the plan, as `PlanValues.value` defines them."""
    values = PlanValues(fleet, plan)
    return {goal: values.value(goal) for goal in goals}
