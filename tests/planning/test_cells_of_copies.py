"""VMs that were copied with their pins: their cells keep the CPUs that they share, and do not change places there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import placer
from placer.model.fleet import Fleet
from placer.options import Engine

FLEET = """
schema: placer.inventory/v1
hosts:
  - name: h
    nodes: [{id: 0, cpus: "0-3", memory: 8GiB}, {id: 1, cpus: "6", memory: 8GiB}, {id: 2, cpus: "7-9", memory: 8GiB}]
    distances: [[10, 40, 12], [20, 10, 12], [12, 40, 10]]
vms:
  - name: v
    count: 2
    vcpus: 3
    memory: 3GiB
    cells: [{vcpus: 1, memory: 1GiB}, {vcpus: 1, memory: 1536MiB}, {vcpus: 1, memory: 512MiB}]
    locality: uniform
    host: h
    nodes: [0, 1, 2]
    pins: {"0": "2", "1": "6", "2": "8"}
"""
ALIKE = """
schema: placer.inventory/v1
hosts:
  - name: h
    nodes: [{id: 0, cpus: "0", memory: 1GiB}, {id: 1, cpus: "1", memory: 1GiB}, {id: 2, cpus: "3", memory: 256MiB}]
vms:
  - name: v
    count: 2
    vcpus: 2
    memory: 512MiB
    cells: 2
    share_node: true
    host: h
    nodes: [0, 1]
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Two copies share CPU 6, the only one of node 1, in cell 1."""
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return placer.read_fleet(path)


@pytest.mark.parametrize("engine", ["exact", "columns", "auto"])
def test_cells_beside_cpus_that_are_over_are_planned(fleet: Fleet, engine: Engine) -> None:
    """Cells 0 and 2 would reach over less on node 1, and find no CPU there; cell 1 keeps its own while they move."""
    plan = placer.solve(fleet, goals="placed,remote", max_moves=2, engine=engine)
    assert plan.status == "optimal"
    assert not placer.check(fleet, plan).faults
    holders = [cell for vm in plan.vms for cell in range(3) if vm.pins[cell] == frozenset((6,))]
    assert holders == [1, 1] or len(holders) < 2


def test_check_refuses_another_cell_where_cpus_are_over(fleet: Fleet) -> None:
    """Cells 1 and 2 of both change places: as many vCPUs are on node 1 as now, and none of them has a CPU there."""
    stays = placer.solve(fleet, goals="placed,remote", max_moves=0)
    vms = tuple(
        replace(
            vm,
            pins={0: frozenset((2 + n,)), 1: frozenset((7 + n,)), 2: frozenset((6,))},
            cells=tuple(
                replace(cell, nodes={node: cell.memory_kib}) for cell, node in zip(vm.cells, (0, 2, 1), strict=True)
            ),
        )
        for n, vm in enumerate(stays.vms)
    )
    faults = [str(fault) for fault in placer.check(fleet, replace(stays, vms=vms)).faults]
    assert any("have a cell there that is elsewhere now" in fault for fault in faults), faults


@pytest.mark.parametrize("engine", ["exact", "columns", "auto"])
def test_two_cells_of_one_copy_take_no_cpu_of_the_other(tmp_path: Path, engine: Engine) -> None:
    """Both copies share the only CPU of two nodes: one with both cells on each would reach over nothing, and each has a
    CPU there that it has not now.
    """
    path = tmp_path / "fleet.yaml"
    path.write_text(ALIKE)
    alike = placer.read_fleet(path)
    plan = placer.solve(alike, goals="remote", max_moves=3, engine=engine)
    assert plan.status == "optimal" and not placer.check(alike, plan).faults
    assert plan.goals[0].value == pytest.approx(0.8)
