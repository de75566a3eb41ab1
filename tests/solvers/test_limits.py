"""The limit and an interrupt are heard in the midst of long work, and what was found by then is kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from benchmarks.live_fleets import two_node_fleet
from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from solvers import clock as clocks
from solvers.clock import Clock, CutOffError
from solvers.columns.engine import solve_columns
from solvers.evaluate import evaluate
from solvers.problem import MoveBudget, Problem
from solvers.result import Interrupt, Limits
from solvers.solve import solve
from solvers.starts.best_fit import solve_greedy


@dataclass(slots=True)
class LateClock:
    """Seconds that pass by one a look from `after` looks on."""

    after: int
    looks: int = 0
    began: float = field(default_factory=time.monotonic)

    def monotonic(self) -> float:
        """Return the time."""
        self.looks += 1
        return self.began + max(0, self.looks - self.after)


@pytest.fixture(scope="module")
def problem() -> Problem:
    """Return a live fleet with a limit on moves."""
    fleet = two_node_fleet(seed=3, hosts=24, remote_share=0.2)
    return compile_fleet(fleet, parse_goals("placed,remote,moves", fleet), MoveBudget(moves=10)).problem


def test_a_clock_cuts_off_where_time_is_up_or_the_work_is_interrupted() -> None:
    """Nothing happens before; the round that was cut counts as never begun, and says why."""
    clock = Clock(limits=Limits(time_limit_s=60), interrupt=Interrupt())
    assert clock.next_round()
    clock.check()
    clock.interrupt.request()
    with pytest.raises(CutOffError):
        clock.check()
    clock.cut_round()
    assert (clock.rounds, clock.stopped) == (0, "interrupted")
    with pytest.raises(CutOffError):
        Clock(limits=Limits(time_limit_s=0), interrupt=Interrupt(), began=time.monotonic() - 5).check()


@pytest.mark.parametrize("after", [0, 20, 60, 150, 400, 1_000])
def test_the_columns_keep_what_they_have_wherever_time_runs_out(
    problem: Problem, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many looks at the clock there are before it is late, the answer is no worse than the first one."""
    start = solve_greedy(problem)
    late = LateClock(after)
    monkeypatch.setattr(clocks, "time", late)
    found = solve_columns(problem, limits=Limits(time_limit_s=3), warm_start=start)
    values: Any = [row.value for row in found.objectives]
    assert values <= [row.value for row in start.objectives]
    assert late.looks <= after + 60
    for row in found.objectives:
        assert row.bound is None or row.bound <= row.value  # type: ignore[operator]


def test_what_is_cut_off_before_the_first_round_takes_none_back() -> None:
    """A limit that is over before any round began told "-1 rounds"."""
    clock = Clock(Limits(time_limit_s=0.0), Interrupt())
    assert not clock.next_round()
    clock.cut_round()
    assert (clock.rounds, clock.stopped) == (0, "time limit")


def test_where_all_time_is_gone_the_first_single_moves_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Putting a large fleet in numbers took the whole limit, and not one VM moved; its rounds replay the answer."""
    monkeypatch.setattr("solvers.solve.FEW_COUNTS", 0)
    fleet = two_node_fleet(seed=3, hosts=14, remote_share=0.2)
    problem = compile_fleet(fleet, parse_goals("placed,remote,moves", fleet), MoveBudget(moves=10)).problem
    first, late = solve_greedy(problem), solve(problem, limits=Limits(time_limit_s=0.0))
    assert evaluate(problem, late.patterns, late.unplaced) < evaluate(problem, first.patterns, first.unplaced)
    assert all(row.status == "optimal" or row.stopped == "time limit" for row in late.objectives)
    assert solve(problem, limits=Limits(rounds=late.rounds)).patterns == late.patterns


def test_whoever_interrupts_gets_the_first_answer_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more is begun, and why it ended is told."""
    monkeypatch.setattr("solvers.solve.FEW_COUNTS", 0)
    fleet = two_node_fleet(seed=3, hosts=14, remote_share=0.2)
    problem = compile_fleet(fleet, parse_goals("placed,remote,moves", fleet), MoveBudget(moves=10)).problem
    found = solve(problem, limits=Limits(), interrupt=Interrupt(requested=True))
    assert found.rounds == 0 and "interrupted" in {row.stopped for row in found.objectives}
