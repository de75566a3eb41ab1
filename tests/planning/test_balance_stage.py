"""Large fleets that are to be even are improved by single moves first."""

from __future__ import annotations

import pytest

from benchmarks.balance import uneven_fleet
from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from solvers.improve import stage
from solvers.problem import MoveBudget
from solvers.starts.best_fit import solve_greedy


@pytest.mark.parametrize(("goals", "improved"), [("placed,balance", True), ("placed,moves", False)])
def test_balance_is_improved_by_moves_however_many_vms_are_alike(
    goals: str, improved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns have a state for every load: of 25,000 VMs on 1,000 hosts they moved none in a minute."""
    monkeypatch.setattr(stage, "MOST_VMS", 10)
    monkeypatch.setattr(stage, "ALIKE", 0)
    fleet = uneven_fleet(1, 4)
    problem = compile_fleet(fleet, parse_goals(goals, fleet), MoveBudget(moves=4)).problem
    found = stage.stage_of(problem, solve_greedy(problem), seed=0, patience=1)
    assert (found is not None) is improved
