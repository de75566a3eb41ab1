"""Plans carried out in the order of `placer moves`: every step fits, by a count of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.truth.cases import Case
from benchmarks.truth.fleets import draw
from benchmarks.truth.race import fleet_of, planned
from benchmarks.truth.reads.reading import read
from benchmarks.truth.replay.steps import replay, steps
from placer.moves.schedule import schedule_moves

FLEETS = 4


@pytest.mark.parametrize("family", ["live", "live-pins", "copies", "floats", "live-rules"])
def test_every_step_fits(family: str) -> None:
    """Old and new places of all that is under way are there at once, in any order of a wave's steps."""
    done = 0
    for seed in range(FLEETS):
        case = draw(family, seed)
        fleet = fleet_of(case.inventory)
        wrong, many = steps(case, fleet, planned(case, fleet, "greedy"))
        assert not wrong, (seed, wrong)
        done += many
    assert done


def test_steps_in_the_wrong_order_are_found() -> None:
    """A VM comes to the memory that another one leaves: made at once, or the other way round, they are refused."""
    nodes = [{"id": 0, "cpus": "0-3", "memory": "2GiB"}]
    hosts = [{"name": name, "nodes": nodes} for name in ("a", "b", "c")]
    vms = [
        {"name": "v", "vcpus": 2, "memory": "1536MiB", "host": "a", "nodes": [0], "overhead": "0MiB"},
        {"name": "w", "vcpus": 2, "memory": "1536MiB", "host": "b", "nodes": [0], "overhead": "0MiB"},
    ]
    rules = [{"within": {"name": "v"}, "hosts": {"name": "b"}}, {"within": {"name": "w"}, "hosts": {"name": "c"}}]
    inventory = {"schema": "placer.inventory/v1", "hosts": hosts, "vms": vms, "rules": rules}
    case = Case(inventory=inventory, goals="rules,moves", max_moves=2)
    fleet = fleet_of(inventory)
    plan = planned(case, fleet)
    schedule = schedule_moves(fleet, plan)
    assert len(schedule.waves) == 2
    assert replay(read(inventory), schedule, plan) == []
    for waves in (schedule.waves[::-1], (replace(schedule.waves[0], steps=schedule.steps),)):
        assert any("KiB" in text for text in replay(read(inventory), replace(schedule, waves=waves), plan))
    assert any("ends" in text for text in replay(read(inventory), replace(schedule, waves=schedule.waves[:1]), plan))


def test_who_comes_beside_a_node_that_is_over_takes_none_of_its_lack() -> None:
    """Memory that lacks a place on one node takes no room of the next one; on its own node it is more."""
    nodes = [{"id": 0, "cpus": "0-3", "memory": "2GiB"}, {"id": 1, "cpus": "4-7", "memory": "4GiB"}]
    old = {"vcpus": 1, "memory": "2GiB", "host": "a", "nodes": [0], "overhead": "0MiB", "cpu_policy": "shared"}
    new = {"name": "new", "vcpus": 1, "memory": "3GiB", "overhead": "0MiB", "cpu_policy": "shared"}
    vms = [{"name": name, **old} for name in ("v", "w")]
    inventory = {
        "schema": "placer.inventory/v1",
        "hosts": [{"name": "a", "nodes": nodes}],
        "vms": [*vms, new],
    }
    fleet = fleet_of(inventory)
    plan = planned(Case(inventory=inventory, goals="placed,excess,moves", max_moves=0), fleet)
    schedule = schedule_moves(fleet, plan)
    assert [step.vm for step in schedule.steps] == ["new"] and replay(read(inventory), schedule, plan) == []
    (wave,) = schedule.waves
    (step,) = wave.steps
    cells = tuple(replace(cell, nodes={0: sum(cell.nodes.values())}) for cell in step.target.cells)
    there = replace(wave, steps=(replace(step, target=replace(step.target, cells=cells)),))
    assert any("nodes (0,)" in text for text in replay(read(inventory), replace(schedule, waves=(there,)), plan))


def test_memory_that_floats_is_bound_where_it_is() -> None:
    """A VM that floats over both nodes of a full host is bound to one: its memory is there once."""
    nodes = [{"id": n, "cpus": f"{4 * n}-{4 * n + 3}", "memory": "4GiB"} for n in (0, 1)]
    vm = {"name": "v", "vcpus": 2, "memory": "3GiB", "host": "a", "overhead": "0MiB", "cpu_policy": "shared"}
    inventory = {
        "schema": "placer.inventory/v1",
        "hosts": [{"name": "a", "nodes": nodes, "distances": [[10, 21], [21, 10]]}],
        "vms": [vm, {**vm, "name": "w"}],
    }
    fleet = fleet_of(inventory)
    plan = planned(Case(inventory=inventory, goals="remote,moves", max_moves=0, pin="all"), fleet)
    schedule = schedule_moves(fleet, plan)
    assert len(schedule.steps) == 2 and replay(read(inventory), schedule, plan) == []
