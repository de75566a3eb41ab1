"""Orders of moves of random live fleets, replayed step by step by code of the benchmark's own."""

from __future__ import annotations

from pathlib import Path

import pytest

import placer
from benchmarks.move_orders import Replay, judged
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.moves.model import MoveLimits, Schedule
from placer.moves.schedule import schedule_moves
from placer.read.inventory.write import inventory_text


@pytest.mark.parametrize("first", range(0, 24, 6))
def test_every_step_fits_and_no_order_is_missing(first: int) -> None:
    """VMs that are bound, float, or have CPUs, pages and devices of their own: hosts hold both ends of every wave."""
    plans = 0
    for seed in range(first, first + 6):
        schedule, wrong = judged(seed)
        assert not wrong, (seed, wrong)
        plans += schedule is not None and bool(schedule.steps)
    assert plans >= 3


def ordered(tmp_path: Path, hosts: str, vms: str, rules: str) -> tuple[Fleet, Schedule]:
    """Return a fleet and the order of the moves that mend its rules."""
    path = tmp_path / "fleet.yaml"
    path.write_text(f"schema: placer.inventory/v1\nhosts:\n{hosts}\nvms:\n{vms}\nrules:\n{rules}\n")
    fleet = placer.read_fleet(path)
    plan = placer.solve(fleet, goals="placed,rules,moves", max_moves=4)
    assert {goal.name: goal.value for goal in plan.goals}.get("soft", 0) == plan.goals[1].value == 0
    return fleet, schedule_moves(fleet, plan, MoveLimits(per_host=4))


def two_swap(tmp_path: Path, nodes: str, gib: int, more: str = "") -> tuple[Fleet, Schedule]:
    """Return two hosts whose VMs, on no known node, are to change places."""
    hosts = "\n".join(f"  - {{name: {name}, nodes: [{nodes}]}}" for name in "ab") + more
    vms = "\n".join(
        f"  - {{name: {name}, vcpus: 2, memory: {gib}GiB, cpu_policy: shared, host: {host}}}"
        for name, host in (("v", "a"), ("w", "b"))
    )
    return ordered(
        tmp_path, hosts, vms, "  - {within: [v], hosts: [b], soft: true}\n  - {within: [w], hosts: [a], soft: true}"
    )


ONE_NODE = "{id: 0, cpus: 0-7, memory: 64GiB}"
TWO_NODES = "{id: 0, cpus: 0-3, memory: 32GiB}, {id: 1, cpus: 4-7, memory: 32GiB}"


@pytest.mark.parametrize("nodes", [ONE_NODE, TWO_NODES])
def test_vms_on_no_known_node_count_on_their_host(tmp_path: Path, nodes: str) -> None:
    """Two of 50 GiB on hosts of 64 have no order, and none is told; two of 30 GiB go at once; on a third host one of
    the large ones is put aside.
    """
    _, none = two_swap(tmp_path, nodes, 50)
    assert not none.waves and [one.vm for one in none.blocked] == ["v", "w"] and none.parking_bound == 1
    assert "of memory free, held by 'w'" in none.blocked[0].reason
    fleet, small = two_swap(tmp_path, nodes, 30)
    assert len(small.waves) == 1 and len(small.steps) == 2 and not Replay.of(fleet, small).run(small)
    fleet, third = two_swap(tmp_path, nodes, 50, f"\n  - {{name: c, nodes: [{nodes}]}}")
    assert third.parking_moves == third.parking_bound == 1 and not third.blocked
    assert not Replay.of(fleet, third).run(third)


def test_what_floats_goes_where_bound_memory_leaves_room(tmp_path: Path) -> None:
    """A floating VM of 38 GiB fits beside a bound one of 20 on a node of 32: what is left of both nodes is 44."""
    hosts = "\n".join(f"  - {{name: {name}, nodes: [{TWO_NODES}]}}" for name in "ab")
    vms = (
        "  - {name: f, vcpus: 2, memory: 38GiB, cpu_policy: shared, host: a}\n"
        "  - {name: b, vcpus: 2, memory: 20GiB, cpu_policy: shared, host: b, nodes: [0]}"
    )
    fleet, schedule = ordered(tmp_path, hosts, vms, "  - {within: [f], hosts: [b]}")
    assert [step.vm for step in schedule.steps] == ["f"] and not schedule.blocked
    assert not Replay.of(fleet, schedule).run(schedule)


def test_hosts_that_tell_no_memory_have_enough(tmp_path: Path) -> None:
    """The plan takes it for enough, and so does the order: a VM that floats had no way there."""
    hosts = "\n".join(f"  - {{name: {name}, nodes: [{{id: 0, cpus: 0-3}}, {{id: 1, cpus: 4-7}}]}}" for name in "ab")
    vms = "  - {name: v, vcpus: 2, memory: 5GiB, cpu_policy: shared, host: a}"
    _, schedule = ordered(tmp_path, hosts, vms, "  - {within: [v], hosts: [b]}")
    assert [step.vm for step in schedule.steps] == ["v"] and not schedule.blocked


def test_local_disks_are_copied_and_take_time(tmp_path: Path) -> None:
    """A VM of 16 GiB with a local disk of 1.5 TiB takes 1,552 GiB to another host, and the minutes of all that."""
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "schema: placer.inventory/v1\nhosts:\n"
        f"  - {{name: a, nodes: [{ONE_NODE}], resources: {{disk: 4TiB}}}}\n"
        f"  - {{name: b, nodes: [{ONE_NODE}], resources: {{disk: 4TiB}}}}\n"
        "vms:\n  - {name: v, count: 2, vcpus: 1, memory: 16GiB, host: a, nodes: [0], resources: {disk: 1.5TiB},"
        " copied: [disk]}\nrules:\n  - {within: [v-1], hosts: [b]}\n"
    )
    fleet = placer.read_fleet(path)
    plan = placer.solve(fleet, goals="placed,rules,moves", max_moves=1)
    schedule = schedule_moves(fleet, plan, MoveLimits(bandwidth_gib_s=1.0))
    step = next(one for one in schedule.steps if one.vm == "v-1")
    assert (step.memory_gib, step.disk_gib, step.copied_gib) == (16, 1536, 1552)
    assert schedule.minutes == pytest.approx(1552 / 60)
    assert placer.read_fleet(written(tmp_path, inventory_text(fleet))).vms == fleet.vms
    path.write_text(path.read_text().replace("copied: [disk]", "copied: [ssd]"))
    with pytest.raises(InputError, match="'ssd' is no size among its resources"):
        placer.read_fleet(path)


def written(folder: Path, text: str) -> Path:
    """Return a file with a text."""
    path = folder / "again.yaml"
    path.write_text(text)
    return path
