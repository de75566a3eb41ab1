"""A problem without rules that keeps linear limits over classes of hosts: each is an objective held at a number.

As with branches (`solvers.columns.branching.rows`) pricing, bounds and certificates need nothing new: the dual of what
is held is a cost of the members on the hosts that the limit is over. Shapes are copied for these hosts, and for no
others. What is to be chosen, one domain of a group, is a VM on a host of its own, which costs less than nothing in the
rows of the domain that it chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from solvers.objective import Objective, PlacementCosts, Unplaced
from solvers.problem import Flavor, HostClass, IntArray, Problem, Shape
from solvers.rule_rows.rows import Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """The problem up to an objective, its limits before it; `most` is what these are held at.

    `choices` : (class, placements) of what is to be chosen, each of a VM of the last flavor.
    """

    problem: Problem
    most: tuple[int, ...]
    choices: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, problem: Problem, objective: int, limits: Sequence[Limit]) -> Limited:
        """Write the limits into a problem without rules."""
        groups: dict[int, dict[frozenset[int], list[int]]] = {}
        for number, limit in enumerate(limits):
            if limit.choice is not None:
                groups.setdefault(limit.choice, {}).setdefault(limit.classes, []).append(number)
        made = replace(
            problem,
            rules=(),
            objectives=(
                *problem.objectives[:objective],
                *(
                    Objective(goal=_name(number), terms=(PlacementCosts(_name(number)),))
                    for number in range(len(limits))
                ),
                problem.objectives[objective],
            ),
        )
        made = _with_choosers(_split(made, limits), limits, list(groups.values()))
        first = len(problem.classes)
        return cls(
            problem=made,
            most=tuple(0 if limit.choice is not None else limit.most for limit in limits),
            choices=tuple((first + number, len(group)) for number, group in enumerate(groups.values())),
        )


def _name(number: int) -> str:
    return f"limit {number}"


def _split(problem: Problem, limits: Sequence[Limit]) -> Problem:
    """Give the classes that limits are over shapes of their own, on which members cost something in these."""
    shapes: list[Shape] = list(problem.shapes)
    known: dict[tuple[int, tuple[int, ...]], int] = {}
    over: list[list[int]] = [[] for _ in problem.classes]
    for number, limit in enumerate(limits):
        for one_class in limit.classes:
            over[one_class].append(number)
    classes = []
    for one, numbers in zip(problem.classes, over, strict=True):
        key = one.shape, tuple(numbers)
        if numbers and key not in known:
            known[key] = len(shapes)
            shapes.append(_priced(problem.shapes[one.shape], limits, numbers))
        classes.append(replace(one, shape=known[key]) if numbers else one)
    return replace(problem, shapes=tuple(shapes), classes=tuple(classes))


def _priced(shape: Shape, limits: Sequence[Limit], numbers: Sequence[int]) -> Shape:
    cost = dict(shape.cost)
    for number in numbers:
        amount = limits[number].amount
        cost[_name(number)] = np.array([amount.get(flavor, 0) for flavor in shape.flavor.tolist()], dtype=np.int64)
    return replace(shape, cost=cost)


def _with_choosers(
    problem: Problem, limits: Sequence[Limit], groups: Sequence[dict[frozenset[int], list[int]]]
) -> Problem:
    """Add a flavor, and a host for each group, on which one VM of it takes one of the places that may be chosen."""
    if not groups:
        return problem
    flavors = len(problem.flavors)
    classes = [
        replace(one, allowed=np.append(one.allowed, False), stay_penalty=np.append(one.stay_penalty, 0))
        for one in problem.classes
    ]
    shapes = list(problem.shapes)
    allowed = np.append(np.zeros(flavors, dtype=np.bool_), True)
    count = 0
    for group in groups:
        chosen = limits[next(iter(group.values()))[0]].chosen
        count += chosen
        classes.append(
            HostClass(
                shape=len(shapes),
                count=chosen,
                capacity=np.ones(1, dtype=np.int64),
                fixed=np.zeros(1, dtype=np.int64),
                allowed=allowed,
                stay_penalty=np.zeros(flavors + 1, dtype=np.int64),
                cost=0,
            )
        )
        cost: dict[str, IntArray] = {}
        for place, numbers in enumerate(group.values()):
            for number in numbers:
                cost[_name(number)] = np.zeros(len(group), dtype=np.int64)
                cost[_name(number)][place] = -limits[number].most
        shapes.append(
            Shape(
                name="choice",
                nodes=1,
                row_names=((None, "choice"),),
                flavor=np.full(len(group), flavors, dtype=np.int64),
                use=np.ones((len(group), 1), dtype=np.int64),
                cost=cost,
                touches=np.zeros((len(group), 1), dtype=np.bool_),
                stay_only=np.zeros(len(group), dtype=np.bool_),
            )
        )
    return replace(
        problem,
        flavors=(*problem.flavors, Flavor(name="choice", vcpus=1, arriving=count)),
        shapes=tuple(shapes),
        classes=tuple(classes),
        objectives=tuple(
            replace(
                one,
                terms=tuple(
                    Unplaced(np.append(term.cost, 0)) if isinstance(term, Unplaced) else term for term in one.terms
                ),
            )
            for one in problem.objectives
        ),
    )
