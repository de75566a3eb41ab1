"""What a plan says of the values under which a bound holds, and what check says where it does not hold for the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from placer.check.check import check
from placer.planner import solve_fleet


@pytest.mark.parametrize("engine", ["auto", "exact", "columns"])
def test_bounds_name_the_values_that_they_hold_under(build: Any, engine: Any) -> None:
    """One VM over two nodes: to leave it out is best in hosts and in remote, so what is held tells what is bounded."""
    fleet = build.fleet([build.host(topology=build.topology(cpus=1, threads=1))], [build.vm("v", build.spec(2, 1))])
    plan = solve_fleet(fleet, goals="placed,hosts,remote", engine=engine, time_limit_s=20)
    goals = {goal.name: goal for goal in plan.goals}
    assert goals["placed"].held == {}
    assert plan.status == "optimal"
    for goal in plan.goals:
        assert all(name in goals and goals[name].value <= most for name, most in goal.held.items())
    assert goals["remote"].held in ({}, {"placed": goals["placed"].value, "hosts": goals["hosts"].value})


def test_check_refuses_a_bound_that_does_not_hold_for_the_plan(build: Any) -> None:
    """A bound of remote proven over plans without a host says nothing of a plan with one."""
    fleet = build.fleet([build.host()], [build.vm("v")])
    plan = solve_fleet(fleet, goals="hosts,remote", time_limit_s=20)
    first, second = plan.goals
    assert check(fleet, plan).ok
    value = first.value
    for held, words in (({"hosts": value - 1}, "holds while 'hosts' is no worse"), ({"remote": 0}, "no earlier goal")):
        report = check(fleet, replace(plan, goals=(first, replace(second, bound=0.0, gap=0.0, source="s", held=held))))
        assert any(words in fault.message for fault in report.faults), held
