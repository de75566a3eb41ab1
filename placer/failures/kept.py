"""What a plan keeps free, told rule by rule: what is lost at worst, and what any plan would lose."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from placer.errors import ImpossibleError, NothingFoundError
from placer.failures.counts import placed_counts
from placer.failures.few_hosts import lost_together
from placer.failures.refit import may_float
from placer.failures.slots import SlotsFree, stand_ins
from placer.failures.sweep import Failure, FailureSweep, domains_of
from placer.measure.moved import is_present
from placer.measure.rule_excess import rule_index, start_excess
from placer.model.fleet import Fleet
from placer.model.goals import Goal
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind, matches
from placer.model.units import count
from placer.model.vm import CpuPolicy, PinPolicy, Vm
from placer.options import SweepOptions
from placer.planning.compile.compile import compile_fleet

TOLERANCE = 1e-6
"""Bounds are computed in floating point, in millionths."""
MOST_FAILURES = 4
"""Of so many of a plan's worst failures it is asked what they take from any plan where nothing moves."""
_CONFINED = (RuleKind.WITHIN, RuleKind.OUTSIDE, RuleKind.DRAIN)
_OF_SOME = (
    RuleKind.WITHIN,
    RuleKind.OUTSIDE,
    RuleKind.DEDICATED,
    RuleKind.ANTI_AFFINITY,
    RuleKind.AFFINITY,
    RuleKind.APART,
    RuleKind.ALONE,
    RuleKind.SHARE,
)
"""Kinds of rule that some of the VMs keep wherever all keep them."""

Row = dict[str, Any]
Solve = Callable[[Fleet, SweepOptions], Plan]


def reserve_rows(
    rules: Sequence[Rule], sweeps: Mapping[int, FailureSweep], slots: Mapping[int, SlotsFree]
) -> list[Row]:
    """Return what is known of each rule: ``value`` is what is lost at worst, ``bound`` what is lost in any plan.

    Of failures both are vCPUs without a place, and None where a failure is not known; of slots they are slots.
    """
    return [_of_slots(rule, slots[n]) if n in slots else _of_failures(rule, sweeps[n]) for n, rule in enumerate(rules)]


def _of_failures(rule: Rule, sweep: FailureSweep) -> Row:
    worst = None
    if sweep.harmful:
        one = sweep.harmful[0]
        worst = {key: one[key] for key in ("domains", "vms_lost", "vcpus_lost")}
    value = None if sweep.unknown else 0 if worst is None else worst["vcpus_lost"]
    return {
        "rule": rule.label,
        "scope": sweep.scope,
        "fail": rule.fail,
        "proven": value == 0,
        "value": value,
        "bound": 0,
        "failures": sweep.combinations,
        "harmful": sweep.harmful_in_all,
        "unknown": sweep.unknown_in_all,
        "worst": worst,
    }


def _of_slots(rule: Rule, free: SlotsFree) -> Row:
    return {
        "rule": rule.label,
        "scope": rule.scope,
        "fail": 0,
        "proven": free.free == free.wanted,
        "value": free.wanted - free.free,
        "bound": 0,
        "slots": free.wanted,
        "free": free.free,
        "hosts": dict(free.hosts),
    }


def in_words(row: Row) -> str:
    """Return what a rule of which nothing is proven lacks."""
    if "slots" in row:
        are = "is" if row["free"] == 1 else "are"
        return f"{row['rule']}: only {row['free']} of {count(row['slots'], 'slot')} {are} free"
    return (
        f"{row['rule']}: not proven to be kept, {row['harmful']} failures of {row['fail']} {row['scope']} leave VMs "
        f"without a place and {row['unknown']} are not known"
    )


def with_bounds(
    fleet: Fleet,
    plan: Plan,
    rules: Sequence[Rule],
    sweeps: Mapping[int, FailureSweep],
    slots: Mapping[int, SlotsFree],
    options: SweepOptions,
    solve: Solve,
) -> Plan:
    """Return the plan with the bound of each rule that it does not keep.

    `fleet` has none of the rules. Bounds are of plans that place all VMs: of one that leaves some out, nothing is said.
    """
    rows = [dict(row) for row in plan.summary["reserve"]]
    still = _stands_still(fleet, options)
    held = stand_ins(fleet, rules)
    for number, (rule, row) in enumerate(zip(rules, rows, strict=True)):
        if row["proven"] or plan.unplaced:
            continue
        if number in slots:
            # The fewest slots of all rules together are the fewest of this one only where there is no other.
            proven = still and slots[number].proven and len(slots) == 1
            row["bound"] = row["value"] if proven else _slots_short(fleet, *held[number], options, solve)
        elif row["value"] is not None and still and all(one["proven"] for one in sweeps[number].harmful):
            row["bound"] = row["value"]
        else:
            row["bound"] = lost_at_least(fleet, rule, options, solve)[1]
            # A VM that moves may come where it is lost: then nothing that is there is known to stay.
            unmoved = not (options.max_moves or options.max_migrations or fleet.drained)
            for one in sweeps[number].harmful[:MOST_FAILURES] if unmoved and fleet.is_live else ():
                if row["bound"] == row["value"]:
                    break
                row["bound"] = max(row["bound"], _lost_unmoved(fleet, rule, one["domains"], options, solve))
            if row["bound"] != row["value"]:
                row["bound"] = max(row["bound"], lost_together(fleet, rule, options).at_least)
            row["bound"] = least_sum((vm.spec.vcpus for vm in fleet.vms if _counts(rule, vm)), row["bound"])
    return dataclasses.replace(plan, summary={**plan.summary, "reserve": rows})


def _counts(rule: Rule, vm: Vm) -> bool:
    return rule.covers(vm.name, vm.spec.labels)


def least_sum(parts: Iterable[int], least: int) -> int:
    """Return the least sum of some of these numbers that is no less than a number; this one where none is.

    Whole VMs are lost: no failure loses 1 vCPU of VMs of 2 and 4.
    """
    sizes = tuple(parts)
    near = (1 << least + max(sizes, default=0) + 1) - 1
    sums = 1
    for size in sizes:
        sums |= sums << size & near
    above = sums >> least
    return least + (above & -above).bit_length() - 1 if above else least


def _stands_still(fleet: Fleet, options: SweepOptions) -> bool:
    """Tell whether every VM is on known nodes and none may move: then all plans put them alike."""
    if options.max_moves or options.max_migrations or fleet.drained:
        return False
    return all(is_present(fleet, vm) and vm.current is not None and vm.current.nodes is not None for vm in fleet.vms)


def _slots_short(fleet: Fleet, vms: Sequence[Vm], confined: Sequence[Rule], options: SweepOptions, solve: Solve) -> int:
    """Return how many of these slots no plan has free that places all VMs: what lacks in sum, in the largest slots; of
    slots of several sizes also how many have no place, each counted alike.
    """
    asked = dataclasses.replace(fleet, vms=_alike((*fleet.vms, *vms)), rules=(*fleet.rules, *confined), digest="")
    bound = solve(asked, dataclasses.replace(options, goals=("placed",))).goal("placed").bound or 0
    short = 0
    for vcpus in sorted((vm.spec.vcpus for vm in vms), reverse=True):
        if bound <= TOLERANCE:
            break
        bound -= vcpus
        short += 1
    if len({vm.spec.vcpus for vm in vms}) > 1:
        _, result, sure = placed_counts(asked, options, by_vms=True)
        if result.is_answer:
            short = max(short, sum(result.unplaced) if sure else result.objectives[0].bound or 0)
    return short


def _lost_unmoved(fleet: Fleet, rule: Rule, failed: Failure, options: SweepOptions, solve: Solve) -> int:
    """Return how many vCPUs of the rule's VMs have no place without these domains where no VM that is there may move.

    New VMs may be anywhere, those that need no place are then taken to be where they are lost.
    """
    domains = domains_of(fleet, rule.scope)
    gone = {host for name in failed for host in domains[name]}
    vms = []
    for vm in fleet.vms:
        there = is_present(fleet, vm) and vm.current is not None and vm.current.host not in gone
        if there or _counts(rule, vm):
            vms += [vm] if there else _elsewhere([vm])
    hosts = tuple(dataclasses.replace(host, failed=host.failed or host.name in gone) for host in fleet.hosts)
    rest = dataclasses.replace(fleet, hosts=hosts, vms=_alike(vms), rules=_held(fleet, vms), digest="")
    try:
        bound = solve(rest, dataclasses.replace(options, goals=("placed",), max_repins=None)).goal("placed").bound
    except (ImpossibleError, NothingFoundError):
        return 0
    return 0 if bound is None else math.ceil(bound - TOLERANCE)


def lost_at_least(fleet: Fleet, rule: Rule, options: SweepOptions, solve: Solve) -> tuple[Failure, int]:
    """Return domains and how many vCPUs of the rule's VMs have no place without them, wherever all others are put.

    A plan that places all VMs loses so many when they fail: those that must survive would all be on the other hosts
    then. VMs on hosts that hold what could not newly come to them may stay there in any plan, and are taken for safe.
    Rules that are not broken now no plan breaks, nor whatever happens after a failure.
    Looked at are the domains with the most CPUs, and those with the most memory.
    """
    domains = domains_of(fleet, rule.scope)
    hosts = fleet.host_by_name
    kept = _kept_as_they_are(fleet)
    chosen = [vm for vm in fleet.vms if _counts(rule, vm) and (vm.current is None or vm.current.host not in kept)]
    demand = _alike(_elsewhere(chosen))
    rules = _held(fleet, chosen)

    def cpus(name: str) -> float:
        return sum(len(hosts[host].usable_cpus) * hosts[host].cpu_ratio for host in domains[name])

    def memory(name: str) -> float:
        return sum(node.memory_kib for host in domains[name] for node in hosts[host].topology.nodes)

    asked = dataclasses.replace(options, goals=("placed",), max_moves=None, max_migrations=None)
    worst: tuple[Failure, int] = ((), 0)
    for failed in dict.fromkeys(
        tuple(sorted(domains, key=lambda name: (-weight(name), name))[: rule.fail]) for weight in (cpus, memory)
    ):
        gone = {host for name in failed for host in domains[name]}
        # They stay in the fleet: rules may name them.
        left = tuple(dataclasses.replace(host, failed=host.failed or host.name in gone) for host in fleet.hosts)
        lost = sum(vm.spec.vcpus for vm in demand)
        if demand and not all(host.failed for host in left):
            rest = dataclasses.replace(fleet, hosts=left, vms=demand, rules=rules, digest="")
            bound = solve(rest, asked).goal("placed").bound
            lost = 0 if bound is None else math.ceil(bound - TOLERANCE)
        if lost > worst[1]:
            worst = (failed, lost)
    return worst


def _held(fleet: Fleet, vms: Sequence[Vm]) -> tuple[Rule, ...]:
    """Return the rules that no plan breaks, nor whatever happens after a failure, and that some of the VMs keep where
    all do.
    """
    broken = {number for number, _ in start_excess(fleet, rule_index(fleet))}
    return tuple(
        one
        for number, one in enumerate(fleet.rules)
        if (one.kind in _CONFINED and one.members is None)
        or (one.kind in _OF_SOME and number not in broken and _selects(one, vms))
    )


def _selects(rule: Rule, vms: Sequence[Vm]) -> bool:
    """Tell whether a rule that is not soft, nor of L3 domains, chooses of these VMs in each group that it names."""
    groups = [group for group in (rule.members, rule.others) if group]
    some = all(any(matches(group, vm.name, vm.spec.labels) for vm in vms) for group in groups)
    return some and not rule.is_soft and rule.scope != "l3"


def _kept_as_they_are(fleet: Fleet) -> frozenset[str]:
    """Return the hosts that hold what could not newly come to them: more than their room, or in places of the past."""
    problem = compile_fleet(fleet, [Goal(name="placed", kind="placed")]).problem
    kept = set(fleet.drained)
    for one in problem.classes:
        shape = problem.shapes[one.shape]
        there = [(shape.flavor[placement], bool(shape.stay_only[placement])) for placement, _ in one.content]
        there += [(flavor, False) for flavor, _ in one.floating]
        if one.over_rows or one.fixed.any() or any(stays or not one.allowed[flavor] for flavor, stays in there):
            kept.update(fleet.hosts[member].name for member in one.members)
    return frozenset(kept)


def impossible_reserve(fleet: Fleet, rule: Rule, options: SweepOptions, solve: Solve) -> Failure | None:
    """Return domains without which not all VMs of the rule have a place, wherever they are put; None: not proven."""
    failed, lost = lost_at_least(fleet, rule, options, solve)
    return failed if lost else None


def _elsewhere(vms: Iterable[Vm]) -> list[Vm]:
    """Return the VMs as they look for a place on other hosts, where one that floats, or is bound to sets, may float.

    One with dedicated vCPUs that is bound to sets is left out: new VMs of its kind take more than it might.
    """
    found = []
    for vm in vms:
        new = dataclasses.replace(vm, current=None, pins_fixed=False)
        if vm.current is None or not may_float(vm):
            found.append(new)
        elif vm.spec.cpu_policy is CpuPolicy.SHARED:
            found.append(dataclasses.replace(new, pin=PinPolicy.NEVER))
    return found


def _alike(vms: Iterable[Vm]) -> tuple[Vm, ...]:
    """Return the VMs with one priority: the goal `placed` then is their vCPUs in sum."""
    return tuple(dataclasses.replace(vm, spec=dataclasses.replace(vm.spec, priority=0)) for vm in vms)
