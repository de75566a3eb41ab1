"""VMs that are confined to some nodes of their host and come to another: sets like theirs, where these have room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from placer.check.check import check
from placer.emit.domain.domain_xml import patch_domain
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.vm import Bound
from placer.moves.changes import plan_changes
from placer.planner import solve_fleet
from placer.read.inventory.inventory import read_fleet

NODES = '[{id: 0, cpus: "0-7", memory: 16GiB}, {id: 1, cpus: "8-15", memory: 16GiB}]'
HOSTS = f"""schema: placer.inventory/v1
hosts: [{{name: old, nodes: {NODES}}}, {{name: new, nodes: {NODES}}}]
rules: [{{drain: {{name: old}}}}]
vms:
"""
CPUS = "vcpus: 4, host: old, bound: {cpus: [1], memory: host}"
MEMORY = "vcpus: 4, host: old, memory_nodes: [1]"


def fleet(tmp_path: Path, *vms: str) -> Fleet:
    """Return VMs of 4 GiB each on a host that is to be emptied beside another one."""
    path = tmp_path / "fleet.yaml"
    rows = (f"  - {{name: vm{n}, memory: 4GiB, overhead: 0MiB, {vm}}}\n" for n, vm in enumerate(vms))
    path.write_text(HOSTS + "".join(rows), encoding="utf-8")
    return read_fleet(path)


def solved(wanted: Fleet, goals: str = "placed,rules,moves") -> Plan:
    """Return a plan that the checker accepts."""
    plan = solve_fleet(wanted, goals=goals, engine="exact", time_limit_s=20)
    assert check(wanted, plan).ok
    return plan


def pins(cpus: Sequence[int]) -> frozenset[int]:
    """Return CPUs as a pin."""
    return frozenset(cpus)


def test_a_cpuset_of_one_node_is_one_of_one_node_elsewhere(tmp_path: Path) -> None:
    """On equal hosts with equal room it is the same node, and nothing is said to be lost."""
    wanted = fleet(tmp_path, CPUS)
    plan = solved(wanted)
    (vm,) = plan.vms
    assert (vm.host, vm.bound) == ("new", (Bound(cpus=frozenset((1,))),))
    assert set(vm.pins.values()) == {pins(range(8, 16))}
    assert not plan_changes(wanted, plan).lost_cpusets


def test_memory_bound_to_a_node_is_bound_to_one_elsewhere(tmp_path: Path) -> None:
    """Its vCPUs float on; the XML binds its memory."""
    wanted = fleet(tmp_path, MEMORY)
    plan = solved(wanted)
    (vm,) = plan.vms
    assert vm.bound == (Bound(memory=frozenset((1,))),)
    xml = b"<domain><name>vm0</name><memory>4194304</memory><vcpu>4</vcpu><numatune><memory mode='strict' nodeset='1'/>"
    xml += b"</numatune></domain>"
    host, old = wanted.host_by_name["new"], wanted.host_by_name["old"]
    written = patch_domain(xml, vm, wanted.vms[0].spec, host, known=wanted.vms[0], origin=old.topology)
    assert b"<memory mode='strict' nodeset='1'/>" in written
    assert b"cpuset" not in written


def test_each_comes_to_the_node_with_most_room(tmp_path: Path) -> None:
    """Of two alike that were on one node each has one of its own, where both fit one no better."""
    plan = solved(fleet(tmp_path, CPUS, CPUS))
    assert {vm.bound[0].cpus for vm in plan.vms} == {frozenset((0,)), frozenset((1,))}


def test_where_no_node_has_room_it_floats_and_that_is_said(tmp_path: Path) -> None:
    """Each node of the other host has three CPUs left for a VM of four vCPUs."""
    there = (f"vcpus: 5, host: new, nodes: [{node}], movable: false" for node in (0, 1))
    wanted = fleet(tmp_path, CPUS + ', pins: {0: "8-15", 1: "8-15", 2: "8-15", 3: "8-15"}', *there)
    plan = solved(wanted)
    assert plan.vm_by_name["vm0"].bound == (Bound(),)
    assert plan_changes(wanted, plan).lost_cpusets == {"vm0": pins(range(8, 16))}


@pytest.mark.parametrize("goals", ["placed,rules,balance,moves", "placed,rules,remote,l3,moves"])
def test_where_a_goal_counts_nodes_it_floats(tmp_path: Path, goals: str) -> None:
    """Balance counts what floats on each node in proportion: sets are left as the engine had them."""
    assert solved(fleet(tmp_path, CPUS), goals).vms[0].bound == (Bound(),)


@pytest.mark.parametrize(
    ("bound", "cpus", "message"),
    [
        (Bound(cpus=frozenset((0, 1))), range(16), "bound to 2 nodes of a host that it comes to"),
        (Bound(cpus=frozenset((0,))), range(16), "may run beside the nodes that they are bound to"),
        (Bound(cpus=frozenset((1,)), memory=frozenset((1,))), range(8, 16), "memory are bound to 1 nodes"),
        (Bound(cpus=frozenset((7,))), range(8, 16), "bound to node 7, which the host has not"),
    ],
)
def test_other_sets_than_its_own_are_refused(tmp_path: Path, bound: Bound, cpus: Sequence[int], message: str) -> None:
    """A plan may not confine a VM more than it is, less evenly, or by pins that say another thing."""
    wanted = fleet(tmp_path, CPUS)
    plan = solved(wanted)
    changed = replace(plan.vms[0], bound=(bound,), pins=dict.fromkeys(range(4), pins(cpus)))
    faults = check(wanted, replace(plan, vms=(changed,))).faults
    assert any(message in str(fault) for fault in faults), faults


def test_memory_goes_with_cpus_of_its_own(tmp_path: Path) -> None:
    """A VM with a CPU of its own on node 1 and memory on nodes 0 and 1 of three has it where its CPU comes, and on one
    node more; node 0 has no CPU left for it on the other host.
    """
    nodes = (
        '[{id: 0, cpus: "0-3", memory: 8GiB}, {id: 1, cpus: "4-7", memory: 8GiB}, {id: 2, cpus: "8-11", memory: 8GiB}]'
    )
    path = tmp_path / "fleet.yaml"
    path.write_text(
        f"""schema: placer.inventory/v1
hosts: [{{name: old, nodes: {nodes}}}, {{name: new, nodes: {nodes}}}]
rules: [{{drain: {{name: old}}}}]
vms:
  - {{name: a, vcpus: 2, memory: 2GiB, overhead: 0MiB, host: old, bound: {{cpus: [1], memory: [0, 1]}},
     pins: {{0: "4", 1: "5"}}}}
  - {{name: b, vcpus: 4, memory: 1GiB, overhead: 0MiB, host: new, nodes: [0], movable: false}}
  - {{name: c, vcpus: 3, memory: 1GiB, overhead: 0MiB, host: new, nodes: [1], movable: false}}
""",
        encoding="utf-8",
    )
    wanted = read_fleet(path)
    vm = solved(wanted).vm_by_name["a"]
    assert vm.pins == {0: frozenset((8,)), 1: frozenset((9,))}
    assert vm.bound in [(Bound(memory=frozenset((node, 2))),) for node in (0, 1)]
