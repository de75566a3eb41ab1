"""The limit holds for what follows the search as well."""

from __future__ import annotations

import time
from typing import Any

import pytest

from placer import planner
from placer.planner import FOLLOWS, solve_fleet
from placer.planning.compile import compile as compiling
from solvers import solve as solving
from solvers.result import Limits

LIMIT_S = 20.0
ENDS_S = 1.1 * LIMIT_S + 2.0


def _limits(monkeypatch: pytest.MonkeyPatch, build: Any, numbers_s: float, now_on: Any = None) -> Limits:
    """Return the limits of the search of a fleet that takes so long to put in numbers; `now_on` is where its VM is."""
    asked: list[Limits] = []
    now = time.monotonic()
    compile_fleet, solve = compiling.compile_fleet, solving.solve

    def slowly(*arguments: object, **options: object) -> object:
        nonlocal now
        now += numbers_s
        return compile_fleet(*arguments, **options)  # type: ignore[arg-type]

    def told(*arguments: object, **options: object) -> object:
        asked.append(options["limits"])  # type: ignore[arg-type]
        return solve(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(compiling, "compile_fleet", slowly)
    monkeypatch.setattr(solving, "solve", told)
    fleet = build.fleet([build.host("h")], [build.vm("a", current=now_on)])
    solve_fleet(fleet, goals="placed", time_limit_s=LIMIT_S)
    return asked[0]


def test_search_of_a_large_fleet_leaves_time_for_what_follows(monkeypatch: pytest.MonkeyPatch, build: Any) -> None:
    """To put it in numbers, a round that is cut off and what follows end a tenth and two seconds past the limit."""
    found = _limits(monkeypatch, build, 4.0)
    assert 4.0 + found.guard_s + FOLLOWS * 4.0 == pytest.approx(ENDS_S)


def test_search_of_a_small_fleet_has_the_limit(monkeypatch: pytest.MonkeyPatch, build: Any) -> None:
    """What follows is granted beyond the limit where it is short."""
    assert _limits(monkeypatch, build, 0.25).time_limit_s == pytest.approx(LIMIT_S - 0.25)


def test_nothing_is_left_to_search_where_numbers_take_all(monkeypatch: pytest.MonkeyPatch, build: Any) -> None:
    """A limit that is used up leaves none, not less than none."""
    assert _limits(monkeypatch, build, 30.0).time_limit_s == 0.0


def test_new_vms_leave_more_to_the_search_than_those_that_run(monkeypatch: pytest.MonkeyPatch, build: Any) -> None:
    """Of a million new VMs few are unlike: 1.35 million left no time to a search of 240 s."""
    monkeypatch.setattr(planner, "FOLLOWS_A_VM_S", 2 * LIMIT_S)
    assert _limits(monkeypatch, build, 0.25, build.now("h", (0,))).time_limit_s == 0.0
    monkeypatch.undo()
    monkeypatch.setattr(planner, "FOLLOWS_A_VM_S", 2 * LIMIT_S)
    assert _limits(monkeypatch, build, 0.25).time_limit_s == pytest.approx(LIMIT_S - 0.25)
