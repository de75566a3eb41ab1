"""Schedules: order, circles, rules, limits, windows, and what is impossible."""

from __future__ import annotations

from typing import Any

import pytest

from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan
from placer.model.rules import Rule, RuleKind
from placer.moves.model import MoveLimits, StepKind
from placer.moves.schedule import cyclic_moves, schedule_moves


def swap(build: Any, spare: bool) -> tuple[Fleet, Plan]:
    """Return two VMs that fill a one-node host each and change places, with or without a third, empty host."""
    topology = build.topology(nodes=1)
    hosts = [build.host(name, topology) for name in ("a", "b", "c")[: 3 if spare else 2]]
    spec = build.spec(4, 10)
    one = build.vm("one", spec, current=build.now("a", pins={n: frozenset({n}) for n in range(4)}))
    two = build.vm("two", spec, current=build.now("b", pins={n: frozenset({n}) for n in range(4)}))
    plan = build.plan(
        build.placed(one, range(4), [0], "b", change=Change.MIGRATE, from_host="a"),
        build.placed(two, range(4), [0], "a", change=Change.MIGRATE, from_host="b"),
    )
    return build.fleet(hosts, [one, two]), plan


def test_a_swap_of_full_hosts_parks_one_vm_and_proves_it_fewest(build: Any) -> None:
    """One VM goes over the spare host: three moves in three waves, one of them parking, proven fewest."""
    fleet, plan = swap(build, spare=True)
    schedule = schedule_moves(fleet, plan)
    assert (schedule.parking_moves, schedule.parking_bound, schedule.blocked) == (1, 1, ())
    assert [len(wave.steps) for wave in schedule.waves] == [1, 1, 1]
    assert [wave.complete for wave in schedule.waves] == [False, False, True]
    assert schedule.steps[0].parking and schedule.steps[0].target.host == "c"


def test_a_circle_is_reported_with_its_vms_and_hosts(build: Any) -> None:
    """`cyclic_moves` names both VMs of a swap, and none where there is room to pass."""
    fleet, plan = swap(build, spare=False)
    (cycle,) = cyclic_moves(fleet, plan)
    assert (cycle.vms, cycle.hosts, cycle.fewest_parkings, cycle.exact) == (("one", "two"), ("a", "b"), 1, True)
    roomy = build.topology(nodes=1, cpus=8, memory_gib=64)
    fleet = build.fleet([build.host("a", roomy), build.host("b", roomy)], fleet.vms)
    assert cyclic_moves(fleet, plan) == ()


def test_an_impossible_schedule_names_the_vms_in_the_way(build: Any) -> None:
    """Without a spare host neither VM can go, and each is blocked by the other."""
    fleet, plan = swap(build, spare=False)
    schedule = schedule_moves(fleet, plan)
    assert schedule.waves == () and schedule.parking_moves == 0
    assert [(entry.vm, entry.target, entry.by) for entry in schedule.blocked] == [
        ("one", "b", ("two",)),
        ("two", "a", ("one",)),
    ]
    assert "memory free" in schedule.blocked[0].reason


def test_pins_change_before_anything_moves_and_steps_wait_for_room(build: Any) -> None:
    """A re-pin makes the CPUs free on which another VM arrives; the first wave holds no move."""
    topology = build.topology(nodes=1)
    stays = build.vm("stays", current=build.now("a", pins={0: frozenset({0}), 1: frozenset({1})}))
    comes = build.vm("comes", current=build.now("b", pins={0: frozenset({0}), 1: frozenset({1})}))
    plan = build.plan(
        build.placed(stays, [2, 3], [0], "a", change=Change.REPIN),
        build.placed(comes, [0, 1], [0], "a", change=Change.MIGRATE, from_host="b"),
    )
    fleet = build.fleet([build.host("a", topology), build.host("b", topology)], [stays, comes])
    schedule = schedule_moves(fleet, plan)
    assert [[step.vm for step in wave.steps] for wave in schedule.waves] == [["stays"], ["comes"]]


@pytest.mark.parametrize("cpus", [4, 6])
def test_pins_that_change_places_pass_over_free_cpus_or_share(build: Any, cpus: int) -> None:
    """Two VMs that swap CPUs use free ones in between where there are any; else one shares, and says so."""
    one = build.vm("one", current=build.now("a", pins={0: frozenset({0}), 1: frozenset({1})}))
    two = build.vm("two", current=build.now("a", pins={0: frozenset({2}), 1: frozenset({3})}))
    plan = build.plan(
        build.placed(one, [2, 3], [0], "a", change=Change.REPIN),
        build.placed(two, [0, 1], [0], "a", change=Change.REPIN),
    )
    fleet = build.fleet([build.host("a", build.topology(nodes=1, cpus=cpus))], [one, two])
    steps = schedule_moves(fleet, plan).steps
    assert {step.kind for step in steps} == {StepKind.REPIN}
    if cpus == 6:
        assert [step.passing for step in steps] == [True, False, False]
        assert steps[0].target.pins == {0: frozenset({4}), 1: frozenset({5})}
        assert not any(step.shares_with for step in steps)
    else:
        assert [(step.vm, step.shares_with) for step in steps] == [("one", ("two",)), ("two", ())]


@pytest.mark.parametrize("scope", ["host", "rack"])
def test_anti_affinity_holds_while_members_move(build: Any, scope: str) -> None:
    """A member arrives only once the one it replaces has left the host or rack, though there is room for both."""
    hosts = [build.host(name, labels={"rack": name}) for name in ("a", "b", "c")]
    spec = build.spec(1, 1, labels={"app": "db"})
    one, two = build.vm("one", spec, current=build.now("a")), build.vm("two", spec, current=build.now("b"))
    rule = Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "db"}, scope=scope)
    plan = build.plan(
        build.placed(one, [0], [0], "b", change=Change.MIGRATE, from_host="a"),
        build.placed(two, [0], [0], "c", change=Change.MIGRATE, from_host="b"),
    )
    schedule = schedule_moves(build.fleet(hosts, [one, two], [rule]), plan)
    assert [[step.vm for step in wave.steps] for wave in schedule.waves] == [["two"], ["one"]]


def test_a_rule_broken_at_the_start_does_not_stop_its_mending(build: Any) -> None:
    """Two members on one host: one leaves, though the rule is broken while it goes."""
    spec = build.spec(1, 1, labels={"app": "db"})
    one, two = build.vm("one", spec, current=build.now("a")), build.vm("two", spec, current=build.now("a"))
    rule = Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "db"})
    plan = build.plan(
        build.placed(one, [0], [0], "a", change=Change.REPIN),
        build.placed(two, [0], [0], "b", change=Change.MIGRATE, from_host="a"),
    )
    schedule = schedule_moves(build.fleet([build.host("a"), build.host("b")], [one, two], [rule]), plan)
    assert schedule.blocked == () and len(schedule.steps) == 2


def evacuation(build: Any) -> tuple[Fleet, Plan]:
    """Return six VMs of 2 GiB that leave host a for host b."""
    topology = build.topology(nodes=1, cpus=8)
    spec = build.spec(1, 2)
    vms = [build.vm(f"v{n}", spec, current=build.now("a", pins={0: frozenset({n})})) for n in range(6)]
    placed = [build.placed(vm, [n], [0], "b", change=Change.MIGRATE, from_host="a") for n, vm in enumerate(vms)]
    return build.fleet([build.host("a", topology), build.host("b", topology)], vms), build.plan(*placed)


def test_limits_bandwidth_and_window(build: Any) -> None:
    """Two at once make three waves of 4 GiB; at 1 GiB a minute a window of 9 minutes takes two of them."""
    fleet, plan = evacuation(build)
    limits = MoveLimits(per_host=2, bandwidth_gib_s=1 / 60)
    schedule = schedule_moves(fleet, plan, limits)
    assert [wave.memory_gib for wave in schedule.waves] == [4, 4, 4]
    assert [wave.minutes for wave in schedule.waves] == pytest.approx([4, 4, 4])
    cut = schedule_moves(fleet, plan, limits, window_minutes=9)
    assert len(cut.waves) == 2 and [step.vm for step in cut.remaining] == ["v4", "v5"]
    one_by_one = schedule_moves(fleet, plan, MoveLimits(per_host=4, per_host_gib=3))
    assert [len(wave.steps) for wave in one_by_one.waves] == [1] * 6
    assert one_by_one.minutes is None, "without a bandwidth the time is not known"


def test_a_window_never_ends_while_a_vm_is_put_aside(build: Any) -> None:
    """A swap over a spare host takes 30 minutes; a window of 25 takes none of it."""
    fleet, plan = swap(build, spare=True)
    limits = MoveLimits(bandwidth_gib_s=1 / 60)
    assert len(schedule_moves(fleet, plan, limits, window_minutes=31).waves) == 3
    cut = schedule_moves(fleet, plan, limits, window_minutes=25)
    assert cut.waves == () and len(cut.remaining) == 3


def test_a_vm_above_the_limit_of_memory_is_blocked_by_name(build: Any) -> None:
    """A VM of 2 GiB never moves where 1 GiB may be under way."""
    fleet, plan = evacuation(build)
    schedule = schedule_moves(fleet, plan, MoveLimits(per_host_gib=1))
    assert len(schedule.blocked) == 6 and "1 GiB" in schedule.blocked[0].reason


def test_shared_cpusets_make_way_before_a_pinned_vm_arrives(build: Any) -> None:
    """The CPUs of an arriving dedicated VM leave the floating set before it comes, those it left are given back."""
    from placer.model.vm import CpuPolicy

    topology = build.topology(nodes=1)
    floating = build.vm("floating", build.spec(1, 1, cpu_policy=CpuPolicy.SHARED), current=build.now("a"))
    comes = build.vm("comes", current=build.now("b", pins={0: frozenset({0}), 1: frozenset({1})}))
    plan = build.plan(
        build.placed(floating, [{2, 3}], [0], "a"),
        build.placed(comes, [0, 1], [0], "a", change=Change.MIGRATE, from_host="b"),
    )
    hosts = [build.host("a", topology, cpu_ratio=4.0), build.host("b", topology)]
    (wave,) = schedule_moves(build.fleet(hosts, [floating, comes]), plan).waves
    (entry,) = wave.before
    assert (entry.host, entry.cpus, entry.vms) == ("a", frozenset({2, 3}), ("floating",))


def test_limits_that_make_no_sense_are_refused(build: Any) -> None:
    """A window needs a bandwidth, and limits are above zero."""
    fleet, plan = evacuation(build)
    with pytest.raises(InputError, match="--bandwidth"):
        schedule_moves(fleet, plan, window_minutes=10)
    with pytest.raises(InputError, match="above 0"):
        schedule_moves(fleet, plan, MoveLimits(per_host=0))
