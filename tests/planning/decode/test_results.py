"""What a plan says of its goals: bounds of later goals stand only beside earlier ones that the pins made no worse."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from placer.model.goals import Goal
from placer.model.plan import GoalResult
from placer.planning.decode.results import goal_results, with_bindings, with_moves
from solvers.objective import Changes, Objective, Shortages
from solvers.result import ObjectiveResult

GOALS = (Goal(name="excess", kind="excess"), Goal(name="moves", kind="moves"))
OBJECTIVES = (
    Objective(goal="excess", part="KiB of memory", terms=(Shortages("memory"),)),
    Objective(goal="excess", part="dedicated vCPUs", terms=(Shortages("CPUs"),)),
    Objective(goal="moves", part="VMs that change host", terms=(Changes(migrations=1),)),
)


@pytest.mark.parametrize(("cpus", "bound"), [(3, 1), (4, None)])
def test_one_cpu_beside_gibibytes_is_worse_all_the_same(cpus: int, bound: int | None) -> None:
    """Where pins leave one CPU more without a place than the counts, 30 GiB of memory beside it do not hide that."""
    kib = 30 * 1024**2
    counted = [(kib, (kib,)), (3, (kib, 3)), (1, (kib, 3))]
    results = [
        ObjectiveResult(
            goal=objective.goal,
            part=objective.part,
            value=value,
            bound=value,
            status="optimal",
            source="proof",
            held=held,
        )
        for objective, (value, held) in zip(OBJECTIVES, counted, strict=True)
    ]
    measured = (("KiB of memory", kib), ("dedicated vCPUs", cpus))
    found = goal_results(GOALS, OBJECTIVES, results, {}, {}, measured)
    assert found[1].bound == bound


@pytest.mark.parametrize(("measured", "bound"), [(1.0, 1), (1.25, None)])
def test_a_later_part_has_no_bound_beside_loads_that_counts_round_down(measured: float, bound: int | None) -> None:
    """A part proven at what the counts say of a balance is no bound where the plan is measured to be worse; one that
    was proven beside nothing is.
    """
    goals = (Goal(name="balance:memory:hosts", kind="balance"), GOALS[1])
    objectives = (
        Objective(goal=goals[0].name, terms=()),
        *(Objective(goal="moves", part=part, terms=()) for part in ("VMs that change host", "or node")),
    )
    results = [
        ObjectiveResult(
            goal=one.goal, part=one.part, value=value, bound=value, status="optimal", source="proof", held=held
        )
        for one, value, held in zip(objectives, (1, 0, 1), ((), (), (1, 0)), strict=True)
    ]
    _, moves = goal_results(goals, objectives, results, {}, {goals[0].name: measured})
    assert (moves.bound, [tier["bound"] for tier in moves.tiers]) == (0, [0, bound])


def test_what_was_held_at_repins_is_held_at_the_next_open_goal() -> None:
    """Where VMs that shall be bound prove the re-pins, no later goal says any more that these are open."""

    def row(name: str, status: Literal["optimal", "feasible"], held_at: str | None, *tiers: float) -> GoalResult:
        parts = tuple({"part": str(n), "value": value} for n, value in enumerate(tiers))
        found = GoalResult(name=name, value=1.0, bound=0.0, gap=1.0, source="", status=status, stopped="")
        return replace(found, held_at=held_at, tiers=parts)

    goals = (
        row("remote", "optimal", None, 0.0, 0.0),
        row("moves", "optimal", None, 0.0, 0.0),
        row("repins", "feasible", None),
        row("soft", "feasible", "repins"),
        row("balance", "feasible", "repins"),
    )
    told = with_bindings(goals, 1)
    assert [(goal.status, goal.held_at) for goal in told[2:]] == [
        ("optimal", None),
        ("feasible", None),
        ("feasible", "soft"),
    ]
    assert [goal.held_at for goal in with_bindings(goals, 0)] == [goal.held_at for goal in goals]


def test_vms_that_change_node_leave_no_binding_out() -> None:
    """Three VMs shall be bound, two others change node: three re-pins are proven; a change of host could be of them."""
    rows = {
        "remote": (
            {"part": "VMs that shall be bound and are not", "value": 0.0},
            {"part": "remote access", "value": 0.0},
        ),
        "moves": (
            {"part": "VMs that change host", "value": 0.0},
            {"part": "VMs that change host or node", "value": 2.0},
        ),
        "repins": (),
    }
    value = {"remote": 0.0, "moves": 0.0, "repins": 3.0}
    goals = [
        GoalResult(
            name=name, value=value[name], bound=0.0, gap=0.0, source="", status="optimal", stopped="", tiers=tiers
        )
        for name, tiers in rows.items()
    ]
    assert [(goal.bound, goal.status) for goal in with_bindings(goals, 3)[2:]] == [(3.0, "optimal")]
    leaves = ({"part": "VMs that change host", "value": 1.0}, {"part": "VMs that change host or node", "value": 2.0})
    goals[1] = replace(goals[1], value=1.0, tiers=leaves)
    assert with_bindings(goals, 3)[2].bound == 2.0


@pytest.mark.parametrize(
    ("measured", "settled", "found"),
    [(2.0, False, (2.0, 1.0)), (3.0, False, (3.0, 1.0)), (4.0, False, (3.0, 1.0)), (2.0, True, (2.0, None))],
)
def test_cells_exchanged_in_the_counts_alone_are_no_moves(
    measured: float, settled: bool, found: tuple[float, float | None]
) -> None:
    """Fewer moves than were counted are told, and the bound stands; more are left for the checker to refuse."""
    tiers = ("VMs that change host", 1.0, 1.0), ("or node", 3.0, 1.0)
    counted = tuple(
        {"part": part, "value": value, "bound": bound, "status": "feasible"} for part, value, bound in tiers
    )
    goal = GoalResult(name="moves", value=1.0, bound=1.0, gap=0.0, source="", status="optimal", stopped="")
    parts = {"VMs that change host": 1.0, "or node": measured}
    (_, second) = with_moves(replace(goal, tiers=counted), parts, settled=settled).tiers
    assert (second["value"], second["bound"]) == found
