"""Pools of huge pages that a host file cannot tell: VMs with huge pages are planned out of ordinary memory."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from placer import read_fleet, solve
from placer.check.check import check
from placer.read.inventory.write import inventory_text

NUMACTL = """available: 2 nodes (0-1)
node 0 cpus: 0 1 2 3
node 0 size: 8000 MB
node 0 free: 7000 MB
node 1 cpus: 4 5 6 7
node 1 size: 8000 MB
node 1 free: 7000 MB
node distances:
node   0   1
  0:  10  21
  1:  21  10
"""
TOLD = "nodes: [{id: 0, cpus: 0-3, memory: 8GiB, pages: {2MiB: 1024}}, {id: 1, cpus: 4-7, memory: 8GiB}]"
HOST = "schema: placer.inventory/v1\nhosts: [{name: h, %s}]\n"
VMS = "vms: [{name: a, count: %d, vcpus: 2, memory: %s, page_size: 2MiB, cells: none}]\n"


@pytest.mark.parametrize("engine", ["exact", "columns", "greedy"])
def test_unknown_pools_are_made_of_memory(tmp_path: Path, engine: Literal["exact", "columns", "greedy"]) -> None:
    """Two VMs of 4 GiB fit beside their overhead, one a node, whatever the engine; a third of 4 GiB does not."""
    (tmp_path / "n.txt").write_text(NUMACTL)
    path = tmp_path / "f.yaml"
    path.write_text(HOST % "topology: n.txt" + VMS % (3, "4GiB"))
    fleet = read_fleet(path)
    assert any("does not tell pools of huge pages" in text for text in fleet.warnings)
    plan = solve(fleet, engine=engine)
    assert len(plan.unplaced) == 1
    assert sorted(min(vm.cells[0].nodes) for vm in plan.vms) == [0, 1]
    assert check(fleet, plan).ok


def test_that_pools_are_unknown_is_written_and_read(tmp_path: Path) -> None:
    """A host that is written in full says so; one whose pools a person lists has those and no others."""
    path = tmp_path / "f.yaml"
    path.write_text(HOST % f"{TOLD}, huge_pages: unknown")
    fleet = read_fleet(path)
    assert not fleet.hosts[0].topology.pages_told
    path.write_text(inventory_text(fleet))
    assert not read_fleet(path).hosts[0].topology.pages_told


def test_reasons_name_the_pages(tmp_path: Path) -> None:
    """CPUs are free where no pages are: it is CPUs on a node with its pages that lack."""
    path = tmp_path / "f.yaml"
    path.write_text(HOST % TOLD + VMS % (3, "512MiB"))
    (left,) = solve(read_fleet(path)).unplaced
    assert "with its huge pages" in left.reason
