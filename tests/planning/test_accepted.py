"""A bound of ours that does not hold is left out of the plan and said; a plan that breaks a limit is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from placer.check.check import check
from placer.errors import RefusedPlanError
from placer.model.plan import Plan
from placer.planner import solve_fleet
from placer.planning.accepted import OWN_FAULTS, accepted
from solvers import solve as door
from solvers.result import Result


@pytest.fixture
def fleet(build: Any) -> Any:
    """Return two hosts and three VMs that fit one of them."""
    return build.fleet([build.host(), build.host("b")], [build.vm(name) for name in "uvw"])


def _solve(fleet: Any) -> Plan:
    return solve_fleet(fleet, goals="placed,remote,hosts", time_limit_s=20)


def _falsely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engines prove one host more than there can be."""
    solve = door.solve

    def wrong(*args: Any, **options: Any) -> Result:
        found = solve(*args, **options)
        last = found.objectives[-1]
        assert last.bound is not None
        rows = (*found.objectives[:-1], replace(last, bound=last.bound + 1_000_000))
        return replace(found, objectives=rows)

    monkeypatch.setattr(door, "solve", wrong)


def test_a_false_bound_costs_the_bound_and_not_the_plan(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan has the VMs, no bound on the goal at fault, and a warning with what a report of it needs."""
    monkeypatch.delenv(OWN_FAULTS, raising=False)
    _falsely(monkeypatch)
    plan = _solve(fleet)
    goals = {goal.name: goal for goal in plan.goals}
    assert (goals["hosts"].value, goals["hosts"].bound, goals["hosts"].status) == (1, None, "feasible")
    assert goals["remote"].status == "optimal"
    assert plan.status == "feasible"
    assert len(plan.vms) == 3
    assert check(fleet, plan).ok
    said = [text for text in plan.warnings if "please report" in text]
    assert len(said) == 1
    assert "bound 2 is above its value 1" in said[0]
    assert f"input d1, seed 0, {plan.rounds} rounds" in said[0]


def test_in_tests_a_false_bound_is_an_error(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours may hide behind the warning."""
    monkeypatch.setenv(OWN_FAULTS, "error")
    _falsely(monkeypatch)
    with pytest.raises(RefusedPlanError, match="bound 2 is above its value 1"):
        _solve(fleet)


def test_what_a_plan_does_is_refused_as_ever(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A VM on CPUs of another one, beside a false bound: there is no plan to write."""
    plan = _solve(fleet)
    monkeypatch.delenv(OWN_FAULTS, raising=False)
    first, second, third = plan.vms
    clash = replace(second, pins=first.pins, host=first.host, cells=first.cells, emulator=first.emulator)
    goals = (*plan.goals[:-1], replace(plan.goals[-1], bound=5, gap=0.8))
    with pytest.raises(RefusedPlanError):
        accepted(fleet, replace(plan, vms=(first, clash, third), goals=goals))
