"""Bounds where few moves are allowed: a move costs what the last of them can save, and no VM costs anything else.

At these duals every host stands for itself, and mostly that is all there is to it: what one move more saves is what the
next best VM saves. A master of columns comes there late or never where every VM has a size of its own, for it has to
learn it of each. What is left is exact pricing of the few hosts whose part in the answer costs more than the bound
says: hosts that are over, or on which VMs settle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from solvers.clock import CutOffError
from solvers.columns.duals import Duals
from solvers.columns.generate import Generator
from solvers.columns.incumbent import Hosts
from solvers.columns.model import Pattern
from solvers.columns.points import Point
from solvers.columns.pool import reduced_costs
from solvers.columns.run import Kit
from solvers.problem import IntArray
from solvers.proofs.floors import move_prices

POINTS = 3
"""Prices of a move that are tried."""
FIRM = 2.0
"""How many moves a unit of an earlier objective weighs that is held at none: it is left by moves, mostly one."""
APART = 400
"""Most states that are priced exactly."""
BUDGET = 0.5


@dataclass(slots=True, kw_only=True)
class MovePrices:
    """Bounds of one objective by prices of a move, and what pricing found on the way.

    `soft` (objectives,) weights of earlier objectives that are minimised beside this one instead of held.
    """

    kit: Kit
    generator: Generator
    objective: int
    held: tuple[int, ...]
    soft: IntArray
    better: dict[tuple[int, Pattern], Pattern] = field(default_factory=dict)
    """(state, pattern of the answer) -> one that costs less at the last price."""

    def bounds(self) -> Iterator[bool]:
        """Bound at one price after the other while that raises the bound; yield whether it did."""
        generator = self.generator
        for price in move_prices(self.kit.model.problem, self.kit.model.problem.objectives[self.objective])[:POINTS]:
            before = generator.best
            generator.bound_at(self._point(price), self._sharpen)
            yield generator.best is not before
            if generator.best is before:
                return

    def _point(self, price: int) -> Point:
        """Return the duals of a price, which is a little less than a move saves: of two patterns that would cost the
        same the one that saves is found, and all moves together lose less than a step of the bound.
        """
        model = self.kit.model
        price -= self.kit.steps[self.objective] // ((model.problem.budget.moves or 0) + 1)
        hold = np.zeros(model.objectives)
        for g, value in enumerate(self.held):
            if not (value or self.soft[g] or (model.cost[:, g] < 0).any()):
                hold[g] = FIRM * price
        return Point(np.zeros(len(model.phantom)), hold, float(price), 0.0)

    def _sharpen(self, duals: Duals, least: list[int]) -> None:
        """Price exactly the states that keep the bound and the answer apart, those first that do most."""
        kit, model = self.kit, self.kit.model
        keys = sorted(kit.incumbent.hosts)
        costs = self._costs(keys, duals)
        gaps = sorted((least[key[0]] - cost, n) for n, (key, cost) in enumerate(zip(keys, costs, strict=True)))
        apart = [n for gap, n in gaps[:APART] if gap < 0]
        hints: dict[int, Pattern] = {}
        for n in apart:
            hints.setdefault(*keys[n])
        answers = kit.exact.price(
            [model.states[index] for index in hints],
            duals,
            list(hints.values()),
            [None] * len(hints),
            budget=BUDGET,
            seed=kit.seed,
        )
        if answers is None:
            raise CutOffError
        for priced in answers:
            if priced.least is not None:
                least[priced.state] = max(least[priced.state], priced.least)
        kit.pool.add([(priced.state, pattern) for priced in answers for pattern in priced.patterns])
        found = {priced.state: priced.patterns[0] for priced in answers if priced.patterns}
        cheapest = dict(zip(found, self._costs(list(found.items()), duals), strict=True))
        self.better = {
            keys[n]: found[keys[n][0]] for n in apart if keys[n][0] in found and cheapest[keys[n][0]] < costs[n]
        }

    def _costs(self, keys: list[tuple[int, Pattern]], duals: Duals) -> list[int]:
        columns = self.kit.evaluator.evaluate([state for state, _ in keys], [pattern for _, pattern in keys])
        return [int(cost) for cost in reduced_costs(columns, duals)]

    def answers(self) -> Iterator[Hosts]:
        """Yield what the answer is with better patterns, all at once, then one after the other; VMs that are twice or
        missing then are for others to settle.
        """
        for chosen in ([*self.better], *([key] for key in self.better)):
            hosts = dict(self.kit.incumbent.hosts)
            for key in chosen:
                if key in hosts:
                    new = (key[0], self.better[key])
                    hosts[new] = hosts.get(new, 0) + hosts.pop(key)
            if chosen:
                yield hosts
