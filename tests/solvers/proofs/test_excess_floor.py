"""What has no place at least: never above what the best plan of any number of moves leaves, and often that."""

from __future__ import annotations

import random
from typing import Any

from placer.model.goals import parse_goals
from placer.model.vm import CpuPolicy
from placer.planning.compile.compile import compile_fleet
from solvers.problem import MoveBudget, Problem
from solvers.proofs.excess_floor import excess_floor
from solvers.result import Limits
from solvers.solve import solve


def overfull(build: Any, seed: int) -> Problem:
    """Return two or three hosts of one or two nodes, the first ones with more GiB of VMs than they have."""
    rng = random.Random(seed)
    hosts, vms = [], []
    for name in "abc"[: rng.choice((2, 3))]:
        nodes = rng.choice((1, 2))
        hosts.append(build.host(name, topology=build.topology(nodes=nodes, cpus=4, memory_gib=8)))
        left = rng.choice((4, 8, 14)) if name != "a" else 8 * nodes + rng.choice((2, 5, 9))
        while left > 0:
            gib = min(left, rng.choice((1, 2, 3, 5)))
            at = rng.choice(((0,), (nodes - 1,), None))
            spec = build.spec(1, gib, cpu_policy=CpuPolicy.SHARED)
            now = build.now(host=name, nodes=at, memory_nodes=at)
            vms.append(build.vm(f"{name}{len(vms)}", spec, current=now))
            left -= gib
    moves = rng.choice((None, 0, 1, 2, 3))
    migrations = rng.choice((None, None, 1))
    fleet = build.fleet(hosts, vms)
    goals = parse_goals("placed,excess", fleet)
    return compile_fleet(fleet, goals, MoveBudget(moves=moves, migrations=migrations)).problem


def test_no_plan_is_below(build: Any) -> None:
    """The floor of each part is at most the proven value, and is it in a third of fleets: others have no room."""
    with_excess = reached = 0
    for seed in range(40):
        problem = overfull(build, seed)
        found = solve(problem, engine="exact", limits=Limits(rounds=20))
        for objective, row in zip(problem.objectives, found.objectives, strict=True):
            if objective.shortage is not None and row.status == "optimal":
                floor = excess_floor(problem, objective)
                assert floor <= row.value, (seed, floor, row.value)
                with_excess += row.value > 0
                reached += 0 < row.value == floor
    assert with_excess >= 10 and reached >= with_excess // 3, (with_excess, reached)


def test_a_vm_that_leaves_two_nodes_is_one_move(build: Any) -> None:
    """Two VMs of six dedicated vCPUs on each other's CPUs of two nodes: one move mends what lacks on both."""
    hosts = [build.host(name, topology=build.topology(nodes=2, cpus=4, memory_gib=8)) for name in "ab"]
    now = build.now(host="a", nodes=(0, 1), memory_nodes=(0, 1))
    vms = [build.vm(name, build.spec(6, 2, cells=2), current=now) for name in "vw"]
    fleet = build.fleet(hosts, vms)
    for moves, least in ((0, 4), (1, 0)):
        problem = compile_fleet(fleet, parse_goals("placed,excess", fleet), MoveBudget(moves=moves)).problem
        floors = [excess_floor(problem, one) for one in problem.objectives]
        found = solve(problem, engine="exact", limits=Limits(rounds=20))
        assert sum(floors) == least == sum(row.value or 0 for row in found.objectives), (moves, floors)
