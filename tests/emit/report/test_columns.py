"""The map of a fleet in columns: figures that are those of the measure, hosts alike and not, names that stay text."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from placer.emit.report.columns import columns_text, fleet_columns
from placer.model.fleet import Fleet
from placer.model.host import Host, Topology
from placer.model.plan import Change, Plan, PlanVm
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Cell, CellMode, CpuPolicy, Current, Vm, VmSpec
from placer.whatif.headroom import headroom

SPEC = VmSpec(
    vcpus=2,
    memory_kib=4 << 20,
    cell_mode=CellMode.NONE,
    cells=(Cell(vcpus=frozenset({0, 1}), memory_kib=4 << 20),),
    overhead_kib=0,
)
NASTY = "</script><b onclick=x>&"


@pytest.fixture
def moved(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], topology: Callable[..., Topology]
) -> tuple[Fleet, Plan]:
    """Return three hosts: a VM goes from the first, where it is far from its memory, to the second."""
    shape = topology()
    hosts = (
        Host(name="a", topology=shape, labels={"rack": "r1"}),
        Host(name=NASTY, topology=shape, labels={"rack": "r2", "power": NASTY}),
        Host(name="c", topology=shape, failed=True),
    )
    now = Current(
        host="a", nodes=(0,), memory_nodes=(1,), pins={0: frozenset({0}), 1: frozenset({2})}, emulator=frozenset({0, 2})
    )
    vm = Vm(name="vm", spec=SPEC, current=now)
    there = place(SPEC, name="vm", host=NASTY, change=Change.MIGRATE, from_host="a")
    return Fleet(hosts=hosts, vms=(vm,)), planned(there)


def test_figures_before_and_after(moved: tuple[Fleet, Plan]) -> None:
    """CPUs and memory a node in per mille, locality and VMs a host, before beside after; both hosts change."""
    found = fleet_columns(*moved)
    before, after = found["before"], found["after"]
    assert before["cpu"] == [[250, 0], [0, 0], [0, 0]]  # 2 of 8 CPUs of node 0
    memory = moved[0].hosts[0].topology.nodes[0].memory_kib
    assert before["memory"][0] == [0, round(1000 * (4 << 20) / memory)]
    assert before["locality"] == [0.0, None, None] and after["locality"] == [None, 100.0, None]
    assert before["vms"] == [1, 0, 0] and after["vms"] == [0, 1, 0]
    assert found["changed"] == [1, 1, 0]
    assert [found["changes"][one] for one in found["change"]] == ["migrate", "migrate", "none"]
    assert found["failed"] == [0, 0, 1] and len(set(found["shape"])) == 2


def test_vcpus_of_which_only_the_node_is_known_take_cpus_of_it(moved: tuple[Fleet, Plan]) -> None:
    """Two dedicated vCPUs on node 1, pins unknown, are 2 of its 8 CPUs in use; shared ones count by the overcommit."""
    fleet, _ = moved
    vm = replace(fleet.vms[0], current=Current(host="a", nodes=(1,)))
    assert fleet_columns(replace(fleet, vms=(vm,)), None)["before"]["cpu"][0] == [0, 250]
    hosts = tuple(replace(host, cpu_ratio=2.0) for host in fleet.hosts)
    shared = replace(vm, spec=replace(SPEC, cpu_policy=CpuPolicy.SHARED))
    assert fleet_columns(replace(fleet, hosts=hosts, vms=(shared,)), None)["before"]["cpu"][0] == [0, 125]
    assert fleet_columns(replace(fleet, hosts=hosts, vms=(vm,)), None)["before"]["cpu"][0] == [0, 250]


def test_without_a_plan_there_is_no_after(moved: tuple[Fleet, Plan]) -> None:
    """A fleet alone has what is now; a plan of a fleet that runs nothing yet has no before."""
    fleet, plan = moved
    assert fleet_columns(fleet, None)["after"] is None
    new = replace(fleet, vms=tuple(replace(vm, current=None) for vm in fleet.vms))
    found = fleet_columns(new, plan)
    assert found["before"] is None and found["changed"] == [1, 1, 0]


def test_a_vm_whose_host_failed_is_counted_and_not_known(moved: tuple[Fleet, Plan]) -> None:
    """It counts as a VM of its host, and is told to be in none of the other figures."""
    fleet, _ = moved
    lost = Vm(name="more", spec=SPEC, current=Current(host="c", nodes=(0,)))
    found = fleet_columns(replace(fleet, vms=(*fleet.vms, lost)), None)["before"]
    assert found["vms"] == [1, 0, 1] and found["unknown"] == [0, 0, 1]
    assert found["cpu"][2] == [0, 0]


def test_labels_and_headroom_stand_by_host(moved: tuple[Fleet, Plan]) -> None:
    """A label is its values and a place a host, -1 where a host has none; headroom is that of the verb."""
    fleet, plan = moved
    room = headroom(fleet, ["2x4GiB"], plan=plan)
    found = fleet_columns(fleet, plan, room=room)
    assert found["labels"]["rack"] == {"values": ["r1", "r2"], "at": [0, 1, -1]}
    assert found["labels"]["power"]["at"] == [-1, 0, -1]
    assert found["headroom"] == {"flavors": ["2x4GiB"], "fits": [list(room[0].per_host.values())]}
    assert found["headroom"]["fits"][0][2] == 0


def test_rules_count_their_vms_by_host(moved: tuple[Fleet, Plan]) -> None:
    """The VMs that a rule names count where the plan has them, without a plan where they are; others do not."""
    fleet, plan = moved
    rule = Rule(kind=RuleKind.ANTI_AFFINITY, name=NASTY, members={"name": "vm"})
    ruled = replace(fleet, rules=(rule,))
    assert fleet_columns(ruled, plan)["rules"] == [{"name": rule.label, "counts": [0, 1, 0]}]
    assert fleet_columns(ruled, None)["rules"][0]["counts"] == [1, 0, 0]


def test_nothing_in_a_name_ends_a_script(moved: tuple[Fleet, Plan]) -> None:
    """The text holds no sign that begins a tag or an entity, and says the same when it is read."""
    found = fleet_columns(*moved)
    text = columns_text(found)
    assert not set("<>&") & set(text)
    assert json.loads(text) == found and found["names"][1] == NASTY
