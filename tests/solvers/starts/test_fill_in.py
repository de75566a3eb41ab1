"""HiGHS as a first answer's filler: hosts cut into VMs exactly, and what it has to leave alone."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from instances import packing, synthetic_fleet

import solvers.solve
import solvers.starts.brim_by_brim
import solvers.starts.fill_in
from solvers.evaluate import evaluate, violations
from solvers.problem import Problem
from solvers.result import Limits
from solvers.solve import solve
from solvers.starts.best_fit import solve_greedy
from solvers.starts.fill_in import fill_in

SIZES = ((1, 3), (2, 5), (3, 2), (4, 4), (5, 6), (5, 3), (6, 5), (2, 1))


def cut_exactly(seed: int, hosts: int, room: int = 16) -> Problem:
    """Return hosts of two resources and the items that fill them to the last unit of both."""
    draw = random.Random(seed)
    items: list[tuple[int, int]] = []
    left_over = hosts
    while left_over:
        left, cut = (room, room), []
        while fitting := [size for size in SIZES if size[0] <= left[0] and size[1] <= left[1]]:
            cut.append(draw.choice(fitting))
            left = (left[0] - cut[-1][0], left[1] - cut[-1][1])
        if left == (0, 0):
            items += cut
            left_over -= 1
    return packing((room, room), items, hosts)


@pytest.mark.parametrize("seed", range(4))
def test_exact_fits_are_filled(seed: int) -> None:
    """Where greedy leaves VMs out of hosts that they fill exactly, all are placed, and nothing is broken."""
    problem = cut_exactly(seed, 6)
    first = solve_greedy(problem)
    found, searched = fill_in(problem, first, time_limit_s=600)
    assert any(first.unplaced) and searched and not any(found.unplaced)
    assert not violations(problem, found.patterns, found.unplaced)
    assert evaluate(problem, found.patterns, found.unplaced)[:2] == (0, 0)


def test_the_door_proves_exact_fits_and_replays_them() -> None:
    """Through the door the exact fit is proven optimal, and its rounds replay the same answer."""
    problem = cut_exactly(1, 14)
    result = solve(problem, limits=Limits(time_limit_s=120))
    assert result.status == "optimal" and not any(result.unplaced)
    again = solve(problem, limits=Limits(time_limit_s=120, rounds=result.rounds))
    assert (again.patterns, again.rounds) == (result.patterns, result.rounds)


def test_no_search_where_it_cannot_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing left out, no room for all, few VMs alike or too many counts: the first answer comes back."""
    full = cut_exactly(0, 6)
    placed = synthetic_fleet(10, 100)
    short = replace(full, classes=(replace(full.classes[0], count=5),))
    for problem in (placed, short):
        first = solve_greedy(problem)
        assert fill_in(problem, first, time_limit_s=600) == (first, False)
    first = solve_greedy(full)
    for name, limit in (("COUNTS", 10), ("ALIKE", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(solvers.starts.fill_in, name, limit)
            assert fill_in(full, first, time_limit_s=600) == (first, False)


def test_a_search_cut_off_counts_as_never_begun() -> None:
    """Without time the first answer comes back, and no round is counted."""
    problem = cut_exactly(0, 6)
    first = solve_greedy(problem)
    assert fill_in(problem, first, time_limit_s=0.0) == (first, False)


def test_of_a_large_program_only_what_counts_first_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above `FEW_COUNTS` the first objective alone is minimised, and what it comes to is kept."""
    problem = cut_exactly(2, 6)
    monkeypatch.setattr(solvers.starts.fill_in, "FEW_COUNTS", 10)
    found, searched = fill_in(problem, solve_greedy(problem), time_limit_s=600)
    assert searched and evaluate(problem, found.patterns, found.unplaced)[:2] == (0, 0)


def test_a_crowd_is_put_in_before_exchanges_place_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more VMs than `CROWD` are left out the program comes before the exchanges."""
    problem = cut_exactly(1, 14)
    told: list[str] = []
    monkeypatch.setattr(solvers.solve, "CROWD", 0)
    monkeypatch.setattr(solvers.starts.brim_by_brim, "MOST_HOSTS", 0)
    solve(problem, limits=Limits(time_limit_s=120), on_progress=lambda news: told.append(news.note))
    notes = [note for note in told if note]
    assert notes.index("fuller first answer") < (notes.index("better answer") if "better answer" in notes else 99)
