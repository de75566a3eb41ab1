"""Limits between applications, as the benchmark makes them: as many as are asked for, and plans that keep them."""

from __future__ import annotations

from benchmarks.pairs import GOALS, limited_fleet
from placer.check.check import check
from placer.model.goals import parse_goals
from placer.planner import solve_fleet
from placer.planning.compile.compile import compile_fleet


def test_a_plan_keeps_so_many_limits() -> None:
    """The greedy engine places all of twelve applications and breaks none of 24 limits."""
    fleet = limited_fleet(seed=0, apps=12, limits=24, hosts=30)
    assert len(fleet.rules) == 24
    plan = solve_fleet(fleet, goals=GOALS, engine="greedy")
    report = check(fleet, plan)
    assert report.ok and not plan.unplaced and report.measured["goals"]["rules"] == 0


def test_empty_hosts_alike_are_one_class() -> None:
    """However many limits there are, hosts that hold nothing are put in numbers together."""
    fleet = limited_fleet(seed=1, apps=12, limits=24, hosts=30)
    problem = compile_fleet(fleet, parse_goals(GOALS, fleet)).problem
    assert [one.count for one in problem.classes] == [30]
