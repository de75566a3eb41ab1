"""What is claimed before any search: below every answer that it is of, and enough where places alone decide."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_problems import answers, small_case, small_problem

from placer.model.rules import drain_of
from placer.planner import solve_fleet
from placer.planning.compile import placements
from placer.planning.compile.needs import spec_needs
from placer.planning.compile.placements import placement_cost, placements_of, view_of
from placer.planning.decode.certificate import uncovered_warning
from solvers.objective import Changes, Objective, StayPenalties
from solvers.proofs.first_claims import first_claims, leaving_claims


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


def test_no_answer_moves_fewer_vms_than_have_to_leave_their_hosts() -> None:
    """Of small fleets with penalties on VMs that are there: what is claimed of changes is below all, and often met."""
    met = 0
    terms = (StayPenalties(),), (Changes(migrations=1),), (Changes(moves=1),)
    objectives = tuple(Objective(goal=str(number), terms=each) for number, each in enumerate(terms))
    for seed in range(60):
        problem, draw = small_problem(seed), random.Random(seed)
        penalties = [np.array([draw.randint(0, 2) for _ in problem.flavors]) for _ in problem.classes]
        classes = [replace(one, stay_penalty=own) for one, own in zip(problem.classes, penalties, strict=True)]
        asked = replace(problem, classes=tuple(classes), objectives=objectives)
        found = sorted(answers(asked))
        for values in found:
            for number in (1, 2):
                for claim in leaving_claims(asked, number, values):
                    under = [other[number] for other in found if claim.holds(other[:number])]
                    assert claim.value is not None and claim.value <= min(under), (seed, number, values)
                    met += claim.value == min(under)
    assert met > 10


def test_vms_that_have_to_leave_a_drained_host_are_proven_moves(build: Any) -> None:
    """Three VMs on a host that is to be emptied: no plan that empties it moves fewer, with any engine."""
    hosts = [build.host(f"h{n}", topology=build.topology(nodes=2, cpus=4, memory_gib=8)) for n in range(4)]
    guests = [build.vm(f"g{n}", build.spec(2, 2), current=build.now("h0", (n % 2,))) for n in range(3)]
    guests.append(build.vm("other", build.spec(2, 2), current=build.now("h1")))
    fleet = build.fleet(hosts, guests, rules=[drain_of("h0", {})])
    for engine in ("auto", "columns"):
        moves = solve_fleet(fleet, goals="placed,rules,moves", time_limit_s=600, engine=engine).goal("moves")
        assert (moves.value, moves.bound, moves.status) == (3, 3, "optimal"), engine


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
    monkeypatch.setattr(placements, "MAX_MAPS", 240)
    host = build.host(topology=build.topology(nodes=12, cpus=2, memory_gib=4))
    guests = [build.vm(f"g{n}", build.spec(12, 6, cells=6)) for n in range(2)]
    plan = solve_fleet(build.fleet([host], guests), goals="placed,remote,hosts", time_limit_s=600)
    remote = next(goal for goal in plan.goals if goal.name == "remote")
    assert plan.status == "optimal" and remote.value and remote.bound == pytest.approx(remote.value)
    assert [text for text in plan.warnings if "no certificate" in text] == [uncovered_warning(["hosts"])]
