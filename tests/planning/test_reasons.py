"""Why VMs have no place: what most hosts lack, as the plan leaves them, and at what effort it is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from placer.model.host import Device
from placer.model.rules import Rule, RuleKind
from placer.model.vm import CoreKind, DeviceRequest
from placer.planner import solve_fleet
from placer.planning.decode import reasons
from solvers.result import Interrupt

APP = {"app": "web"}


def test_each_flavor_has_what_most_hosts_lack_for_it(build: Any) -> None:
    """Wide VMs lack CPUs of a node, and of a group no host has room for a second one."""
    hosts = [build.host(f"h{n}", build.topology(2, 6)) for n in range(2)]
    wide = [build.vm(f"wide{n}", build.spec(5, 1, cells=1)) for n in range(5)]
    apart = [build.vm(f"apart{n}", build.spec(1, 1, labels=APP)) for n in range(3)]
    fleet = build.fleet(hosts, [*wide, *apart], [Rule(kind=RuleKind.ANTI_AFFINITY, members=APP, scope="host")])
    found = {left.name.rstrip("0123456789"): left.reason for left in solve_fleet(fleet, goals="placed").unplaced}
    assert found["wide"] == "no host has room for its 5 vCPUs: 2 of 2 lack free CPUs on a node"
    rule = "2 of 2 lack room under the rule anti_affinity app=web"
    assert found["apart"] == f"no host has room for its 1 vCPU: {rule}"


def test_a_row_is_put_in_words_once_a_shape(build: Any, monkeypatch: Any) -> None:
    """However many hosts are filled differently: with a hundred rules that took most of a short solve."""
    asked = []
    real = reasons.row_words
    monkeypatch.setattr(reasons, "row_words", lambda compiled, row: asked.append(row) or real(compiled, row))
    hosts = [build.host(f"h{n}", build.topology(1, 8)) for n in range(6)]
    filled = [
        build.vm(f"f{n}{k}", build.spec(1, 1), current=build.now(f"h{n}", (0,))) for n in range(6) for k in range(n)
    ]
    fleet = build.fleet(hosts, [*filled, *(build.vm(f"w{n}", build.spec(8, 1)) for n in range(3))])
    plan = solve_fleet(fleet, goals="placed", engine="greedy")
    assert len(plan.unplaced) == 2 and asked
    assert len(asked) == len(set(map(id, asked)))


def test_whoever_interrupts_waits_for_no_more_to_be_told(build: Any) -> None:
    """The best plan so far comes without the worst failure of a host, which is sought once the plan is there."""
    fleet = build.fleet([build.host("a"), build.host("b")], [build.vm("v", build.spec(1, 1))])
    assert "worst_host_failure" in solve_fleet(fleet).summary
    assert "worst_host_failure" not in solve_fleet(fleet, interrupt=Interrupt(requested=True)).summary


def test_rules_that_keep_a_vm_off_hosts_with_room_are_named(build: Any) -> None:
    """Of VMs that must use three racks of two only so many find a place: the rule is named, and no limit on moves."""
    hosts = [build.host(f"h{n}", labels={"rack": f"r{n}"}) for n in range(2)]
    vms = [build.vm(f"v{n}", build.spec(1, 1, labels=APP)) for n in range(3)]
    rule = Rule(kind=RuleKind.SPREAD, members=APP, scope="rack", domains_used=3, name="three racks")
    (left,) = solve_fleet(build.fleet(hosts, vms, [rule]), goals="placed").unplaced
    assert left.reason == "2 hosts have room for its 1 vCPU, but the rule 'three racks' keeps it out"


def test_what_hosts_lack_is_told_of_all_of_them(build: Any) -> None:
    """Two hosts lack CPUs, and one is closed to a second VM of its group: both are said."""
    hosts = [build.host(f"h{n}", build.topology(1, 4)) for n in range(3)]
    wide = [build.vm(f"wide{n}", build.spec(4, 1), current=build.now(f"h{n}", (0,))) for n in range(2)]
    vms = [*wide, *(build.vm(f"v{n}", build.spec(1, 1, labels=APP)) for n in range(2))]
    fleet = build.fleet(hosts, vms, [Rule(kind=RuleKind.ANTI_AFFINITY, members=APP, scope="host")])
    (left,) = solve_fleet(fleet, goals="placed").unplaced
    assert left.reason == (
        "no host has room for its 1 vCPU: 2 of 3 lack free CPUs on a node, 1 room under the rule anti_affinity app=web"
    )


def test_nodes_without_the_devices_are_not_said_to_lack_cpus(build: Any) -> None:
    """A VM that must have a device looks at its node alone: that lacks CPUs, however many are free elsewhere."""
    topology = build.topology(2, 4)
    near = replace(topology, devices=(Device(address="0000:41:00.0", node=0, kind="nic", count=4),))
    spec = build.spec(3, 1, cells=1, devices=(DeviceRequest(kind="nic", policy="required", count=1),))
    fleet = build.fleet([build.host("h", near)], [build.vm(f"v{n}", spec) for n in range(2)])
    (left,) = solve_fleet(fleet, goals="placed", time_limit_s=20).unplaced
    said = "no host has room for its 3 vCPUs: 1 of 1 lack free CPUs on a node with its devices"
    assert left.reason == said


def test_what_a_node_lacks_alike_is_named_together(build: Any) -> None:
    """A VM that takes a node's CPUs and pages at a time leaves both short: of CPUs alone there would be no end."""
    topology = build.topology(1, 6, pages={2048: 1200})
    spec = build.spec(4, 2, cells=1, page_kib=2048)
    fleet = build.fleet([build.host("h", topology)], [build.vm(f"v{n}", spec) for n in range(2)])
    (left,) = solve_fleet(fleet, goals="placed", time_limit_s=20).unplaced
    said = "no host has room for its 4 vCPUs: 1 of 1 lack free CPUs and huge pages of 2048 KiB on a node"
    assert left.reason == said


def test_cpus_of_a_kind_of_core_are_named_alone(build: Any) -> None:
    """A VM for performance cores that fills a node lacks CPUs, and those are CPUs of performance cores."""
    hybrid = build.topology(1, 4, threads=1, efficiency=frozenset({2, 3}))
    spec = build.spec(2, 1, cells=1, core_kind=CoreKind.PERFORMANCE)
    slow = build.spec(2, 1, cells=1, core_kind=CoreKind.EFFICIENCY)
    fleet = build.fleet([build.host("h", hybrid)], [build.vm(f"v{n}", spec) for n in range(2)] + [build.vm("s", slow)])
    (left,) = solve_fleet(fleet, goals="placed", time_limit_s=20).unplaced
    assert left.reason == "no host has room for its 2 vCPUs: 1 of 1 lack free CPUs of performance cores on a node"
