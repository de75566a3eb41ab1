"""Where our own checker refuses what a plan does, the hosts at fault stay as they are, and there is a plan."""

from __future__ import annotations

from typing import Any

import pytest

from placer.check.check import CheckedFleet, CheckReport, check
from placer.errors import Fault, RefusedPlanError
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan
from placer.planner import solve_fleet
from placer.planning import accepted as door
from placer.planning.accepted import OWN_FAULTS


def _refusing(monkeypatch: pytest.MonkeyPatch, host: str | None) -> None:
    """Let the checker refuse every plan that brings a VM to a host, of any host where it names none."""
    monkeypatch.delenv(OWN_FAULTS, raising=False)

    def judged(fleet: Fleet, plan: Plan, *, known: CheckedFleet | None = None) -> CheckReport:
        now = {vm.name: vm.current.host for vm in fleet.vms if vm.current is not None}
        comes = any(now.get(vm.name) != vm.host and host in (None, vm.host) for vm in plan.vms)
        fault = Fault(message="too many CPUs", field="vms.cells", host=host)
        return CheckReport(faults=(fault,), warnings=(), measured={}) if comes else check(fleet, plan, known=known)

    monkeypatch.setattr(door, "check", judged)


def _running(build: Any) -> Fleet:
    """Return host a with two VMs, and empty hosts b and c that cost less."""
    pins = {"u": {0: frozenset({0}), 1: frozenset({1})}, "v": {0: frozenset({2}), 1: frozenset({3})}}
    vms = [build.vm(name, build.spec(vcpus=2), current=build.now("a", (0,), pins=own)) for name, own in pins.items()]
    hosts = [build.host("a", cost=9.0), build.host("b"), build.host("c", cost=2.0)]
    return build.fleet(hosts, vms)


def _solve(fleet: Fleet) -> Plan:
    return solve_fleet(fleet, goals="placed,hosts,moves", max_moves=2, time_limit_s=20)


def test_the_host_at_fault_takes_nothing_and_the_others_do(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The VMs go to the next best host; the plan claims nothing and says why."""
    fleet = _running(build)
    assert {vm.host for vm in _solve(fleet).vms} == {"b"}
    _refusing(monkeypatch, "b")
    plan = _solve(fleet)
    assert {vm.host for vm in plan.vms} == {"c"}
    assert check(fleet, plan).ok
    assert plan.status == "feasible"
    assert {(goal.bound, goal.status) for goal in plan.goals} == {(None, "feasible")}
    said = [text for text in plan.warnings if "please report it" in text]
    assert len(said) == 1
    assert "too many CPUs. In this plan 1 of 3 hosts stay as they are" in said[0]


def test_where_no_host_is_named_nothing_changes(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault over several hosts leaves all of them alone, which is always a plan of a fleet that runs."""
    fleet = _running(build)
    _refusing(monkeypatch, None)
    plan = _solve(fleet)
    assert {(vm.host, vm.change) for vm in plan.vms} == {("a", Change.NONE)}
    assert check(fleet, plan).ok
    assert any("3 of 3 hosts stay as they are" in text for text in plan.warnings)


def test_an_empty_host_at_fault_takes_nothing(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a fleet with nothing on it the other hosts are filled."""
    fleet = build.fleet([build.host("a"), build.host("b")], [build.vm(name) for name in "uv"])
    _refusing(monkeypatch, "a")
    plan = solve_fleet(fleet, goals="placed,hosts", time_limit_s=20)
    assert {vm.host for vm in plan.vms} == {"b"}
    assert any("1 of 2 hosts take nothing" in text for text in plan.warnings)


def test_in_tests_it_is_an_error(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours may hide behind the warning."""
    _refusing(monkeypatch, "b")
    monkeypatch.setenv(OWN_FAULTS, "error")
    with pytest.raises(RefusedPlanError, match="too many CPUs"):
        _solve(_running(build))


def test_a_fleet_without_any_plan_is_refused_as_ever(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where hosts hold nothing and no host is named there is no plan to fall back on."""
    _refusing(monkeypatch, None)
    with pytest.raises(RefusedPlanError, match="too many CPUs"):
        solve_fleet(build.fleet([build.host("a")], [build.vm()]), goals="placed", time_limit_s=20)
