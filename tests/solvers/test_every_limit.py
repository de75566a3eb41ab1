"""Every way through the engines ends soon after the time is over or Ctrl-C was pressed, with a valid answer."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from small_problems import small_problem

from benchmarks.instances import exact_fit_fleet
from benchmarks.live_fleets import two_node_fleet
from benchmarks.many_sizes import placing_problem, similar
from benchmarks.vector_packing import packing_problem, triplets
from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from solvers.evaluate import evaluate, violations
from solvers.problem import MoveBudget, Problem
from solvers.result import Interrupt, Limits
from solvers.solve import solve
from solvers.starts import to_the_brim
from solvers.starts.best_fit import solve_greedy

LIMIT_S = 1_000.0
LOOKS = 60
"""Looks at the clock that may follow the one that finds it late: what is begun is ended, and nothing else begun."""


@dataclass(slots=True)
class Clock:
    """Time that stands still, and after so many looks is far past any limit and goes on by a second a look."""

    after: int
    when_late: Callable[[], None] | None = None
    looks: int = 0
    began: float = field(default_factory=time.monotonic)

    def monotonic(self) -> float:
        """Return the time."""
        self.looks += 1
        if self.looks <= self.after:
            return self.began
        if self.when_late is None:
            return self.began + 10 * LIMIT_S + self.looks
        self.when_late()
        return self.began


def _live() -> Problem:
    fleet = two_node_fleet(seed=3, hosts=14, remote_share=0.2)
    return compile_fleet(fleet, parse_goals("placed,remote,moves", fleet), MoveBudget(moves=10)).problem


def _cut() -> Problem:
    fleet = exact_fit_fleet(seed=1, hosts=13, kind="cpu")
    return compile_fleet(fleet, parse_goals("placed,remote", fleet), MoveBudget()).problem


def _ruled() -> Problem:
    return next(one for one in map(small_problem, range(200)) if one.rules and solve_greedy(one).patterns)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "live hosts, by columns": _live,
    "hosts that are cut up, filled in": _cut,
    "few hosts, by the exact engine": lambda: placing_problem(*similar(2, 4, 2)),
    "hosts filled to the brim": lambda: placing_problem(*similar(0, 13, 4)),
    "hosts that have to be full": lambda: packing_problem(triplets(random.Random(1), "t", 13, 3), 15)[0],
    "rules over hosts": _ruled,
}


@functools.cache
def _problem(name: str) -> Problem:
    return PROBLEMS[name]()


@pytest.mark.parametrize("pressed", [False, True])
@pytest.mark.parametrize("name", PROBLEMS)
def test_all_work_ends_soon_after_the_limit(name: str, pressed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it becomes late, or Ctrl-C is pressed, nothing new is begun; the answer is no worse than the first."""
    monkeypatch.setattr(to_the_brim, "LOOKS", 500_000)
    problem = _problem(name)
    start = solve_greedy(problem)
    first = evaluate(problem, start.patterns, start.unplaced)
    for after in (0, 25):
        interrupt = Interrupt()
        clock = Clock(after, interrupt.request if pressed else None)
        with monkeypatch.context() as patched:
            patched.setattr(time, "monotonic", clock.monotonic)
            found = solve(problem, limits=Limits(time_limit_s=LIMIT_S, rounds=60), interrupt=interrupt)
        assert not violations(problem, found.patterns, found.unplaced)
        assert evaluate(problem, found.patterns, found.unplaced) <= first
        assert clock.looks <= after + LOOKS, (after, clock.looks)
