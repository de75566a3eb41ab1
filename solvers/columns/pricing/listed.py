"""Every pattern of a host that holds few VMs, written down once and priced by one look-up: exact, in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from solvers.columns.duals import Prices
from solvers.columns.model import Pattern, State, StateModel
from solvers.problem import IntArray

MOST = 300_000
BEST = 16
"""Patterns that one pricing brings at most."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All patterns of an empty state: `held` (patterns, VMs) positions among `placements`, filled up by one more."""

    placements: IntArray
    held: IntArray


@dataclass(slots=True)
class Enumerator:
    """Lists the patterns of empty states where these are few; what a pattern is worth must be a sum over its VMs."""

    model: StateModel
    _listings: dict[int, Listing | None] = field(default_factory=dict)

    def on(self, model: StateModel) -> Enumerator:
        """Return one for the same hosts and placements under other objectives: what is listed serves both."""
        return Enumerator(model, self._listings)

    def price(self, state: State, prices: Prices, *, best: int = BEST) -> tuple[int, tuple[Pattern, ...]] | None:
        """Return the most that a pattern is worth, the host's cost taken off, and the best patterns; None if not
        listed.
        """
        listing = self._listing(state)
        if listing is None:
            return None
        model = self.model
        flat = model.offset[state.shape] + listing.placements
        flavor = model.flavor[flat]
        worth = prices.value[flat] - prices.penalty * np.where(model.phantom, 0, state.lead.stay_penalty)[flavor]
        total = np.append(worth, 0)[listing.held].sum(axis=1)
        # Of all that are as good as the last one taken, the first ones: the same on every machine.
        floor = -np.partition(-total, min(best, len(total)) - 1)[min(best, len(total)) - 1]
        top = np.nonzero(total >= floor)[0]
        top = top[np.lexsort((top, -total[top]))][:best]
        opening = prices.opening * state.lead.cost
        patterns = []
        for n in top.tolist():
            positions, counts = np.unique(listing.held[n][listing.held[n] < len(flat)], return_counts=True)
            held = zip(listing.placements[positions].tolist(), counts.tolist(), strict=True)
            patterns.append(tuple(sorted(held)))
        return max(0, int(total[top[0]]) - opening), tuple(patterns)

    def _listing(self, state: State) -> Listing | None:
        if state.index not in self._listings:
            self._listings[state.index] = self._list(state)
        return self._listings[state.index]

    def _list(self, state: State) -> Listing | None:
        model, shape = self.model, self.model.problem.shapes[state.shape]
        if state.present.any() or state.lead.room is not None or shape.hinges or model.phantom.any():
            return None
        view = model.view(state)
        placements, upper, use = view.placements, view.upper, view.use
        takes = [
            [(row, int(use[position, row])) for row in np.nonzero(use[position])[0]] for position in range(len(use))
        ]
        parts = [np.zeros((1, 0), dtype=np.int64)]
        # What is left, a row at a time: comparisons run along the patterns.
        left = state.lead.capacity[:, None].copy()
        size = 1
        while len(parts[-1]):
            held = parts[-1]
            last = held[:, -1] if held.shape[1] else np.zeros(len(held), dtype=np.int64)
            again = (held == last[:, None]).sum(axis=1)
            # Patterns come in the order of their last VM, and the next one comes after it.
            ends = np.searchsorted(last, np.arange(len(placements)), side="right").tolist()
            begins = np.searchsorted(last, np.arange(len(placements)), side="left").tolist()
            longer, rests = [], []
            for position, (begin, end) in enumerate(zip(begins, ends, strict=True)):
                fits = np.ones(end, dtype=np.bool_)
                for row, taken in takes[position]:
                    fits &= left[row, :end] >= taken
                fits[begin:] &= again[begin:end] < upper[position]
                chosen = np.nonzero(fits)[0]
                if len(chosen):
                    longer.append(np.column_stack([held[chosen], np.full(len(chosen), position)]))
                    rests.append(left[:, chosen] - use[position][:, None])
                    size += len(chosen)
                if size > MOST:
                    return None
            if not longer:
                break
            parts.append(np.concatenate(longer))
            left = np.concatenate(rests, axis=1)
        depth = parts[-1].shape[1]
        filled = [np.pad(part, ((0, 0), (0, depth - part.shape[1])), constant_values=len(placements)) for part in parts]
        return Listing(placements, np.concatenate(filled).astype(np.int64))
