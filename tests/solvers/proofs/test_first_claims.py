"""What is claimed before any search: below every answer that it is of, and enough where places alone decide."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any

import pytest
from small_problems import small_case

from placer.planning.compile import placements
from placer.planning.compile.needs import spec_needs
from placer.planning.compile.placements import placement_cost, placements_of, view_of
from solvers.proofs.first_claims import first_claims


def test_no_answer_is_below_what_is_claimed_first() -> None:
    """Every answer of small fleets that is no worse in what a claim holds is at least what it says; with hosts too."""
    held = 0
    for seed in range(150):
        problem, answers = small_case(seed)
        for values in {tuple(value) for value in answers}:
            for number, claim in first_claims(problem, values):
                assert claim.value is not None and claim.holds(values[:number]), (seed, number)
                held += bool(claim.held)
                for other in answers:
                    if claim.holds(other[:number]):
                        assert claim.value <= other[number], (seed, number, claim)
    assert held > 20


@pytest.mark.parametrize("cells", [2, 3, 4])
@pytest.mark.parametrize("locality", [None, 0.8])
def test_places_that_are_not_listed_cost_no_less_than_is_said(
    build: Any, monkeypatch: pytest.MonkeyPatch, cells: int, locality: float | None
) -> None:
    """Of random distances: the least cost said of missing places is below all of them, and met where all are alike."""
    draw = random.Random(cells)
    needs = replace(spec_needs(build.spec(cells * 2, cells, cells=cells)), locality=locality)
    for alike in (True, False, False, False):
        host = build.host(topology=build.topology(nodes=6, cpus=4, memory_gib=4))
        rows = [[1.0] * 6 for _ in range(6)]
        for one, other in itertools.combinations(range(6), 2):
            rows[one][other] = rows[other][one] = 2.0 if alike else draw.choice((1.2, 1.7, 2.1, 3.2))
        view = replace(view_of(host), distances=tuple(tuple(row) for row in rows))
        found, unlisted = placements_of(needs, view)
        assert unlisted is None
        least = min(placement_cost(needs, placement, view) for placement in found)
        with monkeypatch.context() as patch:
            patch.setattr(placements, "MAX_MAPS", len(found) - 1)
            some, unlisted = placements_of(needs, view)
        assert len(some) < len(found) and unlisted is not None and unlisted <= least
        assert unlisted == least or not alike


def test_alike_nodes_prove_a_plan_though_not_all_sets_were_listed(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On twelve alike nodes six cells lie everywhere as well: remote access is proven, with a part of the sets."""
    from placer.planner import solve_fleet

    monkeypatch.setattr(placements, "MAX_MAPS", 240)
    host = build.host(topology=build.topology(nodes=12, cpus=2, memory_gib=4))
    guests = [build.vm(f"g{n}", build.spec(12, 6, cells=6)) for n in range(2)]
    plan = solve_fleet(build.fleet([host], guests), goals="placed,remote,hosts", time_limit_s=600)
    remote = next(goal for goal in plan.goals if goal.name == "remote")
    assert plan.status == "optimal" and remote.value and remote.bound == pytest.approx(remote.value)
    assert any("no certificate" in warning for warning in plan.warnings)
