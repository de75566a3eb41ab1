"""The steepest way down: priced as the referee prices, never above a hill climb written by hand, and at an end."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from small_problems import small_problem

from benchmarks.balance import HillClimb, uneven_fleet
from placer.model.fleet import Fleet as Hosts
from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from solvers.evaluate import evaluate, violations
from solvers.improve import climb as climbing
from solvers.improve.climb import Climb
from solvers.improve.fleet import Fleet
from solvers.improve.tables import tables_of
from solvers.objective import Changes, Hinges
from solvers.problem import MoveBudget, Problem
from solvers.starts.best_fit import solve_greedy


def _fleet(problem: Problem) -> Fleet | None:
    start = solve_greedy(problem)
    tables = tables_of(problem)
    if not start.patterns or tables is None:
        return None
    return Fleet.of(tables, start.patterns, start.unplaced)


def _even(hosts: Hosts, moves: int | None) -> Problem:
    return compile_fleet(hosts, parse_goals("placed,balance,moves", hosts), MoveBudget(moves=moves)).problem


def _single_moves(fleet: Fleet) -> list[tuple[int, ...]]:
    """Return what each move of a VM from a host to another changes that fits, one after the other by trying."""
    found = []
    for host, own in enumerate(list(map(dict, fleet.held))):
        for place in own:
            flavor = int(fleet.tables.flavor[place])
            if fleet.frozen[flavor]:
                continue
            mark, before = len(fleet.journal), fleet.vector()
            fleet.remove(host, place)
            for target, to in zip(*(part.tolist() for part in fleet.open_places(flavor)), strict=True):
                inner = len(fleet.journal)
                fleet.add(target, to)
                if target != host and fleet.within_budget():
                    found.append(tuple(b - a for a, b in zip(before, fleet.vector(), strict=True)))
                fleet.undo(inner)
            fleet.undo(mark)
    return found


def _shaken(fleet: Fleet, seed: int) -> None:
    """Put some VMs to places where they fit, whatever it costs."""
    draw = random.Random(seed)
    for _ in range(6):
        held = [(host, place) for host, own in enumerate(fleet.held) for place in own]
        if not held:
            return
        host, place = draw.choice(held)
        flavor, mark = int(fleet.tables.flavor[place]), len(fleet.journal)
        if fleet.frozen[flavor]:
            continue
        fleet.remove(host, place)
        hosts, places = fleet.open_places(flavor)
        if len(hosts):
            at = draw.randrange(len(hosts))
            fleet.add(int(hosts[at]), int(places[at]))
        if not len(hosts) or not fleet.within_budget():
            fleet.undo(mark)


@pytest.mark.parametrize("moves", [2, 3, None])
@pytest.mark.parametrize("seed", range(4))
def test_each_change_is_the_best_and_the_end_is_one(seed: int, moves: int | None) -> None:
    """A step wins at least what the best single move does, in values as the referee has them; after the last none is
    left that wins anything.
    """
    fleet = _fleet(_even(uneven_fleet(seed, 4), moves))
    assert fleet is not None
    climb = Climb.of(fleet)
    assert climb is not None and climb.covers_all()
    made = 0
    while True:
        before, best = fleet.vector(), min(_single_moves(fleet), default=(0,))
        if not climb.run(1):
            assert best >= (0,) * len(best)
            break
        made += 1
        patterns, unplaced = fleet.answer()
        assert fleet.vector() == evaluate(fleet.tables.problem, patterns, unplaced)
        assert not violations(fleet.tables.problem, patterns, unplaced)
        assert fleet.vector() < before
        if fleet.moves_left > 2:
            # Of a swap half counts, for it takes two moves.
            assert 2 * (fleet.vector()[0] - before[0]) <= 2 * best[0] or moves is not None
    assert made


@pytest.mark.parametrize("seed", range(6))
def test_never_above_a_hill_climb_of_moves_and_swaps(seed: int) -> None:
    """The climb that the benchmark has by hand, with as many moves."""
    hosts = uneven_fleet(seed, 12)
    moves = len(hosts.vms) // 20
    by_hand = HillClimb.of(hosts)
    by_hand.run(moves)
    fleet = _fleet(_even(hosts, moves))
    assert fleet is not None
    climb = Climb.of(fleet)
    assert climb is not None
    climb.run(1000)
    objective = next(one for one in fleet.tables.problem.objectives if one.goal == "balance")
    assert fleet.vector()[0] / objective.unit <= by_hand.value + 1e-6


def test_fleets_with_every_feature_get_better_and_break_nothing() -> None:
    """Loads that count beside costs of places and hosts, permissions, several nodes, fixed VMs and limits on moves."""
    better = 0
    for seed in range(120):
        problem = small_problem(seed)
        if problem.rules:
            continue
        fleet = _fleet(problem)
        climb = None if fleet is None else Climb.of(fleet)
        if fleet is None or climb is None:
            continue
        _shaken(fleet, seed)
        climb = Climb.of(fleet)
        assert climb is not None
        before = fleet.vector()
        while climb.run(1):
            assert fleet.vector() < before, seed
            before = fleet.vector()
            better += 1
            assert fleet.vector() == evaluate(problem, *fleet.answer()), seed
            assert not violations(problem, *fleet.answer()), seed
    assert better > 3


def test_a_move_is_taken_back_for_a_better_one() -> None:
    """With one move, spent on what wins little, the one that wins most is made in its place."""
    problem = _even(uneven_fleet(1, 4), 1)
    fleet = _fleet(problem)
    assert fleet is not None
    wins = _single_moves(fleet)
    host, place = next((h, p) for h, own in enumerate(fleet.held) for p in own)
    flavor = int(fleet.tables.flavor[place])
    start = fleet.vector()
    fleet.remove(host, place)
    hosts, places = fleet.open_places(flavor)
    away = np.flatnonzero(hosts != host)[0]
    fleet.add(int(hosts[away]), int(places[away]))
    climb = Climb.of(fleet)
    assert climb is not None
    climb.run(100)
    assert fleet.moves == 1
    assert fleet.vector()[0] - start[0] == min(wins)[0]


def test_where_tables_would_be_too_large_some_flavors_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose VMs could win most, and the tables say that they are not all."""
    fleet = _fleet(_even(uneven_fleet(0, 4), 5))
    assert fleet is not None
    monkeypatch.setattr(climbing, "MOST_CELLS", 12)
    climb = Climb.of(fleet)
    assert climb is not None
    assert len(climb.flavors) == 3
    assert not climb.covers_all()


def test_nothing_is_done_where_no_load_counts() -> None:
    """Other goals have single moves by what each can win."""
    problem = _even(uneven_fleet(0, 4), 5)
    plain = replace(
        problem,
        objectives=tuple(one.without(Hinges) for one in problem.objectives if one.term(Changes) is not None),
    )
    fleet = _fleet(plain)
    assert fleet is not None
    assert Climb.of(fleet) is None
