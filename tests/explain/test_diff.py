"""What differs between now and a plan, and between two plans."""

from __future__ import annotations

from typing import Any

from placer.explain.diff import Difference, compare_plans, compare_states, compare_with_now
from placer.model.plan import Change
from placer.model.vm import EmulatorPolicy, Movable


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
    of_one_fleet = list(Difference)[: len(names)]
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
