"""What finds a place while nothing else moves: counts for each flavor, without pins and without a plan."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.options import SweepOptions
from placer.planning.compile.budget import move_budget
from placer.planning.compile.compile import Compiled, compile_fleet
from placer.planning.room import Room
from solvers.result import Limits, Result
from solvers.solve import solve


def placed_counts(
    fleet: Fleet, options: SweepOptions, engine: str = "auto", *, by_vms: bool = False
) -> tuple[Compiled, Result, bool]:
    """Return a plan in counts that places what it can, and whether no other one leaves out fewer vCPUs.

    The greedy plan is taken where it places all, or leaves out no more than has no room by the formula alone.
    With `by_vms` it is VMs that are counted, all alike, and their vCPUs only after that.
    """
    budget = move_budget(fleet, options.max_moves, options.max_migrations)
    compiled = compile_fleet(fleet, parse_goals("placed", fleet), budget)
    if by_vms:
        objectives = list(compiled.problem.objectives)
        for number, (one, other) in enumerate(pairwise(compiled.problem.objectives)):
            if one.goal == other.goal == "placed" and one.part.startswith("vCPUs"):
                objectives[number : number + 2] = [other, one]
        compiled = replace(compiled, problem=replace(compiled.problem, objectives=tuple(objectives)))
    limits = Limits(time_limit_s=options.time_limit_s, rounds=options.rounds)
    first = solve(compiled.problem, engine="greedy", limits=limits, seed=options.seed)
    sure = first.is_answer and not any(first.unplaced)
    if not sure and first.is_answer and budget.moves == 0:
        sure = _left_out(compiled, first, by_vms) <= _without_room(compiled, by_vms)
    if engine == "greedy" or sure:
        return compiled, first, sure
    return compiled, solve(compiled.problem, limits=limits, seed=options.seed), False


def is_proven(result: Result, sure: bool) -> bool:
    """Tell whether no other plan leaves out fewer vCPUs, or VMs where those are counted."""
    return sure or all(objective.status == "optimal" for objective in result.objectives)


def _left_out(compiled: Compiled, result: Result, by_vms: bool) -> int:
    flavors = compiled.problem.flavors
    return sum((1 if by_vms else flavor.vcpus) * many for flavor, many in zip(flavors, result.unplaced, strict=True))


def _without_room(compiled: Compiled, by_vms: bool) -> int:
    """Return vCPUs, or VMs, that no plan places while nothing moves: of each flavor those without room even alone."""
    room = Room(compiled.problem)
    total = 0
    for number, flavor in enumerate(compiled.problem.flavors):
        most = room.most(number) if flavor.arriving else None
        if most is not None:
            total += (1 if by_vms else flavor.vcpus) * max(0, flavor.arriving - most)
    return total
