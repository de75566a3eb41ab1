"""Failures of hosts and racks, alone and in pairs, on fleets whose answer is known by hand."""

from __future__ import annotations

import dataclasses
import random
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from placer.errors import InputError
from placer.failures.sweep import FailureSweep, ask_for_fewer, fail_hosts, settled, sweep_failures
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.rules import Rule, RuleKind
from placer.model.vm import CpuPolicy, Movable
from placer.options import SweepOptions
from placer.planner import solve_with
from placer.sweeps.executors import Pool, processes
from placer.sweeps.tasks import Variant

OPTIONS = SweepOptions(time_limit_s=20)


def hosts(build: Any, count: int, racks: int = 2) -> list[Host]:
    """Return hosts of two nodes of four CPUs each, in racks by turns."""
    return [build.host(f"h{n}", labels={"rack": f"r{n % racks}"}) for n in range(count)]


def fleet_of(build: Any, count: int, wide: int, **more: Any) -> Fleet:
    """Return that many hosts and VMs of four vCPUs, one node each."""
    vms = [build.vm(f"v{n}", build.spec(4, 1, cells=1)) for n in range(wide)]
    fleet: Fleet = build.fleet(hosts(build, count, **more), vms)
    return fleet


def sweep(fleet: Fleet, scope: str = "host", **more: Any) -> FailureSweep:
    """Let every domain fail."""
    return sweep_failures(Variant(name="base", fleet=fleet), solve_with(fleet, OPTIONS), scope, OPTIONS, **more)


def test_enough_room_is_proven(build: Any) -> None:
    """Four VMs on three hosts of two places each: any host may fail."""
    found = sweep(fleet_of(build, 3, 4))
    assert (found.combinations, found.harmful, found.unknown, found.spares) == (3, (), (), None)


def test_one_place_too_few_takes_one_spare(build: Any) -> None:
    """Five VMs on three hosts of two places: every failure leaves one without a place; one spare host is enough."""
    found = sweep(fleet_of(build, 3, 5))
    assert sorted((one["vms"], one["vms_lost"], one["vcpus_lost"], one["proven"]) for one in found.harmful) == [
        (1, 1, 4, True),
        (2, 1, 4, True),
        (2, 1, 4, True),
    ]
    assert found.spares is not None and (found.spares["hosts"], found.spares["proven"]) == (1, True)
    assert found.alike == 1


def test_vms_alike_that_rules_hold_to_their_racks_are_lost_with_them(build: Any) -> None:
    """VMs of one size, each held to its own rack by a label: that the other rack has room for the size is no help."""
    vms = [
        build.vm(f"v{n}", build.spec(2, 1, cells=1, labels={"home": f"r{n}"}), current=build.now(f"h{n}"))
        for n in range(2)
    ]
    rules = [Rule(kind=RuleKind.WITHIN, members={"home": f"r{n}"}, hosts={"rack": f"r{n}"}) for n in range(2)]
    found = sweep(build.fleet(hosts(build, 4), vms, rules), "rack")
    assert sorted((one["domains"], one["vms_lost"], one["proven"]) for one in found.harmful) == [
        (["r0"], 1, True),
        (["r1"], 1, True),
    ]


def test_a_vm_that_floats_floats_where_it_comes(build: Any) -> None:
    """Six shared vCPUs over both nodes of a host find room over both of the other, and on no single node."""
    guest = build.vm("wide", build.spec(6, 1, cpu_policy=CpuPolicy.SHARED), current=build.now("h0", None))
    found = sweep(build.fleet(hosts(build, 2), [guest]))
    assert not found.harmful and not found.unknown


def test_free_cpus_in_pieces_do_not_count(build: Any) -> None:
    """Two free CPUs on each of four nodes are eight free CPUs, and no place for a VM of four."""
    small = [build.vm(f"s{n}", build.spec(2, 1, cells=1), current=build.now(f"h{n // 2}", (n % 2,))) for n in range(4)]
    wide = build.vm("wide", build.spec(4, 1, cells=1), current=build.now("h2", (0,)))
    found = sweep(build.fleet(hosts(build, 3), [*small, wide]))
    (worst,) = [one for one in found.harmful if one["domains"] == ["h2"]]
    assert (worst["lost"], worst["proven"]) == (["wide"], True)


def test_racks_and_spares_for_them(build: Any) -> None:
    """Two racks of two hosts, seven of eight places taken: a rack that fails loses three VMs and takes two spares."""
    found = sweep(fleet_of(build, 4, 7), "rack")
    assert found.harmful[0]["vms_lost"] == 3
    assert found.spares is not None and (found.spares["hosts"], found.spares["proven"]) == (2, True)


def test_spares_for_a_rack_are_not_in_it(build: Any) -> None:
    """A spare host in the rack that fails would fail with it: a VM held to its rack has none, any other has."""
    held = Rule(kind=RuleKind.WITHIN, members={"home": "r0"}, hosts={"rack": "r0"})
    homes = [build.spec(4, 1, cells=1, labels={"home": f"r{n}"}) for n in range(2)]
    vms = [build.vm(f"v{n}", homes[n % 2], current=build.now(f"h{n % 2}", (n // 2,))) for n in range(4)]
    found = sweep(build.fleet(hosts(build, 2), vms), "rack")
    assert found.spares is not None and (found.spares["hosts"], found.spares["proven"]) == (1, True)
    found = sweep(build.fleet(hosts(build, 2), vms, [held]), "rack")
    assert found.harmful[0]["domains"] == ["r0"]
    assert found.spares is not None and found.spares["hosts"] is None


def test_pairs_with_room_apart_are_not_solved(build: Any) -> None:
    """Ten hosts with one VM each: slack answers most pairs; four hosts of full ones lose VMs in every pair."""
    vms = [build.vm(f"v{n}", build.spec(4, 1, cells=1), current=build.now(f"h{n}", (0,))) for n in range(10)]
    found = sweep(build.fleet(hosts(build, 10), vms), at_once=2)
    assert (found.combinations, found.harmful) == (45, ())
    assert found.slack > 0 and found.slack + found.alike + found.solved == 45
    tight = sweep(fleet_of(build, 4, 5), at_once=2)
    full = {tuple(one["domains"]): one["vms_lost"] for one in tight.harmful}
    assert all(lost == 1 for lost in full.values()) and len(full) == 6


@pytest.mark.parametrize("seed", range(6))
def test_pairs_that_are_skipped_are_harmless(build: Any, seed: int) -> None:
    """With rules that tie hosts some pairs are still answered by slack, and every one as a solve of it would be."""
    rng = random.Random(seed)
    names = [f"h{n}" for n in range(12)]
    labels = [{"rack": f"r{n % 6}"} for n in range(12)]
    made = [build.host(name, labels=own) for name, own in zip(names, labels, strict=True)]
    vms = [
        build.vm(f"v{n}", build.spec(4, 1, cells=1, labels={"app": f"a{n // 3}"}), current=build.now(f"h{n}", (n % 2,)))
        for n in rng.sample(range(12), 9)
    ]
    rules = [Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": f"a{n}"}, scope="rack", max_per=2) for n in (0, 1)]
    rules.append(Rule(kind=RuleKind.AFFINITY, members={"app": "a2"}, scope="rack"))
    fleet = build.fleet(made, vms, rules)
    plan = solve_with(fleet, OPTIONS)
    found = sweep_failures(Variant(name="base", fleet=fleet), plan, "host", OPTIONS, at_once=2)
    assert found.slack > 0 and found.slack + found.alike + found.solved == found.combinations == 66
    harmful = {tuple(one["domains"]): one["vms_lost"] for one in found.harmful}
    after = settled(fleet, plan)
    for pair in combinations(names, 2):
        lost = fail_hosts((after, OPTIONS, None, None), (pair, False))["lost"]
        assert len(lost) == harmful.get(pair, 0)


def test_two_failures_must_not_meet_in_a_domain(build: Any) -> None:
    """Two of a group flee to one rack that may hold one of them: alone each may, together they are not answered so."""
    made = [build.host("a", labels={"rack": "a"}), build.host("b", labels={"rack": "b"})]
    made += [build.host(name, build.topology(1), labels={"rack": "c"}) for name in ("c1", "c2")]
    spec = build.spec(4, 1, cells=1, labels={"app": "x"})
    vms = [build.vm("xa", spec, current=build.now("a")), build.vm("xb", spec, current=build.now("b"))]
    rule = Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "x"}, scope="rack")
    assert not sweep(build.fleet(made, vms, [rule])).harmful
    found = sweep(build.fleet(made, vms, [rule]), at_once=2)
    assert {tuple(one["domains"]): one["vms_lost"] for one in found.harmful}["a", "b"] == 1


def test_unknown_scopes_are_refused(build: Any) -> None:
    """A label that no host has is bad input, and so it is to ask of failures that leave no host."""
    with pytest.raises(InputError, match="no host has a label 'row'"):
        sweep(fleet_of(build, 3, 2), "row")
    with pytest.raises(InputError, match="only 2 domains"):
        ask_for_fewer(fleet_of(build, 3, 2), "rack", 2)


def test_the_only_rack_may_fail_beside_other_hosts(build: Any) -> None:
    """What is in no rack is left when the only rack fails; where nothing is left all is lost."""
    racked, beside = build.host("a", labels={"rack": "r"}), build.host("b")
    vms = [build.vm("v", build.spec(4, 1, cells=1))]
    alone, both = build.fleet([racked], vms), build.fleet([racked, beside], vms)
    ask_for_fewer(both, "rack", 1)
    assert not sweep(both, "rack").harmful
    assert [one["vcpus_lost"] for one in sweep(alone, "rack").harmful] == [4]


def mixed(build: Any) -> Fleet:
    """Return hosts that are all different, so that each failure is solved for itself."""
    vms = [build.vm(f"v{n}", build.spec(1 + n % 4, 1 + n % 3, cells=1)) for n in range(40)]
    fleet: Fleet = build.fleet(hosts(build, 16), vms)
    return fleet


def test_processes_answer_as_serial_does(build: Any, tmp_path: Path) -> None:
    """The sweep is the same on processes, and from a results file that is complete."""
    expected = dataclasses.asdict(sweep(mixed(build)))
    kept = tmp_path / "r.jsonl"
    assert dataclasses.asdict(sweep(mixed(build), pool=processes(2), results=kept)) == expected
    lines = kept.read_text()
    assert dataclasses.asdict(sweep(mixed(build), results=kept)) == expected
    assert kept.read_text() == lines


@pytest.mark.slow
def test_dask_answers_as_serial_does(build: Any) -> None:
    """The sweep is the same on two real Dask worker processes."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    expected = dataclasses.asdict(sweep(mixed(build)))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        pool = Pool(open=client.get_executor, width=2)
        assert dataclasses.asdict(sweep(mixed(build), pool=pool)) == expected


def test_pins_of_a_failed_host_mean_nothing_elsewhere(build: Any) -> None:
    """A VM with fixed pins on the host that fails goes where CPUs of those numbers are another VM's."""
    pins = {n: frozenset({n}) for n in range(4)}
    fixed = build.vm(
        "fixed",
        build.spec(4, 1, cells=1),
        current=build.now("h0", (0,), pins=pins),
        pins_fixed=True,
        movable=Movable.NO,
    )
    there = build.vm("there", build.spec(4, 1, cells=1), current=build.now("h1", (0,), pins=pins))
    found = sweep(build.fleet(hosts(build, 2), [fixed, there]))
    assert (found.harmful, found.unknown) == ((), ())
    fleet = build.fleet([dataclasses.replace(hosts(build, 2)[0], failed=True), hosts(build, 2)[1]], [fixed, there])
    plan = solve_with(fleet, OPTIONS)
    held = [cpu for vm in plan.vms for cpus in vm.pins.values() for cpu in cpus]
    assert sorted(held) == list(range(8))


def test_a_host_that_is_dedicated_to_vms_without_a_place_stays_closed(build: Any) -> None:
    """The one VM that h1 is for has no place: when h0 fails, its VM does not go there; nor does a group that is gone
    from a rule between two make the fleet a fault.
    """
    two = hosts(build, 2)
    only = Rule(kind=RuleKind.DEDICATED, members={"name": "wide"}, hosts={"name": "h1"})
    apart = Rule(kind=RuleKind.APART, members={"name": "v"}, others={"name": "wide"})
    vms = [build.vm("wide", build.spec(16, 1, cells=1)), build.vm("v", build.spec(4, 1, cells=1))]
    fleet = build.fleet(two, vms, [only, apart])
    plan = solve_with(fleet, OPTIONS)
    assert {vm.name: vm.host for vm in plan.vms} == {"v": "h0"}
    assert [(one["domains"], one["lost"]) for one in sweep(fleet).harmful] == [(["h0"], ["v"])]
