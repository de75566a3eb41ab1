"""The one door: which engine it takes, and that it always hands back the best there is."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import pytest
from instances import synthetic_fleet
from small_problems import small_case, small_problem

import solvers.choice
import solvers.improve.stage
from benchmarks.planner_fleets import planner_fleet
from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from solvers.choice import UnsupportedError, choose, counts_of
from solvers.evaluate import evaluate, violations
from solvers.objective import Unplaced
from solvers.problem import CrossRule, MoveBudget, Problem
from solvers.result import Limits, ObjectiveResult, Progress, Result
from solvers.solve import _better, solve


def with_rule(problem: Problem, scope: str) -> Problem:
    """Return the problem with a rule over several hosts."""
    rule = CrossRule(name="r", kind="spread", members=(0,), scope=scope)
    return replace(problem, rules=(rule,))


def test_size_decides() -> None:
    """Small fleets go to the exact engine, large ones to the columns engine, and back where it cannot do them."""
    small, large = synthetic_fleet(10, 100), synthetic_fleet(1000, 10_000)
    assert (choose(small, "auto"), choose(large, "auto")) == ("exact", "columns")
    assert counts_of(large) > solvers.choice.EXACT_LIMIT
    assert choose(with_rule(synthetic_fleet(100, 1000), "host"), "auto") == "exact"
    assert choose(with_rule(large, "host"), "auto") == "greedy"
    for engine in ("exact", "greedy", "columns"):
        assert choose(small, engine) == engine


def test_engine_asked_for_by_name_is_refused_by_name() -> None:
    """The message names the engine, what it cannot do, and the one that can."""
    with pytest.raises(UnsupportedError, match=r"engine 'columns' cannot do .*rules.*; engine 'exact' can"):
        choose(with_rule(synthetic_fleet(10, 100), "host"), "states")


def test_an_engine_names_the_terms_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A term that is in no table of an engine is told before anything is solved, and the other engine is taken."""
    problem = synthetic_fleet(10, 100)
    monkeypatch.setattr("solvers.exact.model.TERMS", frozenset({Unplaced}))
    with pytest.raises(UnsupportedError, match="engine 'exact' cannot do costs of placements"):
        choose(problem, "exact")
    assert choose(problem, "auto") == "columns"


def test_greedy_alone_proves_nothing() -> None:
    """Asked for greedy the door gives its answer, without bounds."""
    problem = synthetic_fleet(30, 300)
    result = solve(problem, engine="greedy", limits=Limits())
    assert result.engine == "greedy" and result.status == "feasible"
    assert all(row.bound is None for row in result.objectives)


def test_first_answer_is_told_before_anything_else() -> None:
    """Progress begins with one line a goal of the greedy answer."""
    problem = synthetic_fleet(10, 140)
    told: list[Progress] = []
    solve(problem, limits=Limits(rounds=0), on_progress=told.append)
    assert [(line.engine, line.goal, line.note) for line in told[:3]] == [
        ("greedy", "placed", "first answer"),
        ("greedy", "placed", "first answer"),
        ("greedy", "remote", "first answer"),
    ]


def test_first_improvement_is_told_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a live fleet the first single moves are told before the rest of the stage."""
    monkeypatch.setattr(solvers.improve.stage, "TRIES", 2)
    fleet = planner_fleet(seed=3, hosts=16)
    problem = compile_fleet(fleet, parse_goals("placed,remote,moves", fleet), MoveBudget(moves=80)).problem
    told: list[Progress] = []
    result = solve(problem, limits=Limits(time_limit_s=600, rounds=8), on_progress=told.append)
    values = [line.value for line in told if line.engine in ("greedy", "improve") and line.goal == "remote"]
    assert len(values) > 2 and values == sorted(set(values), reverse=True)
    assert values[-1] >= next(row.value for row in result.objectives if row.goal == "remote")


def test_both_engines_in_turn_give_the_better_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the columns engine leaves open goes on to the exact engine: by goals in order it is never worse for that."""
    monkeypatch.setattr(solvers.choice, "EXACT_HOSTS", 0)
    problem = synthetic_fleet(20, 284)
    alone = solve(problem, engine="states", limits=Limits(time_limit_s=600, rounds=4))
    both = solve(problem, limits=Limits(time_limit_s=600, rounds=4 + 3))
    assert not violations(problem, both.patterns, both.unplaced)
    assert evaluate(problem, both.patterns, both.unplaced) == tuple(row.value for row in both.objectives)
    assert both.rounds >= alone.rounds
    values = [[row.value for row in result.objectives] for result in (both, alone)]
    assert None not in values[0] + values[1] and values[0] <= values[1]


def test_infeasible_is_said() -> None:
    """What cannot be is proven to be so, through the door as well."""
    problem = small_problem(3)
    classes = tuple(replace(host_class, capacity=host_class.capacity * 0) for host_class in problem.classes)
    assert any(not host_class.is_empty for host_class in problem.classes)
    result = solve(replace(problem, classes=classes), limits=Limits())
    assert result.status == "infeasible" and result.patterns == ()


def test_warm_start_is_used() -> None:
    """With no rounds the door hands back an answer at least as good as the one it was given."""
    for seed in range(20):
        problem, known = small_case(seed)
        best = min(known)
        patterns, unplaced = known[best]
        start = Result(status="optimal", objectives=(), patterns=patterns, unplaced=unplaced)
        result = solve(problem, limits=Limits(rounds=0), warm_start=start)
        assert tuple(row.value for row in result.objectives) == best, seed


def test_any_number_of_workers_gives_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker, two, a pool of threads and a pool of processes agree in everything, columns and exact by turns."""
    monkeypatch.setattr(solvers.choice, "EXACT_HOSTS", 0)
    problem = synthetic_fleet(10, 140)
    limits = Limits(time_limit_s=600, rounds=8)
    alone = solve(problem, limits=limits, seed=3)
    assert alone.rounds > 3
    for pool in (None, ThreadPoolExecutor(2), ProcessPoolExecutor(2, mp_context=get_context("spawn"))):
        again = solve(problem, limits=limits, seed=3, workers=2, executor=pool)
        if pool is not None:
            pool.shutdown()
        assert (again.objectives, again.patterns, again.unplaced, again.rounds) == (
            alone.objectives,
            alone.patterns,
            alone.unplaced,
            alone.rounds,
        )
        assert again.certificate == alone.certificate


def test_bounds_go_from_one_engine_to_the_next() -> None:
    """On a small fleet both engines get their turn, and no bound gets lost on the way."""
    problem = synthetic_fleet(10, 142)
    brief = solve(problem, engine="exact", limits=Limits(time_limit_s=600, rounds=3))
    both = solve(problem, limits=Limits(time_limit_s=600, rounds=3 + 4))
    assert not violations(problem, both.patterns, both.unplaced)
    for one, other in zip(brief.objectives, both.objectives, strict=True):
        assert one.bound is not None and other.bound is not None and other.value is not None
        assert one.bound <= other.bound <= other.value


def test_a_bound_goes_on_only_to_answers_no_worse_before_it() -> None:
    """An answer better in one objective and worse in the next may lie below what was proven of a third."""

    def answer(values: tuple[int, ...], bounds: tuple[int | None, ...]) -> Result:
        rows = [
            ObjectiveResult(
                goal=goal, part="", value=value, bound=bound, source="", status="feasible", held=values[:number]
            )
            for number, (goal, value, bound) in enumerate(zip("abc", values, bounds, strict=True))
        ]
        return Result(status="feasible", objectives=tuple(rows), patterns=(), unplaced=())

    known = answer((2, 3, 9), (0, 1, 8))
    assert [row.bound for row in _better(known, answer((2, 3, 8), (0, 0, 0))).objectives] == [0, 1, 8]
    assert [row.bound for row in _better(known, answer((1, 5, 6), (0, 0, 4))).objectives] == [0, 1, 4]
