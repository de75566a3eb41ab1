"""Which hosts leave together: no more waves than must be, and few VMs that move twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.model.fleet import Fleet
from placer.read.inventory.inventory import parse_fleet
from placer.whatif.maintain import maintain
from placer.whatif.out_together import OutTogether


def made(load: list[int], rules: str = "") -> Fleet:
    """Return hosts of 8 CPUs with so many VMs of one vCPU each."""
    vms = [
        f"  - {{name: v{host}-{number}, vcpus: 1, memory: 1GiB, cells: none, overhead: 0, host: h-{host}, nodes: [0]}}"
        for host, many in enumerate(load, start=1)
        for number in range(many)
    ]
    lines = [
        "schema: placer.inventory/v1",
        f'hosts: [{{name: h, count: {len(load)}, nodes: [{{id: 0, cpus: "0-7", memory: 32GiB}}]}}]',
        "vms:",
        *vms,
        *([f"rules: [{rules}]"] if rules else []),
    ]
    return parse_fleet("\n".join(lines).encode(), "fleet.yaml", Path())


def names(*numbers: int) -> list[str]:
    """Return names of hosts."""
    return [f"h-{number}" for number in numbers]


def test_the_first_of_two_waves_is_as_small_as_can_be() -> None:
    """Of eight hosts a third full up to five can be out: the first three that leave are those with the fewest VMs."""
    fleet = made([3, 3, 2, 3, 1, 3, 2, 3])
    group = OutTogether(fleet).next_group(fleet, names(*range(1, 9)), 8)
    assert sorted(group.hosts) == names(3, 5, 7) and not group.soon


def test_as_many_go_first_as_can_where_that_is_asked() -> None:
    """The same hosts, five of them."""
    fleet = made([3, 3, 2, 3, 1, 3, 2, 3])
    group = OutTogether(fleet).next_group(fleet, names(*range(1, 9)), 8, many_first=True)
    assert len(group.hosts) == 5


def test_one_at_a_time_the_emptiest_is_first() -> None:
    """With one host a wave it is the one with the fewest VMs."""
    fleet = made([3, 1, 2])
    assert OutTogether(fleet).next_group(fleet, names(1, 2, 3), 1).hosts == ("h-2",)


@pytest.mark.parametrize(("load", "waves", "moves"), [([3, 3, 2, 3, 1, 3, 2, 3], 2, 25), ([2, 2, 2, 2, 0, 0], 2, 8)])
def test_only_the_first_wave_moves_twice(load: list[int], waves: int, moves: int) -> None:
    """In two waves the VMs of the first come to hosts of the second, those of the second to the first's alone."""
    fleet = made(load)
    found = maintain(fleet, names(*range(1, len(load) + 1)), parallel=len(load), time_limit_s=5)
    assert (len(found.waves), found.moves, found.moved_twice) == (waves, moves, moves - sum(load))


def test_who_cannot_stay_where_it_comes_moves_there_as_little_as_can_be() -> None:
    """Two of four VMs have room on the host that is done: the others alone come to the host that is still to come."""
    fleet = made([4, 4, 6])
    found = maintain(fleet, names(1, 2), time_limit_s=5)
    assert len(found.waves) == 2 and found.moves == 8 + found.moved_twice and found.moved_twice <= 2
