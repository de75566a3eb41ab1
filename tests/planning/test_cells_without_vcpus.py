"""Guest cells of memory alone (zNUMA, CXL, the memory of devices): planned, written, read back, counted like others."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer import read_fleet, solve
from placer.check.check import check
from placer.emit.domain.files import domain_files
from placer.emit.plan_file import plan_text
from placer.emit.qemu import qemu_files
from placer.emit.virsh import EXPORTER as VIRSH
from placer.model.plan import Change
from placer.read.documents.plan_file import parse_plan
from placer.read.domains.domain_xml import read_domain

HOST = """schema: placer.inventory/v1
hosts:
  - name: h
    nodes:
      - {id: 0, cpus: "0-7", memory: 32GiB}
      - {id: 1, cpus: "8-15", memory: 32GiB}
      - {id: 2, memory: 64GiB, kind: memory-only}
    distances: [[10, 21, 24], [21, 10, 30], [24, 30, 10]]
"""
XML = """<domain type='kvm'><name>z</name><memory unit='GiB'>24</memory><vcpu>4</vcpu><cpu><numa>
<cell id='0' cpus='0-3' memory='8' unit='GiB'/><cell id='1' memory='16' unit='GiB'/><cell id='2' memory='0'/>
</numa></cpu></domain>"""


def fleet_of(folder: Path, vms: str):  # type: ignore[no-untyped-def]
    """Return the fleet of an inventory with these VMs."""
    (folder / "z.xml").write_text(XML)
    path = folder / "f.yaml"
    path.write_text(HOST + vms)
    return read_fleet(path)


def test_a_cell_of_memory_alone_has_a_node_of_its_own(tmp_path: Path) -> None:
    """It goes to a memory-only node without being asked, not to the node of another cell; one of nothing lies with the
    vCPUs; plan, XML and QEMU line name all cells, and the plan is read back.
    """
    fleet = fleet_of(tmp_path, "vms: [{domain: z.xml}]\n")
    plan = solve(fleet)
    (vm,) = plan.vms
    near = next(iter(vm.cells[0].nodes))
    assert [len(cell.vcpus) for cell in vm.cells] == [4, 0, 0]
    assert [list(cell.nodes) for cell in vm.cells] == [[near], [1 - near], [near]]
    assert check(fleet, plan).ok
    assert parse_plan("".join(plan_text(plan)).encode(), "p.json").vms == plan.vms
    (xml,) = domain_files(plan, fleet).values()
    again = read_domain(xml, "z.xml")
    assert [policy.nodeset for _, policy in sorted(again.numatune.memnodes.items())] == [{near}, {1 - near}, {near}]
    (line,) = qemu_files(plan, fleet).values()
    assert line.rstrip().endswith(b"-numa node,nodeid=2")


def test_it_goes_where_there_is_room(tmp_path: Path) -> None:
    """Where the other nodes with CPUs are too small for it, the memory-only node takes it."""
    vms = "vms: [{name: a, cells: [{vcpus: 4, memory: 8GiB}, {vcpus: 0, memory: 40GiB}]}]\n"
    fleet = fleet_of(tmp_path, vms)
    plan = solve(fleet)
    assert [list(cell.nodes) for cell in plan.vms[0].cells] == [[0], [2]]  # 0 is nearer to 2 than 1 is
    assert check(fleet, plan).ok


def test_it_may_share_a_node_where_that_is_said(tmp_path: Path) -> None:
    """With share_node all cells may be on one node."""
    vms = "vms: [{name: a, share_node: true, cells: [{vcpus: 4, memory: 8GiB}, {vcpus: 0, memory: 4GiB}]}]\n"
    plan = solve(fleet_of(tmp_path, vms))
    nodes = [list(cell.nodes) for cell in plan.vms[0].cells]
    assert nodes[0] == nodes[1]


def test_a_guest_that_runs_so_stays_and_counts(tmp_path: Path) -> None:
    """Where it runs, its pins and memory nodes place it; nothing of it changes, and scripts leave it alone."""
    placed = solve(fleet_of(tmp_path, "vms: [{domain: z.xml}]\n"))
    (xml,) = domain_files(placed, read_fleet(tmp_path / "f.yaml")).values()
    fleet = fleet_of(tmp_path, "")
    (tmp_path / "y.xml").write_bytes(xml)
    (tmp_path / "f.yaml").write_text(HOST + "vms: [{domain: y.xml, host: h}]\n")
    fleet = read_fleet(tmp_path / "f.yaml")
    now = fleet.vms[0].current
    assert now is not None and now.nodes == now.memory_nodes
    assert now.nodes in ((0, 1, 0), (1, 0, 1))
    plan = solve(fleet)
    assert plan.vms[0].change is Change.NONE
    assert check(fleet, plan).ok
    (kept,) = domain_files(plan, fleet).values()
    assert kept == xml
    assert VIRSH.document is not None
    assert b"its VMs stay as they are" in VIRSH.document(plan, fleet)


@pytest.mark.parametrize("rule", ["{anti_affinity: {app: a}, scope: node}"])
def test_rules_over_nodes_look_at_vcpus(tmp_path: Path, rule: str) -> None:
    """A cell of memory alone beside another VM's vCPUs breaks no anti-affinity over nodes."""
    one = "cells: [{vcpus: 4, memory: 8GiB}, {vcpus: 0, memory: 20GiB}], labels: {app: a}"
    fleet = fleet_of(tmp_path, f"vms: [{{name: a, {one}}}, {{name: b, {one}}}]\nrules: [{rule}]\n")
    plan = solve(fleet)
    assert not plan.unplaced
    assert sorted(next(iter(vm.cells[0].nodes)) for vm in plan.vms) == [0, 1]
    assert check(fleet, plan).ok
