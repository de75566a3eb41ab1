"""VMs that are where rules do not let them be go elsewhere first: a drain is done before any search begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from solvers.evaluate import evaluate
from solvers.problem import Problem
from solvers.result import HostPattern, Result
from solvers.starts.best_fit import solve_greedy

ATTEMPTS = 64
"""Tries at most where not all of them find a place at once."""

_Out = tuple[int, int, int]
"""Pattern, placement, VMs of it that leave one host of the pattern, or each of them."""


def evacuated(problem: Problem, start: Result) -> Result:
    """Return an answer in which such VMs have left, as many as best fit finds places for, or the first answer."""
    counted = any(objective.stay_penalty for objective in problem.objectives)
    if not counted or not start.patterns or 0 in (problem.budget.moves, problem.budget.migrations):
        return start
    best, values = start, evaluate(problem, start.patterns, start.unplaced)
    everyone = _misplaced(problem, start.patterns)
    if not everyone:
        return start
    found = _without(problem, start.patterns, everyone)
    if found is not None and evaluate(problem, found.patterns, found.unplaced) < values:
        return found
    left = ATTEMPTS
    while left > 0:
        before = values
        for number, placement, _ in _misplaced(problem, best.patterns)[:left]:
            left -= 1
            found = _without(problem, _split(best.patterns, number), [(number, placement, 1)])
            if found is not None and (reached := evaluate(problem, found.patterns, found.unplaced)) < values:
                best, values = found, reached
                break
        if values == before:
            break
    return best


def _misplaced(problem: Problem, patterns: Sequence[HostPattern]) -> list[_Out]:
    """Return the VMs that count as excess where they are."""
    out: list[_Out] = []
    for number, pattern in enumerate(patterns):
        host_class = problem.classes[pattern.host_class]
        flavor = problem.shapes[host_class.shape].flavor
        for placement, many in pattern.placements:
            if host_class.stay_penalty[flavor[placement]]:
                out.append((number, placement, many))
    return out


def _split(patterns: Sequence[HostPattern], number: int) -> list[HostPattern]:
    """Return the patterns with one host of a pattern apart, in its place."""
    pattern = patterns[number]
    out = [*patterns[:number], replace(pattern, count=1), *patterns[number + 1 :]]
    return [*out, replace(pattern, count=pattern.count - 1)] if pattern.count > 1 else out


def _without(problem: Problem, patterns: Sequence[HostPattern], leave: Sequence[_Out]) -> Result | None:
    """Return an answer in which these VMs are placed anew, None if they find no place."""
    less: dict[int, dict[int, int]] = {}
    for number, placement, many in leave:
        held = less.setdefault(number, dict(patterns[number].placements))
        held[placement] -= many
    rest = tuple(
        replace(pattern, placements=tuple((place, many) for place, many in less[number].items() if many))
        if number in less
        else pattern
        for number, pattern in enumerate(patterns)
    )
    found = solve_greedy(problem, warm_start=Result(status="feasible", objectives=(), patterns=rest))
    return found if found.patterns else None
