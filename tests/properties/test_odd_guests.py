"""The exact engine against enumeration on guests with cells of memory alone, pages by cell and several devices."""

from __future__ import annotations

import pytest
from brute_force import best_vector
from guest_fleets import guest_fleet
from test_exact_optimum import GOALS, solved

from placer.check.check import check
from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from placer.planning.decode.plan import plan_from_result
from solvers.problem import COST_UNIT


@pytest.mark.parametrize("seed", range(24))
def test_odd_guests_are_solved_to_the_enumerated_optimum(seed: int) -> None:
    """Values and bounds are the optimum over all places, and the checker takes the plan."""
    fleet = guest_fleet(seed)
    values, bounds, result = solved(fleet)
    assert values == pytest.approx(best_vector(fleet), abs=len(fleet.vms) / COST_UNIT)
    assert bounds == values
    plan = plan_from_result(compile_fleet(fleet, parse_goals(GOALS, fleet)), result, seed=0)
    report = check(fleet, plan)
    assert report.ok, [str(fault) for fault in report.faults]
