"""Rules over racks while a running fleet is mended: no step on the way breaks one that holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from benchmarks.live_rules import GOALS, broken_fleet, broken_on_the_way
from placer.model.fleet import Fleet
from placer.moves.model import Schedule
from placer.moves.schedule import schedule_moves
from placer.planner import solve_fleet


def small() -> Fleet:
    """Return twelve hosts in six racks with three groups, two of them broken by a member each."""
    return broken_fleet(seed=0, hosts=12, racks=6, groups=3, broken=2)


def test_no_step_of_a_plan_breaks_a_rule() -> None:
    """VMs go to other hosts for what is broken, and on the way nothing is worse than at the start."""
    fleet = small()
    plan = solve_fleet(fleet, goals=GOALS, max_moves=2, time_limit_s=60)
    schedule = schedule_moves(fleet, plan)
    steps = [step for wave in schedule.waves for step in wave.steps]
    assert any(step.source is not None and step.source.host != step.target.host for step in steps)
    assert not schedule.blocked and broken_on_the_way(fleet, schedule) == []


def test_a_step_into_the_rack_of_another_group_is_found() -> None:
    """The third group holds, and shares no rack with the one beside it until one of its VMs goes there."""
    fleet = small()
    rule = fleet.rules[2]
    assert rule.members is not None and rule.others is not None
    mover = next(vm for vm in fleet.vms if vm.spec.labels.get("app") == rule.members["app"])
    beside = next(vm for vm in fleet.vms if vm.spec.labels.get("app") == rule.others["app"])
    assert beside.current is not None
    step = SimpleNamespace(vm=mover.name, target=SimpleNamespace(host=beside.current.host))
    schedule = SimpleNamespace(waves=[SimpleNamespace(steps=[step])])
    assert broken_on_the_way(fleet, cast(Schedule, schedule)) == [f"wave 1: {rule.label}"]
