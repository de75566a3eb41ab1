"""What differs between now and a plan, and between two plans."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from placer.check.check import check
from placer.explain.diff import Difference, compare_plans, compare_states, compare_with_now
from placer.model.plan import Change
from placer.model.vm import CpuPolicy, EmulatorPolicy, Movable
from placer.moves.changes import plan_changes
from placer.planner import solve_fleet
from placer.show.change_words import change_sentences
from placer.show.differences import difference_csv, difference_sentences, elsewhere_rows


def test_every_kind_of_difference_between_two_plans(build: Any) -> None:
    """Stays, re-pinned, other node, migrated, restarted, placed and unplaced are told apart, VM by VM."""
    spec = build.spec(1, 1)
    names = ("stays", "repinned", "node", "host", "cold", "new", "gone")
    vms = {name: build.vm(name, spec) for name in names}
    vms["cold"] = build.vm("cold", spec, movable=Movable.COLD)
    fleet = build.fleet([build.host("a"), build.host("b")], list(vms.values()))
    old = build.plan(
        *(build.placed(vms[name], [number % 4], [0]) for number, name in enumerate(names) if name != "new")
    )
    new = build.plan(
        build.placed(vms["stays"], [0], [0]),
        build.placed(vms["repinned"], [3], [0]),
        build.placed(vms["node"], [4], [1]),
        build.placed(vms["host"], [3], [0], "b"),
        build.placed(vms["cold"], [0], [0], "b"),
        build.placed(vms["new"], [5], [1]),
    )
    found = compare_plans(fleet, old, new)
    of_now = (Difference.FOLLOWS, Difference.MEMORY_MODE, Difference.DEVICES)
    of_one_fleet = [kind for kind in Difference if kind not in of_now][: len(names)]
    assert {vm.vm: vm.difference for vm in found.vms} == dict(zip(names, of_one_fleet, strict=True))
    assert [found.totals[kind] for kind in of_one_fleet] == [1] * len(names) and not found.same
    assert compare_plans(fleet, old, old).same


def test_isolated_emulator_threads_count_as_pins(build: Any) -> None:
    """A VM whose own emulator CPU changes is re-pinned."""
    vm = build.vm("v", build.spec(1, 1, emulator_threads=EmulatorPolicy.ISOLATE))
    fleet = build.fleet([build.host("a")], [vm])
    plans = [build.plan(build.placed(vm, [0], [0], emulator=frozenset({cpu}))) for cpu in (1, 2)]
    assert compare_plans(fleet, *plans).vms[0].difference is Difference.REPINNED


def test_a_fleet_is_compared_by_what_the_plan_changes(build: Any) -> None:
    """The old side is where the VM is now, memory apart from CPUs included."""
    vm = build.vm("v", current=build.now("a", nodes=(0,), memory_nodes=(1,)))
    fleet = build.fleet([build.host("a"), build.host("b")], [vm])
    plan = build.plan(build.placed(vm, [0, 1], [0], change=Change.RENODE))
    (found,) = compare_with_now(fleet, plan).vms
    assert (found.difference, found.old_nodes, found.new_nodes) == (Difference.OTHER_NODE, (0, 1), (0,))


def test_fleets_of_two_weeks_are_compared_by_uuid_and_name(build: Any) -> None:
    """A renamed VM is the same by its UUID, one of the same name with another UUID is not; hosts come and go."""
    at = {"current": build.now("a", nodes=(0,), memory_nodes=(0,))}
    old = build.fleet(
        [build.host("a"), build.host("b")],
        [
            build.vm("kept", **at),
            build.vm("old-name", uuid="1" * 32, **at),
            build.vm("reused", uuid="2" * 32, **at),
            build.vm("gone", **at),
            build.vm("far", **at),
        ],
    )
    new = build.fleet(
        [build.host("a"), build.host("c")],
        [
            build.vm("kept", **at),
            build.vm("new-name", uuid="1" * 32, current=build.now("a", nodes=(1,), memory_nodes=(1,))),
            build.vm("reused", uuid="3" * 32, **at),
            build.vm("far", current=build.now("c", nodes=(0,), memory_nodes=(0,))),
        ],
    )
    found = compare_states(old, None, new, None)
    assert [(vm.vm, vm.was, vm.difference.value) for vm in found.vms] == [
        ("kept", None, "stays"),
        ("new-name", "old-name", "other node"),
        ("reused", None, "came"),
        ("far", None, "migrated"),
        ("reused", None, "gone"),
        ("gone", None, "gone"),
    ]
    assert (found.hosts_came, found.hosts_gone) == (("c",), ("b",))
    assert compare_states(old, None, old, None).same


def test_cpusets_that_follow_are_told_apart(build: Any) -> None:
    """A VM whose cpuset leaves what a newcomer is given neither stays as it is nor is re-pinned."""
    shared = build.spec(2, 2, cpu_policy=CpuPolicy.SHARED)
    wide = dict.fromkeys(range(2), frozenset(range(4)))
    vms = [build.vm("old", shared, current=build.now(pins=wide)), build.vm("new", build.spec(2, 2))]
    host = build.host(topology=build.topology(nodes=1))
    fleet = build.fleet([host], vms)
    plan = solve_fleet(fleet)
    assert plan.vm_by_name["old"].change is Change.FOLLOW
    taken = frozenset().union(*plan.vm_by_name["new"].pins.values())
    assert set(plan.vm_by_name["old"].pins.values()) == {frozenset(range(4)) - taken}
    compared = compare_with_now(fleet, plan)
    assert [vm.difference for vm in compared.vms] == [Difference.FOLLOWS, Difference.PLACED]
    assert "0 only re-pinned, 1 whose cpuset follows, 0 as they are." in list(difference_sentences(compared))
    changes = plan_changes(fleet, plan)
    assert (changes.stay, changes.follow, len(changes.vms)) == (0, 1, 1)
    assert "The cpuset of 1 VM follows: CPUs that others are given leave it." in list(change_sentences(changes))
    claimed = replace(plan, vms=tuple(replace(vm, change=Change.NONE) for vm in plan.vms))
    assert any("change none" in str(fault) for fault in check(fleet, claimed).faults)


def test_memory_that_moves_is_told_from_cpus_that_come_to_it(build: Any) -> None:
    """Both are on other nodes; only one copies memory, as the order of moves counts it."""
    far = build.now("a", nodes=(0,), memory_nodes=(1,))
    names = ("copies", "comes")
    fleet = build.fleet([build.host("a")], [build.vm(name, current=far) for name in names])
    copies, comes = fleet.vms
    plan = build.plan(
        build.placed(copies, [0, 1], [0], change=Change.RENODE), build.placed(comes, [4, 5], [1], change=Change.RENODE)
    )
    found = compare_with_now(fleet, plan)
    assert {vm.vm: vm.moves_memory for vm in found.vms} == {"copies": True, "comes": False}
    assert {vm.vm for vm in plan_changes(fleet, plan).moving} == {"copies"}
    assert [(name, memory) for name, *_, memory in elsewhere_rows(found)] == [("copies", "2 GiB"), ("comes", "-")]
    said = " ".join(difference_sentences(found))
    assert "2 other node; 1 move memory, of 1 only the CPUs change node" in said


def test_other_devices_are_a_difference(build: Any) -> None:
    """Two plans, or two weeks, that give a VM other addresses differ; the row and the CSV name both."""
    vm = build.vm("v", build.spec(1, 1))
    fleet = build.fleet([build.host("a")], [vm])
    plans = [
        build.plan(build.placed(vm, [0], [0], devices=(("gpu", 0),), addresses=(address,)))
        for address in ("0000:41:00.0", "0000:42:00.0")
    ]
    compared = compare_plans(fleet, *plans)
    assert elsewhere_rows(compared) == [("v", "other devices", "a node 0 0000:41:00.0", "a node 0 0000:42:00.0", "-")]
    assert difference_csv(compared).splitlines()[1].endswith(",a,0,a,0,0000:41:00.0,0000:42:00.0,,,")
    assert "1 VM elsewhere: 1 other devices." in list(difference_sentences(compared))
    assert compare_plans(fleet, plans[0], plans[0]).same
    assert compare_states(fleet, plans[0], fleet, plans[1]).vms[0].difference is Difference.DEVICES
