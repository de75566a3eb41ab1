"""Siblings left idle that dedicated vCPUs could not have: nobody floats over them, and counts do not tell of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import placer

FLEET = """
schema: placer.inventory/v1
hosts:
  - name: a
    nodes: [{id: 0, cpus: 0-3, memory: 16GiB}]
    siblings: ["0,1", "2,3"]
    dedicated_cpus: "0"
    overcommit: OVERCOMMIT
vms:
  - {name: own, vcpus: 1, memory: 1GiB, thread_policy: isolate}
  - {name: floats, vcpus: 3, memory: 1GiB, cpu_policy: shared}
"""


def fleet(tmp_path: Any, overcommit: int) -> placer.Fleet:
    """Return a host on whose node an isolated vCPU leaves two of three CPUs to float over."""
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET.replace("OVERCOMMIT", str(overcommit)))
    return placer.read_fleet(path)


def test_what_floats_has_no_sibling_of_an_isolated_vcpu(tmp_path: Any) -> None:
    """Three vCPUs over two CPUs are refused without overcommit: check took the idle sibling for theirs."""
    plan = placer.solve(fleet(tmp_path, 2), goals="placed")
    assert plan.vm_by_name["floats"].pins[0] == frozenset({2, 3})
    assert placer.check(fleet(tmp_path, 2), plan).ok
    bare = fleet(tmp_path, 1)
    faults = placer.check(bare, replace(plan, fleet_digest=bare.digest)).faults
    assert any("shared vCPUs lack 1 CPUs beside those that are taken" in str(fault) for fault in faults)


def test_one_stays_out_where_the_cut_core_is_wanted_twice(tmp_path: Any) -> None:
    """The counts let both in; the plan leaves the small one out and is not refused, and no bound is above it."""
    plan = placer.solve(fleet(tmp_path, 1), goals="placed")
    assert placer.check(fleet(tmp_path, 1), plan).ok
    goal = plan.goal("placed")
    assert goal.value == 1 and (goal.bound is None or goal.bound <= 1)
