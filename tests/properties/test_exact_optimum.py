"""The exact engine against enumeration on small fleets of every policy, and what must not change its answer."""

from __future__ import annotations

import dataclasses
import random

import pytest
from brute_force import best_vector
from small_fleets import small_fleet

from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from placer.planning.decode.plan import plan_from_result
from solvers.exact.search import solve_exact
from solvers.problem import COST_UNIT
from solvers.result import Limits, Result

CASES = 320
BATCH = 20
GOALS = "placed,remote,hosts"
BATCHES = range(0, CASES, BATCH)


def solved(fleet: Fleet, *, symmetry: bool = True) -> tuple[tuple[float, ...], tuple[float, ...], Result]:
    """Return values and bounds of the goal vector in people's units."""
    compiled = compile_fleet(fleet, parse_goals(GOALS, fleet))
    result = solve_exact(compiled.problem, limits=Limits(time_limit_s=600), symmetry=symmetry)
    values, bounds = [], []
    for objective, found in zip(compiled.problem.objectives, result.objectives, strict=True):
        assert found.value is not None and found.bound is not None
        values.append(found.value / objective.unit)
        bounds.append(found.bound / objective.unit)
    return tuple(values), tuple(bounds), result


@pytest.mark.parametrize("first", BATCHES)
def test_values_and_bounds_are_the_enumerated_optimum(first: int) -> None:
    """Every goal's value and bound equal the optimum over all hosts, maps and core states, and every plan passes the
    checker.
    """
    from placer.check.check import check

    for seed in range(first, first + BATCH):
        fleet = small_fleet(seed)
        values, bounds, result = solved(fleet)
        best = best_vector(fleet)
        assert values == pytest.approx(best, abs=len(fleet.vms) / COST_UNIT), f"seed {seed}"
        assert bounds == values, f"seed {seed}"
        plan = plan_from_result(compile_fleet(fleet, parse_goals(GOALS, fleet)), result, seed=0)
        report = check(fleet, plan)
        assert report.ok, f"seed {seed}: {[str(fault) for fault in report.faults]}"


@pytest.mark.parametrize("first", BATCHES[::2])
def test_symmetry_rows_cut_no_optimum(first: int) -> None:
    """The optimum is the same with and without the rows that break symmetry."""
    for seed in range(first, first + BATCH // 2):
        fleet = small_fleet(seed)
        assert solved(fleet)[0] == solved(fleet, symmetry=False)[0], f"seed {seed}"


@pytest.mark.parametrize("first", BATCHES[::4])
def test_names_and_order_do_not_matter(first: int) -> None:
    """Relabelling hosts and VMs, and renumbering the nodes, changes no goal's value."""
    for seed in range(first, first + BATCH // 2):
        fleet = small_fleet(seed)
        if any("name" in (rule.hosts or {}) for rule in fleet.rules):
            continue
        assert solved(relabelled(fleet, seed))[0] == pytest.approx(solved(fleet)[0], abs=len(fleet.vms) / COST_UNIT), (
            f"seed {seed}"
        )


@pytest.mark.parametrize("first", BATCHES[::4])
def test_an_empty_host_more_never_hurts(first: int) -> None:
    """With one more host the goal vector is never worse in lexicographic order."""
    for seed in range(first, first + BATCH // 2):
        fleet = small_fleet(seed)
        more = dataclasses.replace(fleet, hosts=(*fleet.hosts, dataclasses.replace(fleet.hosts[0], name="another")))
        assert solved(more)[0] <= solved(fleet)[0], f"seed {seed}"


def relabelled(fleet: Fleet, seed: int) -> Fleet:
    """Return the fleet with hosts, VMs and node positions in another order, under other names."""
    rng = random.Random(seed)
    hosts = [
        dataclasses.replace(host, name=f"other-{n}", topology=_renumbered(host.topology, rng.random()))
        for n, host in enumerate(fleet.hosts)
    ]
    vms = [dataclasses.replace(vm, name=f"guest-{n}") for n, vm in enumerate(fleet.vms)]
    rng.shuffle(hosts)
    rng.shuffle(vms)
    return Fleet(hosts=tuple(hosts), vms=tuple(vms), rules=fleet.rules)


def _renumbered(topology, seed):  # type: ignore[no-untyped-def]
    order = list(range(len(topology.nodes)))
    random.Random(seed).shuffle(order)
    new_id = {topology.nodes[old].id: new for new, old in enumerate(order)}
    nodes = tuple(dataclasses.replace(topology.nodes[old], id=new) for new, old in enumerate(order))
    rows = tuple(tuple(topology.distances[a][b] for b in order) for a in order)
    devices = tuple(dataclasses.replace(d, node=new_id[d.node]) for d in topology.devices)
    return dataclasses.replace(topology, nodes=nodes, distances=rows, devices=devices)
