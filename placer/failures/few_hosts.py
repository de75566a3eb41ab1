"""Small fleets: all failures of a rule beside each other in one model, which bounds what the worst of them loses in any
plan and says on which host each VM is in the best one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from placer.failures.sweep import domains_of
from placer.model.fleet import Fleet
from placer.model.goals import Goal
from placer.model.rules import Rule, RuleKind, only, own_name
from placer.model.sets import floats
from placer.options import SweepOptions
from placer.planning.compile.budget import drained_first, move_budget
from placer.planning.compile.compile import compile_fleet
from placer.planning.decode.names import assign_names
from solvers.result import Result
from solvers.survivors import survivors

MOST_HOSTS, MOST_FAILURES = 16, 128
BUDGET = 4.0
"""Deterministic time of the search."""


@dataclass(frozen=True, slots=True)
class Together:
    """In any plan that places all VMs the worst failure loses `at_least` vCPUs, and `hosts` (VM -> host) are where they
    are in the best one found; none where nothing is known.
    """

    at_least: int
    hosts: Mapping[str, str]


NOTHING = Together(0, {})


def lost_together(fleet: Fleet, rule: Rule, options: SweepOptions) -> Together:
    """Return what the failures of a rule take from any plan within the limits on moves.

    `fleet` has none of the rules that keep room. Of large fleets, and of VMs that float, nothing is said.
    """
    domains = domains_of(fleet, rule.scope)
    at_once = min(rule.fail, len(domains))
    if len(fleet.hosts) > MOST_HOSTS or math.comb(len(domains), at_once) > MOST_FAILURES or not at_once:
        return NOTHING
    if any(floats(vm) for vm in fleet.vms):
        return NOTHING
    asked = drained_first(_told_apart(fleet, rule), options.max_moves, options.max_migrations)
    budget = move_budget(asked, options.max_moves, options.max_migrations)
    compiled = compile_fleet(asked, [Goal(name="placed", kind="placed")], budget)
    counted = np.ones(len(compiled.problem.flavors), dtype=np.bool_)
    for vm, flavor in zip(fleet.vms, compiled.flavors.of_vm, strict=True):
        if flavor >= 0 and not rule.covers(vm.name, vm.spec.labels):
            counted[flavor] = False
    number_of = {host.name: number for number, host in enumerate(fleet.hosts)}
    failures = [
        {number_of[host] for name in failed for host in domains[name]} for failed in combinations(domains, at_once)
    ]
    found = survivors(compiled.problem, failures, counted, budget=BUDGET, seconds=options.time_limit_s)
    if found is None:
        return NOTHING
    result = Result(
        status="feasible", objectives=(), patterns=found.patterns, unplaced=(0,) * len(compiled.problem.flavors)
    )
    hosts = {
        fleet.vms[number].name: fleet.hosts[entry.host].name
        for entry in assign_names(compiled, result).hosts
        for _, number in entry.vms
    }
    return Together(found.at_least, hosts)


def _told_apart(fleet: Fleet, rule: Rule) -> Fleet:
    """Return the fleet in which no VM that needs a place after a failure is alike to one that does not."""
    if rule.members is None:
        return fleet
    vms = (
        dataclasses.replace(vm, spec=dataclasses.replace(vm.spec, priority=int(rule.covers(vm.name, vm.spec.labels))))
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
