"""Reserve rules: a plan that survives the failures they name, or one that says it is not proven to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from placer.check.check import check
from placer.errors import InputError
from placer.failures.reserve import ReservedPlan, plan_with_reserve, without_reserve
from placer.measure.before import values_before
from placer.model.fleet import Fleet
from placer.model.plan import Change
from placer.model.rules import Rule, RuleKind
from placer.options import SweepOptions
from placer.planner import solve_fleet, solve_with
from placer.read.inventory.inventory import read_fleet

OPTIONS = SweepOptions(time_limit_s=15, goals=("placed", "rules", "remote", "hosts"))


def rule(scope: str = "host") -> Rule:
    """Return a reserve for one failure."""
    return Rule(kind=RuleKind.RESERVE, scope=scope, fail=1)


def planned(fleet: Fleet, **how: Any) -> ReservedPlan:
    """Return the plan of a fleet that keeps its reserve, the plan without it solved first."""
    return plan_with_reserve(fleet, solve_with(without_reserve(fleet), OPTIONS), OPTIONS, solve_with, **how)


def test_a_plan_that_is_clean_already(build: Any) -> None:
    """Two VMs on three hosts survive any failure: one round, proven, and the optimum stays the optimum."""
    vms = [build.vm(f"v{n}", build.spec(4, 1, cells=1)) for n in range(2)]
    found = planned(build.fleet([build.host(f"h{n}") for n in range(3)], vms, [rule()]))
    assert (found.clean, found.rounds, found.plan.status) == (True, 1, "optimal")


def test_room_is_kept_where_the_first_plan_keeps_none(build: Any) -> None:
    """The wide VM fits the large host alone, which small ones fill in a plan for few hosts: the reserve parts them."""
    large = [build.host(f"big{n}", build.topology(1, 8), cost=1.0) for n in range(2)]
    small = [build.host(f"s{n}", build.topology(1, 4), cost=3.0) for n in range(3)]
    narrow = [build.vm(f"v{n}", build.spec(4, 1, cells=1)) for n in range(2)]
    vms = [build.vm("wide", build.spec(8, 1, cells=1)), *narrow]
    fleet = build.fleet([*large, *small], vms, [rule()])
    found = planned(fleet)
    assert found.clean and found.rounds > 1
    assert {vm.name for vm in found.plan.vms} == {"wide", "v0", "v1"}
    assert not any(sweep.harmful for sweep in found.sweeps)
    assert check(fleet, found.plan).ok


def test_what_was_lacking_before_is_known_where_vms_run(build: Any) -> None:
    """A VM as wide as its host is lost with it until two small ones share a host: 1 before, 0 after one move."""
    hosts = [build.host(f"h{n}", build.topology(1, 8)) for n in range(3)]
    sizes = (8, 4, 4)
    vms = [
        build.vm(f"v{n}", build.spec(vcpus, 1, cells=1), current=build.now(f"h{n}")) for n, vcpus in enumerate(sizes)
    ]
    fleet = build.fleet(hosts, vms, [rule()])
    for moves, after in ((1, 0), (0, 1)):
        options = SweepOptions(time_limit_s=15, goals=("placed", "rules", "moves"), max_moves=moves)
        plan = plan_with_reserve(fleet, solve_with(without_reserve(fleet), options), options, solve_with).plan
        assert plan.goal("rules").value == after
        assert values_before(fleet, ["rules"], plan.summary["reserve_before"]) == {"rules": 1}
        assert values_before(fleet, ["rules"]) == {"rules": None}
        assert check(fleet, plan).ok


def test_what_cannot_be_survived_is_not_called_proven(build: Any) -> None:
    """A full fleet survives no failure: its VMs are all placed, and what is lost in any plan counts to the rules."""
    vms = [build.vm(f"v{n}", build.spec(4, 1, cells=1)) for n in range(4)]
    found = planned(build.fleet([build.host(f"h{n}") for n in range(2)], vms, [rule()]), rounds=2)
    assert not found.clean and len(found.plan.vms) == 4
    (row,) = found.plan.summary["reserve"]
    assert not row["proven"] and row["value"] == row["bound"] == 8
    rules = next(goal for goal in found.plan.goals if goal.name == "rules")
    assert (rules.value, rules.bound, rules.status) == (2, 2, "optimal")


def test_a_fleet_without_the_rule_is_refused(build: Any) -> None:
    """Without a reserve rule there is nothing to keep."""
    with pytest.raises(InputError, match="no reserve rule"):
        planned(build.fleet([build.host()], [build.vm()]))


def test_a_reserve_of_hosts_that_are_too_few_is_not_kept(build: Any) -> None:
    """Where all hosts that work fail at once all VMs are lost, and the plan says so: a host that is alone, or has been
    left alone by one that failed, refuses no fleet.
    """
    wide, failed = build.vm("v", build.spec(4, 1, cells=1)), build.host("b", failed=True)
    (row,) = solve_with(build.fleet([build.host("a"), failed], [wide], [rule()]), OPTIONS).summary["reserve"]
    assert (row["fail"], row["value"], row["bound"], row["proven"]) == (1, 4, 4, False)
    (row,) = solve_with(build.fleet([failed], [wide], [rule()]), OPTIONS).summary["reserve"]
    assert (row["value"], row["failures"], row["proven"]) == (0, 0, True)


FLOATING = """
schema: placer.inventory/v1
rules: [{reserve: {fail: 1, scope: host}}]
hosts:
  - {name: big0, cost: 1, nodes: [{id: 0, cpus: "0-7", memory: 16GiB}, {id: 1, cpus: "8-15", memory: 16GiB}]}
  - {name: big1, cost: 1, nodes: [{id: 0, cpus: "0-7", memory: 16GiB}, {id: 1, cpus: "8-15", memory: 16GiB}]}
  - {name: s0, cost: 3, nodes: [{id: 0, cpus: "0-3", memory: 16GiB}]}
  - {name: s1, cost: 3, nodes: [{id: 0, cpus: "0-3", memory: 16GiB}]}
  - {name: s2, cost: 3, nodes: [{id: 0, cpus: "0-3", memory: 16GiB}]}
vms:
  - {name: wide, vcpus: 14, memory: 1GiB, cells: 2, cpu_policy: dedicated}
  - {name: v0, vcpus: 4, memory: 1GiB, cells: 1, cpu_policy: dedicated}
  - {name: v1, vcpus: 4, memory: 1GiB, cells: 1, cpu_policy: dedicated}
  - {name: f0, vcpus: 2, memory: 1GiB, host: big0, nodes: [], cpu_policy: shared}
  - {name: f1, vcpus: 2, memory: 1GiB, host: big1, nodes: [], cpu_policy: shared}
"""


def test_vms_that_float_where_room_was_kept_float_on(tmp_path: Path) -> None:
    """A VM that is pinned nowhere stays so on the host that keeps room: it came to be pinned to its first node."""
    (tmp_path / "fleet.yaml").write_text(FLOATING)
    found = planned(read_fleet(tmp_path / "fleet.yaml"))
    assert found.clean and found.rounds > 1
    for vm in found.plan.vms:
        if vm.name.startswith("f"):
            assert set(vm.pins.values()) == {frozenset(range(16))}


def test_vms_that_stay_keep_their_cpusets_where_room_was_kept(tmp_path: Path) -> None:
    """A VM whose cpuset is narrower than its node has that one: it came to float over the node, and was refused."""
    text = FLOATING.replace(
        'cpus: "8-15", memory: 16GiB}', 'cpus: "8-15", memory: 16GiB}, {id: 2, cpus: "16-19", memory: 16GiB}'
    )
    text = text.replace("vcpus: 14", "vcpus: 16").replace("nodes: []", 'nodes: [2], pins: {0: "17-18", 1: "17-18"}')
    (tmp_path / "fleet.yaml").write_text(text)
    fleet = read_fleet(tmp_path / "fleet.yaml")
    found = planned(fleet)
    assert found.clean and found.rounds > 1 and check(fleet, found.plan).ok
    for vm in found.plan.vms:
        if vm.name.startswith("f"):
            assert set(vm.pins.values()) == {frozenset({17, 18})} and vm.change is Change.NONE


OVERFULL = """
schema: placer.inventory/v1
hosts:
  - {name: k, count: 3, nodes: [{id: 0, cpus: "0-7", memory: 16GiB}]}
vms:
  - {name: a, count: 3, vcpus: 1, memory: 6GiB, cells: none, overhead: 0MiB, cpu_policy: shared, host: k-1}
  - {name: b, count: 2, vcpus: 1, memory: 6GiB, cells: none, overhead: 0MiB, cpu_policy: shared, host: k-2}
  - {name: c, vcpus: 1, memory: 6GiB, cells: none, overhead: 0MiB, cpu_policy: shared, host: k-3}
rules:
  - {reserve: {fail: 1, scope: host}}
"""


def test_a_reserve_that_nothing_keeps_leaves_no_host_overfull(tmp_path: Path) -> None:
    """What has no place comes before rules: the move that mends it is made, though no move keeps the reserve."""
    (tmp_path / "fleet.yaml").write_text(OVERFULL)
    plan = solve_fleet(read_fleet(tmp_path / "fleet.yaml"), max_moves=1, time_limit_s=600)
    assert [plan.goal(name).value for name in ("excess", "rules", "moves")] == [0, 2, 1]
