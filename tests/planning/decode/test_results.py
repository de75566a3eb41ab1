"""What a plan says of its goals: bounds of later goals stand only beside earlier ones that the pins made no worse."""

from __future__ import annotations

import pytest

from placer.model.goals import Goal
from placer.planning.decode.results import goal_results
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
