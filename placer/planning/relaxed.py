"""Fleets with nodes of which no rows say just what fits: what is proven, and often found, on rows that all which fits
keeps.

Rows that only ever allow too little claim nothing. Rows that everything keeps which can be pinned prove bounds; an
answer under them that can be pinned is as good as any, and where it cannot be, its bounds hold for the answer under
the others all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from placer.model.fleet import Fleet
from placer.model.goals import Goal
from placer.model.sets import PinMode
from placer.planning.compile.compile import Compiled, compile_fleet
from placer.planning.compile.rows import RowKind
from solvers.claims import Claims, with_claims
from solvers.evaluate import evaluate
from solvers.problem import MoveBudget
from solvers.result import Result


def relaxed(
    fleet: Fleet, compiled: Compiled, goals: Sequence[Goal], budget: MoveBudget | None, pin: PinMode | None
) -> Compiled | None:
    """Return the fleet on rows that all counts keep which can be pinned; None where `compiled` lacks nothing or other
    places than those of CPU rows.

    Where CPUs are over what there is now, such rows would say more of who may take of them than is so: None too.
    """
    if compiled.problem.is_complete:
        return None
    found = compile_fleet(fleet, goals, budget, pin, relaxed=True)
    over = any(
        found.rows[one.shape][row].kind is RowKind.CPUS for one in found.problem.classes for row in one.over_rows
    )
    return found if found.problem.is_complete and not over else None


def provable(fleet: Fleet, goals: Sequence[Goal], budget: MoveBudget | None, pin: PinMode | None = "none") -> Compiled:
    """Return a fleet in numbers as its bounds are proven: on rows that all keeps which can be pinned."""
    compiled = compile_fleet(fleet, goals, budget, pin)
    return relaxed(fleet, compiled, goals, budget, pin) or compiled


def bounded(compiled: Compiled, found: Result, wide: Compiled, proven: Result) -> Result:
    """Return an answer with the bounds that were `proven` on rows which all keeps that can be pinned."""
    units = [[one.unit for one in each.problem.objectives] for each in (compiled, wide)]
    found = replace(found, rounds=found.rounds + proven.rounds)
    if not found.is_answer or not proven.objectives or units[0] != units[1]:
        return found
    values = evaluate(compiled.problem, found.patterns, found.unplaced)
    return replace(with_claims(found, values, Claims.of(found, proven)), certificate=None)


def left_of(rounds: int | None, first: Result) -> int | None:
    """Return the rounds that a first search left of those asked for; None: as many as there is time for."""
    return None if rounds is None else max(0, rounds - first.rounds)
