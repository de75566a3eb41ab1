"""Several devices of a kind for a VM over several cells: wherever they are, or so many for every cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from placer import read_fleet, solve
from placer.check.check import check
from placer.read.inventory.write import inventory_text

HOST = """schema: placer.inventory/v1
hosts:
  - name: h
    nodes: [{id: 0, cpus: "0-7", memory: 32GiB}, {id: 1, cpus: "8-15", memory: 32GiB}]
    devices:
      - {address: "0000:01:00.0", node: 0, kind: gpu}
      - {address: "0000:02:00.0", node: 0, kind: gpu}
      - {address: "0000:81:00.0", node: 1, kind: gpu}
      - {address: "0000:82:00.0", node: 1, kind: gpu}
"""


@pytest.mark.parametrize(
    ("vm", "nodes"),
    [
        ("cells: 2, devices: [{kind: gpu, policy: required, count: 4}]", [0, 0, 1, 1]),
        ("cells: 2, devices: [{kind: gpu, policy: required, count: 1, per: cell}]", [0, 1]),
        ("cells: 2, devices: [{kind: gpu, policy: preferred, count: 2, per: cell}]", [0, 0, 1, 1]),
        ("cells: none, devices: [{kind: gpu, policy: preferred, count: 3}]", [0, 0, 1]),
    ],
)
def test_devices_are_taken_where_they_are(tmp_path: Path, vm: str, nodes: list[int]) -> None:
    """Each device has a node of its own; required ones are on nodes of the VM, those by cell on the cell's."""
    path = tmp_path / "f.yaml"
    path.write_text(HOST + f"vms: [{{name: a, vcpus: 4, memory: 8GiB, {vm}}}]\n")
    fleet = read_fleet(path)
    plan = solve(fleet)
    (placed,) = plan.vms
    turned = sorted(1 - node for node in nodes)  # the nodes of a flat guest are alike
    assert sorted(node for _, node in placed.devices if node is not None) in (nodes, turned)
    assert check(fleet, plan).ok
    path.write_text(inventory_text(fleet))
    assert read_fleet(path).vms[0].spec == fleet.vms[0].spec


def test_too_many_for_the_nodes_of_a_vm_are_refused(tmp_path: Path) -> None:
    """Three GPUs on one node of two have no place; and no plan may give a node more than it has."""
    path = tmp_path / "f.yaml"
    path.write_text(
        HOST
        + "vms: [{name: a, vcpus: 2, memory: 4GiB, cells: none, devices: [{kind: gpu, policy: required, count: 3}]},"
        + "{name: b, vcpus: 2, memory: 4GiB, cells: none, devices: [{kind: gpu, policy: required, count: 2}]}]\n"
    )
    fleet = read_fleet(path)
    plan = solve(fleet)
    assert [vm.name for vm in plan.unplaced] == ["a"]
    (b,) = plan.vms
    other = 1 - min(b.cells[0].nodes)
    wrong = replace(plan, vms=(replace(b, devices=(("gpu", other), ("gpu", other))),))
    assert any("on a node of its own" in str(fault) for fault in check(fleet, wrong).faults)


def test_the_checker_counts_devices_by_cell(tmp_path: Path) -> None:
    """Two devices on the node of one cell are not one for each."""
    path = tmp_path / "f.yaml"
    one = "devices: [{kind: gpu, policy: required, per: cell}]"
    path.write_text(HOST + f"vms: [{{name: a, vcpus: 4, memory: 8GiB, cells: 2, {one}}}]\n")
    fleet = read_fleet(path)
    plan = solve(fleet)
    wrong = replace(plan, vms=(replace(plan.vms[0], devices=(("gpu", 0), ("gpu", 0))),))
    assert any("for every cell" in str(fault) for fault in check(fleet, wrong).faults)
