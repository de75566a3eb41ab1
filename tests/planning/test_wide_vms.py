"""VMs with more vCPUs than a host has usable CPUs: no platform starts them there, whatever the overcommit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from placer.check.check import check
from placer.model.fleet import Fleet
from placer.planner import solve_fleet
from placer.read.inventory.inventory import parse_fleet

TEXT = """
schema: placer.inventory/v1
hosts:
  - name: small
    count: 3
    nodes: [{id: 0, cpus: "0-3", memory: 64GiB}]
    overcommit: 8
  - {name: large, nodes: [{id: 0, cpus: "0-7", memory: 16GiB}], overcommit: 8, cost: 9}
vms:
  - {name: wide, vcpus: 8, memory: 4GiB, cells: none, cpu_policy: shared}
"""


def fleet_of(text: str) -> Fleet:
    """Return the fleet of an inventory."""
    return parse_fleet(text.encode(), "fleet.yaml", Path())


@pytest.mark.parametrize("engine", ["auto", "states", "greedy"])
def test_a_wide_vm_goes_to_the_host_that_is_as_wide(engine: str) -> None:
    """Eight shared vCPUs find room on four CPUs by the ratio, and go to the dear host with eight."""
    plan = solve_fleet(fleet_of(TEXT), goals="placed,hosts", engine=engine)  # type: ignore[arg-type]
    assert [vm.host for vm in plan.vms] == ["large"] and plan.goals[1].value == 9


def test_without_such_a_host_it_stays_out_with_its_reason() -> None:
    """The plan, the fleet's own check and the summary of reasons say how wide the hosts are."""
    fleet = fleet_of(TEXT.replace("0-7", "0-5"))
    plan = solve_fleet(fleet, goals="placed")
    assert plan.goals[0].status == "optimal"
    assert "has 8 vCPUs, no host that it may be on has more than 6 usable CPUs" in plan.unplaced[0].reason


def test_a_host_may_lift_it_and_the_checker_knows() -> None:
    """With wide_vms the cheap host takes it; the same plan is refused where the host does not say so."""
    fleet = fleet_of(TEXT.replace("overcommit: 8\n", "overcommit: 8\n    wide_vms: true\n"))
    plan = solve_fleet(fleet, goals="placed,hosts")
    assert plan.vms[0].host.startswith("small") and check(fleet, plan).ok
    narrow = replace(fleet, hosts=tuple(replace(host, wide_vms=False) for host in fleet.hosts))
    assert any("4 usable CPUs" in fault.message for fault in check(narrow, plan).faults)


def test_one_that_runs_so_stays() -> None:
    """A VM that is wider than its host today is a fact: it stays, and no plan is refused for it."""
    fleet = fleet_of(TEXT.replace("cpu_policy: shared}", "cpu_policy: shared, host: small-1}"))
    plan = solve_fleet(fleet, goals="placed,rules,moves", max_moves=1)
    assert plan.vms[0].host == "small-1" and check(fleet, plan).ok


def test_parts_of_a_flat_guest_are_as_wide_as_it_together() -> None:
    """A VM that floats over three CPUs has no place for four vCPUs there, whether its memory is in two parts or one."""
    host = 'hosts: [{name: h, nodes: [{id: 0, cpus: "0-1", memory: 4GiB}, {id: 1, cpus: "2-3", memory: 4GiB}],'
    rest = 'shared_cpus: "1-3", overcommit: 2}]\nvms: [{name: v, vcpus: 4, memory: 1GiB, cells: none, pin: never'
    for parts in ("", ", interleave: 2"):
        plan = solve_fleet(fleet_of(f"schema: placer.inventory/v1\n{host} {rest}{parts}}}]\n"), goals="placed")
        assert not plan.vms and plan.status == "optimal"
