"""Lower bounds for large knots: disjoint small knots add up, and the board is left as it was."""

from __future__ import annotations

from typing import Any

from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan
from placer.moves.cores import apart_bound
from placer.moves.schedule import _Start, cyclic_moves


def rings(build: Any, sizes: list[int]) -> tuple[Fleet, Plan]:
    """Return full one-node hosts in rings: each VM goes to the next host of its ring."""
    topology = build.topology(nodes=1)
    hosts, vms, placed = [], [], []
    for ring, size in enumerate(sizes):
        names = [f"h{ring}-{n}" for n in range(size)]
        hosts += [build.host(name, topology) for name in names]
        for n, name in enumerate(names):
            pins = {cpu: frozenset({cpu}) for cpu in range(4)}
            vm = build.vm(f"v{ring}-{n}", build.spec(4, 10), current=build.now(name, pins=pins))
            vms.append(vm)
            target = names[(n + 1) % size]
            placed.append(build.placed(vm, range(4), [0], target, change=Change.MIGRATE, from_host=name))
    return build.fleet(hosts, vms), build.plan(*placed)


def test_knots_without_a_common_vm_add_up(build: Any) -> None:
    """Rings of 2, 3 and 9 VMs taken as one knot: one VM of each has to be put aside, and nothing is changed."""
    fleet, plan = rings(build, [2, 3, 9])
    start = _Start.of(fleet, plan)
    board = start.board()
    assert apart_bound(board, start.tasks) == 3
    fresh = start.board()
    for host in fleet.hosts:
        assert board.state(host.name).used == fresh.state(host.name).used
        assert board.state(host.name).holders == fresh.state(host.name).holders


def test_a_ring_above_forty_vms_needs_one(build: Any) -> None:
    """A ring too large to search has the bound 1, which is not called exact."""
    fleet, plan = rings(build, [45])
    (cycle,) = cyclic_moves(fleet, plan)
    assert (len(cycle.vms), cycle.fewest_parkings, cycle.exact) == (45, 1, False)


def test_what_can_go_needs_nobody_put_aside(build: Any) -> None:
    """With a free host in the ring there is an order, and the bound is 0."""
    fleet, plan = rings(build, [3])
    free = build.fleet(fleet.hosts, fleet.vms[:2])
    start = _Start.of(free, build.plan(*plan.vms[:2]))
    assert apart_bound(start.board(), start.tasks) == 0
