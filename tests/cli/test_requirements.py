"""What ``--require`` asks, and which exit code a plan that falls short gets."""

from __future__ import annotations

import pytest

from placer.cli.plans.requirements import Requirements, parse_requirements, unmet
from placer.errors import ImpossibleError, InputError, RequirementError
from placer.model.plan import GoalResult, Plan


def plan(*goals: GoalResult) -> Plan:
    """Return an empty plan with these goals."""
    return Plan(fleet_path=None, fleet_digest="", seed=0, rounds=0, status="feasible", goals=goals, vms=(), unplaced=())


def goal(name: str, value: float | None, bound: float | None, gap: float | None, **more: object) -> GoalResult:
    """Return the result of a goal."""
    return GoalResult(name=name, value=value, bound=bound, gap=gap, source="a proof", status="feasible", **more)  # type: ignore[arg-type]


def test_reading() -> None:
    """Goals and a gap are read in any order; all faults of the list come at once."""
    assert parse_requirements(None) == Requirements()
    assert parse_requirements("gap = 0.5 %, placed") == Requirements(goals=("placed",), gap=0.005)
    with pytest.raises(InputError) as caught:
        parse_requirements("placed,fast,gap=1")
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (goal("placed", 0, 0, 0.0), None),
        (goal("placed", 4, 0, 1.0), RequirementError),
        (goal("placed", 4, None, None), RequirementError),
        (goal("placed", None, None, None), RequirementError),
        (goal("placed", 4, 4, 0.0), ImpossibleError),
        (goal("placed", 0, 0, 0.0, tiers=({"part": "VMs", "value": 1, "bound": 0},)), RequirementError),
        (goal("placed", 0, 0, 0.0, tiers=({"part": "VMs", "value": 1, "bound": 1},)), ImpossibleError),
        (goal("rules", 0, 0, 0.0), RequirementError),
    ],
)
def test_placed(found: GoalResult, error: type[Exception] | None) -> None:
    """Placed means nothing left out in any part; a positive bound proves it impossible; a goal not asked is missed."""
    result = unmet(Requirements(goals=("placed",)), plan(found))
    assert result is None if error is None else type(result) is error


@pytest.mark.parametrize(("gap", "met"), [(0.0, True), (0.004, True), (0.006, False), (None, False)])
def test_gap_holds_for_every_goal(gap: float | None, met: bool) -> None:
    """The largest gap counts, and an unknown gap is not met."""
    found = unmet(Requirements(gap=0.005), plan(goal("placed", 0, 0, 0.0), goal("remote", 1, 1, gap)))
    assert (found is None) is met
    assert found is None or found.faults[0].field == "remote"


def test_impossible_comes_before_missed() -> None:
    """Where one goal is proven impossible and a gap is missed, the exit code is that of the proof; both are told."""
    found = unmet(Requirements(goals=("placed",), gap=0.0), plan(goal("placed", 4, 4, 0.0), goal("remote", 2, 1, 0.5)))
    assert isinstance(found, ImpossibleError)
    assert len(found.faults) == 2


@pytest.mark.parametrize(("bound", "error"), [(0.0, None), (512.0, ImpossibleError)])
def test_strict_takes_a_proof(bound: float, error: type[Exception] | None) -> None:
    """What may have no place but is not proven to passes; what is proven to is impossible, with how much of what."""
    tier = {"part": "KiB of memory", "value": 512.0, "bound": bound}
    found = unmet(Requirements(strict=True), plan(goal("excess", 512.0, bound, 0.0, tiers=(tier,))))
    assert found is None if error is None else type(found) is error and "512 KiB of memory" in str(found)
