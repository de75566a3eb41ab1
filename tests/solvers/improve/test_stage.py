"""The stage between the engines: every change priced as the referee does, nothing broken, nothing ever worse."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from small_problems import small_problem

from benchmarks.many_sizes import hosts_and_vms, placing_problem, similar
from benchmarks.peers.heuristics import fit_each
from solvers.evaluate import evaluate, violations
from solvers.improve.fleet import Fleet
from solvers.improve.stage import stage_of
from solvers.improve.tables import tables_of
from solvers.objective import HostCosts, Objective, PlacementCosts, Shortages
from solvers.problem import Flavor, HostClass, MoveBudget, Problem, Shape, Shortage
from solvers.result import HostPattern, Limits, Result
from solvers.solve import solve
from solvers.starts.best_fit import solve_greedy
from solvers.starts.family import best_of_family

QUICK = {"seed": 0, "patience": 2}


def _fleet(problem: Problem, start: Result) -> Fleet:
    tables = tables_of(problem)
    assert tables is not None
    return Fleet.of(tables, start.patterns, start.unplaced)


def _over_full(seed: int) -> Problem:
    """Return a small problem some of whose hosts have less room than what is there now may take; that counts."""
    problem, draw = small_problem(seed), random.Random(seed)
    classes = tuple(
        cls if cls.is_empty else replace(cls, room=cls.capacity - np.array([draw.randint(0, 3) for _ in cls.capacity]))
        for cls in problem.classes
    )
    shortage = Shortage(part="over", apart=(((0, 1), (2, 1)), ((1, 3),), ((4, 2),)))
    shapes = tuple(replace(shape, shortages=(shortage,)) for shape in problem.shapes)
    excess = Objective(goal="excess", terms=(Shortages("over"),))
    return replace(problem, classes=classes, shapes=shapes, objectives=(excess, *problem.objectives))


def test_every_change_is_priced_as_the_referee_does() -> None:
    """VMs taken from places and put to others, whether they fit or not: values, moves and migrations stay exact."""
    changes = 0
    for seed, made in itertools.product(range(40), (small_problem, _over_full)):
        problem = made(seed)
        start = solve_greedy(problem)
        if not start.patterns or problem.rules:
            continue
        fleet, draw = _fleet(problem, start), random.Random(seed)
        first = fleet.vector()
        for _ in range(8):
            held = [(host, place) for host, own in enumerate(fleet.held) for place in own]
            if not held:
                break
            host, place = draw.choice(held)
            flavor = int(fleet.tables.flavor[place])
            hosts, places = fleet.tables.places(flavor)
            if not len(hosts):
                continue
            fleet.remove(host, place)
            n = draw.randrange(len(hosts))
            fleet.add(int(hosts[n]), int(places[n]))
            assert fleet.vector() == evaluate(problem, *fleet.answer()), seed
            changes += 1
        fleet.undo(0)
        assert fleet.vector() == first
        assert fleet.answer()[1] == start.unplaced
    assert changes > 100


def test_never_worse_and_nothing_broken() -> None:
    """On small fleets with every feature the stage's answer is valid and no worse than the one it began with."""
    better = 0
    for seed, made in itertools.product(range(50), (small_problem, _over_full)):
        problem = made(seed)
        start = solve_greedy(problem, seed=1)
        stage = stage_of(problem, start, seed=seed, patience=2) if start.patterns else None
        if stage is None:
            continue
        while stage.round():
            pass
        reached = stage.best
        found = stage.answer()
        assert not violations(problem, found.patterns, found.unplaced), seed
        value = evaluate(problem, found.patterns, found.unplaced)
        assert value == reached, seed
        assert value <= evaluate(problem, start.patterns, start.unplaced), seed
        better += value < evaluate(problem, start.patterns, start.unplaced)
    assert better > 5


def test_the_same_rounds_give_the_same_answer() -> None:
    """Two runs of as many rounds end at the same patterns, another seed may not."""
    problem = placing_problem(*hosts_and_vms(3, 12, 1.0))
    start = solve_greedy(problem)
    answers = []
    for _ in range(2):
        stage = stage_of(problem, start, seed=7, patience=2)
        assert stage is not None
        for _ in range(6):
            stage.round()
        answers.append(stage.answer())
    assert answers[0] == answers[1]


@pytest.mark.parametrize("load", [0.9, 0.95, 1.0])
def test_many_sizes_are_packed_better_than_by_cosine(load: float) -> None:
    """VMs cut from hosts: all placed below full load; at full load fewer than half are left of what cosine leaves."""
    problem = placing_problem(*hosts_and_vms(1, 40, load))
    if load < 1.0:
        assert not any(best_of_family(problem, solve_greedy(problem)).unplaced)
        return
    order = [n for n, flavor in enumerate(problem.flavors) for _ in range(flavor.arriving)]
    peer = fit_each(problem, order, "cosine")
    left = problem.demand()
    for pattern in peer.patterns:
        for placement, many in pattern.placements:
            left[problem.shapes[0].flavor[placement]] -= many
    start = Result(status="feasible", objectives=(), patterns=peer.patterns, unplaced=tuple(left.tolist()))
    stage = stage_of(problem, start, seed=0, patience=4)
    assert stage is not None and left.sum() > 4
    while stage.round():
        pass
    assert sum(stage.answer().unplaced) * 2 < left.sum()


def test_items_like_their_bins() -> None:
    """Items of about a fifth of one of ten bins, all of them different: fewer are left out than by heuristics."""
    problem = placing_problem(*similar(0, 10, 3))
    first = best_of_family(problem, solve_greedy(problem))
    found = solve(problem, limits=Limits(time_limit_s=600, rounds=30))
    assert sum(found.unplaced) < sum(first.unplaced)


def test_frozen_members_of_rules_stay() -> None:
    """A VM that a rule over hosts counts is moved by the engines alone."""
    for seed in range(80):
        problem = small_problem(seed)
        start = solve_greedy(problem)
        stage = stage_of(problem, start, seed=0, patience=1) if problem.rules and start.patterns else None
        if stage is None:
            continue
        frozen = np.flatnonzero(stage.fleet.frozen)
        before = [{p: n for p, n in own.items() if stage.fleet.tables.flavor[p] in frozen} for own in stage.fleet.held]
        while stage.round():
            pass
        after = [{p: n for p, n in own.items() if stage.fleet.tables.flavor[p] in frozen} for own in stage.fleet.held]
        assert before == after


def test_few_moves_empty_hosts_before_they_are_spent_on_nearness() -> None:
    """Two moves empty the first host, or bring two VMs nearer; where hosts count first the first host is emptied."""
    shape = Shape(
        name="s",
        nodes=1,
        row_names=((0, "cpus"),),
        flavor=np.array([0, 0]),
        use=np.array([[1], [1]]),
        cost={"remote": np.array([1, 0])},
        touches=np.array([[True], [True]]),
        stay_only=np.array([False, False]),
    )
    here = (((1, 2),), ((0, 3),), ((0, 3),))
    plain = {"shape": 0, "count": 1, "fixed": np.array([0]), "allowed": np.array([True]), "stay_penalty": np.array([0])}
    for first, emptied in ((HostCosts(), 1), (PlacementCosts("remote"), 0)):
        terms = [first, PlacementCosts("remote") if emptied else HostCosts()]
        problem = Problem(
            flavors=(Flavor(name="f", vcpus=1),),
            shapes=(shape,),
            classes=tuple(HostClass(**plain, capacity=np.array([8]), content=content) for content in here),
            objectives=tuple(Objective(goal=goal, terms=(term,)) for goal, term in zip("ab", terms, strict=True)),
            budget=MoveBudget(moves=2),
        )
        patterns = tuple(HostPattern(host_class=n, count=1, placements=content) for n, content in enumerate(here))
        stage = stage_of(problem, Result(status="feasible", objectives=(), patterns=patterns, unplaced=(0,)), **QUICK)
        assert stage is not None
        while stage.round():
            pass
        found = stage.answer()
        assert sum(bool(pattern.placements) * pattern.count for pattern in found.patterns) == 3 - emptied
