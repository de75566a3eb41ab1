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
