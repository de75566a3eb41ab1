"""The worst single host failure in one line: of the plan as it is, found greedily, proven where it can be."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from placer import planner
from placer.check.check import check
from placer.failures.worst_host import worst_failure
from placer.model.rules import Rule, RuleKind
from placer.planner import solve_fleet
from placer.show.plan_summary import draw_summary


def worst(build: Any, hosts: int, *vms: tuple[int, str, int], cpus: int = 4) -> dict[str, Any]:
    """Return the worst failure of hosts of two nodes of so many CPUs; a VM is (vCPUs, host, node)."""
    made = [
        build.vm(f"v{n}", build.spec(vcpus, 1, cells=1), current=build.now(host, (node,)))
        for n, (vcpus, host, node) in enumerate(vms)
    ]
    fleet = build.fleet([build.host(f"h{n}", build.topology(2, cpus)) for n in range(hosts)], made)
    return worst_failure(fleet, solve_fleet(fleet, engine="greedy"))


def test_all_find_a_place(build: Any) -> None:
    """Two full nodes find two empty ones."""
    found = worst(build, 2, (4, "h0", 0), (4, "h0", 1))
    assert (found["host"], found["vms_without_place"], found["proven"]) == ("h0", 0, True)


def test_no_room_is_proven(build: Any) -> None:
    """Three wide VMs on two hosts: one host left has one free node, so that of two VMs one finds none."""
    found = worst(build, 2, (4, "h0", 0), (4, "h0", 1), (4, "h1", 0))
    assert (found["host"], found["vms_without_place"], found["vcpus_without_place"]) == ("h0", 1, 4)
    assert found["proven"]


def test_what_a_solve_might_find_is_not_claimed(build: Any) -> None:
    """VMs of 3, 2, 2 and 2 vCPUs fit free nodes of 5 and 4, if the 3 goes to the 5: what greed misses is not proven."""
    vms = ((3, "h0", 0), (2, "h0", 0), (2, "h0", 1), (2, "h0", 1), (2, "h1", 0), (1, "h1", 1))
    found = worst(build, 2, *vms, cpus=6)
    assert (found["host"], found["vms_without_place"], found["vcpus_without_place"]) == ("h0", 1, 2)
    assert not found["proven"]


def test_one_host_alone_loses_all(build: Any) -> None:
    """Where there is no other host, nothing finds a place, which is proven."""
    found = worst(build, 1, (2, "h0", 0))
    assert found == {
        "host": "h0",
        "vms_without_place": 1,
        "vcpus_without_place": 2,
        "proven": True,
        "states": 1,
        "states_in_all": 1,
    }


def test_a_plan_without_vms(build: Any) -> None:
    """Nothing is lost where nothing is placed."""
    fleet = build.fleet([build.host()], [build.vm(spec=build.spec(99, 1))])
    assert worst_failure(fleet, build.plan(unplaced=["v"]))["host"] is None


def test_rules_over_racks_count(build: Any) -> None:
    """Two VMs that are to be on racks apart: the other rack has its own already, so that there is room and no place."""
    hosts = [build.host(f"h{n}", labels={"rack": f"r{n}"}) for n in range(2)]
    spec = build.spec(2, 1, cells=1, labels={"app": "db"})
    vms = [build.vm(f"v{n}", spec, current=build.now(f"h{n}")) for n in range(2)]
    apart = Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "db"}, scope="rack")
    found = worst_failure(fleet := build.fleet(hosts, vms, [apart]), solve_fleet(fleet, engine="greedy"))
    assert (found["vms_without_place"], found["proven"]) == (1, False)  # by room alone there is a place
    named = Rule(kind=RuleKind.OUTSIDE, members={"name": "v0"}, hosts={"name": "h1"})
    plain = build.fleet(hosts, vms[:1], [named])
    assert worst_failure(plain, solve_fleet(plain, engine="greedy"))["vms_without_place"] == 1


def test_immovable_vms_and_migration_domains(build: Any) -> None:
    """VMs of a host that has failed start anew: what cannot move is lost with it, and no domain holds it back."""
    hosts = [build.host(f"h{n}", migration_domain=f"d{n}") for n in range(2)]
    vms = [build.vm("v", build.spec(2, 1, cells=1), current=build.now("h0"), movable=build.NO)]
    fleet = build.fleet(hosts, vms)
    assert worst_failure(fleet, solve_fleet(fleet, engine="greedy"))["vms_without_place"] == 0
    fleet = build.fleet(hosts[:1], vms)
    assert worst_failure(fleet, solve_fleet(fleet, engine="greedy"))["vcpus_without_place"] == 2


def test_the_summary_is_of_the_plan_that_is_written(build: Any) -> None:
    """The reserve parts what the first plan for fewest hosts puts together: what is written is of the later plan."""
    large = [build.host(f"big{n}", build.topology(1, 8), cost=1.0) for n in range(2)]
    small = [build.host(f"s{n}", build.topology(1, 4), cost=3.0) for n in range(3)]
    vms = [build.vm("wide", build.spec(8, 1, cells=1)), *(build.vm(f"v{n}", build.spec(4, 1, cells=1)) for n in (0, 1))]
    fleet = build.fleet([*large, *small], vms, [Rule(kind=RuleKind.RESERVE, scope="host", fail=1)])
    plan = solve_fleet(fleet, goals="placed,rules,remote,hosts")
    assert check(fleet, plan, bound=True).ok
    assert plan.summary["worst_host_failure"]["vms_without_place"] == 0


def test_hosts_not_looked_at_are_not_vouched_for(build: Any, monkeypatch: Any) -> None:
    """Of two kinds of host only the fullest is looked at: that the other loses no more is not proven."""
    monkeypatch.setattr("placer.failures.worst_host.MOST_STATES", 1)
    found = worst(build, 3, (4, "h0", 0), (1, "h0", 1), (2, "h1", 0))
    assert (found["vms_without_place"], found["states"], found["states_in_all"], found["proven"]) == (0, 1, 2, False)


def test_rules_that_many_hosts_have_leave_fewer_looks(build: Any, monkeypatch: Any) -> None:
    """Each look counts members of all rules on all hosts: 64 looks at 1,710 hosts with 127 rules took a minute."""
    monkeypatch.setattr("placer.failures.worst_host.FEWEST_STATES", 1)
    sizes = {"v0": (4, "h0"), "v1": (2, "h1")}
    spec = {name: build.spec(vcpus, 1, cells=1, labels={"app": "x"}) for name, (vcpus, _) in sizes.items()}
    vms = [build.vm(name, spec[name], current=build.now(host, (0,))) for name, (_, host) in sizes.items()]
    apart = Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "x"}, scope="rack")
    hosts = [build.host(f"h{n}", build.topology(2, 4), labels={"rack": f"r{n}"}) for n in range(3)]
    fleet = build.fleet(hosts, vms, [apart])
    plan = solve_fleet(fleet, engine="greedy")
    assert worst_failure(fleet, plan)["states"] == 2
    monkeypatch.setattr("placer.failures.worst_host.RULE_WORK", 3)
    found = worst_failure(fleet, plan)
    assert (found["states"], found["states_in_all"]) == (1, 2)


def test_hosts_alike_count_as_often_as_they_are_there(build: Any) -> None:
    """Looking at one of the hosts that are alike tells the same as looking at each, for any that share no topology."""
    topology = build.topology(2, 4)
    for hosts, free in ((3, 1), (5, 2), (6, 0)):
        vms = [
            build.vm(f"v{host}-{node}", build.spec(3, 1, cells=1), current=build.now(f"h{host}", (node,)))
            for host in range(hosts - free)
            for node in range(2)
        ]
        alike = build.fleet([build.host(f"h{n}", topology) for n in range(hosts)], vms)
        apart = build.fleet([build.host(f"h{n}", build.topology(2, 4)) for n in range(hosts)], vms)
        found = [worst_failure(fleet, solve_fleet(fleet, engine="greedy")) for fleet in (alike, apart)]
        for one in found:
            assert one["vms_without_place"] == (0 if free else 2), hosts
            assert one["proven"] and one["host"] == "h0"


def test_vms_that_a_second_group_names_stay_what_they_are(build: Any) -> None:
    """One that is to be apart from a group by its own name has no place beside it, wherever else the group has one."""
    hosts = [build.host(f"h{n}", build.topology(1, cpus)) for n, cpus in enumerate((6, 6, 2))]
    web = build.vm("web", build.spec(3, 1, cells=1), current=build.now("h0"))
    db = build.vm("db", build.spec(2, 1, cells=1, labels={"app": "db"}), current=build.now("h1"))
    rule = Rule(kind=RuleKind.APART, members={"app": "db"}, others={"name": "web"}, max_per=0)
    for rules, lost in (([rule], 1), ([], 0)):
        fleet = build.fleet(hosts, [web, db], rules)
        found = worst_failure(fleet, solve_fleet(fleet, engine="greedy"))
        assert (found["vms_without_place"], found["vcpus_without_place"]) == (lost, 3 * lost)


def test_past_the_limit_one_failure_is_looked_at(build: Any) -> None:
    """The fullest host, of which it is told that it was one of two; what the other loses is not said to be proven."""
    vms = [build.vm("wide", build.spec(3, 1, cells=1)), build.vm("small", build.spec(2, 1, cells=1))]
    fleet = build.fleet([build.host(f"h{n}", build.topology(1, 4)) for n in range(2)], vms)
    plan = solve_fleet(fleet, goals="placed", engine="greedy")
    late = worst_failure(fleet, plan, is_late=lambda: True)
    assert (late["states"], late["states_in_all"]) == (1, 2)
    found = replace(plan, summary={**plan.summary, "worst_host_failure": late})
    assert check(fleet, found, bound=True).ok
    least = {**late, "vcpus_without_place": 0, "vms_without_place": 0, "proven": False}
    assert check(fleet, replace(plan, summary={**plan.summary, "worst_host_failure": least}), bound=True).ok
    hides = {**least, "states": 2}
    assert not check(fleet, replace(plan, summary={**plan.summary, "worst_host_failure": hides}), bound=True).ok


def test_no_failure_is_looked_at_where_that_would_end_after_the_limit(
    build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute a look at the clock: the worst failure is unknown, is said to be, and no check takes offence."""
    looks = itertools.count()
    monkeypatch.setattr(planner, "time", SimpleNamespace(monotonic=lambda: 60.0 * next(looks)))
    fleet = build.fleet([build.host("a"), build.host("b")], [build.vm("v", build.spec(1, 1))])
    plan = solve_fleet(fleet, time_limit_s=1)
    assert plan.summary["worst_host_failure"] is None
    assert check(fleet, plan, bound=True).ok
    with (console := Console(file=io.StringIO(), width=100)).capture() as said:
        draw_summary(plan, console, fleet)
    assert "worst single host failure: unknown, for the time limit was past" in said.get()
