"""Planners' fleets are sound and live, of many sizes where asked; what scripts do by single moves keeps all limits."""

from __future__ import annotations

from benchmarks.many_sizes import hosts_and_vms, placing_problem, similar
from benchmarks.peers.heuristics import fit_each
from benchmarks.peers.hill_climb import hill_climb
from benchmarks.planner_fleets import planner_fleet
from placer.check.check import check
from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from solvers.evaluate import evaluate
from solvers.problem import MoveBudget
from solvers.starts.best_fit import solve_greedy


def test_planner_fleets_are_sound() -> None:
    """The checker finds no fault; every VM is somewhere, names are unique, own sizes are nearly as many as VMs."""
    for own_sizes in (False, True):
        fleet = planner_fleet(seed=2, hosts=30, own_sizes=own_sizes)
        assert check(fleet).ok
        assert len({vm.name for vm in fleet.vms}) == len(fleet.vms) > 500
        assert all(vm.current is not None for vm in fleet.vms)
        sizes = {(vm.spec.vcpus, vm.spec.memory_kib) for vm in fleet.vms}
        assert len(sizes) > 200 if own_sizes else len(sizes) < 20
        assert fleet == planner_fleet(seed=2, hosts=30, own_sizes=own_sizes)


def test_hill_climb_moves_as_many_as_allowed() -> None:
    """Each move brings a VM to its memory: remote access falls, moves stay within the limit, nothing is broken."""
    fleet = planner_fleet(seed=2, hosts=30)
    problem = compile_fleet(fleet, parse_goals("remote,moves", fleet), MoveBudget(moves=5)).problem
    start = solve_greedy(problem)
    before = evaluate(problem, start.patterns, start.unplaced)
    found = hill_climb(problem, start.patterns, start.unplaced, 0)
    assert found.status == "feasible"
    assert found.values[0] is not None and found.values[0] < before[0]
    assert found.values[-1] == 5


def test_what_is_cut_from_hosts_fills_them() -> None:
    """At full load VMs take all CPUs, items like their bins nearly all of everything; cosine leaves VMs out."""
    hosts, vms = hosts_and_vms(5, 30, 1.0)
    assert sum(cpus for cpus, _ in hosts) == sum(vcpus for vcpus, _ in vms)
    assert sum(mib for _, mib in hosts) == sum(mib for _, mib in vms)
    problem = placing_problem(hosts, vms)
    order = sorted(
        (n for n, flavor in enumerate(problem.flavors) for _ in range(flavor.arriving)),
        key=lambda n: -problem.flavors[n].vcpus,
    )
    assert fit_each(problem, order, "cosine").values[1] > 0  # type: ignore[operator]
    bins, items = similar(0, 10, 3)
    for row in range(3):
        room = sum(capacity[row] for capacity in bins) - sum(item[row] for item in items)
        assert 0 <= room <= 5 * len(bins)
