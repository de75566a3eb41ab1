"""Small fleets: all failures beside each other in one model, which bounds what the worst of them loses in any plan, or
how many more VMs survive all of them, and says on which host each VM is in the best one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from placer.failures.sweep import domains_of
from placer.model.fleet import Fleet
from placer.model.goals import Goal
from placer.model.plan import PlanVm
from placer.model.rules import Rule, RuleKind, only, own_name
from placer.model.sets import PinMode, floats
from placer.options import SweepOptions
from placer.planning.compile.budget import drained_first, move_budget
from placer.planning.compile.compile import Compiled, compile_fleet
from placer.planning.decode.build_plan import PlanBuilder
from placer.planning.decode.names import Assignment, assign_names
from placer.planning.decode.pins import Pinner
from solvers.problem import BoolArray
from solvers.result import HostPattern, Result

MOST_HOSTS, MOST_FAILURES = 16, 128
BUDGET = 4.0
"""Deterministic time of the search."""


@dataclass(frozen=True, slots=True)
class Together:
    """In any plan that places all VMs the worst failure loses `at_least` vCPUs; `patterns` are the best one found, in
    the counts of `compiled`, None where nothing is known.
    """

    at_least: int
    compiled: Compiled | None = None
    patterns: tuple[HostPattern, ...] = ()

    @property
    def hosts(self) -> dict[str, str]:
        """VM -> host in the best plan found."""
        return {} if self.compiled is None else _hosts(self.compiled, self.patterns)

    def vms(self, pin: PinMode | None) -> tuple[PlanVm, ...]:
        """Return the VMs of the best plan found, with their nodes and pins; `pin` is what the fleet is asked with."""
        assert self.compiled is not None
        pinner = Pinner(compiled=self.compiled, minimise_l3=False, save_cpus=False, hold=False)
        return PlanBuilder(compiled=self.compiled, pinner=pinner).build(_named(self.compiled, self.patterns))


NOTHING = Together(0)


def lost_together(fleet: Fleet, rule: Rule, options: SweepOptions) -> Together:
    """Return what the failures of a rule take from any plan within the limits on moves.

    `fleet` has none of the rules that keep room. Of large fleets, and of VMs that float, nothing is said.
    """
    if not _is_few(fleet, [rule]):
        return NOTHING
    # Loaded for the few fleets that get here: CP-SAT takes longer than all that is said of large ones.
    from solvers.survivors import survivors

    asked = drained_first(_told_apart(fleet, [rule]), options.max_moves, options.max_migrations)
    compiled = _compiled(asked, options)
    counted = _counted(fleet, compiled, rule)
    found = survivors(compiled.problem, _failures(fleet, rule), counted, budget=BUDGET, seconds=options.time_limit_s)
    return NOTHING if found is None else Together(found.at_least, compiled, found.patterns)


@dataclass(frozen=True, slots=True)
class More:
    """No more than `at_most` of the VMs that are nowhere survive every failure; `hosts` (VM -> host) are where those of
    the best plan found are.
    """

    at_most: int
    hosts: Mapping[str, str]


def most_together(fleet: Fleet, rules: Sequence[Rule], options: SweepOptions) -> More | None:
    """Return how many of the VMs that are nowhere can be placed so that every failure of these rules is survived, while
    nothing moves; None where it is not known: of large fleets, of VMs that float, and where no number survives.

    `fleet` has none of the rules that keep room.
    """
    if not rules or not _is_few(fleet, rules):
        return None
    from solvers.survivors import most_arrivals

    compiled = _compiled(_told_apart(fleet, rules), dataclasses.replace(options, max_moves=0, max_migrations=None))
    failures = [(hosts, _counted(fleet, compiled, rule)) for rule in rules for hosts in _failures(fleet, rule)]
    found = most_arrivals(compiled.problem, failures, budget=BUDGET, seconds=options.time_limit_s)
    if found is None:
        return None
    new = {vm.name for vm in fleet.vms if vm.current is None}
    where = _hosts(compiled, found.patterns)
    return More(found.at_most, {name: host for name, host in where.items() if name in new})


def _is_few(fleet: Fleet, rules: Sequence[Rule]) -> bool:
    """Tell whether fleet and failures are few, all of VMs that do not float, and something fails for every rule."""
    if len(fleet.hosts) > MOST_HOSTS or any(floats(vm) for vm in fleet.vms):
        return False
    many = 0
    for rule in rules:
        domains = len(domains_of(fleet, rule.scope))
        if not min(rule.fail, domains):
            return False
        many += math.comb(domains, min(rule.fail, domains))
    return many <= MOST_FAILURES


def _failures(fleet: Fleet, rule: Rule) -> list[set[int]]:
    """Return the hosts of each failure."""
    domains = domains_of(fleet, rule.scope)
    number_of = {host.name: number for number, host in enumerate(fleet.hosts)}
    return [
        {number_of[host] for name in failed for host in domains[name]}
        for failed in combinations(domains, min(rule.fail, len(domains)))
    ]


def _compiled(fleet: Fleet, options: SweepOptions) -> Compiled:
    budget = move_budget(fleet, options.max_moves, options.max_migrations)
    return compile_fleet(fleet, [Goal(name="placed", kind="placed")], budget)


def _counted(fleet: Fleet, compiled: Compiled, rule: Rule) -> BoolArray:
    """Return the flavors (F,) whose VMs need a place after a failure."""
    counted = np.ones(len(compiled.problem.flavors), dtype=np.bool_)
    for vm, flavor in zip(fleet.vms, compiled.flavors.of_vm, strict=True):
        if flavor >= 0 and not rule.covers(vm.name, vm.spec.labels):
            counted[flavor] = False
    return counted


def _hosts(compiled: Compiled, patterns: tuple[HostPattern, ...]) -> dict[str, str]:
    """Return VM -> host of a plan in counts; those left out have none."""
    fleet = compiled.fleet
    return {
        fleet.vms[number].name: fleet.hosts[entry.host].name
        for entry in _named(compiled, patterns).hosts
        for _, number in entry.vms
    }


def _named(compiled: Compiled, patterns: tuple[HostPattern, ...]) -> Assignment:
    """Return a plan in counts with names."""
    placed = np.zeros(len(compiled.problem.flavors), dtype=np.int64)
    for pattern in patterns:
        shape = compiled.problem.shapes[compiled.problem.classes[pattern.host_class].shape]
        for placement, many in pattern.placements:
            placed[shape.flavor[placement]] += many * pattern.count
    left = tuple((compiled.problem.demand() - placed).tolist())
    return assign_names(compiled, Result(status="feasible", objectives=(), patterns=patterns, unplaced=left))


def _told_apart(fleet: Fleet, rules: Sequence[Rule]) -> Fleet:
    """Return the fleet in which no VM that needs a place after a failure is alike to one that does not."""
    some = [rule for rule in rules if rule.members is not None]
    if not some:
        return fleet
    vms = (
        dataclasses.replace(
            vm,
            spec=dataclasses.replace(
                vm.spec,
                priority=sum(rule.covers(vm.name, vm.spec.labels) << number for number, rule in enumerate(some)),
            ),
        )
        for vm in fleet.vms
    )
    return dataclasses.replace(fleet, vms=tuple(vms))


def confined(fleet: Fleet, hosts: Mapping[str, str]) -> Fleet:
    """Return the fleet with each of these VMs confined to its host."""
    known = fleet.host_by_name
    rules = tuple(
        Rule(
            kind=RuleKind.WITHIN,
            members={"name": own_name(vm.name, vm.spec.labels)},
            hosts=only(hosts[vm.name], known[hosts[vm.name]].labels),
        )
        for vm in fleet.vms
        if vm.name in hosts
    )
    return dataclasses.replace(fleet, rules=(*fleet.rules, *rules))
