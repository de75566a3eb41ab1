"""Plans that survive failures (``rules: reserve``): plan, let every domain fail, keep room for what was lost, again.

Each round solves every failure of the plan. Where VMs find no place, stand-ins that need as much are added to the fleet
outside the failing domain, and the fleet is planned again around them. A plan counts only when a sweep of all its
failures is clean; until then the answer says so.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from placer.errors import InputError
from placer.failures.sweep import FailureSweep, sweep_failures
from placer.measure.cpu_use import CpuUse, cpu_use
from placer.measure.score import goal_values
from placer.model.fleet import Fleet
from placer.model.plan import GoalResult, Plan, PlanVm
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Vm
from placer.options import SweepOptions
from placer.planning.accepted import accepted
from placer.planning.decode.results import gap_of
from placer.planning.decode.summary import capacity_summary
from placer.sweeps.executors import Pool
from placer.sweeps.tasks import Variant

ROUNDS = 8
STAND_IN = "placer.stand-in"
"""Label of the VMs that only keep room."""
FIRM = ("placed", "rules")
"""Goals that no reserve makes worse, where they come first."""
TOLERANCE = 1e-6
"""Values are computed in floating point, bounds in millionths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedPlan:
    """The best plan found, the sweep of its failures for each rule, and whether every one of them is harmless.

    Bounds are those of the fleet without the reserve: they hold with it too, since it only takes room away.
    """

    plan: Plan
    sweeps: tuple[FailureSweep, ...]
    clean: bool
    rounds: int


def plan_with_reserve(
    fleet: Fleet,
    options: SweepOptions,
    solve: Callable[[Fleet, SweepOptions], Plan],
    *,
    rounds: int = ROUNDS,
    pool: Pool | None = None,
) -> ReservedPlan:
    """Plan a fleet so that it survives the failures that its reserve rules name, each verified by a plan of its own.

    `solve` plans a fleet without reserve rules.

    Raises
    ------
    InputError
        The fleet has no reserve rule, or one of more failures at once than are swept.
    """
    rules = [rule for rule in fleet.rules if rule.kind is RuleKind.RESERVE]
    if not rules:
        raise InputError("the fleet has no reserve rule", cure="add - {reserve: {fail: 1, scope: rack}}")
    fleet = dataclasses.replace(fleet, rules=tuple(rule for rule in fleet.rules if rule not in rules))
    bounds = solve(fleet, options)
    room: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    plan, best = bounds, None
    for number in range(1, rounds + 1):
        sweeps = tuple(_sweep(fleet, plan, rule, options, pool) for rule in rules)
        lost = sum(one["vcpus_lost"] for sweep in sweeps for one in sweep.harmful)
        clean = not any(sweep.harmful or sweep.unknown for sweep in sweeps)
        found = ReservedPlan(plan=_finished(fleet, plan, bounds, sweeps), sweeps=sweeps, clean=clean, rounds=number)
        # A reserve does not cost VMs their place, nor is any other rule broken for it: drained hosts are left.
        worse = number > 1 and _worse(found.plan, bounds)
        if clean and not worse:
            return found
        if best is None or (worse, lost) < best[0]:
            best = ((worse, lost), found)
        # The same room to keep as before would give the same plan again.
        if number == rounds or not _note(room, sweeps):
            break
        plan = _without(fleet, solve(_with_room(fleet, room), options))
    assert best is not None
    return dataclasses.replace(best[1], rounds=number)


def _worse(plan: Plan, free: Plan) -> bool:
    """Tell whether a plan leaves more VMs out or breaks more rules than the one without the reserve."""
    values = {goal.name: goal.value for goal in plan.goals}
    for goal in free.goals:
        if goal.name not in FIRM:
            return False
        value = values[goal.name]
        if value is None or goal.value is None or value > goal.value + TOLERANCE:
            return True
        if value < goal.value - TOLERANCE:
            return False
    return False


def _sweep(fleet: Fleet, plan: Plan, rule: Rule, options: SweepOptions, pool: Pool | None) -> FailureSweep:
    return sweep_failures(Variant(name="reserve", fleet=fleet), plan, rule.scope, options, at_once=rule.fail, pool=pool)


def _note(room: dict[tuple[str, str], Counter[str]], sweeps: tuple[FailureSweep, ...]) -> bool:
    """Keep room for the VMs that a failure loses, and tell whether that is more than before.

    Of failures alike the one with names speaks for all.
    """
    more = False
    for sweep in sweeps:
        for one in sweep.harmful:
            for name in one["domains"]:
                needed = Counter(one["lost"] or ())
                more |= not needed <= room[sweep.scope, name]
                room[sweep.scope, name] |= needed
    return more


def _with_room(fleet: Fleet, room: Mapping[tuple[str, str], Counter[str]]) -> Fleet:
    """Return the fleet with stand-ins for what each domain would lose, kept out of that domain."""
    lowest = min(vm.spec.priority for vm in fleet.vms)
    stand_ins: list[Vm] = []
    rules: list[Rule] = []
    for (scope, domain), needed in sorted(room.items()):
        label = f"{scope}={domain}"
        for name in sorted(needed):
            spec = fleet.vm_by_name[name].spec
            own = dataclasses.replace(spec, labels={STAND_IN: label}, weight=0.0, priority=lowest - 1)
            stand_ins.append(Vm(name=f"{STAND_IN} {label} {name}", spec=own))
        if needed:
            hosts = {"name": domain} if scope == "host" else {scope: domain}
            rules.append(Rule(kind=RuleKind.OUTSIDE, members={STAND_IN: label}, hosts=hosts))
    return dataclasses.replace(fleet, vms=(*fleet.vms, *stand_ins), rules=(*fleet.rules, *rules))


def _without(fleet: Fleet, plan: Plan) -> Plan:
    """Return the plan without its stand-ins; shared vCPUs float over the CPUs that these held, too."""
    known = fleet.vm_by_name
    there: dict[str, list[tuple[Vm, PlanVm]]] = defaultdict(list)
    touched = {vm.host for vm in plan.vms if vm.name not in known}
    for vm in plan.vms:
        if vm.name in known and vm.host in touched:
            there[vm.host].append((known[vm.name], vm))
    uses = {name: cpu_use(fleet.host_by_name[name], placed) for name, placed in there.items()}
    vms = tuple(
        _floating(uses[vm.host], known[vm.name], vm) if vm.host in uses else vm for vm in plan.vms if vm.name in known
    )
    return dataclasses.replace(
        plan,
        vms=vms,
        unplaced=tuple(left for left in plan.unplaced if left.name in known),
        goals=(),
        summary=capacity_summary(fleet, vms),
        certificate=None,
    )


def _floating(use: CpuUse, vm: Vm, planned: PlanVm) -> PlanVm:
    """Return a VM whose shared vCPUs float over all that is free on their nodes now."""
    host = use.host
    node_of = host.topology.node_of_cpu
    taken = use.taken
    pins = dict(planned.pins)
    for vcpu, pin in planned.pins.items():
        if not vm.spec.is_dedicated(vcpu):
            pins[vcpu] = (host.topology.node(node_of[min(pin)]).cpus & host.shared_pool) - taken
    if pins == dict(planned.pins):
        return planned
    before, after = frozenset().union(*planned.pins.values()), frozenset().union(*pins.values())
    own = {before: after}
    return dataclasses.replace(
        planned,
        pins=pins,
        emulator=None if planned.emulator is None else own.get(planned.emulator, planned.emulator),
        iothreads={number: own.get(cpus, cpus) for number, cpus in planned.iothreads.items()},
    )


def _finished(fleet: Fleet, plan: Plan, free: Plan, sweeps: tuple[FailureSweep, ...]) -> Plan:
    """Return the plan with its own values, the bounds of the fleet without the reserve, and what the sweeps said."""
    names = [goal.name for goal in free.goals]
    values = goal_values(fleet, plan, names)
    goals = _goals(free.goals, values)
    said = [
        {
            "scope": sweep.scope,
            "fail": sweep.at_once,
            "proven": not sweep.harmful and not sweep.unknown,
            "failures": sweep.combinations,
            "harmful": len(sweep.harmful),
            "unknown": len(sweep.unknown),
        }
        for sweep in sweeps
    ]
    broken = [one for one in said if not one["proven"]]
    warnings = tuple(
        f"reserve for {one['fail']} {one['scope']}: not proven, "
        f"{one['harmful']} failures leave VMs without a place and {one['unknown']} are not known"
        for one in broken
    )
    finished = dataclasses.replace(
        plan,
        goals=goals,
        status="optimal" if all(goal.status == "optimal" for goal in goals) and not broken else "feasible",
        summary={**plan.summary, "reserve": said},
        warnings=(*plan.warnings, *warnings),
    )
    return accepted(fleet, finished)


def _goals(free: Sequence[GoalResult], values: Mapping[str, float | None]) -> tuple[GoalResult, ...]:
    """Return the goals with own values; a bound holds only while all earlier goals are as without the reserve."""
    out: list[GoalResult] = []
    alike, held_at = True, None
    for goal in free:
        value = values[goal.name]
        bound = goal.bound if alike else None
        reached = value is not None and bound is not None and abs(value - bound) <= TOLERANCE
        proven = reached and goal.status == "optimal" and held_at is None
        out.append(
            dataclasses.replace(
                goal,
                value=value,
                bound=bound,
                gap=gap_of(value, bound),
                source="" if bound is None else goal.source,
                status="optimal" if proven else "feasible",
                held_at=held_at,
                tiers=(),
            )
        )
        alike = alike and value is not None and goal.value is not None and abs(value - goal.value) <= TOLERANCE
        held_at = held_at if proven or held_at is not None else goal.name
    return tuple(out)
