"""The prices behind bounds of loads and of the moves that even them, as a certificate holds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from solvers.objective import Changes
from solvers.problem import Problem
from solvers.proofs.load_prices import PARTS, Priced, priced, priced_moves, priced_without_limit


def price_lists(problem: Problem, values: Sequence[int | None], number: int) -> list[dict[str, Any]]:
    """Return prices that prove something of an objective with the earlier ones held at `values`, in the form that
    `loads_by_prices` takes; none where none are known.
    """
    return [
        {"of": of, "free": one.free, "scale": PARTS, "rows": [list(prices) for prices in one.prices]}
        for of, one in _found(problem, values, number)
    ]


def _found(problem: Problem, values: Sequence[int | None], number: int) -> Iterator[tuple[int, Priced]]:
    objective = problem.objectives[number]
    if objective.hinge is not None:
        yield from ((number, one) for one in priced(problem, objective))
        budget = problem.budget
        if budget.moves is None and budget.migrations is None:
            one = priced_without_limit(problem, objective)
            yield from () if one is None else ((number, one),)
    changes = objective.term(Changes)
    if changes is None:
        return
    for of, (earlier, most) in enumerate(zip(problem.objectives[:number], values, strict=False)):
        if earlier.cost is not None or most is None:
            continue
        for free, wanted in ((False, changes.moves), (True, changes.migrations)):
            if wanted and (one := priced_moves(problem, earlier, most, free=free)) is not None and one.moves(most):
                yield of, one
