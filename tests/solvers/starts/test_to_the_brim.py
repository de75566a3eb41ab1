"""Hosts that VMs fill next to fully: all of them find their place again, and nothing is ever worse."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from small_problems import clock, small_case

from benchmarks.many_sizes import placing_problem, similar
from solvers.evaluate import evaluate, violations
from solvers.result import Interrupt, Limits, Result
from solvers.solve import _Ladder, solve
from solvers.starts.best_fit import solve_greedy
from solvers.starts.fillings import PAIRS, Fillings, least_waste
from solvers.starts.to_the_brim import to_the_brim


def _placed(hosts: int, resources: int, seed: int, *, anew: int, time_limit_s: float = 1e6) -> tuple[Result, Result]:
    """Return best fit's answer on hosts cut up in five each, and the one that some of them placed anew lead to."""
    problem = placing_problem(*similar(seed, hosts, resources))
    first = solve_greedy(problem)
    found, _ = to_the_brim(problem, first, hosts=anew, seed=0, clock=clock(time_limit_s))
    assert not violations(problem, found.patterns, found.unplaced)
    return first, found


@pytest.mark.parametrize(("hosts", "resources"), [(5, 2), (6, 3), (7, 4)])
def test_hosts_that_are_cut_up_are_filled_again(hosts: int, resources: int) -> None:
    """Every VM has its place, where best fit leaves some out."""
    first, found = _placed(hosts, resources, 3, anew=hosts)
    assert any(first.unplaced) and not any(found.unplaced)


def test_the_door_fills_hosts_to_the_brim() -> None:
    """Seven hosts of four resources are full and proven within a few rounds."""
    found = solve(placing_problem(*similar(1, 7, 4)), limits=Limits(time_limit_s=600))
    assert found.status == "optimal" and not any(found.unplaced)


def test_every_set_is_listed_once() -> None:
    """Of small numbers, alike ones among them, the sets are those that counting all of them finds."""
    rng = np.random.default_rng(7)
    for rows in (1, 2, 3):
        use = rng.integers(1, 9, size=(11, rows))
        capacity, waste = np.full(rows, 14), np.full(rows, 2)
        search = Fillings(capacity=capacity, use=use, waste=waste, looks=10**7)
        found = sorted(tuple(sorted(one)) for sets in search.list() for one in sets.tolist())
        every = [
            one
            for size in range(1, 12)
            for one in itertools.combinations(range(11), size)
            if ((capacity - use[list(one)].sum(axis=0) >= 0) & (capacity - use[list(one)].sum(axis=0) <= waste)).all()
        ]
        assert search.whole and found == sorted(every)


def test_a_listing_ends_at_its_looks() -> None:
    """With next to no looks it lists few sets and says that there may be more; the best of those come first."""
    use = np.random.default_rng(1).integers(5, 50, size=(60, 2))
    capacity = np.array([120, 120])
    search = Fillings(capacity=capacity, use=use, waste=np.array([9, 9]), looks=3000)
    sets = max(search.list(), key=len)
    assert not search.whole
    kept, left = least_waste(sets, capacity, use, np.array([9, 9]), 5)
    assert len(kept) <= 5 and (np.diff(left) >= 0).all()


def test_what_is_cut_off_changes_nothing() -> None:
    """Without time, or interrupted, the first answer stays and there was no round."""
    problem = placing_problem(*similar(3, 6, 3))
    first = solve_greedy(problem)
    stopped = Interrupt()
    stopped.request()
    for time_limit_s, interrupt in ((0.0, Interrupt()), (1e6, stopped)):
        again = to_the_brim(problem, first, hosts=6, seed=0, clock=clock(time_limit_s, interrupt))
        assert again == (first, False)


def test_only_what_is_left_out_of_plain_full_hosts_is_sought() -> None:
    """A fleet with room to spare keeps its answer; small ones with every other feature get none that is worse."""
    roomy = placing_problem([(100, 100)] * 3, [(40, 40)] * 8)
    first = solve_greedy(roomy)
    assert any(first.unplaced)
    assert to_the_brim(roomy, first, hosts=3, seed=0, clock=clock()) == (first, False)
    for seed in range(25):
        small, _ = small_case(seed)
        first = solve_greedy(small)
        if not first.patterns:
            continue
        worse = replace(first, objectives=())
        found, _ = to_the_brim(small, worse, hosts=9, seed=0, clock=clock())
        assert not violations(small, found.patterns, found.unplaced)
        assert evaluate(small, found.patterns, found.unplaced) <= evaluate(small, first.patterns, first.unplaced)


def test_a_listing_holds_few_pairs_at_a_time() -> None:
    """Where nearly every pair is in two cells, looks are counted before pairs are laid out, not after."""
    rng = np.random.default_rng(1)
    use = np.stack([np.full(200, 4), rng.integers(8, 33, size=200)], axis=1)
    search = Fillings(capacity=np.array([20, 2000]), use=use, waste=np.array([1, 1600]), looks=3_000_000)
    search.list()
    assert not search.whole and search.looks > -2 * PAIRS


def test_what_was_proven_before_is_kept() -> None:
    """An answer that places all VMs takes over the bounds that another one had."""
    problem = placing_problem(*similar(3, 5, 2))
    first = solve_greedy(problem)
    run = _Ladder(
        problem=problem,
        limits=Limits(time_limit_s=600),
        seed=0,
        on_progress=None,
        interrupt=Interrupt(),
        workers=1,
        executor=None,
    )
    run.best = replace(first, objectives=tuple(replace(row, bound=0, source="counted") for row in first.objectives))
    run.to_the_brim(wide=True)
    assert run.best.patterns != first.patterns
    assert [row.bound for row in run.best.objectives] == [0] * len(first.objectives)
