"""Cheap patterns for any host: items taken in the order of value per weighted size, under many weightings at once; and
for many hosts alike that nothing is on yet, with VMs that nearly all differ, sets that grow side by side.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from solvers.columns.duals import Prices
from solvers.columns.model import Pattern, State, StateModel, pattern_of
from solvers.columns.pricing.beam import Items, valuable_sets
from solvers.problem import IntArray

WEIGHTINGS = 48
BEST = 6
"""Patterns of a state that are kept."""
MANY_HOSTS, MANY_FLAVORS = 12, 60
FEW_ALIKE = 3
"""VMs of a flavor, on average, from which on they do not nearly all differ."""


@dataclass(slots=True)
class Packer:
    """Packs hosts greedily; `seed` makes the weightings of the rows."""

    model: StateModel
    seed: int
    _weightings: dict[int, IntArray] = field(default_factory=dict)
    _keys: IntArray | None = None

    def is_wide(self, state: State) -> bool:
        """Tell whether a state has many hosts, all empty, for VMs that nearly all differ and have a place each."""
        model, shape = self.model, self.model.problem.shapes[state.shape]
        flavors = len(model.problem.flavors)
        return bool(
            state.count >= MANY_HOSTS
            and shape.placements == flavors >= MANY_FLAVORS
            and int(model.demand.sum()) < FEW_ALIKE * flavors
            and not state.own
            and not model.phantom.any()
            and not shape.hinges
            and len(np.unique(shape.flavor)) == flavors
        )

    def wide(self, state: State, prices: Prices) -> tuple[Pattern, ...]:
        """Return patterns of a state that `is_wide`, the most valuable first."""
        model = self.model
        worth = prices.value[model.offset[state.shape] : model.offset[state.shape + 1]]
        view = model.view(state, np.nonzero(worth > 0)[0])
        chosen = view.placements
        if not len(chosen):
            return ()
        if self._keys is None:
            self._keys = np.random.default_rng([self.seed, 3]).integers(1, 1 << 62, size=len(model.phantom))
        items = Items(value=worth[chosen], use=view.use, upper=view.upper, room=state.lead.capacity)
        sets = valuable_sets(items, self._keys[view.flavor])
        found = [pattern_of(Counter(chosen[one].tolist())) for one in sets]
        return tuple(pattern for pattern in found if model.fits(state, pattern))

    def patterns(self, state: State, prices: Prices) -> tuple[Pattern, ...]:
        """Return patterns that fit, the most valuable first."""
        model, shape = self.model, self.model.problem.shapes[state.shape]
        worth = prices.value[model.offset[state.shape] : model.offset[state.shape + 1]]
        worth = worth - prices.penalty * np.where(model.phantom, 0, state.lead.stay_penalty)[shape.flavor]
        stay = prices.leave_place + prices.leave_host
        view = model.view(state, np.nonzero(worth > 0)[0])
        placements, upper, here = view.placements, view.upper, view.content
        # VMs that are there are items of their own: they are worth more where they are.
        item = np.concatenate([np.nonzero(here)[0], np.arange(len(placements))])
        value = np.concatenate([worth[placements[here > 0]] + stay, worth[placements]])
        most = np.concatenate([here[here > 0], upper - here])
        keep = (value > 0) & (most > 0)
        item, value, most = item[keep], value[keep], most[keep]
        if not len(item):
            return ()
        use = shape.use[placements[item]]
        rows = np.nonzero(use.any(axis=0) & (state.lead.capacity > 0))[0]
        # Integer sizes: a product of floats would order ties differently from machine to machine.
        size = (use[:, rows] << 16) // state.lead.capacity[rows] + 1
        ratio = value / (self._weights(len(rows)) @ size.T)
        order = np.argsort(-ratio, axis=1, kind="stable")
        left = np.repeat(state.lead.capacity[None, :], len(order), axis=0)
        taken = np.zeros((len(order), len(placements)), dtype=np.int64)
        line = np.arange(len(order))
        for position in range(len(item)):
            chosen = order[:, position]
            sizes = use[chosen]
            room = np.where(sizes > 0, left // np.maximum(sizes, 1), np.iinfo(np.int64).max).min(axis=1)
            count = np.minimum(np.maximum(room, 0), most[chosen])
            left -= count[:, None] * sizes
            taken[line, item[chosen]] += count
        total = taken @ worth[placements] + np.minimum(taken, here) @ np.full(len(placements), stay)
        found: list[Pattern] = []
        for n in np.lexsort((line, -total)):
            pattern = tuple((int(placements[p]), int(taken[n, p])) for p in np.nonzero(taken[n])[0])
            if pattern not in found and model.fits(state, pattern):
                found.append(pattern)
            if len(found) == BEST:
                break
        return tuple(found)

    def _weights(self, rows: int) -> IntArray:
        """Return (weightings, rows): even, each row alone, and random ones."""
        if rows not in self._weightings:
            rng = np.random.default_rng([self.seed, rows])
            # The product of two leans towards few heavy rows, as the sizes that matter do.
            random = np.prod(rng.integers(1, 33, size=(2, max(1, WEIGHTINGS - rows - 1), rows)), axis=0)
            single = 1 + 20 * np.eye(rows, dtype=np.int64)
            self._weightings[rows] = np.concatenate([np.ones((1, rows), dtype=np.int64), single, random])
        return self._weightings[rows]
