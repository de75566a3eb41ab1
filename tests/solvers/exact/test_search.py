"""The exact engine against enumeration, with its bounds, limits and determinism."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from instances import synthetic_fleet
from ortools.sat.python import cp_model
from small_problems import small_case, small_problem

import solvers.exact.search
from solvers.evaluate import evaluate, violations
from solvers.exact.model import ExactModel
from solvers.exact.search import solve_exact
from solvers.objective import HostCosts, Objective, PlacementCosts, Unplaced
from solvers.problem import COST_UNIT, Flavor, HostClass, Problem, Shape
from solvers.result import HostPattern, Interrupt, Limits, ObjectiveResult, Progress, Result
from tests.effort import no_more_than

PLENTY = Limits(time_limit_s=600)


@pytest.mark.parametrize("block", range(20))
def test_every_value_and_bound_is_that_of_enumeration(block: int) -> None:
    """On random small problems of every feature all values and bounds are those of the lexicographic optimum."""
    for seed in range(10 * block, 10 * block + 10):
        problem, known = small_case(seed)
        best = min(known)
        result = solve_exact(problem, limits=PLENTY)
        assert result.status == "optimal", seed
        assert not violations(problem, result.patterns, result.unplaced), seed
        assert evaluate(problem, result.patterns, result.unplaced) == best, seed
        assert tuple(row.value for row in result.objectives) == best, seed
        assert tuple(row.bound for row in result.objectives) == best, seed


def lexicographic_optimum(problem: Problem, *, symmetry: bool) -> tuple[int, ...]:
    """Return the optimum by one plain solve an objective."""
    model = ExactModel(problem, symmetry=symmetry)
    best: list[int] = []
    for number, total in enumerate(model.objectives):
        held = [(other, None, value) for other, value in zip(model.objectives, best, strict=False)]
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        assert solver.solve(model.stage(number, total, held)) == cp_model.OPTIMAL
        best.append(round(solver.objective_value) + total.constant)
    return tuple(best)


def test_rows_against_symmetry_cut_off_no_optimum() -> None:
    """With the chains of nodes and the order of alike hosts the optimum is the same as without."""
    seen = {"chains": 0, "alike hosts": 0}
    for seed in range(120):
        problem = small_problem(seed)
        chains = any(host_class.chains for host_class in problem.classes)
        alike = any(host_class.count > 1 for host_class in problem.classes)
        if chains or alike:
            seen["chains"] += chains
            seen["alike hosts"] += alike
            assert lexicographic_optimum(problem, symmetry=True) == min(small_case(seed)[1]), seed
    assert min(seen.values()) >= 10


@pytest.mark.parametrize("kind", ["ordered", "chained"])
def test_rounds_of_each_kind_prove_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds with rows against symmetry alone, from the greedy answer, end at the same optimum."""
    monkeypatch.setattr(solvers.exact.search._Search, "_kinds", lambda *_: (kind,))
    for seed in range(60):
        problem, known = small_case(seed)
        result = solve_exact(problem, limits=PLENTY)
        if result.status == "optimal":
            assert tuple(row.value for row in result.objectives) == min(known), seed


def least_under(known: Iterable[tuple[int, ...]], number: int, held: Sequence[int]) -> int:
    """Return the least value of an objective with all earlier ones at most `held`."""
    return min(vector[number] for vector in known if all(v <= h for v, h in zip(vector, held, strict=False)))


def test_bounds_are_valid_when_stopped_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """After few rounds of next to no budget no bound exceeds what is possible with earlier objectives held."""
    monkeypatch.setattr(solvers.exact.search, "FIRST_ROUND", 1e-5)
    open_bounds = 0
    for seed in range(60):
        problem, known = small_case(seed)
        for rounds in (0, 1, 3):
            result = solve_exact(problem, limits=Limits(rounds=rounds))
            if result.status == "unknown":
                assert all(row.value is None for row in result.objectives)
                continue
            values = [row.value or 0 for row in result.objectives]
            assert evaluate(problem, result.patterns, result.unplaced) == tuple(values)
            for number, row in enumerate(result.objectives):
                assert row.bound is not None
                assert row.bound <= least_under(known, number, values[:number]), (seed, rounds, number)
                open_bounds += row.bound < values[number]
                assert (row.status == "optimal") == all(
                    other.bound == other.value for other in result.objectives[: number + 1]
                )
    assert open_bounds > 20


def without_arrivals(result: Result) -> tuple[object, ...]:
    """Return all that must be the same in two runs."""
    return result.status, result.objectives, result.patterns, result.unplaced, result.rounds


def test_same_input_and_seed_give_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs agree in everything, and the recorded number of rounds replays a run that the clock ended."""
    monkeypatch.setattr(solvers.exact.search, "FIRST_ROUND", 0.1)
    problem = synthetic_fleet(10, 140)
    first = solve_exact(problem, limits=Limits(rounds=2), seed=7)
    again = solve_exact(problem, limits=Limits(rounds=2), seed=7)
    assert without_arrivals(first) == without_arrivals(again)
    timed = solve_exact(problem, limits=Limits(time_limit_s=0.8), seed=7)
    replayed = solve_exact(problem, limits=Limits(rounds=timed.rounds), seed=7)
    assert [row.value for row in timed.objectives] == [row.value for row in replayed.objectives]
    assert timed.patterns == replayed.patterns


def test_a_round_that_the_clock_cuts_off_counts_as_never_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a round would be, the engine ends near its limit, with what the whole rounds gave."""
    monkeypatch.setattr(solvers.exact.search, "FIRST_ROUND", 100.0)
    problem = synthetic_fleet(10, 142)
    limits = Limits(time_limit_s=1.0)
    with no_more_than(1000):
        cut = solve_exact(problem, limits=limits)
    assert (cut.status, cut.objectives[-1].stopped) == ("feasible", "time limit")
    assert not violations(problem, cut.patterns, cut.unplaced)
    replayed = solve_exact(problem, limits=Limits(rounds=cut.rounds))
    assert [replace(row, stopped="") for row in cut.objectives] == [
        replace(row, stopped="") for row in replayed.objectives
    ]
    assert cut.patterns == replayed.patterns


def test_bounds_of_another_engine_are_taken_over() -> None:
    """With the optimum given as bounds, and an optimal answer to start from, no round is needed."""
    problem, known = small_case(4)
    best = min(known)
    patterns, unplaced = known[best]
    proven = tuple(
        ObjectiveResult(goal=o.goal, part=o.part, value=v, bound=v, source="elsewhere", status="optimal")
        for o, v in zip(problem.objectives, best, strict=True)
    )
    start = Result(status="optimal", objectives=proven, patterns=patterns, unplaced=unplaced)
    result = solve_exact(problem, limits=PLENTY, warm_start=start, proven=proven, tie_break=False)
    assert (result.status, result.rounds) == ("optimal", 0)
    assert tuple(row.value for row in result.objectives) == best
    assert "elsewhere" in {row.source for row in result.objectives}


def test_no_rounds_gives_the_warm_start_back() -> None:
    """With no time at all the greedy answer comes back, valued, with trivial bounds only."""
    problem = synthetic_fleet(10, 140)
    result = solve_exact(problem, limits=Limits(time_limit_s=0.0))
    assert (result.status, result.rounds) == ("feasible", 0)
    assert not violations(problem, result.patterns, result.unplaced)
    last = result.objectives[-1]
    assert (last.bound, last.stopped, last.status) == (0, "time limit", "feasible")
    assert last.value is not None and last.value > 0


def test_broken_warm_start_is_not_believed() -> None:
    """A first answer that breaks a row is dropped: the search starts from nothing and still proves the optimum."""
    problem, known = small_case(0)
    patterns, unplaced = next(iter(known.values()))
    broken = Result(status="feasible", objectives=(), patterns=patterns[1:], unplaced=unplaced)
    result = solve_exact(problem, limits=PLENTY, warm_start=broken)
    assert tuple(row.value for row in result.objectives) == min(known)


def test_worst_answer_as_warm_start_is_improved_on() -> None:
    """From the worst answer there is, the optimum is reached all the same."""
    for seed in range(20):
        problem, known = small_case(seed)
        patterns, unplaced = known[max(known)]
        worst = Result(status="feasible", objectives=(), patterns=patterns, unplaced=unplaced)
        result = solve_exact(problem, limits=PLENTY, warm_start=worst)
        assert tuple(row.value for row in result.objectives) == min(known), seed


def test_impossible_problem_is_proven_so() -> None:
    """VMs that must be somewhere and fit nowhere make the problem infeasible, without any bound."""
    problem = small_problem(3)
    assert any(not host_class.is_empty for host_class in problem.classes)
    classes = tuple(replace(host_class, capacity=np.zeros_like(host_class.capacity)) for host_class in problem.classes)
    result = solve_exact(replace(problem, classes=classes), limits=PLENTY)
    assert result.status == "infeasible"
    assert all((row.value, row.bound, row.status) == (None, None, "infeasible") for row in result.objectives)


def test_incomplete_enumeration_claims_no_bound() -> None:
    """Where placements are missing only the bound of nought is claimed, and nothing above it is called optimal."""
    for seed in range(40):
        problem, known = small_case(seed)
        problem = replace(problem, shapes=tuple(replace(shape, complete=False) for shape in problem.shapes))
        result = solve_exact(problem, limits=PLENTY)
        assert tuple(row.value for row in result.objectives) == min(known)
        for row in result.objectives:
            assert row.bound is None or row.source == "no cost is negative"
            assert row.status != "optimal" or row.value == row.bound


def test_tolerance_lets_later_goals_use_it_and_no_more() -> None:
    """With a tolerance on each objective the value stays within it, and the next one is the least that this allows."""
    used = 0
    for seed in range(60):
        problem, known = small_case(seed)
        relaxed = replace(problem, objectives=tuple(replace(o, tolerance=0.5) for o in problem.objectives))
        result = solve_exact(relaxed, limits=PLENTY)
        ceilings: list[int] = []
        for number, row in enumerate(result.objectives):
            least = least_under(known, number, ceilings)
            ceilings.append(least + int(abs(least) * 0.5))
            assert row.bound == least and row.value is not None and row.value <= ceilings[-1], seed
            used += row.value > least
            assert (row.stopped != "") == (row.value != least)
    assert used > 0


def test_interrupt_keeps_the_best_answer() -> None:
    """Asked to stop while it works, the engine stops within its round and hands back what it has."""
    problem = synthetic_fleet(10, 142)
    interrupt = Interrupt()
    told: list[Progress] = []

    def listen(line: Progress) -> None:
        told.append(line)
        interrupt.request()

    result = solve_exact(problem, limits=PLENTY, on_progress=listen, interrupt=interrupt)
    assert result.status == "feasible" and result.objectives[-1].stopped == "interrupted"
    assert not violations(problem, result.patterns, result.unplaced)
    assert told and told[0].engine == "exact" and told[0].goal == "remote"
    assert not interrupt.stops


def test_improvements_do_not_lose_headroom() -> None:
    """An answer improved in an earlier goal has its headroom filled, though no round was left for that goal."""
    shape = Shape(
        name="one node",
        nodes=1,
        row_names=((0, "cpu"),),
        flavor=np.array([0, 1]),
        use=np.array([[1], [1]], dtype=np.int64),
        cost={"headroom": np.array([0, -1])},
        touches=np.ones((2, 1), dtype=np.bool_),
        stay_only=np.zeros(2, dtype=np.bool_),
    )
    host_class = HostClass(
        shape=0,
        count=3,
        capacity=np.array([4]),
        fixed=np.zeros(1, dtype=np.int64),
        allowed=np.ones(2, dtype=np.bool_),
        stay_penalty=np.zeros(2, dtype=np.int64),
    )
    problem = Problem(
        flavors=(Flavor(name="vm", vcpus=1, arriving=3), Flavor(name="slot", vcpus=1, phantom=True)),
        shapes=(shape,),
        classes=(host_class,),
        objectives=(
            Objective(goal="placed", terms=(Unplaced(np.array([1, 0])),)),
            Objective(goal="hosts", terms=(HostCosts(),)),
            Objective(goal="headroom", terms=(PlacementCosts("headroom"),)),
        ),
    )
    spread = HostPattern(host_class=0, count=3, placements=((0, 1),))
    warm = Result(status="feasible", objectives=(), patterns=(spread,), unplaced=(0, 0))
    result = solve_exact(problem, limits=Limits(rounds=1), warm_start=warm)
    assert [row.value for row in result.objectives] == [0, COST_UNIT, -9]


def test_ties_are_broken_for_fewer_nodes() -> None:
    """Of answers alike in every goal the one that touches fewer nodes is taken."""
    split = [[1, 1], [1, 1], [2, 0], [0, 2]]
    shape = Shape(
        name="two nodes",
        nodes=2,
        row_names=((0, "cpu"), (1, "cpu")),
        flavor=np.zeros(4, dtype=np.int64),
        use=np.array(split, dtype=np.int64),
        cost={},
        touches=np.array(split) > 0,
        stay_only=np.zeros(4, dtype=np.bool_),
    )
    host_class = HostClass(
        shape=0,
        count=1,
        capacity=np.array([4, 4], dtype=np.int64),
        fixed=np.zeros(2, dtype=np.int64),
        allowed=np.ones(1, dtype=np.bool_),
        stay_penalty=np.zeros(1, dtype=np.int64),
    )
    problem = Problem(
        flavors=(Flavor(name="vm", vcpus=2, arriving=2),),
        shapes=(shape,),
        classes=(host_class,),
        objectives=(Objective(goal="placed", terms=(Unplaced(np.array([2], dtype=np.int64)),)),),
    )
    spread = HostPattern(host_class=0, count=1, placements=((0, 2),))
    warm = Result(status="feasible", objectives=(), patterns=(spread,), unplaced=(0,))
    for tie_break, nodes in ((False, 4), (True, 2)):
        result = solve_exact(problem, limits=PLENTY, warm_start=warm, tie_break=tie_break)
        found = dict(result.patterns[0].placements)
        assert sum(many * int(shape.touches[placement].sum()) for placement, many in found.items()) == nodes
