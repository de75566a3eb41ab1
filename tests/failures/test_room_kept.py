"""Stand-ins that keep room for what failures lose: how many, and out of where."""

from __future__ import annotations

import dataclasses
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from placer.failures import reserve
from placer.failures.reserve import plan_with_reserve
from placer.failures.room_kept import MOST_APART, RoomKept, with_empty_domains
from placer.failures.slots import STAND_IN
from placer.failures.sweep import FailureSweep
from placer.model.fleet import Fleet
from placer.model.rules import Rule, RuleKind
from placer.options import SolveOptions, SweepOptions
from placer.planner import solve_fleet, solve_with


def running(build: Any, hosts: int) -> Fleet:
    """Return hosts of four CPUs, each with a VM of three."""
    names = [f"h{n:02}" for n in range(hosts)]
    vms = [build.vm(f"v-{name}", build.spec(3, 1, cells=1), current=build.now(name)) for name in names]
    return build.fleet([build.host(name, build.topology(1, 4)) for name in names], vms)


def noted(fleet: Fleet) -> RoomKept:
    """Return the room for failures each of which loses the one VM of its host."""
    harmful = tuple({"domains": [vm.current.host], "lost": [vm.name]} for vm in fleet.vms if vm.current is not None)
    sweep = FailureSweep(
        scope="host", at_once=1, domains=len(fleet.hosts), combinations=1, alike=0, slack=0, solved=0, harmful=harmful
    )
    room = RoomKept(fleet)
    plan = solve_with(fleet, SolveOptions(goals=("placed",)))
    assert room.note(plan, [sweep])
    assert not room.note(plan, [sweep])
    return room


def test_few_failures_have_room_of_their_own(build: Any) -> None:
    """Each of them has a stand-in for what it loses, out of the host that fails."""
    fleet = running(build, MOST_APART)
    asked = noted(fleet).with_room({})
    kept = [vm for vm in asked.vms if STAND_IN in vm.spec.labels]
    assert len(kept) == MOST_APART
    assert all(rule.kind is RuleKind.OUTSIDE for rule in asked.rules) and len(asked.rules) == MOST_APART


def test_many_failures_share_room(build: Any) -> None:
    """Only one of them happens: half of the hosts share one stand-in that is on none of them, the others another."""
    fleet = running(build, 3 * MOST_APART)
    asked = noted(fleet).with_room({})
    kept = [vm for vm in asked.vms if STAND_IN in vm.spec.labels]
    assert len(kept) == len(asked.rules) == 2
    halves = [frozenset(rule.hosts["name"]) for rule in asked.rules if rule.hosts is not None]
    assert not halves[0] & halves[1] and len(halves[0] | halves[1]) == len(fleet.hosts)


def test_one_host_that_is_emptied_serves_many_failures(build: Any) -> None:
    """Twelve hosts lose three vCPUs each when they fail, and one move empties a host that takes those of any."""
    fleet = running(build, 12)
    spare = [build.vm(f"s{n}", build.spec(2, 1, cells=1), current=build.now(f"x{n}")) for n in range(2)]
    hosts = [*fleet.hosts, *(build.host(f"x{n}", build.topology(1, 4)) for n in range(2))]
    whole = build.fleet(hosts, [*fleet.vms, *spare], [Rule(kind=RuleKind.RESERVE, scope="host", fail=1)])
    plan = solve_fleet(whole, goals="placed,rules,moves", max_moves=1, time_limit_s=600)
    assert plan.summary["reserve"][0]["proven"]
    assert [vm.name for vm in plan.vms if vm.from_host not in (None, vm.host)] in (["s0"], ["s1"])


def test_the_limit_is_that_of_all(build: Any) -> None:
    """With no time left the failures of the first plan are looked at, and it is not planned again."""
    fleet = running(build, 3)
    free = solve_with(fleet, SolveOptions(goals=("placed", "rules")))
    calls = []

    def solve(asked: Fleet, options: SweepOptions) -> Any:
        calls.append(asked)
        return solve_with(asked, options)

    whole = build.fleet(fleet.hosts, fleet.vms, [Rule(kind=RuleKind.RESERVE, scope="host", fail=1)])
    options = SweepOptions(goals=("placed", "rules"), time_limit_s=600, total_time_s=0.0)
    found = plan_with_reserve(whole, free, options, solve)
    assert found.rounds == 1 and not found.clean
    assert not any(STAND_IN in vm.spec.labels for asked in calls for vm in asked.vms)
    assert solve_fleet(whole, goals="placed,rules", time_limit_s=600).summary["reserve"][0]["value"] == 3


def test_a_search_leaves_time_to_look_at_what_it_finds(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is ten seconds on: fifty are past when a plan is asked for, and of those left twice the
    thirty that the failures took are for what follows it.
    """
    fleet = running(build, 3)
    free = solve_with(fleet, SolveOptions(goals=("placed", "rules")))
    ticks = count()
    monkeypatch.setattr(reserve, "time", SimpleNamespace(monotonic=lambda: 10.0 * next(ticks)))
    given: list[float] = []

    def solve(asked: Fleet, options: SweepOptions) -> Any:
        if any(STAND_IN in vm.spec.labels for vm in asked.vms):
            given.append(options.time_limit_s)
        return solve_with(asked, dataclasses.replace(options, time_limit_s=600))

    whole = build.fleet(fleet.hosts, fleet.vms, [Rule(kind=RuleKind.RESERVE, scope="host", fail=1)])
    options = SweepOptions(goals=("placed", "rules"), time_limit_s=600, total_time_s=600)
    plan_with_reserve(whole, free, options, solve)
    assert given[0] == 600 - 50 - 2 * 30


def test_who_stands_in_for_a_vm_may_be_on_hosts_dedicated_to_it(build: Any) -> None:
    """Hosts that a group has for itself are where its VMs go when one of them fails: its stand-ins may be there."""
    hosts = [build.host(f"h{n}", build.topology(1, 4), labels={"of": "acme" if n < 2 else "all"}) for n in range(4)]
    specs = [build.spec(3, 1, cells=1, labels={"team": team}) for team in ("acme", "all")]
    vms = [build.vm(f"v{n}", specs[n // 2], current=build.now(f"h{n}")) for n in range(4)]
    rule = Rule(kind=RuleKind.DEDICATED, members={"team": "acme"}, hosts={"of": "acme"})
    asked = noted(build.fleet(hosts, vms, [rule])).with_room({})
    free = {
        vm.name: {
            host.name
            for host in asked.hosts
            if not any(one.keeps_off(vm.name, vm.spec.labels, host.name, host.labels) for one in asked.rules)
        }
        for vm in asked.vms
        if STAND_IN in vm.spec.labels
    }
    assert sorted(map(sorted, free.values())) == [["h0"], ["h1"], ["h2"], ["h3"]]


def test_of_each_kind_of_host_that_holds_vms_the_emptiest_is_emptied(build: Any) -> None:
    """Forty small hosts with two VMs each but for one, and thirty large ones most of which are empty."""
    hosts = [build.host(f"h{n:02}", build.topology(1, 4 if n < 40 else 8)) for n in range(70)]
    at = [*(n for n in range(40) for _ in range(1 + (n != 7))), 50, 51, 51]
    vms = [build.vm(f"v{n}", build.spec(2, 1, cells=1), current=build.now(f"h{host:02}")) for n, host in enumerate(at)]
    fleet = build.fleet(hosts, vms)
    plan = solve_fleet(fleet, goals="placed,rules", max_moves=0, time_limit_s=600)
    rule = Rule(kind=RuleKind.RESERVE, scope="host", fail=1)
    asked = with_empty_domains(fleet, plan, [rule])
    assert asked is not None and sorted(asked.drained) == ["h07", "h40"]
    assert with_empty_domains(running(build, 3), plan, [rule]) is None
