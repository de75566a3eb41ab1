"""With no move and no re-pin allowed nothing changes, whatever else a fleet has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from placer.check.check import check
from placer.measure.moved import is_present
from placer.model.fleet import Fleet
from placer.model.host import Reserve
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind
from placer.model.vm import CoreKind, CpuPolicy, DeviceRequest, EmulatorPolicy, PinPolicy, ThreadPolicy
from placer.planner import solve_fleet


def unchanged(fleet: Fleet) -> Plan:
    """Return the plan that may change nothing, having seen that it does not and that the checker agrees."""
    plan = solve_fleet(fleet, max_moves=0, max_repins=0, time_limit_s=20)
    running = {vm.name for vm in fleet.vms if is_present(fleet, vm)}
    assert [vm.name for vm in plan.vms if vm.name in running and vm.change.value != "none"] == []
    assert check(fleet, plan).ok
    return plan


def test_siblings_left_idle_are_nobody_elses(build: Any) -> None:
    """A VM that is alone on its cores and stays there leaves their siblings idle: a newcomer goes elsewhere."""
    host = build.host(topology=build.topology(1, 8))
    alone = build.spec(2, 2, thread_policy=ThreadPolicy.ISOLATE)
    pins = {0: frozenset({1}), 1: frozenset({2})}
    stays = build.vm("stays", alone, current=build.now(pins=pins))
    plan = unchanged(build.fleet([host], [stays, build.vm("new", build.spec(1, 2))]))
    assert plan.vm_by_name["new"].pins[0] <= {4, 5, 6, 7}


def test_a_reserve_changes_no_pins(build: Any) -> None:
    """CPUs that are not known stay so in the plan that keeps room for a failure, too."""
    hosts = [build.host(name) for name in "abc"]
    vms = [build.vm(f"v{n}", build.spec(2, 2), current=build.now(name)) for n, name in enumerate("ab")]
    unchanged(build.fleet(hosts, vms, [Rule(kind=RuleKind.RESERVE, fail=1)]))


def test_a_repin_takes_a_goal_that_gets_better_by_it(build: Any) -> None:
    """Of two VMs on the same CPU one gets another where excess counts; where nothing does both keep theirs."""
    now = build.now(pins={0: frozenset({0})})
    vms = [build.vm(name, build.spec(1, 1), current=now) for name in "uv"]
    fleet = build.fleet([build.host()], vms)
    plan = solve_fleet(fleet, time_limit_s=20)
    assert [(goal.name, goal.value) for goal in plan.goals][1::4] == [("excess", 0), ("repins", 1)]
    assert plan.goal("repins").status == "feasible" and check(fleet, plan).ok
    kept = solve_fleet(fleet, goals="placed,remote,repins", time_limit_s=20)
    assert kept.goal("repins").value == 0 and kept.status == "optimal"
    assert {vm.change.value for vm in kept.vms} == {"none"}


def test_what_stays_though_it_is_odd(build: Any) -> None:
    """The sibling of a reserved CPU that a VM fills cores with stays idle, emulator threads that are pinned nowhere get
    a CPU without a change of the vCPUs', an immovable VM that floats keeps the device that no host has, and what shall
    be bound is counted where nothing may be, beside newcomers that float on a fleet that is over.
    """
    topology = build.topology(2, 8)
    reserved = build.host("a", topology, reserve=Reserve(cpus=frozenset({4})))
    fills = build.spec(1, 1, thread_policy=ThreadPolicy.REQUIRE)
    shared = build.spec(2, 1, cpu_policy=CpuPolicy.SHARED)
    isolated = build.spec(2, 1, emulator_threads=EmulatorPolicy.ISOLATE)
    wants = build.spec(2, 1, cpu_policy=CpuPolicy.SHARED, devices=(DeviceRequest(kind="nic"),))
    alone = build.spec(2, 1, thread_policy=ThreadPolicy.ISOLATE)
    vms = [
        build.vm("fills", fills, current=build.now(pins={0: frozenset({4})})),
        build.vm("shared", shared, current=build.now()),
        build.vm("isolated", isolated, current=build.now(pins={0: frozenset({4}), 1: frozenset({1})})),
        build.vm("wants", wants, current=build.now(nodes=None), movable=build.NO),
        build.vm("alone", alone, current=build.now(nodes=None, pins={0: frozenset({8}), 1: frozenset({10})})),
        build.vm("must", shared, current=build.now(nodes=None), pin=PinPolicy.MUST),
        *(build.vm(f"large{n}", build.spec(1, 10, cpu_policy=CpuPolicy.SHARED), current=build.now()) for n in (0, 1)),
        build.vm("new", build.spec(4, 1)),
        build.vm("newer", shared),
    ]
    plan = unchanged(build.fleet([reserved], vms))
    assert plan.goal("remote").tiers[0]["value"] == 1


def test_a_pool_of_one_cpu_is_nobodys_own(build: Any) -> None:
    """Dedicated vCPUs that are pinned nowhere on a host with one CPU to float over are not taken to be pinned to it."""
    host = build.host(topology=build.topology(1, 4), dedicated_cpus=frozenset({1, 2, 3}))
    vms = [build.vm(name, build.spec(2, 1), current=build.now(nodes=None)) for name in "uv"]
    unchanged(build.fleet([host], vms))


def test_an_emulator_on_the_other_kind_of_core_stays(build: Any) -> None:
    """A VM on performance cores whose own emulator CPU is an efficiency core keeps both; others float beside."""
    host = build.host(topology=replace(build.topology(1, 8), efficiency=frozenset({6, 7})))
    own = build.spec(2, 1, emulator_threads=EmulatorPolicy.ISOLATE, core_kind=CoreKind.PERFORMANCE)
    now = build.now(pins={0: frozenset({0}), 1: frozenset({1})}, emulator=frozenset({6}))
    vms = [build.vm("own", own, current=now), build.vm("new", build.spec(2, 1, cpu_policy=CpuPolicy.SHARED))]
    fleet = build.fleet([host], vms)
    plan = solve_fleet(fleet, time_limit_s=20)
    assert check(fleet, plan).ok and plan.vm_by_name["own"].emulator == {6} and not plan.unplaced
