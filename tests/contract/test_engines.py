"""What every engine owes its caller, whatever it can prove: valid answers, honest numbers, the same again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import pytest
from instances import synthetic_fleet
from small_problems import small_case

from solvers.columns.columns import unsupported
from solvers.columns.engine import solve_columns
from solvers.evaluate import evaluate, violations
from solvers.exact.search import solve_exact
from solvers.problem import Problem
from solvers.result import Interrupt, Limits, Progress, Result
from solvers.solve import solve
from solvers.starts.best_fit import solve_greedy

Engine = Callable[..., Result]


def greedy(problem: Problem, *, limits: Limits, seed: int = 0, warm_start: Result | None = None, **_: object) -> Result:
    """Call the greedy engine as the others are called."""
    return solve_greedy(problem, seed=seed, warm_start=warm_start)


ENGINES: dict[str, Engine] = {"exact": solve_exact, "states": solve_columns, "greedy": greedy, "the door": solve}
SHORT = Limits(time_limit_s=600, rounds=3)
CASES = range(60)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Return one engine after the other."""
    return ENGINES[request.param]


def cases(engine: Engine, seeds: Sequence[int] = CASES) -> list[tuple[int, Problem, list[tuple[int, ...]]]]:
    """Return small problems that the engine can do, with the vectors of all their answers."""
    found = []
    for seed in seeds:
        problem, known = small_case(seed)
        if engine is not solve_columns or not unsupported(problem):
            found.append((seed, problem, sorted(known)))
    return found


@cache
def short_run(engine: Engine, seed: int) -> Result:
    """Return what an engine answers to a small problem after a few rounds."""
    return engine(small_case(seed)[0], limits=SHORT)


def test_answers_break_nothing_and_are_worth_what_they_say(engine: Engine) -> None:
    """Every answer passes the referee, and each objective's value is the referee's."""
    answered = 0
    for seed, problem, known in cases(engine):
        result = short_run(engine, seed)
        if result.status == "unknown":
            assert all(row.value is None for row in result.objectives)
            continue
        answered += 1
        assert result.status in ("optimal", "feasible"), seed
        assert not violations(problem, result.patterns, result.unplaced), seed
        values = tuple(row.value for row in result.objectives)
        assert values == evaluate(problem, result.patterns, result.unplaced), seed
        assert values >= known[0], seed
    assert answered > len(cases(engine)) * 0.6


def test_bounds_are_below_what_is_possible(engine: Engine) -> None:
    """No bound exceeds the least value with the earlier objectives at most what they are in the answer."""
    for seed, _, known in cases(engine):
        result = short_run(engine, seed)
        held: list[int] = []
        for number, row in enumerate(result.objectives):
            if row.value is None:
                break
            least = min(vector[number] for vector in known if all(v <= h for v, h in zip(vector, held, strict=False)))
            assert row.bound is None or row.bound <= least, (seed, number)
            assert row.bound is None or row.source, (seed, number)
            held.append(row.value)


def test_optimal_means_optimal(engine: Engine) -> None:
    """Where all is called optimal the vector is the lexicographic optimum; of one goal only if all earlier ones are."""
    for seed, _, known in cases(engine):
        result = short_run(engine, seed)
        statuses = [row.status for row in result.objectives]
        assert statuses == sorted(statuses, key=["optimal", "feasible", "unknown"].index), seed
        proven = statuses.count("optimal")
        assert tuple(row.value for row in result.objectives[:proven]) == known[0][:proven], seed
        assert (result.status == "optimal") == (proven == len(statuses)), seed
        for row in result.objectives:
            assert row.status != "optimal" or row.bound == row.value, seed


def test_the_same_again(engine: Engine) -> None:
    """Same problem, same seed, same number of rounds: the same answer in everything but the certificate's order."""
    for _, problem, _ in cases(engine, range(0, 60, 6)):
        first, second = (engine(problem, limits=SHORT, seed=3) for _ in range(2))
        assert (first.status, first.objectives, first.patterns, first.unplaced, first.rounds) == (
            second.status,
            second.objectives,
            second.patterns,
            second.unplaced,
            second.rounds,
        )


def test_no_time_still_gives_an_answer(engine: Engine) -> None:
    """With no time at all an empty fleet gets the greedy answer at least."""
    problem = synthetic_fleet(20, 200)
    result = engine(problem, limits=Limits(time_limit_s=0.0), warm_start=solve_greedy(problem))
    assert result.status in ("feasible", "optimal")
    assert not violations(problem, result.patterns, result.unplaced)


def test_a_warm_start_never_gets_worse(engine: Engine) -> None:
    """The answer is at least as good, goal by goal in order, as the one it started from."""
    for seed, problem, known in cases(engine, range(30)):
        vectors = small_case(seed)[1]
        patterns, unplaced = vectors[known[len(known) // 2]]
        start = Result(status="feasible", objectives=(), patterns=patterns, unplaced=unplaced)
        result = engine(problem, limits=SHORT, warm_start=start)
        if engine is not greedy:
            assert tuple(row.value for row in result.objectives) <= known[len(known) // 2], seed  # type: ignore[operator]
        else:
            assert result.unplaced <= unplaced or result.status == "unknown", seed


def test_an_interrupt_from_the_start_keeps_the_first_answer(engine: Engine) -> None:
    """Asked to stop before it starts, an engine hands back the answer it was given, or a better one, with no fuss."""
    problem = synthetic_fleet(20, 200)
    interrupt = Interrupt(requested=True)
    result = engine(problem, limits=Limits(time_limit_s=600), warm_start=solve_greedy(problem), interrupt=interrupt)
    assert result.status in ("feasible", "optimal")
    assert not violations(problem, result.patterns, result.unplaced)
    assert not interrupt.stops


@pytest.mark.parametrize("name", ["exact", "states", "the door"])
def test_progress_names_goals_and_never_invents_numbers(name: str) -> None:
    """Each line names a goal of the problem; the last value and bound told of a goal are never better than the end."""
    problem = synthetic_fleet(10, 140)
    told: list[Progress] = []
    result = ENGINES[name](
        problem, limits=Limits(time_limit_s=600, rounds=2), warm_start=solve_greedy(problem), on_progress=told.append
    )
    assert told
    final = {(row.goal, row.part): row for row in result.objectives}
    for line in told:
        row = final[line.goal, line.part]
        assert line.seconds >= 0
        assert line.bound is None or (row.bound is not None and line.bound <= row.bound)
