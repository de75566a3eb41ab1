"""Where VMs float, what a step brings to a node must really be free there: the schedule says how much."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest

from placer.emit.moves.csv import COLUMNS, schedule_csv
from placer.emit.moves.json import step_data
from placer.emit.moves.markdown import remark
from placer.emit.moves.script import schedule_script
from placer.model.vm import CpuPolicy, PinPolicy
from placer.moves.changes import plan_changes
from placer.moves.model import Step
from placer.moves.schedule import schedule_moves
from placer.planner import solve_fleet

GIB = 1024**2


def steps(fleet: Any, **options: Any) -> dict[str, Step]:
    """Return the steps of a fleet's plan by VM."""
    plan = solve_fleet(fleet, time_limit_s=20, **options)
    return {step.vm: step for step in schedule_moves(fleet, plan).steps}


def test_a_node_of_a_host_over_which_vms_float_must_be_free_first(build: Any) -> None:
    """Of two nodes the full one sends a VM to the other, where a VM that floats may lie; else all is known."""
    spec = build.spec(2, 10, cpu_policy=CpuPolicy.SHARED)
    vms = [build.vm(name, spec, current=build.now()) for name in "uv"]
    loose = build.vm("loose", build.spec(1, 4, cpu_policy=CpuPolicy.SHARED), current=build.now("a", None))
    for more, wanted in (([loose], {1: 10 * GIB}), ([], {})):
        (step,) = steps(build.fleet([build.host()], [*vms, *more]), max_moves=1).values()
        assert dict(step.wants_free) == wanted
        assert ("10GiB on node 1 must be free first" in remark(step)) is bool(more)


def test_a_vm_that_is_bound_wants_its_node_free_by_its_next_start(build: Any) -> None:
    """It floats itself, so that nobody knows whether its node is free of others."""
    spec = build.spec(2, 6, cpu_policy=CpuPolicy.SHARED)
    vm = build.vm("v", spec, current=build.now("a", None), pin=PinPolicy.MUST)
    (step,) = steps(build.fleet([build.host()], [vm])).values()
    assert list(step.wants_free.values()) == [6 * GIB] and "by its next start" in remark(step)
    assert json.loads(json.dumps(step_data(step)))["wants_free_kib"].popitem()[1] == 6 * GIB


def crowded(build: Any, memory_on: dict[int, int], **more: Any) -> Any:
    """Return a host where one of two VMs of 10 GiB has to leave node 0 for node 1, and one of 8 GiB floats."""
    spec = build.spec(1, 10, cpu_policy=CpuPolicy.SHARED)
    vms = [build.vm(name, spec, current=build.now()) for name in "uv"]
    vms.append(build.vm("w", build.spec(1, 7, cpu_policy=CpuPolicy.SHARED), current=build.now("a", (2,))))
    now = build.now("a", None, memory_on={node: gib * GIB for node, gib in memory_on.items()})
    vms.append(build.vm("a/loose one", build.spec(1, 8, cpu_policy=CpuPolicy.SHARED), current=now, **more))
    return build.fleet([build.host(topology=build.topology(nodes=3))], vms)


@pytest.mark.parametrize(
    ("memory_on", "more", "moved"),
    [
        ({1: 8}, {}, 8),
        ({1: 6, 0: 2}, {}, 0),
        ({}, {}, 0),
        ({1: 8}, {"running": False}, 0),
    ],
)
def test_pages_that_are_known_to_be_in_the_way_are_moved_first(
    build: Any, memory_on: dict[int, int], more: dict[str, object], moved: int
) -> None:
    """To where there is room; nothing where enough is free, where nobody knows, or where the VM does not run."""
    found = steps(crowded(build, memory_on, **more), max_moves=1)
    (step,) = [one for one in found.values() if one.vm in "uv"]
    assert dict(step.wants_free) == {1: 10 * GIB}
    told = [(move.vm, move.source, move.target, move.memory_kib) for move in step.pages_first]
    assert told == ([("a/loose one", 1, 2, moved * GIB)] if moved else [])


def test_every_form_tells_of_the_want_and_of_pages_to_move(build: Any) -> None:
    """JSON, CSV, markdown and script have the same command, its name quoted; the script looks before it acts."""
    fleet = crowded(build, {1: 8})
    plan = solve_fleet(fleet, time_limit_s=20, max_moves=1)
    schedule = schedule_moves(fleet, plan)
    (step,) = [one for one in schedule.steps if one.vm in "uv"]
    command = "migratepages \"$(cat '/run/libvirt/qemu/loose one.pid')\" 1 2"
    assert step_data(step)["move_pages_first"] == [
        {"vm": "a/loose one", "host": "a", "from_node": 1, "to_node": 2, "memory_kib": 8 * GIB, "command": command}
    ]
    assert f"first move 8GiB of a/loose one, which floats, on a: {command}; 10GiB on node 1 must be free" in remark(
        step
    )
    row = next(
        row for row in csv.reader(schedule_csv(schedule, plan_changes(fleet, plan)).splitlines()) if step.vm in row
    )
    assert COLUMNS[-2:] == ("wants_free", "pages_first") and row[-2:] == ["10GiB on node 1", command]
    script = schedule_script(schedule, fleet)
    assert (
        f"# first, as root on a, pages of a/loose one: {command}\nwants {step.vm} '' 1 {10 * GIB} && restart" in script
    )


def test_a_vm_that_is_bound_wants_only_what_is_not_there_yet(build: Any) -> None:
    """Where its pages lie is known: what it has on its node is free by its next start."""
    spec = build.spec(2, 6, cpu_policy=CpuPolicy.SHARED)
    now = build.now("a", None, memory_on={0: 5 * GIB, 1: GIB})
    (step,) = steps(build.fleet([build.host()], [build.vm("v", spec, current=now, pin=PinPolicy.MUST)])).values()
    assert dict(step.wants_free) in ({0: GIB}, {1: 5 * GIB})


def test_no_command_reads_a_file_that_a_name_leads_to(build: Any) -> None:
    """A VM named like a path has no pages moved: its process file would be somebody's own."""
    fleet = crowded(build, {1: 8})
    vms = tuple(build.replace(vm, name="a/../../tmp/x") if vm.name == "a/loose one" else vm for vm in fleet.vms)
    found = steps(build.replace(fleet, vms=vms), max_moves=1)
    assert all(not step.pages_first for step in found.values())
