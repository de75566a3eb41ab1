"""The smallest fleet: the fewest, or cheapest, hosts of given shapes that hold a demand, with the proof."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, islice

from placer.check.fits import impossible_vms
from placer.errors import InputError
from placer.failures.reserve import plan_with_reserve, sweep_of_rule, without_reserve
from placer.failures.slots import stand_ins
from placer.failures.sweep import settled
from placer.measure.score import PlanValues
from placer.measure.summary import capacity_summary
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind
from placer.model.units import count
from placer.model.vm import Vm
from placer.options import DEFAULT_TIME_LIMIT_S, SweepOptions
from placer.planner import RESERVE_HOSTS, solve_fleet, solve_with
from placer.planning.accepted import accepted

SPARE = 1.25
"""The first offer of hosts is what the CPUs and memory need at least, times this; it doubles until the demand fits."""
TRIES = 6
MORE_HOSTS = 16
"""So many hosts more are tried for failures to be survived."""
MIXES = 24
"""So many mixes of shapes are tried of each number of hosts more."""
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallestFleet:
    """The answer: hosts a shape, their cost and its proven lower bound, and the plan on them.

    `cost` and `bound` are in the unit of the hosts' `cost`: with cost 1 they count hosts.
    """

    hosts: dict[str, int]
    cost: float
    bound: float | None
    status: str
    plan: Plan
    fleet: Fleet


def smallest_fleet(
    fleet: Fleet, shapes: Sequence[str], *, time_limit_s: float = DEFAULT_TIME_LIMIT_S, seed: int = 0, workers: int = 1
) -> SmallestFleet:
    """Return the cheapest hosts of the named shapes that hold all VMs of the fleet, as if none of them were anywhere.

    Parameters
    ----------
    shapes : names of hosts of the fleet, each the pattern of a shape to buy as many of as needed.

    Notes
    -----
    Where reserve rules say that hosts may fail, so many are bought that those left hold all VMs while nothing else
    moves. At least so many more are needed as fail: the others must hold everything by themselves. Slots that are to
    stay free are bought as if they were VMs.

    Raises
    ------
    InputError
        A shape that is no host, a reserve over a label, which new hosts have none of, or a VM that no host of any shape
        could hold.
    """
    patterns = [_pattern(fleet, name) for name in shapes]
    demand = tuple(dataclasses.replace(vm, current=None) for vm in fleet.vms)
    rules = tuple(rule for rule in fleet.rules if rule.kind is RuleKind.RESERVE)
    _refuse_labels(rules)
    slots = tuple(vm for vms, _ in stand_ins(dataclasses.replace(fleet, vms=demand), rules).values() for vm in vms)
    options = SweepOptions(goals=("placed", "rules"), time_limit_s=time_limit_s, seed=seed)
    fleet = dataclasses.replace(fleet, rules=tuple(rule for rule in fleet.rules if rule not in rules))
    _refuse_impossible(dataclasses.replace(fleet, hosts=tuple(patterns), vms=demand))
    offer = [_least(pattern, (*demand, *slots)) for pattern in patterns]
    for _ in range(TRIES):
        hosts = tuple(
            dataclasses.replace(pattern, name=f"{pattern.name}-{number + 1}", uuid=None, uri=None)
            for pattern, count in zip(patterns, offer, strict=True)
            for number in range(count)
        )
        offered = dataclasses.replace(fleet, hosts=hosts, vms=(*demand, *slots), digest="")
        plan = solve_fleet(offered, goals="placed,rules,hosts", time_limit_s=time_limit_s, seed=seed, workers=workers)
        if not plan.unplaced:
            found = _answer(offered, plan, shapes)
            found = dataclasses.replace(found, fleet=dataclasses.replace(offered, vms=demand))
            return _surviving(found, rules, options) if rules else _only_bought(found)
        offer = [2 * many for many in offer]
    raise InputError(
        f"{count(len(plan.unplaced), 'VM')} found no place on {count(sum(offer) // 2, 'host')}: "
        f"{plan.unplaced[0].reason}",
        cure="loosen the rules, or offer larger shapes",
    )


def _refuse_labels(rules: Sequence[Rule]) -> None:
    labels = sorted({rule.scope for rule in rules if rule.scope not in ("host", "")})
    each = next((rule for rule in rules if rule.flavor is not None and rule.scope), None)
    if each is not None and not labels:
        raise InputError(
            f"{each.label} says what each host keeps free, and how many there are is what is asked",
            field="shapes",
            cure="say how many slots in all: leave scope out",
        )
    if labels:
        raise InputError(
            f"a rule keeps room for the failure of a {labels[0]}, and new hosts are in none yet",
            field="shapes",
            cure="say scope: host, or solve with the hosts written out",
        )


def _surviving(found: SmallestFleet, rules: tuple[Rule, ...], options: SweepOptions) -> SmallestFleet:
    """Return the answer with as many more hosts as it takes to survive the failures of the rules.

    The hosts left after a failure hold all VMs, so their cost is at least the bound without failures, and those that
    failed cost at least as much as the cheapest. A reserve for some VMs only adds nothing to the bound, and where
    slots are held, which those that survive may take, no more is known than what both hold together.
    """
    fails = max(rule.fail for rule in rules)
    whole = max((rule.fail for rule in rules if rule.members is None), default=0)
    if any(rule.holds for rule in rules):
        whole = 0
    patterns = {host.name.rpartition("-")[0]: host for host in found.fleet.hosts}
    bound = None if found.bound is None else found.bound + whole * min(host.cost for host in patterns.values())
    # What is added is as large as anything that may fail, and of those the cheapest; several shapes where one is not.
    used = [shape for shape, many in found.hosts.items() if many]
    used.sort(key=lambda shape: (_size(patterns[shape]), -patterns[shape].cost), reverse=True)
    most = fails + MORE_HOSTS
    large = sum(found.hosts.values()) > RESERVE_HOSTS
    for more in range(whole, most + 1):
        mixes = list(islice(combinations_with_replacement(used, more), MIXES))
        for mix in sorted(mixes, key=lambda mix: sum(patterns[shape].cost for shape in mix)):
            extra = Counter(mix)
            bought = {shape: many + extra[shape] for shape, many in found.hosts.items()}
            hosts = tuple(
                dataclasses.replace(patterns[shape], name=f"{shape}-{number + 1}")
                for shape, many in bought.items()
                for number in range(many)
            )
            if len(hosts) <= fails:
                continue
            fleet = dataclasses.replace(found.fleet, hosts=hosts, rules=(*found.fleet.rules, *rules), digest="")
            plan = _beside_empty(found, fleet, rules, options)
            if plan is None and not large and mix == mixes[0]:
                plan = solve_with(fleet, options, foresees=True)
            if plan is not None and not plan.unplaced and all(one["proven"] for one in plan.summary["reserve"]):
                cost = sum(host.cost for host in hosts)
                proven = bound is not None and abs(cost - bound) <= TOLERANCE
                status = "optimal" if proven else "feasible"
                return SmallestFleet(hosts=bought, cost=cost, bound=bound, status=status, plan=plan, fleet=fleet)
    raise InputError(
        f"with {count(most, 'host')} more no plan was found that survives every failure",
        cure="give more time, or loosen the rules",
    )


def _beside_empty(found: SmallestFleet, fleet: Fleet, rules: Sequence[Rule], options: SweepOptions) -> Plan | None:
    """Return the plan found without failures on the hosts that are bought, of which others stay empty; None where that
    is not proven to survive.

    Nothing is solved: an empty host takes what one like it held, and fits alone tell whether the hosts left do.
    """
    if any(rule.holds for rule in rules):
        return None
    goals = tuple(goal for goal in found.plan.goals if goal.name in (options.goals or ()))
    plan = dataclasses.replace(
        _from_the_first(found.plan), goals=goals, options={**found.plan.options, "goals": [goal.name for goal in goals]}
    )
    plan = dataclasses.replace(plan, summary=capacity_summary(PlanValues(without_reserve(fleet), plan)))
    standing = settled(without_reserve(fleet), plan)
    for rule in rules:
        swept = sweep_of_rule(standing, None, rule, options, most_solves=0)
        if swept.harmful or swept.unknown:
            return None
    return accepted(fleet, plan_with_reserve(fleet, plan, options, solve_with, rounds=1).plan)


def _only_bought(found: SmallestFleet) -> SmallestFleet:
    """Return the answer without the hosts that were offered and are not bought."""
    plan = _from_the_first(found.plan)
    taken = {vm.host for vm in plan.vms}
    fleet = dataclasses.replace(found.fleet, hosts=tuple(host for host in found.fleet.hosts if host.name in taken))
    plan = dataclasses.replace(plan, summary=capacity_summary(PlanValues(fleet, plan)))
    return dataclasses.replace(found, fleet=fleet, plan=accepted(fleet, plan))


def _from_the_first(plan: Plan) -> Plan:
    """Return a plan whose hosts in use are the first of each shape, without what certifies bounds for all offered."""
    named: dict[str, str] = {}
    many: Counter[str] = Counter()
    for name in sorted({vm.host for vm in plan.vms}):
        shape = name.rpartition("-")[0]
        many[shape] += 1
        named[name] = f"{shape}-{many[shape]}"
    vms = tuple(dataclasses.replace(vm, host=named[vm.host]) for vm in plan.vms)
    return dataclasses.replace(plan, vms=vms, fleet_digest="", certificate=None)


def _size(host: Host) -> tuple[int, int]:
    return len(host.usable_cpus), sum(node.memory_kib for node in host.topology.nodes)


def _pattern(fleet: Fleet, name: str) -> Host:
    found = fleet.host_by_name.get(name) or fleet.host_by_name.get(f"{name}-1")
    if found is None:
        known = ", ".join(sorted({host.name for host in fleet.hosts})[:8])
        raise InputError(f"no host is named {name!r}", field="shapes", cure=f"name hosts of the fleet: {known}")
    return dataclasses.replace(found, name=name, failed=False)


def _refuse_impossible(fleet: Fleet) -> None:
    impossible = impossible_vms(fleet)
    if impossible:
        name, reason = next(iter(impossible.items()))
        raise InputError(
            f"{count(len(impossible), 'VM fits', 'VMs fit')} no host of these shapes, {name!r} among them: {reason}",
            field="shapes",
        )


def _least(pattern: Host, demand: Sequence[Vm]) -> int:
    """Return a first guess of how many hosts of one shape alone hold the demand, by CPUs and by memory."""

    cpus = sum(vm.spec.vcpus for vm in demand)
    memory = sum(vm.spec.memory_kib + vm.spec.overhead_taken_kib for vm in demand)
    room = sum(node.memory_kib for node in pattern.topology.nodes)
    need = max(cpus / max(1.0, len(pattern.usable_cpus) * pattern.cpu_ratio), memory / max(1, room), 1.0)
    return math.ceil(need * SPARE) + 1


def _answer(fleet: Fleet, plan: Plan, shapes: Sequence[str]) -> SmallestFleet:
    used = Counter(host.rpartition("-")[0] for host in {vm.host for vm in plan.vms})
    goal = plan.goal("hosts")
    assert goal.value is not None
    return SmallestFleet(
        hosts={shape: used.get(shape, 0) for shape in shapes},
        cost=goal.value,
        bound=goal.bound,
        status=goal.status,
        plan=plan,
        fleet=fleet,
    )
