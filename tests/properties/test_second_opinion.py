"""Bounds proven again by another solver, and certificates that claim too much."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from small_fleets import small_fleet, small_live_fleet

from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.model.plan import Plan
from placer.planner import solve_fleet
from placer.planning.compile.compile import compile_fleet
from placer.planning.decode.certificate import check_certificate, uncovered_warning
from placer.read.inventory.inventory import read_fleet
from solvers.exact.search import solve_exact
from solvers.problem import MoveBudget
from solvers.proofs.counts_by_highs import second_opinion
from solvers.result import Limits


@pytest.mark.parametrize("seed", range(24))
def test_true_bounds_are_confirmed_and_false_ones_refuted(seed: int) -> None:
    """HiGHS confirms every bound of the exact engine, and refutes the same bound raised by one."""
    fleet = small_fleet(seed) if seed % 2 else small_live_fleet(seed)
    problem = compile_fleet(fleet, parse_goals("placed,rules,remote,hosts,cores,moves", fleet)).problem
    result = solve_exact(problem, limits=Limits(time_limit_s=600))
    values = [found.value for found in result.objectives if found.value is not None]
    bounds = [found.bound for found in result.objectives if found.bound is not None]
    assert {opinion.verdict for opinion in second_opinion(problem, values, bounds)} == {"confirmed"}
    assert {opinion.verdict for opinion in second_opinion(problem, values, [bound + 1 for bound in bounds])} == {
        "refuted"
    }


def test_a_plan_may_not_claim_more_than_its_certificate() -> None:
    """A plan whose bound is above the certificate's is refused by name."""
    fleet = small_fleet(3)
    plan = solve_fleet(fleet)
    assert check_certificate(fleet, plan)[0] == []
    goals = tuple(
        dataclasses.replace(goal, bound=(goal.bound or 0) + 1) if goal.name == "remote" else goal for goal in plan.goals
    )
    faults, _ = check_certificate(fleet, dataclasses.replace(plan, goals=goals))
    assert [fault.message.split(":")[0] for fault in faults] == ["goal 'remote'"]


def test_a_plan_without_certificate_is_named() -> None:
    """A bound that no certificate holds is a fault, with its cure, unless the plan says so; 0 needs no proof."""
    fleet, plan = next(
        (fleet, plan)
        for fleet, plan in ((small_fleet(seed), solve_fleet(small_fleet(seed))) for seed in range(20))
        if any(goal.bound for goal in plan.goals)
    )
    without = dataclasses.replace(plan, certificate=None)
    faults, _ = check_certificate(fleet, without)
    open_ = [goal.name for goal in plan.goals if goal.bound]
    assert len(faults) == len(open_) and "no certificate holds it" in faults[0].message and faults[0].cure
    said = dataclasses.replace(without, warnings=(*plan.warnings, uncovered_warning(open_)))
    faults, remarks = check_certificate(fleet, said)
    assert not faults and "not proven again" in remarks[-1]


def test_a_certificate_of_better_values_proves_nothing() -> None:
    """Bounds proven with an earlier goal held at less than the plan has are of another plan."""
    fleet = small_fleet(3)
    plan = solve_fleet(fleet, engine="exact")
    assert plan.certificate is not None
    entries = [dict(entry) for entry in plan.certificate["objectives"]]
    entries[0]["value"] -= 1
    forged = dataclasses.replace(plan, certificate={**plan.certificate, "objectives": entries})
    assert any("holds it at less" in fault.message for fault in check_certificate(fleet, forged)[0])
    fewer = dataclasses.replace(plan, certificate={**plan.certificate, "objectives": entries[1:]})
    assert "objectives" in check_certificate(fleet, fewer)[0][0].message


def test_what_few_moves_save_at_most_is_proven_again() -> None:
    """A bound that needs no duals has its certificate: no plan says that none holds it, and a price of moves does."""
    held = 0
    for seed in range(40):
        fleet = small_live_fleet(seed)
        plan = solve_fleet(fleet, engine="columns", max_moves=1)
        remote = next(goal for goal in plan.goals if goal.name == "remote")
        if remote.bound and remote.source == "what the moves allowed can save at most":
            faults, remarks = check_certificate(fleet, plan)
            assert not faults and not any("no certificate" in text for text in plan.warnings), seed
            held += any(text.endswith("prices of moves") for text in remarks)
    assert held


def test_where_places_are_missing_prices_alone_prove() -> None:
    """HiGHS is not asked where not every place was listed: what it proves of the others is no bound."""
    fleet = small_live_fleet(1)
    compiled = compile_fleet(fleet, parse_goals(None, fleet), MoveBudget(moves=1))
    problem = dataclasses.replace(
        compiled.problem, shapes=tuple(dataclasses.replace(one, complete=False) for one in compiled.problem.shapes)
    )
    bounds = [1 for _ in problem.objectives]
    assert {opinion.by for opinion in second_opinion(problem, bounds, bounds)} == {"prices of moves"}


EVEN = """
schema: placer.inventory/v1
hosts:
  - {name: a, count: 3, nodes: [{id: 0, cpus: "0-7", memory: 32GiB}], overcommit: 4}
  - {name: b, count: 3, nodes: [{id: 0, cpus: "0-15", memory: 64GiB}], overcommit: 4}
vms:
  - {name: v, count: 9, vcpus: 3, memory: 2GiB, cells: none, cpu_policy: shared, host: a-1, nodes: [0]}
  - {name: w, count: 9, vcpus: 1, memory: 5GiB, cells: none, cpu_policy: shared, host: b-1, nodes: [0]}
"""


@pytest.fixture
def evened(tmp_path: Path) -> tuple[Fleet, Plan]:
    """Return a fleet with two crowded hosts, and a plan that evens it by four moves without a search."""
    (tmp_path / "fleet.yaml").write_text(EVEN)
    fleet = read_fleet(tmp_path / "fleet.yaml")
    return fleet, solve_fleet(fleet, goals="placed,balance,moves", max_moves=4, time_limit_s=0.0)


def test_how_even_few_moves_make_it_is_proven_again_by_prices(evened: tuple[Fleet, Plan]) -> None:
    """A bound of balance has prices of loads beside it: no plan says that none holds it, and they confirm it."""
    fleet, plan = evened
    faults, remarks = check_certificate(fleet, plan)
    assert not faults and not any("no certificate" in text for text in plan.warnings)
    assert "goal 'balance': bound confirmed by prices of loads" in remarks


def test_prices_that_are_not_those_of_the_bound_do_not_confirm_it(evened: tuple[Fleet, Plan]) -> None:
    """Prices of 0 prove what costs are without any move to pay, which is less."""
    fleet, plan = evened
    assert plan.certificate is not None
    counts = [dict(entry) for entry in plan.certificate["objectives"]]
    for entry in counts:
        entry["prices"] = [{**one, "rows": [[0] * len(row) for row in one["rows"]]} for one in entry.get("prices", ())]
    forged = dataclasses.replace(plan, certificate={**plan.certificate, "objectives": counts})
    faults, remarks = check_certificate(fleet, forged)
    assert not faults and not any("prices of loads" in text and "confirmed" in text for text in remarks)
