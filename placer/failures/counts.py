"""What finds a place while nothing else moves: counts for each flavor, without pins and without a plan."""

from __future__ import annotations

from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.options import SweepOptions
from placer.planning.compile.budget import move_budget
from placer.planning.compile.compile import Compiled, compile_fleet
from placer.planning.room import Room
from solvers.result import Limits, Result
from solvers.solve import solve


def placed_counts(fleet: Fleet, options: SweepOptions, engine: str = "auto") -> tuple[Compiled, Result, bool]:
    """Return a plan in counts that places what it can, and whether no other one leaves out fewer vCPUs.

    The greedy plan is taken where it places all, or leaves out no more than has no room by the formula alone.
    """
    budget = move_budget(fleet, options.max_moves, options.max_migrations)
    compiled = compile_fleet(fleet, parse_goals("placed", fleet), budget)
    limits = Limits(time_limit_s=options.time_limit_s, rounds=options.rounds)
    first = solve(compiled.problem, engine="greedy", limits=limits, seed=options.seed)
    sure = first.is_answer and not any(first.unplaced)
    if not sure and first.is_answer and budget.moves == 0:
        sure = _left_out(compiled, first) <= _without_room(compiled)
    if engine == "greedy" or sure:
        return compiled, first, sure
    return compiled, solve(compiled.problem, limits=limits, seed=options.seed), False


def is_proven(result: Result, sure: bool) -> bool:
    """Tell whether no other plan leaves out fewer vCPUs."""
    return sure or all(objective.status == "optimal" for objective in result.objectives)


def _left_out(compiled: Compiled, result: Result) -> int:
    flavors = compiled.problem.flavors
    return sum(flavor.vcpus * many for flavor, many in zip(flavors, result.unplaced, strict=True))


def _without_room(compiled: Compiled) -> int:
    """Return vCPUs that no plan places while nothing moves: those of each flavor for which there is no room alone."""
    room = Room(compiled.problem)
    total = 0
    for number, flavor in enumerate(compiled.problem.flavors):
        most = room.most(number) if flavor.arriving else None
        if most is not None:
            total += flavor.vcpus * max(0, flavor.arriving - most)
    return total
