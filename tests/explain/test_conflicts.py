"""Conflicts: hand-made infeasible fleets, each with a known minimal cause that is named and nothing more, and cured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from placer.check.check import check
from placer.explain.conflicts import explain_conflict
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.rules import Rule, RuleKind
from placer.model.vm import CpuPolicy, DeviceRequest, ThreadPolicy, Vm
from placer.planner import solve_fleet
from placer.read.inventory.inventory import parse_fleet

Build = Any
GROWN, NODES, LIFTED, DROPPED, MOVED = "add-hosts", "more-nodes", "lift-rule", "drop-vms", "allow-moves"
RELAXED, ONE = "relax-rule", "lift-in-one"


@dataclass(frozen=True, kw_only=True)
class Case:
    """An infeasible fleet: the core as VMs a name prefix and rules, and which kinds of cure there are, and no other."""

    hosts: Sequence[Host]
    vms: Sequence[Vm]
    core: dict[str, int]
    cures: set[str]
    rules: Sequence[Rule] = ()
    blamed: set[str] = field(default_factory=set)
    limit: bool = False


def many(build: Build, prefix: str, count: int, spec: Any = None, **more: Any) -> list[Vm]:
    """Return VMs named prefix-1, prefix-2 and so on, labelled app=prefix; 4 vCPUs fill a node."""
    made = spec or build.spec(4, 2, labels={"app": prefix})
    return [build.vm(f"{prefix}-{n}", made, **more) for n in range(1, count + 1)]


def hosts(build: Build, count: int, racks: int = 1, **more: Any) -> list[Host]:
    """Return hosts a, b, c … of two nodes with 4 CPUs in 2 cores and 16 GiB each, dealt over racks."""
    topology = build.topology()
    return [build.host(chr(ord("a") + n), topology, labels={"rack": f"r{n % racks}"}, **more) for n in range(count)]


def small(build: Build, prefix: str) -> Any:
    """Return a spec that always fits."""
    return build.spec(1, 1, labels={"app": prefix})


def apart(prefix: str, **more: Any) -> Rule:
    """Return an anti-affinity rule."""
    return Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": prefix}, name="apart", **more)


def full(b: Build, n: int) -> Case:
    """Hosts of two places each, and one VM too many; a small VM beside them is not to blame."""
    return Case(
        hosts=hosts(b, n), vms=many(b, "x", 2 * n + 1), core={"x": 2 * n + 1}, cures={GROWN, DROPPED, NODES} - {NODES}
    )


def large_memory(b: Build, gib: int) -> Case:
    """A flat guest with more memory than any node, among others that fit."""
    vms = [*many(b, "ok", 2, small(b, "ok")), *many(b, "big", 1, b.spec(2, gib, labels={}))]
    return Case(hosts=hosts(b, 2), vms=vms, core={"big": 1}, cures={NODES, DROPPED})


def wide(b: Build, vcpus: int) -> Case:
    """A flat guest with more vCPUs than any node."""
    vms = [*many(b, "ok", 2, small(b, "ok")), *many(b, "wide", 1, b.spec(vcpus, 2))]
    return Case(hosts=hosts(b, 2), vms=vms, core={"wide": 1}, cures={NODES, DROPPED})


def apart_on_hosts(b: Build, n: int) -> Case:
    """More members than hosts."""
    vms = [*many(b, "db", n + 1, small(b, "db")), *many(b, "web", 2, small(b, "web"))]
    rules = [apart("db"), Rule(kind=RuleKind.WITHIN, members={"app": "web"}, hosts={"rack": "r0"}, name="idle")]
    return Case(
        hosts=hosts(b, n),
        vms=vms,
        rules=rules,
        core={"db": n + 1},
        blamed={"apart"},
        cures={RELAXED, LIFTED, GROWN, DROPPED},
    )


def apart_on_racks(b: Build, n: int) -> Case:
    """More members than racks, hosts enough."""
    return Case(
        hosts=hosts(b, 2 * n, racks=n),
        vms=[*many(b, "db", n + 1, small(b, "db")), *many(b, "web", 1, small(b, "web"))],
        rules=[apart("db", scope="rack")],
        core={"db": n + 1},
        blamed={"apart"},
        cures={RELAXED, LIFTED, GROWN, DROPPED} | ({ONE} if n > 1 else set()),
    )


def apart_on_nodes(b: Build, n: int) -> Case:
    """More members than nodes."""
    vms = many(b, "db", 2 * n + 1, small(b, "db"))
    rules = [apart("db", scope="node")]
    return Case(
        hosts=hosts(b, n),
        vms=vms,
        rules=rules,
        core={"db": 2 * n + 1},
        blamed={"apart"},
        cures={RELAXED, LIFTED, GROWN, DROPPED},
    )


def too_many_per(b: Build, most: int) -> Case:
    """More members on one host than it may hold."""
    vms = many(b, "m", most + 1, small(b, "m"))
    rules = [apart("m", max_per=most)]
    return Case(
        hosts=hosts(b, 1),
        vms=vms,
        rules=rules,
        core={"m": most + 1},
        blamed={"apart"},
        cures={RELAXED, LIFTED, GROWN, DROPPED},
    )


def confined(b: Build, n: int) -> Case:
    """Three VMs of half a host each that must be on host a."""
    rules = [Rule(kind=RuleKind.WITHIN, members={"app": "w"}, hosts={"name": "a"}, name="inside")]
    vms = [*many(b, "w", 3), *many(b, "ok", 1, small(b, "ok"))]
    return Case(hosts=hosts(b, n), vms=vms, rules=rules, core={"w": 3}, blamed={"inside"}, cures={LIFTED, DROPPED})


def kept_out(b: Build, n: int) -> Case:
    """A VM that may be on none of the hosts, which are all in one rack; a host like them would not help."""
    rules = [Rule(kind=RuleKind.OUTSIDE, members={"app": "o"}, hosts={"rack": "r0"}, name="outside")]
    vms = [*many(b, "o", 1), *many(b, "ok", 1, small(b, "ok"))]
    return Case(hosts=hosts(b, n), vms=vms, rules=rules, core={"o": 1}, blamed={"outside"}, cures={LIFTED, DROPPED})


def drained(b: Build, n: int) -> Case:
    """Every host but none is being emptied by name."""
    made = hosts(b, n)
    rules = [Rule(kind=RuleKind.DRAIN, hosts={"rack": "r0"}, name="empty")]
    return Case(
        hosts=made,
        vms=many(b, "v", 1, small(b, "v")),
        rules=rules,
        core={"v": 1},
        blamed={"empty"},
        cures={LIFTED, DROPPED},
    )


def together(b: Build, n: int) -> Case:
    """Three VMs of half a host each that must be on one host."""
    rules = [Rule(kind=RuleKind.AFFINITY, members={"app": "m"}, name="together")]
    vms = many(b, "m", 3)
    return Case(hosts=hosts(b, n), vms=vms, rules=rules, core={"m": 3}, blamed={"together"}, cures={LIFTED, DROPPED})


def no_device(b: Build, n: int) -> Case:
    """A device that no host has."""
    spec = b.spec(1, 1, devices=(DeviceRequest(kind="gpu", policy="required"),))
    vms = [*many(b, "gpu", 1, spec), *many(b, "ok", n, small(b, "ok"))]
    return Case(hosts=hosts(b, n), vms=vms, core={"gpu": 1}, cures={DROPPED})


def no_disk(b: Build, n: int) -> Case:
    """Disks of 10 that hold one VM of 6 each."""
    vms = many(b, "d", n + 1, b.spec(1, 1, resources={"disk": 6}))
    return Case(hosts=hosts(b, n, resources={"disk": 10}), vms=vms, core={"d": n + 1}, cures={GROWN, DROPPED})


def no_pages(b: Build, n: int) -> Case:
    """Huge pages where no host has a pool."""
    vms = [*many(b, "p", 1, b.spec(1, 1, page_kib=1 << 20)), *many(b, "ok", n, small(b, "ok"))]
    return Case(hosts=hosts(b, n), vms=vms, core={"p": 1}, cures={DROPPED})


def no_kvm(b: Build, n: int) -> Case:
    """No host can run KVM."""
    return Case(hosts=hosts(b, n, kvm=False), vms=many(b, "k", 1, small(b, "k")), core={"k": 1}, cures={DROPPED})


def stuck(b: Build, n: int) -> Case:
    """Every node is half taken by a VM that may not move now, and a VM that needs a whole node arrives."""
    made = hosts(b, n)
    there = [
        b.vm(f"s-{host.name}{node}", b.spec(2, 2), current=b.now(host.name, (node,)))
        for host in made
        for node in (0, 1)
    ]
    vms = [*there, *many(b, "big", 1)]
    return Case(hosts=made, vms=vms, core={"s": 2 * n, "big": 1}, limit=True, cures={GROWN, DROPPED, MOVED, NODES})


def two_rules(b: Build, n: int) -> Case:
    """Two members apart, and both inside one host: each rule alone can be kept."""
    rules = [apart("db"), Rule(kind=RuleKind.WITHIN, members={"app": "db"}, hosts={"name": "a"}, name="inside")]
    vms = [*many(b, "db", 2, small(b, "db")), *many(b, "ok", n, small(b, "ok"))]
    return Case(
        hosts=hosts(b, n),
        vms=vms,
        rules=rules,
        core={"db": 2},
        blamed={"apart", "inside"},
        cures={RELAXED, LIFTED, DROPPED},
    )


def isolated(b: Build, n: int) -> Case:
    """A core each: a host has four."""
    vms = many(b, "i", 4 * n + 1, b.spec(1, 1, thread_policy=ThreadPolicy.ISOLATE))
    return Case(hosts=hosts(b, n), vms=vms, core={"i": 4 * n + 1}, cures={GROWN, DROPPED})


def shared(b: Build, ratio: int) -> Case:
    """Shared vCPUs above the overcommit ratio."""
    vms = many(b, "s", 2 * ratio + 1, b.spec(4, 2, cpu_policy=CpuPolicy.SHARED))
    return Case(hosts=hosts(b, 1, cpu_ratio=float(ratio)), vms=vms, core={"s": 2 * ratio + 1}, cures={GROWN, DROPPED})


def priorities(b: Build, n: int) -> Case:
    """Full with VMs of priority 5 and one of priority 0, which is the one to drop."""
    vms = [*many(b, "hi", 2 * n, b.spec(4, 2, priority=5)), *many(b, "lo", 1)]
    return Case(hosts=hosts(b, n), vms=vms, core={"hi": 2 * n, "lo": 1}, cures={GROWN, DROPPED})


def wide_in_all(b: Build, n: int) -> Case:
    """Nodes of 6 CPUs with one VM of 4 each, and more of them that fit only in two cells of 2."""
    made = [b.host(chr(ord("a") + k), b.topology(cpus=6)) for k in range(n)]
    vms = many(b, "x", 3 * n, b.spec(4, 2))
    return Case(hosts=made, vms=vms, core={"x": 2 * n + 1}, cures={NODES, DROPPED, GROWN})


CASES: tuple[tuple[Callable[[Build, int], Case], tuple[int, ...]], ...] = (
    (full, (1, 2, 3)),
    (large_memory, (17, 24, 32)),
    (wide, (6, 8)),
    (apart_on_hosts, (1, 2, 3, 4)),
    (apart_on_racks, (1, 2, 3)),
    (apart_on_nodes, (1, 2)),
    (too_many_per, (1, 2, 3)),
    (confined, (2, 3, 4)),
    (kept_out, (1, 2)),
    (drained, (1, 2)),
    (together, (2, 3)),
    (no_device, (1, 2)),
    (no_disk, (1, 2)),
    (no_pages, (1, 2)),
    (no_kvm, (1,)),
    (stuck, (1, 2)),
    (two_rules, (2, 3)),
    (isolated, (1, 2)),
    (shared, (1, 2)),
    (priorities, (1, 2)),
    (wide_in_all, (1, 2, 3)),
)
ALL = [pytest.param(make, size, id=f"{make.__name__}-{size}") for make, sizes in CASES for size in sizes]


def fleet_of(build: Build, case: Case) -> Fleet:
    """Return the fleet of a case."""
    made: Fleet = build.fleet(case.hosts, case.vms, case.rules)
    return made


def test_there_are_forty() -> None:
    """The hand-made fleets are as many as were promised."""
    assert len(ALL) >= 40


@pytest.mark.parametrize(("make", "size"), ALL)
def test_core_is_the_cause_and_cures_work(build: Build, make: Callable[[Build, int], Case], size: int) -> None:
    """The core names the cause and nothing more; cures are of the kinds expected, and solving with each places all."""
    case = make(build, size)
    conflict = explain_conflict(fleet_of(build, case))
    assert conflict is not None and conflict.minimal
    assert dict(Counter(name.partition("-")[0] for name in conflict.vms)) == case.core
    assert set(conflict.rules) == case.blamed and len(conflict.rules) == len(case.blamed)
    assert conflict.limit == case.limit
    assert {cure.kind for cure in conflict.cures} == case.cures, [cure.text for cure in conflict.cures]
    for cure in conflict.cures:
        assert cure.cures_all, cure.text
        plan = solve_fleet(cure.fleet, goals="placed", max_moves=cure.max_moves, time_limit_s=10)
        assert not plan.unplaced and check(cure.fleet, plan).ok, cure.text


def test_cures_are_the_smallest(build: Build) -> None:
    """As many hosts are added, VMs dropped and moves allowed as are needed and no more, and the text says so."""
    two_over = build.fleet(hosts(build, 1), many(build, "x", 6))
    conflict = explain_conflict(two_over)
    assert conflict is not None and len(conflict.vms) == 3
    stuck_fleet = explain_conflict(fleet_of(build, stuck(build, 1)))
    assert stuck_fleet is not None
    texts = {cure.kind: cure.text for cure in stuck_fleet.cures}
    assert texts[MOVED] == "allow 1 move: --max-moves 1" and texts[GROWN] == "add 1 host like a"
    lowest = explain_conflict(fleet_of(build, priorities(build, 1)))
    assert lowest is not None
    assert "drop 1 VM of priority 0 (lo-1)" in [cure.text for cure in lowest.cures]


def test_cures_are_for_the_whole_fleet_and_say_what_to_write(build: Build) -> None:
    """The fewest VMs are split and dropped, the fewest hosts added, for all VMs; rules are eased in one rack."""
    hosts_of_6 = [build.host(name, build.topology(cpus=6)) for name in "abcde"]
    conflict = explain_conflict(build.fleet(hosts_of_6, many(build, "x", 15, build.spec(4, 2))))
    assert conflict is not None and len(conflict.vms) == 11
    texts = {cure.kind: cure.text for cure in conflict.cures}
    assert texts[NODES] == "let these 5 VMs (x-8, x-9, x-10, x-11, x-12) use 2 nodes: cells: 2"
    assert texts[DROPPED].startswith("drop 5 VMs of priority 0 (") and texts[GROWN] == "add 3 hosts like a"
    racks = build.fleet(hosts(build, 4, racks=2), many(build, "db", 4, small(build, "db")), [apart("db", scope="rack")])
    conflict = explain_conflict(racks)
    assert conflict is not None
    texts = {cure.kind: cure.text for cure in conflict.cures}
    assert texts[RELAXED] == "let the rule apart have 2 VMs in one rack: max_per: 2"
    assert texts[ONE] == "lift the rule apart in rack r0: unless: {rack: r0}"


def test_a_rule_lifted_in_one_rack_holds_in_the_others(build: Build) -> None:
    """Five members on two racks, one of them excepted: one is on the other rack, by the solver as by the check."""
    rule = apart("db", scope="rack", unless={"rack": "r0"})
    fleet = build.fleet(hosts(build, 4, racks=2), many(build, "db", 5, small(build, "db")), [rule])
    plan = solve_fleet(fleet, goals="placed,rules")
    assert not plan.unplaced and check(fleet, plan).ok
    racks = Counter(fleet.host_by_name[vm.host].labels["rack"] for vm in plan.vms)
    assert racks["r1"] <= 1 and racks["r0"] >= 4
    everywhere = build.fleet(fleet.hosts, fleet.vms, [apart("db", scope="rack")])
    assert not check(everywhere, plan).ok


def test_a_cure_of_one_of_two_conflicts_says_so(build: Build) -> None:
    """Where another conflict remains, the cure of the first does not claim the fleet."""
    vms = [*many(build, "p", 1, build.spec(1, 1, page_kib=1 << 20)), *many(build, "x", 3)]
    conflict = explain_conflict(build.fleet(hosts(build, 1), vms))
    assert conflict is not None and conflict.cures
    assert not any(cure.cures_all for cure in conflict.cures)


def test_what_can_be_placed_has_no_conflict(build: Build) -> None:
    """A fleet that fits is not explained."""
    assert explain_conflict(build.fleet(hosts(build, 1), many(build, "x", 2))) is None


def test_words(build: Build) -> None:
    """The sentence names VMs, hosts and the rule."""
    conflict = explain_conflict(fleet_of(build, apart_on_hosts(build, 1)))
    assert conflict is not None
    assert conflict.text == "2 VMs (db-1, db-2) have not all a place on host a, under the rule apart"


def test_many_alike_are_counted_and_new_kinds_of_rules_are_lifted(build: Any) -> None:
    """Nine VMs that a share keeps from a rack with room are one line, and lifting the share is a cure."""
    hosts = [build.host(name, build.topology(1, 16), labels={"rack": "r"}) for name in ("a", "b")]
    vms = [build.vm(f"v{n}", build.spec(2, 1, labels={"app": "db"})) for n in range(9)]
    share = Rule(kind=RuleKind.SHARE, members={"app": "db"}, scope="rack", of="vcpus", most=16, name="half a rack")
    found = explain_conflict(build.fleet(hosts, vms, [share]))
    assert found is not None and found.text.startswith("9 VMs (9 like v0) have not all a place on 2 hosts")
    assert found.rules == ("half a rack",)
    assert any(cure.kind == "lift-rule" and cure.cures_all for cure in found.cures)
    assert found.cures[0].text == "let the rule half a rack have 18 vCPUs of one rack: max_vcpus: 18"


def test_an_even_spread_that_cannot_be() -> None:
    """Three VMs over two racks cannot be as many in each: all three are the conflict, for two of them are even."""
    text = """
schema: placer.inventory/v1
hosts:
  - {name: a, nodes: [{id: 0, cpus: "0-7", memory: 64GiB}], labels: {rack: r1}}
  - {name: b, nodes: [{id: 0, cpus: "0-7", memory: 64GiB}], labels: {rack: r2}}
vms:
  - {name: v, count: 3, vcpus: 1, memory: 1GiB, cells: none, labels: {app: web}}
rules:
  - {even: {app: web}, scope: rack, max_skew: 0, name: even}
"""
    found = explain_conflict(parse_fleet(text.encode(), "fleet.yaml", Path()))
    assert found is not None and (len(found.vms), found.rules) == (3, ("even",))
    assert found.cures[0].text == "let the rule even have 1 VM more in one rack than in another: max_skew: 1"


def test_as_many_racks_as_there_are_cure_a_spread_over_more(build: Build) -> None:
    """Three racks are asked for and two are there: the cure says what to write, and is verified."""
    where = [build.host(f"h{n}", labels={"rack": f"r{n % 2}"}) for n in range(4)]
    vms = [build.vm(f"v{n}", build.spec(1, 1, labels={"app": "zk"})) for n in range(5)]
    rule = Rule(kind=RuleKind.SPREAD, members={"app": "zk"}, scope="rack", domains_used=3, name="racks")
    found = explain_conflict(build.fleet(where, vms, [rule]), trial_s=60, search_s=300)
    assert found is not None and found.cures[0].cures_all
    assert found.cures[0].text == "let the rule racks be content with 2 of rack: at_least: 2"
