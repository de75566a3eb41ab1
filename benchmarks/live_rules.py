"""A running fleet in racks that breaks rules: how many breaks do so many moves mend, and how many could they?"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.live_fleets import two_node_fleet
from benchmarks.registry import SMOKE, Job, Row, Spec
from placer.model.fleet import Fleet
from placer.model.rules import Rule, RuleKind
from placer.moves.model import Schedule

GOALS = "placed,rules,moves"
MEMBERS = 5
"""VMs of a group; of a pair of groups that must be apart each has so many."""
RULES = "rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    hosts: int
    racks: int
    groups: int
    broken: int
    moves: int
    time_limit_s: float = 60.0


_SIZES = {
    "100": _Size(hosts=100, racks=10, groups=30, broken=20, moves=20),
    "100-few": _Size(hosts=100, racks=10, groups=30, broken=20, moves=10),
    "300": _Size(hosts=300, racks=15, groups=90, broken=60, moves=60),
    "1000": _Size(hosts=1000, racks=25, groups=300, broken=200, moves=200, time_limit_s=120.0),
    SMOKE: _Size(hosts=12, racks=6, groups=3, broken=2, moves=2, time_limit_s=20.0),
}


def broken_fleet(*, seed: int, hosts: int, racks: int, groups: int, broken: int) -> Fleet:
    """Return a running fleet with groups of five VMs under a rule over racks each, the first `broken` of them broken.

    By turns: at most one member a rack; all in one rack; no rack shared with the group before, which is one more group
    of such. One member of a broken group is where it must not be, so that each break takes a move at least.
    """
    random_ = random.Random(f"{seed} {hosts} {groups} {broken}")
    plain = two_node_fleet(seed=seed, hosts=hosts)
    rack_of = {host.name: f"r{number % racks}" for number, host in enumerate(plain.hosts)}
    free: dict[str, list[int]] = {f"r{number}": [] for number in range(racks)}
    for number, vm in enumerate(plain.vms):
        if vm.current is not None and len(vm.spec.cells) == 1:
            free[rack_of[vm.current.host]].append(number)
    for own in free.values():
        random_.shuffle(own)
    names, rules = list(free), []
    app_of: dict[int, str] = {}
    for group in range(groups):
        wrong = group < broken
        app, members = f"app-{group}", {"app": f"app-{group}"}
        chosen = random_.sample(names, min(racks, MEMBERS + 1))
        if group % 3 == 0:
            places = [*chosen[: MEMBERS - 1], chosen[0] if wrong else chosen[MEMBERS - 1]]
            rules.append(Rule(kind=RuleKind.ANTI_AFFINITY, members=members, scope="rack"))
        elif group % 3 == 1:
            places = [*[chosen[0]] * (MEMBERS - 1), chosen[1] if wrong else chosen[0]]
            rules.append(Rule(kind=RuleKind.AFFINITY, members=members, scope="rack"))
        else:
            others = {"app": f"beside-{group}"}
            places = [chosen[0], chosen[1], chosen[0], chosen[1], chosen[0]]
            beside = [chosen[2], chosen[3], chosen[2], chosen[3], chosen[0] if wrong else chosen[2]]
            rules.append(Rule(kind=RuleKind.APART, members=members, others=others, scope="rack", max_per=0))
            app_of |= {free[rack].pop(): others["app"] for rack in beside}
        app_of |= {free[rack].pop(): app for rack in places}
    vms = tuple(
        replace(vm, spec=replace(vm.spec, labels={"app": app_of[number]})) if number in app_of else vm
        for number, vm in enumerate(plain.vms)
    )
    named = tuple(replace(host, labels={"rack": rack_of[host.name]}) for host in plain.hosts)
    return Fleet(hosts=named, vms=vms, rules=tuple(rules))


def broken_on_the_way(fleet: Fleet, schedule: Schedule) -> list[str]:
    """Carry out the waves of a schedule and return the rules that are worse in one of them than they are now.

    Until its wave is over a VM counts in its old rack and in its new one: steps of a wave end in any order.
    """
    rack_of = {host.name: host.labels["rack"] for host in fleet.hosts}
    at = {vm.name: {rack_of[vm.current.host]} for vm in fleet.vms if vm.current is not None}
    groups: dict[str, list[str]] = {}
    for vm in fleet.vms:
        groups.setdefault(str(vm.spec.labels.get("app", "")), []).append(vm.name)

    def excess(rule: Rule) -> int:
        """Count what a rule is over in all racks."""
        racks = [rack for vm in groups[str((rule.members or {})["app"])] for rack in at[vm]]
        if rule.kind is RuleKind.ANTI_AFFINITY:
            return len(racks) - len(set(racks))
        if rule.kind is RuleKind.AFFINITY:
            return len(set(racks)) - 1
        return sum(rack in racks for vm in groups[str((rule.others or {})["app"])] for rack in at[vm])

    now = [excess(rule) for rule in fleet.rules]
    found: list[str] = []
    for number, wave in enumerate(schedule.waves, 1):
        for step in wave.steps:
            at[step.vm] = at[step.vm] | {rack_of[step.target.host]}
        worse = [rule for rule, most in zip(fleet.rules, now, strict=True) if excess(rule) > most]
        found += [f"wave {number}: {rule.label}" for rule in worse]
        for step in wave.steps:
            at[step.vm] = {rack_of[step.target.host]}
    return found


def _measure(job: Job) -> Iterator[Row]:
    size = _SIZES[job.size]
    for seed in job.seeds:
        fleet = broken_fleet(seed=seed, hosts=size.hosts, racks=size.racks, groups=size.groups, broken=size.broken)
        yield from _one(fleet, size, seed)


def _one(fleet: Fleet, size: _Size, seed: int) -> Sequence[Row]:
    from benchmarks.contest import PLACER, compiled, result_row, run_placer
    from placer.check.check import check
    from placer.moves.schedule import schedule_moves
    from placer.planning.decode.plan import plan_from_result
    from solvers.problem import MoveBudget

    made, compile_s = compiled(fleet, GOALS, MoveBudget(moves=size.moves))
    run = run_placer(made.problem, time_limit_s=size.time_limit_s, seed=seed)
    plan = plan_from_result(made, run.result, seed=seed)
    report = check(fleet, plan)
    row = result_row(made.problem, run.result, RULES)
    began = time.process_time()
    schedule = schedule_moves(fleet, plan)
    order_s = time.process_time() - began
    moved = next((one.value for one in run.result.objectives if one.goal == "moves"), None)
    return [
        {
            "method": PLACER,
            "instance": f"{size.hosts} hosts, {len(fleet.vms)} VMs, {len(fleet.rules)} rules, {size.moves} moves",
            "seed": seed,
            "broken": size.broken,
            "time_limit_s": size.time_limit_s,
            **row,
            "status": row["status"] if report.ok else f"refused: {report.faults[0].message}",
            "moves": moved,
            "waves": len(schedule.waves),
            "blocked": len(schedule.blocked),
            "broken_on_the_way": len(broken_on_the_way(fleet, schedule)),
            "order_cpu_s": order_s,
            "compile_s": compile_s,
            "seconds": run.seconds,
        }
    ]


SPEC = Spec(
    name="live-rules",
    about="A running fleet in racks with groups apart, together and apart from others, two thirds of them broken.",
    sizes={
        name: f"{size.hosts} hosts in {size.racks} racks, {size.groups} groups, {size.broken} broken, "
        f"{size.moves} moves"
        for name, size in _SIZES.items()
    },
    measure=_measure,
    columns={
        "seconds": "{:.2f}",
        "rules": "{:.0f}",
        "rules_bound": "{:.0f}",
        "moves": "{:.0f}",
        "broken_on_the_way": "{:.0f}",
        "gap_percent": "{:.3f}",
        "order_cpu_s": "{:.2f}",
        "compile_s": "{:.2f}",
    },
)
