"""All failures of a fleet at once, against the sweep that looks at each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from small_fleets import small_live_fleet

from placer.failures.screened import screened_sweep
from placer.failures.sweep import standing, sweep_failures
from placer.model.fleet import Fleet
from placer.model.rules import Rule, RuleKind
from placer.options import SweepOptions
from placer.sweeps.tasks import Variant

LIMITS = SweepOptions(time_limit_s=600)


def reserve(scope: str = "host", fail: int = 1, **more: Any) -> Rule:
    """Return a rule that keeps room for failures."""
    return Rule(kind=RuleKind.RESERVE, scope=scope, fail=fail, **more)


@pytest.mark.parametrize("first", range(0, 12, 4))
def test_what_is_told_is_what_each_failure_does(first: int) -> None:
    """Harmful failures, the VMs that they leave without a place and the vCPUs of these are those of the sweep."""
    told = 0
    for seed in range(first, first + 4):
        fleet = standing(small_live_fleet(seed))
        for scope, fail in (("host", 1), ("rack", 1), ("host", 2)):
            found = screened_sweep(fleet, reserve(scope, fail), LIMITS)
            if found is None:
                continue
            swept = sweep_failures(Variant(name="x", fleet=fleet), None, scope, LIMITS, at_once=fail)
            assert (found.combinations, found.at_once) == (swept.combinations, swept.at_once)
            lost = {tuple(one["domains"]): one["vcpus_lost"] for one in found.harmful}
            unsure = {tuple(one["domains"]) for one in found.unknown}
            every = {tuple(one["domains"]): one["vcpus_lost"] for one in swept.harmful}
            assert lost == {key: vcpus for key, vcpus in every.items() if key not in unsure}, (seed, scope, fail)
            told += not unsure
    assert told


def large(build: Any, more_on_each: int = 0) -> Fleet:
    """Return 300 hosts of two nodes of four CPUs, 250 of them with a VM of two vCPUs, and so many of four in each
    tenth.
    """
    topology = build.topology()
    hosts = [build.host(f"h{n}", topology, labels={"rack": f"r{n // 30}"}) for n in range(300)]
    spec, wide = build.spec(2, 2), build.spec(4, 2)
    now = {"nodes": (0,), "memory_nodes": (0,)}
    vms = [build.vm(f"v{n}", spec, current=build.now(f"h{n}", **now)) for n in range(250)]
    vms += [build.vm(f"w{n}", wide, current=build.now(f"h{n}", nodes=(1,))) for n in range(0, 250, 10) if more_on_each]
    return build.fleet(hosts, vms)


def test_two_fits_tell_of_hundreds_of_hosts(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is room for what any failure can ask, as many fits as sets of hosts are made, not one a failure."""
    from placer.failures import screened

    fits = []
    plain = screened.placed_counts
    monkeypatch.setattr(screened, "placed_counts", lambda *a, **k: fits.append(a) or plain(*a, **k))
    for scope, fail in (("host", 1), ("host", 2), ("rack", 1)):
        fits.clear()
        found = screened_sweep(large(build, 1), reserve(scope, fail), LIMITS)
        assert found is not None and (found.harmful, found.unknown, len(fits)) == ((), (), fail + 1)


def test_vms_that_no_other_host_has_room_for_are_lost(build: Any) -> None:
    """A VM wider than what is free anywhere is lost with its host, proven; the other failures are harmless."""
    fleet = large(build)
    full = [
        build.vm(f"x{n}-{node}", build.spec(2, 2), current=build.now(f"h{n}", nodes=(node,)))
        for n in range(300)
        for node in (0, 1)
    ]
    wide = build.vm("wide", build.spec(4, 2), current=build.now("big", nodes=(0,)))
    fleet = replace(fleet, hosts=(*fleet.hosts, build.host("big")), vms=(*full, wide))
    found = screened_sweep(fleet, reserve(), LIMITS)
    assert found is not None and not found.unknown
    (lost,) = found.harmful
    assert (lost["domains"], lost["lost"], lost["vcpus_lost"], lost["proven"]) == (["big"], ["wide"], 4, True)
    assert found.slack == 300


def test_vms_alike_in_other_rules_are_told_apart(build: Any) -> None:
    """VMs of one size, some of which a rule holds to their rack by a label: these alone are lost with it."""
    fleet = large(build)
    held = build.spec(2, 2, labels={"home": "r0"})
    vms = [replace(vm, spec=held) if n < 30 else vm for n, vm in enumerate(fleet.vms)]
    rule = Rule(kind=RuleKind.WITHIN, members={"home": "r0"}, hosts={"rack": "r0"})
    for ordered in (vms, vms[::-1]):
        found = screened_sweep(replace(fleet, vms=tuple(ordered), rules=(rule,)), reserve("rack"), LIMITS)
        assert found is not None and not found.unknown
        (lost,) = found.harmful
        assert (lost["domains"], lost["vms_lost"], lost["proven"]) == (["r0"], 30, True)


def test_vms_that_rules_tie_are_left_to_the_sweep(build: Any) -> None:
    """Where a rule ties VMs, or names one, nothing is told."""
    fleet = large(build)
    for rule in (
        Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "a"}, scope="host", max_per=1),
        Rule(kind=RuleKind.WITHIN, members={"name": "v1"}, hosts={"rack": "r0"}),
    ):
        assert screened_sweep(replace(fleet, rules=(rule,)), reserve(), LIMITS) is None
