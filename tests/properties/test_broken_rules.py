"""Live fleets that break rules at the start: always an answer, no excess gets worse, and mending is the goal."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Literal

import pytest
from small_fleets import small_fleet, small_live_fleet

from placer.check.check import check
from placer.measure.rule_excess import plan_excess, rule_index, start_excess
from placer.model.fleet import Fleet
from placer.planner import solve_fleet

GOALS = "placed,rules,moves"


def broken_fleet(seed: int) -> Fleet:
    """Return a small live fleet with the rules of its seed, which whoever placed its VMs did not know."""
    return replace(small_live_fleet(seed), rules=small_fleet(seed).rules)


def excess(fleet: Fleet) -> int:
    """Return how far the fleet breaks its rules now."""
    return sum(start_excess(fleet, rule_index(fleet)).values())


# Sought no further than needed: every worker collects this file.
BROKEN = list(islice((seed for seed in range(400) if small_fleet(seed).rules and excess(broken_fleet(seed))), 24))


@pytest.mark.parametrize("first", range(0, 24, 12))
def test_excess_never_gets_worse_and_is_mended_where_moves_allow(first: int) -> None:
    """Each pair of rule and domain has at most the excess it had; free moves never mend less than few do."""
    mended = 0
    for seed in BROKEN[first : first + 12]:
        fleet = broken_fleet(seed)
        index = rule_index(fleet)
        before = start_excess(fleet, index)
        values = []
        for budget in (0, 1, 20):
            plan = solve_fleet(fleet, goals=GOALS, max_moves=budget, time_limit_s=20)
            after = plan_excess(fleet, plan, index)
            assert all(many <= before.get(pair, 0) for pair, many in after.items()), f"seed {seed}, {budget} moves"
            goal = plan.goal("rules")
            assert goal.value == sum(after.values()), f"seed {seed}, {budget} moves"
            assert check(fleet, plan).ok
            values.append((plan.goal("placed").value, goal.value))
            assert goal.status == "optimal", f"seed {seed}, {budget} moves"
        assert values == sorted(values, reverse=True), f"seed {seed}: {values}"
        mended += values[-1] < values[0]
    assert mended >= 3, "hardly any fleet can be mended: the cases are too weak"


@pytest.mark.parametrize("engine", ["states", "greedy"])
def test_other_engines_answer_too_and_claim_no_more_than_holds(engine: Literal["states", "greedy"]) -> None:
    """The columns engine and the greedy engine answer within the rules, and no bound is above the proven value."""
    for seed in BROKEN[:8]:
        fleet = broken_fleet(seed)
        index = rule_index(fleet)
        before = start_excess(fleet, index)
        best = solve_fleet(fleet, goals=GOALS, max_moves=3, time_limit_s=20)
        plan = solve_fleet(fleet, goals=GOALS, max_moves=3, time_limit_s=2, engine=engine)
        after = plan_excess(fleet, plan, index)
        assert all(many <= before.get(pair, 0) for pair, many in after.items()), f"seed {seed}"
        for own, proven in zip(plan.goals, best.goals, strict=True):
            if own.bound is not None and proven.value is not None:
                assert own.bound <= proven.value + 1e-6, f"seed {seed}: {own.name}"
            if own.value != proven.value:
                break
