"""What hosts cost at least: never above what an answer costs, and all of it where sums say so."""

from __future__ import annotations

import pytest
from small_problems import answers, small_problem

from benchmarks.many_sizes import placing_problem
from solvers.improve.empty import least_cost
from solvers.improve.fleet import Fleet
from solvers.improve.tables import tables_of
from solvers.problem import COST_UNIT, Problem
from solvers.result import HostPattern


def _fleet(problem: Problem, patterns: tuple[HostPattern, ...], unplaced: tuple[int, ...]) -> Fleet:
    tables = tables_of(problem)
    assert tables is not None
    return Fleet.of(tables, patterns, unplaced)


@pytest.mark.parametrize("seed", range(12))
def test_no_answer_costs_less(seed: int) -> None:
    """Of small problems of every feature every answer is tried."""
    problem = small_problem(seed)
    for patterns, unplaced in list(answers(problem).values())[::3]:
        fleet = _fleet(problem, patterns, unplaced)
        assert least_cost(fleet) <= fleet.tables.opening[fleet.vms > 0].sum()


def test_vms_that_take_more_than_two_hosts_take_three() -> None:
    """Of the scarcer resource, in whole hosts; VMs left out do not count."""
    problem = placing_problem([(100, 100)] * 5, [(30, 45)] * 5)
    empty = (HostPattern(host_class=0, count=5, placements=()),)
    assert [least_cost(_fleet(problem, empty, (out,))) // COST_UNIT for out in (0, 1, 5)] == [3, 2, 0]
