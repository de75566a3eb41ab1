"""The exact engine against enumeration on guests with cells of memory alone, pages by cell and several devices."""

from __future__ import annotations

import pytest
from brute_force import best_vector
from guest_fleets import far_fleet, guest_fleet
from test_exact_optimum import GOALS, solved

from placer.check.check import check
from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.model.plan import Plan
from placer.planning.compile.compile import compile_fleet
from placer.planning.decode.plan import plan_from_result
from solvers.problem import COST_UNIT


@pytest.mark.parametrize("seed", range(24))
def test_odd_guests_are_solved_to_the_enumerated_optimum(seed: int) -> None:
    """Values and bounds are the optimum over all places, and the checker takes the plan."""
    _race(guest_fleet(seed))


@pytest.mark.parametrize("seed", (15, 46, 75, 105, 106, 119, 125))
def test_memory_interleaved_over_nodes_without_cpus_is_solved_to_the_enumerated_optimum(seed: int) -> None:
    """Parts whose memory is on such a node run beside others: here a VM has fewer nodes of CPUs than of memory."""
    fleet = far_fleet(seed)
    node_of = {host.name: host.topology.node_of_cpu for host in fleet.hosts}
    assert any(
        len({node_of[vm.host][min(pin)] for pin in vm.pins.values()}) < len(vm.cells[0].nodes)
        for vm in _race(fleet).vms
    )


def _race(fleet: Fleet) -> Plan:
    """Solve a fleet, hold it against the enumeration and the checker, and return the plan."""
    values, bounds, result = solved(fleet)
    assert values == pytest.approx(best_vector(fleet), abs=len(fleet.vms) / COST_UNIT)
    assert bounds == values
    plan = plan_from_result(compile_fleet(fleet, parse_goals(GOALS, fleet)), result, seed=0)
    report = check(fleet, plan)
    assert report.ok, [str(fault) for fault in report.faults]
    return plan
