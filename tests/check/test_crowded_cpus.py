"""Shared vCPUs on a node whose CPUs others hold: who runs there may, whatever else of it changes; nobody comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import placer

FLEET = """
schema: placer.inventory/v1
hosts:
  - name: h
    nodes: [{{id: 0, cpus: "0-1", memory: 4GiB}}, {{id: 1, cpus: "2-3", memory: 4GiB}}]
    distances: [[10, 21], [21, 10]]
vms:
  - {{name: full, vcpus: 2, memory: 1GiB, cells: 1, host: h, nodes: [1], pins: {{"0": "2", "1": "3"}}, movable: false}}
  - {{name: v, vcpus: 1, memory: 1GiB, cells: 1, cpu_policy: shared, host: h, bound: {bound}}}
"""


@pytest.mark.parametrize(("cpus", "memory", "refused"), [(1, 0, False), (0, 1, True)])
def test_memory_may_follow_to_cpus_that_are_crowded(tmp_path: Path, cpus: int, memory: int, refused: bool) -> None:
    """On node 1, whose CPUs are all taken, a vCPU may stay that runs there; one that ran on node 0 may not come."""
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET.format(bound=f"{{cpus: [{cpus}], memory: [{memory}]}}"))
    fleet = placer.read_fleet(path)
    plan = placer.solve(fleet, goals="placed,rules,remote,moves", max_moves=1)
    (v,) = [vm for vm in plan.vms if vm.name == "v"]
    there = replace(
        v,
        pins={0: frozenset((2, 3))},
        bound=(),
        cells=tuple(replace(cell, mode="strict", nodes={1: cell.memory_kib}) for cell in v.cells),
    )
    found = placer.check(fleet, replace(plan, vms=tuple(there if vm is v else vm for vm in plan.vms)))
    assert any("shared vCPU 0 floats over 2-3" in str(fault) for fault in found.faults) is refused


def test_emulator_threads_stay_unknown_where_cpus_are_too_few(tmp_path: Path) -> None:
    """One CPU is left to a VM that wants two, one for its emulator threads: which it has is not known, and stays so."""
    path = tmp_path / "fleet.yaml"
    path.write_text("""
schema: placer.inventory/v1
hosts:
  - {name: h, nodes: [{id: 0, cpus: "0-1", memory: 4GiB}], reserve: {cpus: "1"}}
vms:
  - {name: v, vcpus: 1, memory: 1GiB, cells: 1, emulator_threads: isolate, host: h, nodes: [0]}
""")
    fleet = placer.read_fleet(path)
    plan = placer.solve(fleet, goals="excess,moves", max_moves=1)
    assert [(vm.change.value, vm.emulator) for vm in plan.vms] == [("none", None)]
    assert not placer.check(fleet, plan).faults
