"""Bounds proven again by another solver, and certificates that claim too much."""

from __future__ import annotations

import dataclasses

import pytest
from small_fleets import small_fleet, small_live_fleet

from placer.model.goals import parse_goals
from placer.planner import solve_fleet
from placer.planning.compile.compile import compile_fleet
from placer.planning.decode.certificate import check_certificate
from solvers.exact.search import solve_exact
from solvers.proofs.counts_by_highs import second_opinion
from solvers.result import Limits


@pytest.mark.parametrize("seed", range(24))
def test_true_bounds_are_confirmed_and_false_ones_refuted(seed: int) -> None:
    """HiGHS confirms every bound of the exact engine, and refutes the same bound raised by one."""
    fleet = small_fleet(seed) if seed % 2 else small_live_fleet(seed)
    problem = compile_fleet(fleet, parse_goals("placed,rules,remote,hosts,cores,moves", fleet)).problem
    result = solve_exact(problem, limits=Limits(time_limit_s=60))
    values = [found.value for found in result.objectives if found.value is not None]
    bounds = [found.bound for found in result.objectives if found.bound is not None]
    assert {opinion.verdict for opinion in second_opinion(problem, values, bounds)} == {"confirmed"}
    assert {opinion.verdict for opinion in second_opinion(problem, values, [bound + 1 for bound in bounds])} == {
        "refuted"
    }


def test_a_plan_may_not_claim_more_than_its_certificate() -> None:
    """A plan whose bound is above the certificate's is refused by name."""
    fleet = small_fleet(3)
    plan = solve_fleet(fleet)
    assert check_certificate(fleet, plan)[0] == []
    goals = tuple(
        dataclasses.replace(goal, bound=(goal.bound or 0) + 1) if goal.name == "remote" else goal for goal in plan.goals
    )
    faults, _ = check_certificate(fleet, dataclasses.replace(plan, goals=goals))
    assert [fault.message.split(":")[0] for fault in faults] == ["goal 'remote'"]


def test_a_plan_without_certificate_is_named() -> None:
    """Without a certificate nothing can be proven again, and the cure is said."""
    fleet = small_fleet(3)
    faults, _ = check_certificate(fleet, dataclasses.replace(solve_fleet(fleet), certificate=None))
    assert "no certificate" in faults[0].message
    assert faults[0].cure
