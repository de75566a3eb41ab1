"""Hosts filled to the brim in turn: VMs find a place where few resources leave too many sets; nothing is worse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_problems import clock, small_case

from benchmarks.many_sizes import placing_problem, similar
from solvers.clock import Clock
from solvers.evaluate import evaluate, violations
from solvers.result import Interrupt, Limits
from solvers.starts.best_fit import solve_greedy
from solvers.starts.brim_by_brim import brim_by_brim


@pytest.mark.parametrize("seed", [0, 2])
def test_hosts_of_two_resources_are_filled_one_after_the_other(seed: int) -> None:
    """Eighteen hosts cut in five VMs each without anything left over hold all of them again."""
    problem = placing_problem(*similar(seed, 18, 2))
    first = solve_greedy(problem)
    found, searched = brim_by_brim(problem, first, seed=0, clock=clock())
    assert searched and not violations(problem, found.patterns, found.unplaced)
    assert any(first.unplaced) and not any(found.unplaced)


def test_another_order_of_hosts_fills_what_the_first_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each order is a round: where there may be one alone the first answer comes back."""
    monkeypatch.setattr("solvers.starts.brim_by_brim.EFFORT", 0.2)
    problem = placing_problem(*similar(1, 8, 2))
    first = solve_greedy(problem)
    found, searched = brim_by_brim(problem, first, seed=0, clock=clock())
    assert any(first.unplaced) and not any(found.unplaced) and searched > 1
    one_round = Clock(limits=Limits(rounds=1, time_limit_s=1e6), interrupt=Interrupt())
    assert brim_by_brim(problem, first, seed=0, clock=one_round) == (first, 1)


def test_what_is_cut_off_is_no_search() -> None:
    """Without time, or interrupted, the first answer stays and there was no round."""
    problem = placing_problem(*similar(0, 18, 2))
    first = solve_greedy(problem)
    stopped = Interrupt()
    stopped.request()
    for time_limit_s, interrupt in ((0.0, Interrupt()), (1e6, stopped)):
        again = brim_by_brim(problem, first, seed=0, clock=clock(time_limit_s, interrupt))
        assert again == (first, False)


def test_fleets_with_room_and_with_other_features_are_left() -> None:
    """A fleet with room to spare keeps its answer; small ones with every other feature get none that is worse."""
    roomy = placing_problem([(100, 100)] * 3, [(40, 40)] * 8)
    first = solve_greedy(roomy)
    assert brim_by_brim(roomy, first, seed=0, clock=clock()) == (first, False)
    for seed in range(25):
        small, _ = small_case(seed)
        first = solve_greedy(small)
        if first.patterns:
            worse = replace(first, objectives=())
            found, _ = brim_by_brim(small, worse, seed=0, clock=clock())
            assert not violations(small, found.patterns, found.unplaced)
            assert evaluate(small, found.patterns, found.unplaced) <= evaluate(small, first.patterns, first.unplaced)
