"""What a plan file says beside its VMs: found again and refused where it is forged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from placer.check.check import check
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind
from placer.planner import solve_fleet

APP = {"app": "web"}


@pytest.fixture(scope="module")
def solved(build: Any) -> tuple[Fleet, Plan]:
    """Return a live fleet whose VMs break a rule, and its plan."""
    spec = build.spec(2, 1, cells=1, labels=APP)
    vms = [build.vm(f"v{n}", spec, current=build.now("a", (0,))) for n in (0, 1)]
    hosts = [build.host(name) for name in ("a", "b")]
    fleet = build.fleet(hosts, vms, [Rule(kind=RuleKind.ANTI_AFFINITY, members=APP, scope="host")])
    return fleet, solve_fleet(fleet, goals="placed,rules,moves", max_moves=1)


FORGED: dict[str, Any] = {
    "cpus": {"free": 99, "reserved": 0, "total": 103, "used": 4},
    "memory_mib": {"free": 0, "reserved": 0, "total": 65536, "used": 65536},
    "largest_free_slot": {"cpus": 64, "memory_mib": 1, "host": "a", "node": 0},
    "rules_broken_before": [],
}


@pytest.mark.parametrize("key", FORGED)
def test_forged_figures_are_refused(solved: tuple[Fleet, Plan], key: str) -> None:
    """Each figure of the summary that is measured is compared."""
    fleet, plan = solved
    assert check(fleet, plan).ok and key in plan.summary
    forged = replace(plan, summary={**plan.summary, key: FORGED[key]})
    assert [fault.field for fault in check(fleet, forged).faults] == [f"summary.{key}"]


def test_a_slot_of_another_host_is_refused(solved: tuple[Fleet, Plan]) -> None:
    """The largest slot may be on any node as large, but on a node that there is."""
    fleet, plan = solved
    slot = {**plan.summary["largest_free_slot"], "host": "z"}
    assert not check(fleet, replace(plan, summary={**plan.summary, "largest_free_slot": slot})).ok


def test_a_forged_worst_failure_is_found_with_the_bounds(solved: tuple[Fleet, Plan]) -> None:
    """What a failure would do is worked out again where the bounds are."""
    fleet, plan = solved
    assert check(fleet, plan, bound=True).ok
    forged = {**plan.summary, "worst_host_failure": {**plan.summary["worst_host_failure"], "vms_without_place": 7}}
    assert check(fleet, replace(plan, summary=forged)).ok
    faults = check(fleet, replace(plan, summary=forged), bound=True).faults
    assert [fault.field for fault in faults] == ["summary.worst_host_failure"]


def test_bounds_of_parts_add_up(solved: tuple[Fleet, Plan]) -> None:
    """The parts of a goal have bounds below their values that make the goal's own."""
    fleet, plan = solved
    moves = next(goal for goal in plan.goals if goal.name == "moves")
    for change in ({"bound": 9}, {"value": 5}):
        tiers = ({**moves.tiers[0], **change}, *moves.tiers[1:])
        goals = tuple(replace(goal, tiers=tiers) if goal is moves else goal for goal in plan.goals)
        assert "goals.moves.tiers" in {fault.field for fault in check(fleet, replace(plan, goals=goals)).faults}
