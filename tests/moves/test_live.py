"""Budgets of moves, rest after a plan, and draining, through solve and schedule on the bundled mixed fleet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from placer.explain.diff import compare_with_now
from placer.measure.moved import is_present
from placer.model.fleet import Fleet
from placer.model.rules import Rule, RuleKind
from placer.moves.schedule import schedule_moves
from placer.planner import solve_fleet
from placer.planning.after import fleet_after
from placer.read.inventory.inventory import read_fleet


def test_a_budgeted_plan_carried_out_is_left_unchanged(repository: Path) -> None:
    """After a plan of at most three moves `max_moves=0` changes nothing, and its schedule is empty."""
    fleet = read_fleet(repository / "data/mixed-racks.yaml")
    first = solve_fleet(fleet, goals="placed,rules,moves", max_moves=3, time_limit_s=600)
    done = fleet_after(fleet, first)
    done = replace(done, vms=tuple(vm for vm in done.vms if vm.current is not None))
    again = solve_fleet(done, goals="placed,rules,moves", max_moves=0, time_limit_s=600)
    assert compare_with_now(done, again).same
    assert schedule_moves(done, again).steps == ()


HOSTS = [
    f"{kind}-r{rack}{more}"
    for rack in (1, 2, 3)
    for kind, more in (("duo", "-1"), ("duo", "-2"), ("quad", ""), ("octo", ""))
]


@pytest.fixture(scope="module")
def settled(repository: Path) -> Fleet:
    """Return the bundled mixed fleet with a plan carried out, so that all is where a plan wants it."""
    fleet = read_fleet(repository / "data/mixed-racks.yaml")
    done = fleet_after(fleet, solve_fleet(fleet, goals="placed,rules,moves", max_moves=10, time_limit_s=600))
    return replace(done, vms=tuple(vm for vm in done.vms if vm.current is not None))


@pytest.mark.parametrize(
    ("name", "reserve"), [*((name, False) for name in HOSTS), ("duo-r1-1", True), ("duo-r3-1", True)]
)
def test_draining_a_host_moves_its_movable_vms_and_no_others(settled: Fleet, name: str, reserve: bool) -> None:
    """With goals placed, rules, moves the VMs that change host are those of the drained hosts that may leave them.

    The same with the fleet's reserve for a failed host in force, where room is kept as far as there is any.
    """
    rules = [rule for rule in settled.rules if reserve or rule.kind is not RuleKind.RESERVE]
    drained = replace(settled, rules=(*rules, Rule(kind=RuleKind.DRAIN, hosts={"name": name})))
    there = {vm.name for vm in settled.vms if is_present(settled, vm) and vm.current and vm.current.host == name}
    plan = solve_fleet(drained, goals="placed,rules,moves", max_moves=40, time_limit_s=600)
    gone = {vm.name for vm in plan.vms if vm.from_host is not None}
    stay = {vm.name for vm in plan.vms if vm.name in there and vm.host == name}
    moves = plan.goal("moves")
    # A failure that is not survived is a rule that is not kept: then nothing behind the rules is called optimal.
    kept = all(rule["proven"] for rule in plan.summary.get("reserve", ()))
    assert moves.value == moves.bound and (moves.status == "optimal") == kept
    assert kept or reserve
    assert gone == there - stay and moves.value == len(gone)
    assert all(drained.vm_by_name[vm].movable.value == "false" or drained.vm_by_name[vm].pins_fixed for vm in stay), (
        stay
    )
    schedule = schedule_moves(drained, plan)
    assert not schedule.blocked and schedule.parking_moves == 0
