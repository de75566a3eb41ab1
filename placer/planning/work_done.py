"""What a search did, as its plan tells it, and back."""

from __future__ import annotations

from collections.abc import Callable

from placer.errors import PlacerError
from placer.model.fleet import Fleet
from placer.model.plan import Plan, WorkPart
from placer.options import SweepOptions
from solvers.work import Part, Work


def done_in(work: Work) -> tuple[WorkPart, ...]:
    """Return the parts of some work as a plan has them."""
    return tuple(
        WorkPart(stage=part.stage, steps=part.steps, cut=part.cut, reached=part.reached) for part in work.parts
    )


def noted(solve: Callable[[Fleet, SweepOptions], Plan], work: Work) -> Callable[[Fleet, SweepOptions], Plan]:
    """Return what plans fleets with its work noted in another one's: of the plan that is made of theirs."""

    def solved(fleet: Fleet, options: SweepOptions) -> Plan:
        try:
            plan = solve(fleet, options)
        except PlacerError as error:
            work.reach(type(error).__name__)
            raise
        work.parts += [Part(stage=one.stage, steps=one.steps, cut=one.cut, reached=one.reached) for one in plan.work]
        return plan

    return solved
