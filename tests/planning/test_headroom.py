"""Headroom by formula against solving, and what is said of it."""

from __future__ import annotations

import random

import numpy as np
import pytest

from placer.model.fleet import Fleet
from placer.model.host import Host, Node, Topology
from placer.planning.goals import parse_flavor
from placer.planning.headroom import headroom, slots
from placer.planning.solve import solve_fleet

GIB = 1024 * 1024


def random_fleet(rng: random.Random) -> Fleet:
    """Return one to three hosts of uneven nodes."""
    hosts = []
    for number in range(rng.randint(1, 3)):
        nodes, first = [], 0
        for node in range(rng.randint(1, 4)):
            count = rng.randint(1, 24)
            nodes.append(
                Node(id=node, cpus=frozenset(range(first, first + count)), memory_kib=rng.randint(1, 32) * GIB)
            )
            first += count
        rows = tuple(tuple(10.0 if i == j else 21.0 for j in range(len(nodes))) for i in range(len(nodes)))
        topology = Topology(nodes=tuple(nodes), distances=rows, cores=tuple(frozenset({c}) for c in range(first)))
        hosts.append(Host(name=f"h{number}", topology=topology, labels={"rack": f"r{number % 2}"}))
    return Fleet(hosts=tuple(hosts), vms=())


@pytest.mark.parametrize("seed", range(40))
def test_the_formula_is_what_a_solve_finds(seed: int) -> None:
    """For fixed cells the formula equals the proven optimum of the headroom goal."""
    rng = random.Random(seed)
    fleet = random_fleet(rng)
    text = f"{rng.choice((2, 4, 8))}x{rng.choice(('0', '2GiB', '4GiB'))}{rng.choice(('', '/2', '/2'))}"
    (found,) = headroom(fleet, [parse_flavor(text)])
    plan = solve_fleet(fleet, goals=f"headroom:{text}")
    goal = plan.goal(f"headroom:{text}")
    assert goal.status == "optimal"
    assert found.total == goal.value
    assert found.total == sum(found.per_host.values())


def test_slots_of_uneven_nodes() -> None:
    """Two-cell VMs on nodes of 5, 1 and 1 cells: 2, since each takes two different nodes."""
    assert slots(np.array([[5, 1, 1], [4, 4, 0], [1, 0, 0]]), 2).tolist() == [2, 4, 0]


def test_the_resource_that_runs_out_first_is_named() -> None:
    """One node of 16 CPUs and 8 GiB holds 4 VMs by CPU and fewer by memory."""
    topology = Topology(
        nodes=(Node(id=0, cpus=frozenset(range(16)), memory_kib=8 * GIB),),
        distances=((10.0,),),
        cores=tuple(frozenset({c}) for c in range(16)),
    )
    fleet = Fleet(hosts=(Host(name="h", topology=topology, labels={"rack": "a"}),), vms=())
    (found,) = headroom(fleet, [parse_flavor("4x3GiB")], label="rack")
    assert (found.total, found.first, found.limits["CPUs"]) == (2, "memory", 4)
    assert found.per_label == {"a": 2}
