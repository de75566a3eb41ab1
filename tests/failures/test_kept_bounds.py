"""What any plan loses at least: figures that small fleets prove, and those that would say too much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from placer.check.check import check
from placer.cli.plans.requirements import parse_requirements, unmet
from placer.failures.kept import least_sum, lost_at_least
from placer.failures.reserve import without_reserve
from placer.model.fleet import Fleet
from placer.options import SweepOptions
from placer.planner import solve_fleet, solve_with
from placer.planning.decode.certificate import check_certificate
from placer.read.inventory.inventory import parse_fleet
from solvers.result import Interrupt

OPTIONS = SweepOptions(time_limit_s=20, rounds=2)


def made(caps: tuple[int, ...], vms: tuple[tuple[int, str], ...], *rules: str) -> Fleet:
    """Return hosts of so many CPUs, VMs of so many vCPUs where they are, and rules."""
    hosts = [
        f'  - {{name: h-{n}, nodes: [{{id: 0, cpus: "0-{cap - 1}", memory: 64GiB}}]}}'
        for n, cap in enumerate(caps, start=1)
    ]
    guests = [
        f"  - {{name: v{n}, vcpus: {size}, memory: 1GiB, cells: none, labels: {{app: a}}, host: {host}, nodes: [0]}}"
        for n, (size, host) in enumerate(vms)
    ]
    text = "\n".join(["schema: placer.inventory/v1", "hosts:", *hosts, "vms:", *guests, "rules:"])
    return parse_fleet("\n".join([text, *(f"  - {rule}" for rule in rules)]).encode(), "fleet.yaml", Path())


def said(fleet: Fleet, **options: Any) -> tuple[int, int]:
    """Return value and bound of the first rule that keeps something free."""
    row = solve_fleet(fleet, goals=("placed", "rules"), rounds=2, **options).summary["reserve"][0]
    return row["value"], row["bound"]


RESERVE = "reserve: {fail: 1, scope: host}"


def test_the_host_that_fails_is_the_drained_one() -> None:
    """A rule that names the host taken for the worst failure is no fault, and the bound is of the two hosts left."""
    fleet = made((4, 8, 4), ((4, "h-1"), (4, "h-3")), RESERVE, "drain: {name: h-2}")
    assert said(fleet) == (4, 4)
    there = without_reserve(made((4, 8, 4), ((4, "h-1"), (4, "h-2")), RESERVE, "drain: {name: h-2}"))
    # The VM of the drained host may stay on it in a plan: only the other is known to need a place.
    assert lost_at_least(there, fleet.rules[0], OPTIONS, solve_with)[1] == 0


@pytest.mark.parametrize("max_moves", [0, 1, 2])
def test_vms_of_a_crowded_host_may_stay(max_moves: int) -> None:
    """Four VMs of two vCPUs on four CPUs may stay there: a plan that moves one loses two, no bound is above."""
    fleet = made((4, 7), ((2, "h-1"),) * 4, RESERVE)
    value, bound = said(fleet, max_moves=max_moves)
    assert bound <= 2 and bound <= value
    assert lost_at_least(without_reserve(fleet), fleet.rules[0], OPTIONS, solve_with)[1] == 0
    roomy = without_reserve(made((7, 4), ((2, "h-1"),) * 3, RESERVE))
    assert lost_at_least(roomy, fleet.rules[0], OPTIONS, solve_with)[1] == 2


def test_slots_of_several_sizes_are_not_counted_by_their_vcpus() -> None:
    """Of slots of 4, 2 and 1 vCPUs four CPUs hold two: that one is short is all that any choice must lack."""
    vms = ((4, "h-1"), (2, "h-1"), (1, "h-1"))
    value, bound = said(made((7, 4), vms, "{failover_for: {app: a}, scope: host}"), max_moves=0)
    assert value >= bound == 1
    alike = ((2, "h-1"), (2, "h-1"), (2, "h-1"))
    assert said(made((7, 3), alike, "{failover_for: {app: a}, scope: host}"), max_moves=0) == (2, 2)


def test_members_of_a_spread_that_the_hosts_left_do_not_hold_are_lost_in_any_plan() -> None:
    """Three VMs that share no host on three hosts: whichever fails, one is out, and ``rules`` has it, proven."""
    rule = "{anti_affinity: {app: a}, scope: host, name: spread}"
    fleet = made((8, 8, 8), ((2, "h-1"), (4, "h-2"), (2, "h-3")), rule, RESERVE)
    plan = solve_fleet(fleet, goals="placed,rules,moves", rounds=2)
    (row,) = plan.summary["reserve"]
    assert (row["value"], row["bound"], row["proven"]) == (4, 4, False)
    assert lost_at_least(without_reserve(fleet), fleet.rules[1], OPTIONS, solve_with)[1] == 2
    rules = plan.goal("rules")
    assert (rules.value, rules.bound, rules.status, plan.status) == (1, 1, "optimal", "optimal")
    assert check(fleet, plan).measured["goals"]["rules"] == 1 and check_certificate(fleet, plan)[0] == []
    assert "4 vCPUs" in str(unmet(parse_requirements("rules"), plan))
    # What the plan tells is what counts: without it nothing is known, and a false figure is refused.
    untold = replace(plan, summary={key: said for key, said in plan.summary.items() if key != "reserve"})
    assert check(fleet, untold).measured["goals"]["rules"] is None
    goals = tuple(replace(goal, value=0, bound=0) if goal.name == "rules" else goal for goal in plan.goals)
    assert any("1 is measured" in fault.message for fault in check(fleet, replace(plan, goals=goals)).faults)
    # A spread that is broken now may stay so: it proves nothing of what is lost.
    broken = made((8, 8, 8), ((2, "h-1"), (4, "h-1"), (2, "h-3")), rule, RESERVE)
    assert lost_at_least(without_reserve(broken), broken.rules[1], OPTIONS, solve_with)[1] == 0
    roomy = made((8, 8, 8, 8), ((2, "h-1"), (4, "h-2"), (2, "h-3")), rule, RESERVE)
    assert solve_fleet(roomy, goals="placed,rules", rounds=2).goal("rules").value == 0


def test_room_is_kept_where_what_fails_may_go() -> None:
    """The VM of the host that fails may only go to a host that is full: one move to the third makes room."""
    text = """\
schema: placer.inventory/v1
hosts:
  - {name: h, count: 3, nodes: [{id: 0, cpus: "0-7", memory: 64GiB}]}
vms:
  - {name: tied, vcpus: 4, memory: 1GiB, cells: none, host: h-1, nodes: [0]}
  - {name: free, count: 2, vcpus: 3, memory: 1GiB, cells: none, host: h-2, nodes: [0]}
rules:
  - {within: {name: tied}, hosts: [h-1, h-2], name: its disk}
"""
    survives = parse_fleet(f"{text}  - {{reserve: {{fail: 1, scope: host}}}}\n".encode(), "fleet.yaml", Path())
    plan = solve_fleet(survives, goals="placed,rules,moves", max_moves=1, rounds=2)
    assert (plan.goal("rules").value, plan.goal("rules").status) == (0, "optimal")
    assert [vm.host for vm in plan.vms if vm.name.startswith("free")].count("h-3") == 1
    # A slot for it elsewhere is no slot.
    slot = f"{text}  - {{failover_for: {{name: tied}}, scope: host}}\n"
    held = parse_fleet(slot.encode(), "fleet.yaml", Path())
    (row,) = solve_fleet(held, goals="placed,rules", max_moves=0, rounds=2).summary["reserve"]
    assert (row["free"], row["value"], row["bound"]) == (0, 1, 1)
    (row,) = solve_fleet(held, goals="placed,rules", max_moves=1, rounds=2).summary["reserve"]
    assert (row["free"], row["hosts"]) == (1, {"h-2": 1})


def test_a_solve_that_was_stopped_does_not_know_its_rules() -> None:
    """Where nobody looked at failures, how far rules are broken is unknown, and nothing behind them is proven."""
    fleet = made((8, 8), ((2, "h-1"),), RESERVE)
    stop = Interrupt()
    stop.request()
    plan = solve_fleet(fleet, goals="placed,rules,moves", interrupt=stop)
    said = [(goal.value, goal.status, goal.held_at) for goal in plan.goals]
    assert said[1][:2] == (None, "unknown") and said[2][2] == "rules" and check(fleet, plan).ok


def test_whole_vms_are_lost() -> None:
    """A bound is rounded up to what some of the VMs come to together, and stays where nothing does."""
    assert [least_sum((2, 4, 7), least) for least in (0, 1, 2, 3, 5, 8, 12, 14)] == [0, 2, 2, 4, 6, 9, 13, 14]
    assert least_sum((), 3) == 3


def test_vms_of_a_failed_host_may_come_to_the_one_that_fails() -> None:
    """u is on a host that is down and needs no place after the next failure: a plan may put it on either host."""
    text = """\
schema: placer.inventory/v1
hosts:
  - {name: a, state: failed, nodes: [{id: 0, cpus: "0-15", memory: 64GiB}]}
  - {name: b, nodes: [{id: 0, cpus: "0-15", memory: 64GiB}]}
  - {name: c, nodes: [{id: 0, cpus: "0-7", memory: 64GiB}]}
vms:
  - {name: u, vcpus: 4, memory: 1GiB, cells: none, host: a}
  - {name: m, vcpus: 4, memory: 1GiB, cells: none, host: b, nodes: [0], labels: {app: m}}
  - {name: x, vcpus: 1, memory: 1GiB, cells: none, host: b, nodes: [0], labels: {app: m}}
  - {name: w, vcpus: 4, memory: 1GiB, cells: none, host: c, nodes: [0]}
rules: [{reserve: {fail: 1, scope: host, members: {app: m}}}]
"""
    value, bound = said(parse_fleet(text.encode(), "fleet.yaml", Path()))
    assert bound <= 1 <= value


def test_a_vm_bound_to_sets_of_nodes_floats_where_it_comes() -> None:
    """Its memory lies over two nodes of the host that is left, on none of which all of it fits: the bound took it for
    lost, beside the VM that is.
    """
    text = f"""
schema: placer.inventory/v1
hosts:
  - {{name: small, nodes: [{{id: 0, cpus: 0-1, memory: 2GiB}}, {{id: 1, cpus: 2-3, memory: 2GiB}}]}}
  - {{name: large, nodes: [{{id: 0, cpus: 0-7, memory: 8GiB}}, {{id: 1, cpus: 8-15, memory: 8GiB}}]}}
vms:
  - {{name: wide, vcpus: 8, memory: 1GiB, cells: none, host: large, nodes: [0]}}
  - {{name: loose, vcpus: 2, memory: 3GiB, cells: none, cpu_policy: shared, overhead: 0MiB, host: large,
     bound: {{cpus: [0, 1], memory: [0, 1]}}}}
rules:
  - {RESERVE}
"""
    assert said(parse_fleet(text.encode(), "fleet.yaml", Path())) == (8, 8)
