"""Plans of the same work are the same, wherever the clock cuts it: no two of them differ in a byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import placer
from placer.model.fleet import Fleet
from placer.model.plan import WorkPart
from tests.cut_clock import LATE_S, LIMIT_S, cuts, text_without_work

HOSTS = """
schema: placer.inventory/v1
hosts:
"""
NODES = "[{id: 0, cpus: 0-7, memory: 32GiB}, {id: 1, cpus: 8-15, memory: 32GiB}]"
LIVE = """
  - {name: h1, labels: {rack: a}, nodes: NODES}
  - {name: h2, labels: {rack: a}, nodes: NODES}
  - {name: h3, labels: {rack: b}, nodes: NODES}
vms:
  - {name: w, count: 5, vcpus: 2, memory: 4GiB, host: h1, nodes: [0], labels: {app: w}}
  - {name: d, count: 2, vcpus: 4, memory: 8GiB, host: h2, nodes: [0], labels: {app: d}}
  - {name: n, count: 3, vcpus: 3, memory: 6GiB, labels: {app: w}}
rules:
  - {even: {app: w}, scope: rack, max_skew: 2}
  - {drain: {name: h2}}
"""
EMPTY = """
  - {name: h1, nodes: NODES}
  - {name: h2, nodes: NODES}
  - {name: h3, cost: 2, nodes: NODES}
vms:
  - {name: a, count: 4, vcpus: 5, memory: 9GiB}
  - {name: b, count: 5, vcpus: 3, memory: 11GiB}
  - {name: c, count: 2, vcpus: 2, memory: 3GiB}
"""
RESERVE = """
  - {name: h1, nodes: NODES}
  - {name: h2, nodes: NODES}
  - {name: h3, nodes: NODES}
vms:
  - {name: a, count: 4, vcpus: 4, memory: 8GiB}
  - {name: b, count: 2, vcpus: 6, memory: 8GiB, host: h1, nodes: [0]}
rules:
  - {reserve: {fail: 1}}
"""
BALANCE = """
  - {name: h1, nodes: NODES}
  - {name: h2, nodes: NODES}
vms:
  - {name: a, count: 6, vcpus: 2, memory: 3GiB, cpu_policy: shared, host: h1, nodes: [0]}
  - {name: b, count: 1, vcpus: 4, memory: 8GiB, cpu_policy: shared, host: h2, nodes: [1]}
"""
FLEETS: dict[str, tuple[str, dict[str, Any]]] = {
    "live, with rules": (LIVE, {"max_moves": 4}),
    "empty": (EMPTY, {"goals": "placed,hosts,remote"}),
    "reserve": (RESERVE, {"max_moves": 1}),
    "balance": (BALANCE, {"goals": "placed,balance,moves", "max_moves": 3}),
}


def _fleet(tmp_path: Path, text: str) -> Fleet:
    path = tmp_path / "fleet.yaml"
    path.write_text(HOSTS + text.replace("NODES", NODES))
    return placer.read_fleet(path)


@pytest.mark.parametrize("name", FLEETS)
def test_same_work_is_the_same_plan(tmp_path: Path, name: str) -> None:
    """Cut after looks that are spread evenly, a search that has come as far as another has the same plan."""
    text, asked = FLEETS[name]
    fleet = _fleet(tmp_path, text)
    known: dict[tuple[WorkPart, ...], str] = {}
    for late_s in (LATE_S, LIMIT_S + 1.0):  # past all, and past the limit alone: a round in progress ends
        for after, plan in cuts(fleet, 12, late_s, **asked):
            told = text_without_work(plan)
            assert known.setdefault(plan.work, told) == told, (after, plan.work)
    assert len(known) > 2
