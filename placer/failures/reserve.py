"""Plans that survive failures (``rules: reserve``): plan, let every domain fail, keep room for what was lost, again.

Each round solves every failure of the plan. Where VMs find no place, stand-ins that need as much are added to the fleet
outside the failing domain, and the fleet is planned again around them. A plan counts only when a sweep of all its
failures is clean; until then the answer says so.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from placer.errors import ImpossibleError, InputError, NothingFoundError
from placer.failures.few_hosts import Together, confined, lost_together
from placer.failures.kept import Row, reserve_rows, with_bounds
from placer.failures.reserve_now import rows_now
from placer.failures.room_kept import RoomKept, with_empty_domains
from placer.failures.slots import SlotsFree, slots_free, stand_ins
from placer.failures.sweep import FailureSweep, settled, sweep_failures
from placer.failures.without_stand_ins import without_stand_ins
from placer.measure.reserve_excess import reserve_excess, reserve_excess_at_least
from placer.measure.score import goal_values
from placer.model.fleet import Fleet
from placer.model.plan import GoalResult, Plan
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Vm
from placer.options import SweepOptions
from placer.planning.decode.certificate import UNCOVERED
from placer.planning.decode.results import gap_of
from placer.planning.work_done import noted
from placer.sweeps.executors import Pool
from placer.sweeps.tasks import Variant
from solvers.work import Work

ROUNDS = 8
LARGE_ROUNDS = 2
"""On large fleets, where a solve takes its time, fewer."""
MOST_SOLVES = 64
"""Failures that no greedy fit shows to be harmless are planned for, so many a rule and round at most."""
FIRM = ("placed", "excess", "rules")
"""Goals that no reserve makes worse where they come first, and where rules are a goal all that come before them."""
LOOKS = 2
"""So many times as long as failures were looked at is left for what follows a plan that keeps room."""
LEAST_SHARE = 10
"""What begins after the limit has a tenth of it still: a plan is not told without a look at its failures."""
TOLERANCE = 1e-6
"""Values are computed in floating point, bounds in millionths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedPlan:
    """The best plan found, the sweep of its failures for each rule of failures, and whether every rule is kept.

    Bounds are those of the fleet without the reserve: they hold with it too, since it only takes room away.
    """

    plan: Plan
    sweeps: tuple[FailureSweep, ...]
    clean: bool
    rounds: int


def without_reserve(fleet: Fleet) -> Fleet:
    """Return the fleet without its reserve rules, which no engine knows: it is planned first, then mended."""
    if not any(rule.kind is RuleKind.RESERVE for rule in fleet.rules):
        return fleet
    return dataclasses.replace(fleet, rules=tuple(rule for rule in fleet.rules if rule.kind is not RuleKind.RESERVE))


def plan_with_reserve(
    fleet: Fleet,
    free: Plan,
    options: SweepOptions,
    solve: Callable[[Fleet, SweepOptions], Plan],
    *,
    rounds: int = ROUNDS,
    pool: Pool | None = None,
    tells_now: bool = True,
    work: Work | None = None,
) -> ReservedPlan:
    """Plan a fleet so that it survives the failures that its reserve rules name and keeps the slots that they hold.

    Each failure is verified by a plan of its own.

    `free` is the plan of the fleet `without_reserve`, under the same options; `solve` plans such fleets. What the rules
    lack as the fleet runs now is told unless not `tells_now`; `work` is told what is done.

    Raises
    ------
    InputError
        The fleet has no reserve rule, or one of more failures at once than are swept.
    """
    rules = [rule for rule in fleet.rules if rule.kind is RuleKind.RESERVE]
    if not rules:
        raise InputError("the fleet has no reserve rule", cure="add - {reserve: {fail: 1, scope: rack}}")
    whole, fleet, work = fleet, without_reserve(fleet), work or Work()
    solve = noted(solve, work)
    room = RoomKept(fleet)
    ends_at = time.monotonic() + (math.inf if options.total_time_s is None else options.total_time_s)
    least_s = options.time_limit_s / LEAST_SHARE
    held = stand_ins(fleet, rules)
    firm = _firm(free)
    wanted: dict[int, tuple[tuple[Vm, ...], tuple[Rule, ...]]] = {}
    now: Sequence[Row] | None = None
    plan, best, number = free, None, 0
    together: Together | None = None
    as_found = emptied = False
    while True:
        number += 1
        began = time.monotonic()
        options = _limited(options, ends_at, least_s)
        sweeps = {n: sweep_of_rule(fleet, plan, rule, options, pool) for n, rule in enumerate(rules) if not rule.holds}
        slots = slots_free(settled(fleet, plan), rules, options)
        lost = _lost(sweeps.values(), slots.values())
        rows = reserve_rows(rules, sweeps, slots)
        if number == 1 and tells_now:
            now = _now(fleet, plan, rules, rows, options, pool)
        # The looks at the clock of each failure are its own: what came of them stands for them.
        work.reach((rows, now, tuple(sweeps.values())))
        clean = all(row["proven"] for row in rows)
        told = _told(plan, free, rows, sweeps, now)
        found = ReservedPlan(plan=told, sweeps=tuple(sweeps.values()), clean=clean, rounds=number)
        # A reserve does not cost VMs their place, nor is any other rule broken for it: drained hosts are left.
        worse = number > 1 and _worse(goal_values(fleet, plan, firm), free)
        if clean and not worse:
            return dataclasses.replace(found, plan=_with_goals(whole, told, free))
        if best is None or (worse, lost) < best[0]:
            best = ((worse, lost), found, sweeps, slots)
        # The same room to keep as before would give the same plan again.
        more = not wanted and any(one.free < one.wanted for one in slots.values())
        wanted = held if more else wanted
        late = not work.look(time.monotonic() < ends_at)
        # What a plan does is looked at as this one was, and then told and checked: its search leaves time for that.
        options = _limited(options, ends_at - LOOKS * (time.monotonic() - began), least_s)
        # Where nothing runs it costs no move to leave hosts empty, and one that is like what fails takes all of it.
        spare = None if emptied or late else with_empty_domains(fleet, plan, rules)
        if spare is not None and not fleet.is_live:
            emptied, asked = True, spare
        elif number < rounds and not late and (room.note(plan, tuple(sweeps.values())) or more):
            asked = room.with_room(wanted)
        elif together is None and not late and (less := _less_lost(fleet, rules, rows, options, work)) is not None:
            together, asked = less, confined(fleet, less.hosts)
        elif together is not None and len(rules) == 1 and (rows[0]["value"] or 0) > together.at_least and not as_found:
            # Hosts alone are not enough: on which nodes of them VMs are decides what fits beside them.
            as_found = True
            plan = without_stand_ins(fleet, dataclasses.replace(free, vms=together.vms(options.pin), unplaced=()))
            continue
        elif spare is not None:
            emptied, asked = True, spare
        else:
            break
        try:
            plan = without_stand_ins(fleet, solve(asked, options))
        except (ImpossibleError, NothingFoundError):
            break
    assert best is not None
    _, found, sweeps, slots = best
    options = _limited(options, ends_at, least_s)
    bounded = with_bounds(fleet, found.plan, rules, sweeps, slots, options, solve)
    work.reach(bounded.summary["reserve"])
    return dataclasses.replace(found, plan=_with_goals(whole, bounded, free), rounds=number)


def _lost(sweeps: Iterable[FailureSweep], slots: Iterable[SlotsFree]) -> tuple[int, int]:
    """Return the vCPUs that the worst failure of each rule loses, with slots that are not free, and those of all."""
    short = sum(one.short_vcpus for one in slots)
    harmful = [[one["vcpus_lost"] for one in sweep.harmful] for sweep in sweeps]
    return short + sum(max(lost, default=0) for lost in harmful), short + sum(map(sum, harmful))


def _less_lost(
    fleet: Fleet, rules: Sequence[Rule], rows: Sequence[Row], options: SweepOptions, work: Work
) -> Together | None:
    """Return a plan in which the worst failure loses less, where one rule alone is not kept."""
    broken = [(rule, row) for rule, row in zip(rules, rows, strict=True) if not row["proven"]]
    if len(broken) != 1 or broken[0][0].holds or not broken[0][1]["value"]:
        return None
    rule, row = broken[0]
    found = lost_together(fleet, rule, options)
    work.reach((found.at_least, found.patterns))
    return found if found.patterns and found.at_least < row["value"] else None


def _limited(options: SweepOptions, ends_at: float, least_s: float) -> SweepOptions:
    """Return the options with the time that is left for a solve or a sweep, but no less than `least_s`."""
    if options.total_time_s is None:
        return options
    left_s = max(least_s, ends_at - time.monotonic())
    return dataclasses.replace(options, time_limit_s=left_s, total_time_s=left_s)


def _firm(free: Plan) -> list[str]:
    """Return the goals, in order, that come before what a reserve is part of, and that one."""
    names = [goal.name for goal in free.goals]
    if "rules" in names:
        return names[: names.index("rules") + 1]
    return list(takewhile(FIRM.__contains__, names))


def _worse(values: Mapping[str, float | None], free: Plan) -> bool:
    """Tell whether values of the firm goals, in order, are worse than those of the plan without the reserve."""
    for goal in free.goals[: len(values)]:
        value = values[goal.name]
        if value is None or goal.value is None or value > goal.value + TOLERANCE:
            return True
        if value < goal.value - TOLERANCE:
            return False
    return False


def sweep_of_rule(
    fleet: Fleet,
    plan: Plan | None,
    rule: Rule,
    options: SweepOptions,
    pool: Pool | None = None,
    *,
    most_solves: int = MOST_SOLVES,
) -> FailureSweep:
    """Let the domains of a rule fail. What survives stays where it is, whatever a plan itself may move.

    `plan` and `most_solves` are as of `sweep_failures`.
    """
    return sweep_failures(
        Variant(name="reserve", fleet=fleet),
        plan,
        rule.scope,
        dataclasses.replace(options, max_moves=None, max_migrations=None),
        at_once=rule.fail,
        pool=pool,
        members=rule.members,
        most_solves=most_solves,
    )


def _now(
    fleet: Fleet, plan: Plan, rules: Sequence[Rule], rows: Sequence[Row], options: SweepOptions, pool: Pool | None
) -> list[Row] | None:
    """Return what the rules lack as the fleet runs now, where that is known."""

    def swept(now: Plan) -> Sequence[Row]:
        sweeps = {n: sweep_of_rule(fleet, now, rule, options, pool) for n, rule in enumerate(rules) if not rule.holds}
        return reserve_rows(rules, sweeps, slots_free(settled(fleet, now), rules, options))

    return rows_now(fleet, plan, rows, swept)


def _told(
    plan: Plan, free: Plan, rows: Sequence[Row], sweeps: Mapping[int, FailureSweep], now: Sequence[Row] | None
) -> Plan:
    """Return the plan with what its rules keep told in its summary, and what they lack `now`."""
    own = tuple(text for text in free.warnings if text.startswith(UNCOVERED))
    before = {} if now is None else {"reserve_before": list(now)}
    return dataclasses.replace(
        plan,
        summary={**plan.summary, **_worst_host(plan, sweeps.values()), "reserve": list(rows), **before},
        warnings=(*(text for text in plan.warnings if not text.startswith(UNCOVERED)), *own),
    )


def _with_goals(fleet: Fleet, plan: Plan, free: Plan) -> Plan:
    """Return the plan with its own values and the bounds of the fleet without the reserve; `fleet` has all rules.

    What has no place of what rules keep free counts to the goal ``rules``, and so does what no plan is without.
    """
    names = [goal.name for goal in free.goals]
    values = goal_values(without_reserve(fleet), plan, names)
    lost = reserve_excess(fleet, plan)
    # Bounds of what is lost are of plans that place all VMs.
    placed_first = names[0] == "placed" and not plan.unplaced
    goals = _goals(free.goals, values, lost, reserve_excess_at_least(fleet, plan) if placed_first else 0)
    kept = all(row["proven"] for row in plan.summary["reserve"])
    proven = all(goal.status == "optimal" for goal in goals) and (kept or "rules" in names)
    # The certificate is of the bounds.
    return dataclasses.replace(
        plan, goals=goals, status="optimal" if proven else "feasible", certificate=free.certificate
    )


def _worst_host(plan: Plan, sweeps: Iterable[FailureSweep]) -> dict[str, Any]:
    """Return the worst failure of one host as the summary has it, where a sweep has looked at all of them."""
    for sweep in sweeps:
        if (sweep.scope, sweep.at_once) == ("host", 1) and not sweep.unknown:
            on = Counter(vm.host for vm in plan.vms)
            worst = sweep.harmful[0] if sweep.harmful else None
            fullest = min(on, key=lambda name: (-on[name], name), default=None)
            return {
                "worst_host_failure": {
                    "host": fullest if worst is None else worst["domains"][0],
                    "vms_without_place": 0 if worst is None else worst["vms_lost"],
                    "vcpus_without_place": 0 if worst is None else worst["vcpus_lost"],
                    "proven": worst is None or worst["proven"],
                    "states": sweep.combinations,
                    "states_in_all": sweep.combinations,
                }
            }
    return {}


def without_failures(plan: Plan) -> Plan:
    """Return a plan of which no failure was looked at: how far it breaks rules is unknown where a rule keeps room."""
    goals: list[GoalResult] = []
    held_at = None
    for goal in plan.goals:
        if goal.name == "rules":
            goals.append(dataclasses.replace(goal, value=None, gap=None, status="unknown"))
            held_at = goal.held_at or goal.name
        else:
            status = "feasible" if held_at and goal.status == "optimal" else goal.status
            goals.append(dataclasses.replace(goal, status=status, held_at=held_at or goal.held_at))
    return dataclasses.replace(plan, goals=tuple(goals), status="feasible")


def _goals(
    free: Sequence[GoalResult], values: Mapping[str, float | None], lost: int | None, at_least: int
) -> tuple[GoalResult, ...]:
    """Return the goals with own values; a bound holds only while no earlier goal is worse than it was proven under.

    Parameters
    ----------
    values : of the goals without what rules keep free.
    lost, at_least : what of that has no place, None where it is not known, and how much of it no plan is without.
    """
    out: list[GoalResult] = []
    held_at = None
    for goal in free:
        value = values[goal.name]
        bound = goal.bound if all(_no_worse(name, values[name], most) for name, most in goal.held.items()) else None
        source = "" if bound is None else goal.source
        if goal.name == "rules":
            value = None if value is None or lost is None else value + lost
            bound = None if bound is None else bound + at_least
            source = f"{source}; solves of failures" if at_least else source
        reached = value is not None and bound is not None and abs(value - bound) <= TOLERANCE
        proven = reached and goal.status == "optimal" and held_at is None
        out.append(
            dataclasses.replace(
                goal,
                value=value,
                bound=bound,
                gap=gap_of(value, bound),
                source=source,
                status="optimal" if proven else "unknown" if value is None else "feasible",
                held_at=held_at,
                held={} if bound is None else goal.held,
                tiers=(),
            )
        )
        held_at = held_at if proven or held_at is not None else goal.name
    return tuple(out)


def _no_worse(goal: str, value: float | None, most: float) -> bool:
    """Tell whether a goal's value is known and no worse than another one."""
    sign = -1 if goal.startswith("headroom") else 1
    return value is not None and sign * (value - most) <= TOLERANCE
