"""The exact engine on small live fleets: budgets of moves, unknown nodes, arrivals, against enumeration."""

from __future__ import annotations

import dataclasses

import pytest
from brute_force import best_vector
from small_fleets import small_live_fleet

from placer.check.check import check
from placer.model.goals import UNBOUND, parse_goals
from placer.planner import solve_fleet
from placer.planning.after import fleet_after
from placer.planning.compile.compile import compile_fleet
from placer.planning.decode.plan import plan_from_result
from solvers.exact.search import solve_exact
from solvers.problem import COST_UNIT, MoveBudget
from solvers.result import Limits

GOALS = "placed,remote,moves"


@pytest.mark.parametrize("first", range(0, 160, 20))
def test_live_values_are_the_enumerated_optimum(first: int) -> None:
    """Unplaced vCPUs, remote access and moves under a budget equal the enumerated optimum, and the checker agrees."""
    for seed in range(first, first + 20):
        fleet = small_live_fleet(seed)
        budget = (0, 1, 2, None)[seed % 4]
        compiled = compile_fleet(fleet, parse_goals(GOALS, fleet), MoveBudget(moves=budget))
        result = solve_exact(compiled.problem, limits=Limits(time_limit_s=600))
        values, left = [], 0
        for objective, found in zip(compiled.problem.objectives, result.objectives, strict=True):
            assert found.value is not None and found.value == found.bound, f"seed {seed}"
            if objective.part == UNBOUND:
                left = found.value
                continue
            values.append((found.value + compiled.constants.get(objective.goal, 0)) / objective.unit)
        if left:  # the enumeration binds all that shall be
            continue
        best = best_vector(fleet, max_moves=budget, with_moves=True)
        assert values == pytest.approx(best, abs=len(fleet.vms) / COST_UNIT), f"seed {seed}"
        report = check(fleet, plan_from_result(compiled, result, seed=0))
        assert report.ok, f"seed {seed}: {[str(fault) for fault in report.faults]}"


@pytest.mark.parametrize("seed", range(8))
def test_an_optimal_plan_carried_out_stays(seed: int) -> None:
    """Solving again where the plan has been carried out changes nothing, with and without a budget of moves."""
    fleet = small_live_fleet(seed)
    first = solve_fleet(fleet, goals=GOALS, max_moves=10)
    done = fleet_after(fleet, first)
    done = dataclasses.replace(done, vms=tuple(vm for vm in done.vms if vm.current is not None))
    for budget in (0, 10):
        again = solve_fleet(done, goals=GOALS, max_moves=budget)
        assert {vm.name: vm.change.value for vm in again.vms} == {vm.name: "none" for vm in done.vms}
        assert {vm.name: dict(vm.pins) for vm in again.vms} == {
            vm.name: dict(first.vm_by_name[vm.name].pins) for vm in again.vms
        }
