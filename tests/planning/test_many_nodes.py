"""Hosts of 16 and 32 nodes and guests of many cells: sets of nodes are tried, from every node on if there are many."""

from __future__ import annotations

from typing import Any

import pytest

from placer.planner import solve_fleet


def _many(build: Any, nodes: int) -> Any:
    return build.host(topology=build.topology(nodes=nodes, cpus=2, memory_gib=4))


def test_the_limit_counts_what_it_takes_to_list_sets(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engines get what putting the fleet in numbers leaves of the limit, and nothing below 0."""
    from placer.planning.compile import compile
    from solvers import solve

    told, began, real = [], solve.time.monotonic(), (compile.compile_fleet, solve.solve)
    now = [began]

    def slow(*args: Any, **options: Any) -> Any:
        now[0] += 0.5
        return real[0](*args, **options)

    def seen(problem: Any, *, limits: Any, **options: Any) -> Any:
        told.append(limits.time_limit_s)
        return real[1](problem, limits=limits, **options)

    monkeypatch.setattr("placer.planner.time", type("", (), {"monotonic": staticmethod(lambda: now[0])}))
    monkeypatch.setattr(compile, "compile_fleet", slow)
    monkeypatch.setattr(solve, "solve", seen)
    fleet = build.fleet([_many(build, 2)], [build.vm("one", build.spec(2, 1))])
    for limit_s in (10.0, 0.4):
        assert not solve_fleet(fleet, goals="placed", time_limit_s=limit_s).unplaced
    assert told == [9.5, 0.0]


def test_the_nodes_that_are_left_are_found(build: Any) -> None:
    """Eight of sixteen nodes are taken by VMs that stay: the guest of eight cells lies on the others, only there."""
    small = build.spec(2, 1)
    there = [
        build.vm(f"s{n}", small, current=build.now(nodes=(n,), pins={0: frozenset({2 * n}), 1: frozenset({2 * n + 1})}))
        for n in range(8)
    ]
    fleet = build.fleet([_many(build, 16)], [*there, build.vm("big", build.spec(16, 8, cells=8))])
    plan = solve_fleet(fleet, goals="placed", time_limit_s=600)
    assert plan.status == "optimal"
    assert {node for cell in plan.vm_by_name["big"].cells for node in cell.nodes} == set(range(8, 16))


@pytest.mark.slow
def test_where_sets_are_too_many_nodes_are_filled_side_by_side(build: Any) -> None:
    """32 nodes have 35,960 sets of four: eight guests of four cells take all of them, and no bound needs all sets."""
    guests = [build.vm(f"g{n}", build.spec(8, 4, cells=4)) for n in range(8)]
    plan = solve_fleet(build.fleet([_many(build, 32)], guests), goals="placed", time_limit_s=600)
    assert not plan.unplaced


@pytest.mark.slow
def test_a_guest_that_was_not_tried_everywhere_is_not_said_to_fit_nowhere(build: Any) -> None:
    """With every second node full no four nodes side by side are free: it says what was not tried, and no proof."""
    small = build.spec(2, 1)
    there = [
        build.vm(f"s{n}", small, current=build.now(nodes=(n,), pins={0: frozenset({2 * n}), 1: frozenset({2 * n + 1})}))
        for n in range(32)
        if n % 8
    ]
    fleet = build.fleet([_many(build, 32)], [*there, build.vm("big", build.spec(16, 8, cells=8))])
    plan = solve_fleet(fleet, goals="placed", time_limit_s=600)
    assert "not every way to lay its cells on nodes was tried" in plan.unplaced[0].reason
    assert plan.status != "optimal" or not plan.unplaced
