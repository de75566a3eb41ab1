"""The columns engine on live fleets where everything happens at once: the exact engine's optimum, then rest."""

from __future__ import annotations

import dataclasses
import random

import pytest

from benchmarks.instances import KIB_PER_GIB, cell_spec, smt_topology
from benchmarks.live_fleets import many_node_fleet, two_node_fleet
from placer.check.check import check
from placer.explain.diff import compare_with_now
from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.model.host import Host
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Current, Movable, Vm
from placer.planner import solve_fleet
from placer.planning.after import fleet_after
from placer.planning.compile.compile import Compiled, compile_fleet
from placer.planning.decode.plan import plan_from_result
from solvers.columns.engine import solve_columns
from solvers.evaluate import evaluate, violations
from solvers.exact.search import solve_exact
from solvers.problem import MoveBudget
from solvers.result import Limits

LIMITS = Limits(time_limit_s=600)


def busy_fleet(seed: int) -> Fleet:
    """Return five small hosts: one drained, one failed, VMs that may not leave their rack, immovable and new ones."""
    rng = random.Random(seed)
    topology = smt_topology(packages=2, nodes_per_package=1, cpus_per_node=6, memory_kib=24 * KIB_PER_GIB, across=21)
    hosts = [Host(name=f"h{n}", topology=topology, labels={"rack": f"r{n % 2}"}, failed=n == 1) for n in range(5)]
    vms: list[Vm] = []
    free = {(host.name, node): [6, 24] for host in hosts for node in (0, 1)}
    for host in hosts:
        for _ in range(rng.randint(2, 4)):
            vcpus, gib = rng.choice((1, 2, 2, 3)), rng.choice((2, 4, 6))
            at = rng.randrange(2)
            memory_at = at if rng.random() < 0.7 else 1 - at
            if free[host.name, at][0] < vcpus or free[host.name, memory_at][1] < gib:
                continue
            free[host.name, at][0] -= vcpus
            free[host.name, memory_at][1] -= gib
            home = {"home": host.labels["rack"]} if rng.random() < 0.4 else {}
            stays = rng.random() < 0.15 and not host.failed
            vms.append(
                Vm(
                    name=f"vm-{len(vms)}",
                    spec=cell_spec(1, vcpus, gib * KIB_PER_GIB, labels=home),
                    current=Current(host=host.name, nodes=(at,), memory_nodes=(memory_at,)),
                    movable=Movable.NO if stays else Movable.LIVE,
                )
            )
    vms += [Vm(name=f"new-{n}", spec=cell_spec(1, 2, 4 * KIB_PER_GIB)) for n in range(rng.randint(1, 3))]
    rules = [Rule(kind=RuleKind.DRAIN, hosts={"name": "h0"})]
    for rack in sorted({vm.spec.labels["home"] for vm in vms if "home" in vm.spec.labels}):
        rules.append(Rule(kind=RuleKind.WITHIN, members={"home": rack}, hosts={"rack": rack}))
    return Fleet(hosts=tuple(hosts), vms=tuple(vms), rules=tuple(rules))


@pytest.mark.parametrize("seed", range(12))
def test_all_in_one_solve_is_the_exact_optimum(seed: int) -> None:
    """Drained and failed hosts, new, immovable and confined VMs, limits in all and a host: both engines agree."""
    rng = random.Random(f"limits {seed}")
    fleet = busy_fleet(seed)
    budget = MoveBudget(
        moves=rng.choice((None, 3, 6)),
        migrations=rng.choice((None, None, 2)),
        host_in=rng.choice((None, 1, 2)),
        host_out=rng.choice((None, 1, 2)),
    )
    compiled: Compiled = compile_fleet(fleet, parse_goals("placed,rules,remote,moves", fleet), budget)
    exact = solve_exact(compiled.problem, limits=LIMITS)
    states = solve_columns(compiled.problem, limits=LIMITS)
    assert exact.status == states.status == "optimal"
    assert [row.value for row in states.objectives] == [row.value for row in exact.objectives]
    assert not violations(compiled.problem, states.patterns, states.unplaced)
    assert evaluate(compiled.problem, states.patterns, states.unplaced) == tuple(row.value for row in exact.objectives)
    report = check(fleet, plan_from_result(compiled, states, seed=0))
    assert report.ok, [str(fault) for fault in report.faults]


@pytest.mark.parametrize(
    ("fleet", "goals"),
    [
        (two_node_fleet(seed=1, hosts=8, remote_share=0.1), "remote"),
        (two_node_fleet(seed=2, hosts=8), "placed,headroom:16x0"),
        (many_node_fleet(seed=1, hosts=2), "remote"),
    ],
    ids=["two-node remote", "two-node slots", "many-node remote"],
)
def test_a_plan_carried_out_rests(fleet: Fleet, goals: str) -> None:
    """After a plan with a limit no VM moves where none may; after one proven best without, none though all may."""
    first = solve_fleet(fleet, goals=f"{goals},moves", max_moves=4, engine="states", time_limit_s=600)
    assert any(vm.from_host is not None or vm.change.value != "none" for vm in first.vms)
    done = fleet_after(fleet, first)
    again = solve_fleet(done, goals=f"{goals},moves", max_moves=0, engine="states", time_limit_s=600)
    assert compare_with_now(done, again).same
    free = solve_fleet(done, goals=f"{goals},moves", max_moves=10_000, engine="states", time_limit_s=600)
    assert free.status == "optimal"
    settled = fleet_after(done, free)
    last = solve_fleet(settled, goals=f"{goals},moves", max_moves=10_000, engine="states", time_limit_s=600)
    assert compare_with_now(settled, last).same


def test_new_vms_and_moves_are_told_apart() -> None:
    """VMs that arrive are no moves: with none allowed they are placed all the same where there is room."""
    fleet = two_node_fleet(seed=4, hosts=8)
    new = tuple(Vm(name=f"new-{n}", spec=cell_spec(1, 4, 8 * KIB_PER_GIB)) for n in range(5))
    grown = dataclasses.replace(fleet, vms=(*fleet.vms, *new))
    plan = solve_fleet(grown, goals="placed,remote,moves", max_moves=0, engine="states", time_limit_s=600)
    assert plan.status == "optimal" and not plan.unplaced
    assert all(vm.from_host is None for vm in plan.vms if not vm.name.startswith("new-"))
