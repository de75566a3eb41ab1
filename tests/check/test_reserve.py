"""What a plan claims of failures is held against sums that no sweep has made."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from placer.check.check import check
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.planner import solve_fleet
from placer.read.inventory.inventory import parse_fleet


def made(hosts: int, vms: int, memory: str, rule: str) -> Fleet:
    """Return hosts of eight CPUs and 32 GiB, and VMs of four vCPUs."""
    text = f"""\
schema: placer.inventory/v1
hosts: [{{name: h, count: {hosts}, nodes: [{{id: 0, cpus: "0-7", memory: 32GiB}}]}}]
vms: [{{name: v, count: {vms}, vcpus: 4, memory: {memory}, cells: none, labels: {{a: b}}}}]
rules: [{{reserve: {{{rule}}}}}]
"""
    return parse_fleet(text.encode(), "fleet.yaml", Path())


def claimed(plan: Plan) -> Plan:
    """Return the plan saying that its reserves are kept."""
    said = [{**one, "proven": True} for one in plan.summary["reserve"]]
    return dataclasses.replace(plan, summary={**plan.summary, "reserve": said})


@pytest.mark.parametrize(
    ("hosts", "vms", "memory", "rule", "lacking"),
    [
        (3, 4, "1GiB", "fail: 1, scope: host", None),
        (3, 5, "1GiB", "fail: 1, scope: host", "4 CPUs too few"),
        (4, 5, "1GiB", "fail: 2, scope: host", "4 CPUs too few"),
        (3, 5, "15GiB", "fail: 1, scope: host", "KiB of memory too few"),
        (3, 5, "1GiB", "fail: 1, scope: host, members: {name: v-1}", None),
    ],
)
def test_a_reserve_said_to_be_kept_is_summed_up(
    hosts: int, vms: int, memory: str, rule: str, lacking: str | None
) -> None:
    """After the worst failures the others must have the CPUs and the memory in sum; a claim beyond that is a fault."""
    fleet = made(hosts, vms, memory, rule)
    plan = solve_fleet(fleet, goals=("placed", "rules"), rounds=2)
    assert check(fleet, plan).ok
    report = check(fleet, claimed(plan))
    if lacking is None:
        assert report.ok, report.faults
    else:
        assert any(lacking in fault.message for fault in report.faults), report.faults


def test_a_place_to_fail_over_to_that_is_not_free_is_a_fault() -> None:
    """Two hosts filled by four VMs have no slot for any of them, whatever the plan says."""
    text = """\
schema: placer.inventory/v1
hosts: [{name: h, count: 2, nodes: [{id: 0, cpus: "0-7", memory: 32GiB}]}]
vms: [{name: v, count: 4, vcpus: 4, memory: 1GiB, cells: none}]
rules: [{failover_for: {name: v-1}, scope: host}]
"""
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    plan = solve_fleet(fleet, goals=("placed", "rules"), rounds=2)
    assert check(fleet, plan).ok and not plan.summary["reserve"][0]["free"]
    there = next(vm.host for vm in plan.vms if vm.name != "v-1")
    said = {**plan.summary["reserve"][0], "free": 1, "hosts": {there: 1}, "proven": True}
    report = check(fleet, dataclasses.replace(plan, summary={**plan.summary, "reserve": [said]}))
    assert any("has no room for 1 of its slots" in fault.message for fault in report.faults), report.faults


def test_every_rule_is_reported_on() -> None:
    """A plan that leaves a reserve rule out of its summary is refused."""
    fleet = made(3, 2, "1GiB", "fail: 1, scope: host")
    plan = solve_fleet(fleet, goals=("placed", "rules"), rounds=2)
    short = dataclasses.replace(plan, summary={**plan.summary, "reserve": []})
    assert any("reports on 0 reserve rules" in fault.message for fault in check(fleet, short).faults)


@pytest.mark.parametrize(("own", "vcpus", "memory", "slot"), [(64, 4, 1, "4x1GiB"), (4, 1, 3, "1x1GiB")])
def test_a_node_that_is_over_its_room_takes_none_of_the_other(own: int, vcpus: int, memory: int, slot: str) -> None:
    """Three VMs crowd one node, the other is empty: its slot is free, two are not, and its room counts in failures."""
    text = f"""\
schema: placer.inventory/v1
hosts:
  - name: a
    nodes: [{{id: 0, cpus: "0-3", memory: {own}GiB}}, {{id: 1, cpus: "4-7", memory: {own}GiB}}]
  - {{name: b, nodes: [{{id: 0, cpus: "0-3", memory: 4GiB}}]}}
vms:
  - {{name: v, count: 3, vcpus: {vcpus}, memory: {memory}GiB, cells: none, host: a, nodes: [0]}}
  - {{name: w, vcpus: {vcpus}, memory: {memory}GiB, cells: none, host: b, nodes: [0]}}
rules: [{{hold: {{flavor: {slot}, count: 1}}}}, {{reserve: {{fail: 1, scope: host, members: {{name: w}}}}}}]
"""
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    plan = solve_fleet(fleet, goals=("placed", "rules"), rounds=2, max_moves=0)
    held, kept = plan.summary["reserve"]
    assert held["free"] == 1 and kept["proven"]
    assert check(fleet, plan).ok
    many = {**held, "slots": 1, "free": 5, "hosts": {"a": 5}, "proven": False}
    more = dataclasses.replace(plan, summary={**plan.summary, "reserve": [many, kept]})
    assert any("has no room for 5 of its slots" in fault.message for fault in check(fleet, more).faults)
