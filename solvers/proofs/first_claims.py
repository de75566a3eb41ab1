"""What is proven of an answer before any search: floors of the problem alone, and what they come to once all have a
place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from solvers.claims import Claim, Claims, with_claims
from solvers.evaluate import evaluate
from solvers.objective import Objective
from solvers.problem import Problem
from solvers.proofs.broken_floor import broken_floor, mending_moves
from solvers.proofs.excess_floor import excess_floor
from solvers.proofs.floors import (
    arrivals_floor,
    changes_floor,
    emptying_floor,
    leaving_floor,
    load_floor,
    saving_floor,
)
from solvers.proofs.groups_floor import groups_floor
from solvers.proofs.load_prices import priced
from solvers.result import ObjectiveResult, Result


def proven_first(problem: Problem, result: Result) -> Result:
    """Return an answer with what needs no search to be proven of it, beside what is proven already."""
    values = evaluate(problem, result.patterns, result.unplaced)
    claims = Claims.of(result)
    for number, claim in first_claims(problem, values):
        claims.claim(number, claim)
    return with_claims(result, values, claims)


def first_claims(problem: Problem, values: Sequence[int]) -> Iterator[tuple[int, Claim]]:
    """Yield (objective, claim) of floors that need no search, for an answer of these values.

    Where not every placement was enumerated, what those that are missing cost has to be known, and no VM may be there
    now: it could be in one of them.
    """
    known = all(
        problem.shapes[one.shape].complete or (one.is_empty and problem.shapes[one.shape].unlisted)
        for one in problem.classes
    )
    for number, objective in enumerate(problem.objectives):
        yield from ((number, claim) for claim in leaving_claims(problem, number, values))
        if not known or _is_negative(problem, objective):
            continue
        floor, source = plain_floor(problem, objective)
        yield number, Claim(floor, source)
        whole = _all_placed(problem, values[:number])
        if (objective.moves or objective.migrations) and (moves := _mending(problem, values[:number])):
            least = floor + (objective.moves + objective.migrations) * moves
            yield number, Claim(least, "what mending rules takes at least", held=tuple(values[:number]))
        if changes := changes_floor(problem, objective, _known_costs(problem, values[:number])):
            yield number, Claim(changes, "what each move can save at most", held=tuple(values[:number]))
        if whole and (more := arrivals_floor(problem, objective)):
            yield number, Claim(floor + more, "what each VM costs at least", held=tuple(values[:whole]))
        if whole and objective.host_cost and problem.is_complete and (least := groups_floor(problem)):
            yield number, Claim(least, "groups that cannot share hosts", held=tuple(values[:whole]))


def leaving_claims(problem: Problem, number: int, values: Sequence[int]) -> Iterator[Claim]:
    """Yield what changes of VMs cost at least for as few to be where they should not be as in the answer: whatever
    places there are, these leave their hosts.
    """
    each = problem.objectives[number].moves + problem.objectives[number].migrations
    for before, objective in enumerate(problem.objectives[:number] if each else ()):
        if objective.stay_penalty and not _is_negative(problem, objective):
            leave = leaving_floor(problem, values[before])
            if leave:
                yield Claim(leave * each, "VMs that have to leave their hosts", held=tuple(values[: before + 1]))


def plain_floor(problem: Problem, objective: Objective, *, known: bool = True) -> tuple[int, str]:
    """Return what costs that are never negative prove by themselves, and how little few moves can change; what the
    least place of a VM costs is `known` only where all places are.
    """
    floor = 0
    if known:
        loads = max((load_floor(problem, objective), *(one.floor for one in priced(problem, objective))))
        floor = saving_floor(problem, objective) + loads + excess_floor(problem, objective)
    floor += emptying_floor(problem, objective) + broken_floor(problem, objective)
    return floor, "what the moves allowed can save at most" if floor else "no cost is negative"


def _mending(problem: Problem, values: Sequence[int]) -> int:
    """Return how many VMs change host at least where earlier objectives are no more than these values."""
    earlier = zip(problem.objectives, values, strict=False)
    return max((mending_moves(problem, objective, value) for objective, value in earlier), default=0)


def _known_costs(problem: Problem, values: Sequence[int]) -> list[tuple[Objective, int]]:
    """Return earlier objectives whose costs are never negative, with these values."""
    earlier = zip(problem.objectives, values, strict=False)
    return [(one, value) for one, value in earlier if not _is_negative(problem, one)]


def _is_negative(problem: Problem, objective: Objective) -> bool:
    return objective.cost is not None and any(
        (shape.cost[objective.cost] < 0).any() for shape in problem.shapes if objective.cost in shape.cost
    )


def _all_placed(problem: Problem, values: Sequence[int]) -> int:
    """Return how many objectives have to be held so that no VM is left out; 0 where some are, or nothing says so."""
    for number, value in enumerate(values):
        unplaced = problem.objectives[number].unplaced
        if unplaced is None or value:
            continue
        if all(int(unplaced[f]) > 0 for f, flavor in enumerate(problem.flavors) if flavor.arriving):
            return number + 1
    return 0


def nowhere(problem: Problem) -> Result:
    """Return the answer where no host works: all VMs stay out, and there is no other answer to compare it with."""
    unplaced = tuple(problem.demand().tolist())
    rows = zip(problem.objectives, evaluate(problem, (), unplaced), strict=True)
    return Result(
        status="optimal",
        objectives=tuple(
            ObjectiveResult(
                goal=one.goal, part=one.part, value=value, bound=value, source="no host works", status="optimal"
            )
            for one, value in rows
        ),
        unplaced=unplaced,
    )
