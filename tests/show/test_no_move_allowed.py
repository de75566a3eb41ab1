"""The summary of a plan for a fleet that breaks rules: whether any move was allowed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from placer.planner import solve_fleet
from placer.read.inventory.inventory import parse_fleet
from placer.show.plan_summary import draw_summary

FLEET = b"""schema: placer.inventory/v1
hosts:
  - {name: h, count: 2, nodes: [{id: 0, cpus: "0-7", memory: 32GiB}]}
vms:
  - {name: w, count: 2, vcpus: 2, memory: 4GiB, labels: {app: w}, host: h-1, nodes: [0]}
rules:
  - {anti_affinity: {app: w}}
"""


@pytest.mark.parametrize(("moves", "said"), [(None, True), (1, False)])
def test_a_plan_without_moves_says_what_would_mend_the_rules(moves: int | None, said: bool) -> None:
    """Two VMs that must part share a host: a plain plan says that no move was allowed, one with a move mends it."""
    plan = solve_fleet(parse_fleet(FLEET, "fleet.yaml", Path(".")), max_moves=moves, time_limit_s=10, workers=1)
    out = io.StringIO()
    draw_summary(plan, Console(file=out, width=120))
    assert "rules broken now: 1 rule" in out.getvalue()
    assert ("no move was allowed: 1 move would mend them, the fewest (--max-moves 1)" in out.getvalue()) is said
    assert plan.summary.get("mended_by_moves") == ({"moves": 1, "excess": 0, "proven": True} if said else None)


def test_a_plan_without_moves_says_what_would_bring_down_what_is_over() -> None:
    """A host of 32 GiB that shall keep half for itself carries 20: one move makes room, and none was allowed."""
    fleet = b"""schema: placer.inventory/v1
hosts:
  - {name: h, count: 2, nodes: [{id: 0, cpus: "0-7", memory: 32GiB}], reserve: {memory: 50%}}
vms:
  - {name: a, vcpus: 2, memory: 12GiB, overhead: 0MiB, host: h-1, nodes: [0]}
  - {name: b, vcpus: 2, memory: 8GiB, overhead: 0MiB, host: h-1, nodes: [0]}
"""
    plan = solve_fleet(parse_fleet(fleet, "fleet.yaml", Path(".")), time_limit_s=10, workers=1)
    out = io.StringIO()
    draw_summary(plan, Console(file=out, width=120))
    assert "no move was allowed: 1 move would bring `excess` to 0, the fewest (--max-moves 1)" in out.getvalue()
    assert plan.summary["mended_by_moves"] == {"moves": 1, "excess": 0, "over": 0, "proven": True}


def test_a_host_that_is_over_is_brought_down_where_a_reserve_is_kept() -> None:
    """One move leaves less over and the reserve is kept all the same: as many are told as bring it to nothing."""
    fleet = b"""schema: placer.inventory/v1
hosts:
  - {name: h, count: 3, nodes: [{id: 0, cpus: "0-15", memory: 32GiB}], reserve: {memory: 50%}}
vms:
  - {name: a, count: 4, vcpus: 1, memory: 7GiB, overhead: 0MiB, host: h-1, nodes: [0]}
  - {name: b, vcpus: 1, memory: 1GiB, overhead: 0MiB, host: h-2, nodes: [0]}
rules:
  - {reserve: {fail: 1, scope: host, members: {name: b}}}
"""
    plan = solve_fleet(parse_fleet(fleet, "fleet.yaml", Path(".")), time_limit_s=20, workers=1)
    out = io.StringIO()
    draw_summary(plan, Console(file=out, width=120))
    assert "no move was allowed: 2 moves would bring `excess` to 0" in out.getvalue()


def test_a_plan_without_moves_says_what_would_keep_the_reserve() -> None:
    """A VM as wide as its host survives it where two small ones share another: one move, and none was allowed."""
    fleet = b"""schema: placer.inventory/v1
hosts:
  - {name: h, count: 3, nodes: [{id: 0, cpus: "0-7", memory: 32GiB}]}
vms:
  - {name: wide, vcpus: 8, memory: 4GiB, host: h-1, nodes: [0]}
  - {name: a, vcpus: 4, memory: 4GiB, host: h-2, nodes: [0]}
  - {name: b, vcpus: 4, memory: 4GiB, host: h-3, nodes: [0]}
rules:
  - {reserve: {fail: 1, scope: host}}
"""
    plan = solve_fleet(parse_fleet(fleet, "fleet.yaml", Path(".")), time_limit_s=20, workers=1)
    out = io.StringIO()
    draw_summary(plan, Console(file=out, width=120))
    assert "no move was allowed: 1 move would keep the reserve, the fewest (--max-moves 1)" in out.getvalue()
