"""Cheap pricing of many live hosts at once: the tables of all their nodes as one array, VMs over several nodes in step.

The same search as `solvers.columns.pricing.from_tables.greedy`, for all states of a shape together: per host it would
be numpy's overhead that counts. What a pattern holds on single nodes is read from tables made again for the few
states whose pattern pays.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from solvers.columns.duals import Prices
from solvers.columns.model import Pattern, State, pattern_of
from solvers.columns.pricing.by_tables import CheapPricer
from solvers.columns.pricing.from_tables import fitted
from solvers.columns.pricing.live_layout import NEVER, Batch, best_kept, node_tables
from solvers.columns.pricing.narrow import Narrow, narrowed
from solvers.columns.pricing.shape_tables import Stock
from solvers.columns.pricing.two_nodes import PairBatch, pair_batches
from solvers.problem import BoolArray, IntArray

FEWEST = 8
"""States of a shape and permission from which on they are priced together."""
SHARE = 4
"""Of many states that pay, one in so many gets a column at a time: those that pay most."""
PAIR_SHARE = 16
"""The same of states of two nodes, where knowing what pays is far cheaper than a column."""


@dataclass(slots=True)
class BatchPricer:
    """Prices the live states that can be laid out together: several nodes alike in their rows, no rounding of
    bonuses.
    """

    cheap: CheapPricer
    batches: tuple[Batch, ...] = field(init=False)
    pairs: tuple[PairBatch, ...] = field(init=False)
    known: dict[int, int] = field(default_factory=dict)
    _at: dict[int, tuple[Batch, int]] = field(init=False)
    _parts: dict[int, IntArray] = field(default_factory=dict)
    _pairs: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put states together."""
        groups: dict[int, list[State]] = defaultdict(list)
        for state in self.cheap.model.states:
            grid = self.cheap.grids[state.shape]
            if grid is None or len(grid.nodes) < 3 or not state.own or state.floating.any():
                continue
            if len({len(node.rows) for node in grid.nodes}) == 1:
                groups[self.cheap.permission[state.index]].append(state)
        self.batches = tuple(Batch(self.cheap, tuple(states)) for states in groups.values() if len(states) >= FEWEST)
        self.pairs = pair_batches(self.cheap, FEWEST)
        self._at = {state.index: (batch, s) for batch in self.batches for s, state in enumerate(batch.states)}

    def most(self, prices: Prices) -> dict[int, int]:
        """Return for each state a bound on the value of any pattern."""
        self.cheap.start(prices)
        out: dict[int, int] = {}
        for batch in self.batches:
            if prices.leave_host or not batch.plain:
                # VMs that gain by staying on the host in another place are not in these tables.
                continue
            stock = self.cheap.stock(batch.states[0], up=False)
            tables = self._parts[batch.states[0].index] = node_tables(self.cheap, batch, stock, parts=True)
            total = best_kept(batch, stock, tables) // stock.scale
            out.update({state.index: int(value) for state, value in zip(batch.states, total, strict=True)})
        self._pairs = {} if prices.leave_host else self._most_of_pairs(prices)
        return out | self._pairs

    def _most_of_pairs(self, prices: Prices) -> dict[int, int]:
        """Return the value of the best pattern of each live host of two nodes, the cost of opening it taken off."""
        out: dict[int, int] = {}
        for batch in self.pairs:
            most = batch.most()
            if most is None:
                continue
            for state, value in zip(batch.states, most.tolist(), strict=True):
                opening = 0 if self.cheap.model.phantom.any() else prices.opening * state.lead.cost
                out[state.index] = max(0, value - opening) if opening else value
        return out

    def patterns(self, prices: Prices, worst: IntArray) -> dict[int, Pattern]:
        """Return a pattern for each state whose best one found is worth more than ``worst[state]``.

        `known` then has the value of the best one found of every state.
        """
        self.cheap.start(prices)
        out: dict[int, Pattern] = {}
        for batch in self.batches:
            patterns, values = _Run(self.cheap, batch).patterns(worst)
            out.update(patterns)
            self.known.update({state.index: int(v) for state, v in zip(batch.states, values, strict=True)})
        paying = sorted((worst[s] - value, s) for s, value in self._pairs.items() if value > worst[s])
        for _, s in paying[: max(FEWEST, len(self._pairs) // PAIR_SHARE)]:
            out.update((s, pattern) for pattern in self.cheap.offer(self.cheap.model.states[s]).patterns)
        return out

    def narrow(self, state: State) -> Narrow | None:
        """Return what a pattern can hold that is worth more than the one known, under the prices of the last
        pricing.
        """
        batch, s = self._at[state.index]
        stock = self.cheap.stock(batch.states[0], up=False)
        return narrowed(batch, s, stock, self._parts[batch.states[0].index][s], self.known[state.index])


@dataclass(slots=True)
class _Run:
    """One pricing of a batch."""

    cheap: CheapPricer
    batch: Batch
    stock: Stock = field(init=False)
    tables: IntArray = field(init=False)
    adds: IntArray = field(init=False)
    worth: IntArray = field(init=False)

    def __post_init__(self) -> None:
        """Make the tables of all nodes."""
        self.stock = stock = self.cheap.stock(self.batch.states[0], up=True)
        self.tables = node_tables(self.cheap, self.batch, stock, parts=False)
        multi = stock.grid.multi[stock.may[stock.grid.multi] & (stock.worth[stock.grid.multi] > 0)]
        self.adds, self.worth = multi, stock.worth[multi] * stock.scale

    def _now(self, which: IntArray, left: IntArray) -> IntArray:
        """Return (s, nodes): what the room left on each node is worth; NEVER where it is negative."""
        nodes = np.arange(left.shape[1])
        safe = np.maximum(left, 0)
        out = self.tables[(which[:, None], nodes[None, :], *(safe[:, :, k] for k in range(left.shape[2])))]
        return np.where((left < 0).any(axis=2), NEVER, out)

    def _best_add(self, which: IntArray, left: IntArray, now: IntArray) -> tuple[IntArray, IntArray]:
        """Return (s,) the gain of the best VM over several nodes to take, and its position; 0 and -1 where none
        gains.
        """
        if not len(self.adds):
            return np.zeros(len(which), dtype=np.int64), np.full(len(which), -1)
        total = np.repeat(self.worth[None, :], len(which), axis=0)
        for node in range(left.shape[1]):
            groups = self.stock.grid.part_of[self.adds, node]
            used, position = np.unique(groups, return_inverse=True)
            steps = self.stock.steps(node)[np.maximum(used, 0)]
            rest = left[:, None, node, :] - np.where(used[:, None] < 0, 0, steps)[None, :, :]
            safe = np.maximum(rest, 0)
            values = self.tables[(which[:, None], node, *(safe[:, :, k] for k in range(rest.shape[2])))]
            change = np.where((rest < 0).any(axis=2), NEVER >> 4, values - now[:, node : node + 1])
            total += change[:, position.reshape(-1)]
        best = total.argmax(axis=1)
        gain = total[np.arange(len(which)), best]
        return np.maximum(gain, 0), np.where(gain > 0, best, -1)

    def patterns(self, worst: IntArray) -> tuple[dict[int, Pattern], IntArray]:
        """Return the patterns worth more than ``worst``, and (S,) the value of the best one found of each state."""
        batch, stock = self.batch, self.stock
        count = len(batch.states)
        kept = batch.multi >= 0
        values = batch.kept_values(stock)
        left = batch.levels - (batch.multi_use * kept[:, :, None, None]).sum(axis=1)
        added: list[dict[int, int]] = [{} for _ in range(count)]
        total = (values * kept).sum(axis=1)
        active = np.arange(count)
        while len(active):
            gain, drop, add = self._step(active, left, kept, values)
            better = gain > 0
            active, drop, add = active[better], drop[better], add[better]
            for s, e, a in zip(active.tolist(), drop.tolist(), add.tolist(), strict=True):
                if e >= 0:
                    kept[s, e] = False
                    left[s] += batch.multi_use[s, e]
                    total[s] -= values[s, e]
                if a >= 0:
                    placement = int(self.adds[a])
                    added[s][placement] = added[s].get(placement, 0) + 1
                    left[s] -= self._use(placement)
                    total[s] += self.worth[a]
        total = (total + self._now(np.arange(count), left).sum(axis=1)) // stock.scale
        out = {}
        over = total - worst[[state.index for state in batch.states]]
        order = np.lexsort((np.arange(count), -over))[: max(FEWEST, count // SHARE)]
        for s in order[over[order] > 0].tolist():
            out[batch.states[s].index] = self._read(s, left[s], kept[s], added[s])
        return out, total

    def _step(
        self, active: IntArray, left: IntArray, kept: BoolArray, values: IntArray
    ) -> tuple[IntArray, IntArray, IntArray]:
        """Return (active,) the best gain, the VM to leave (-1 none) and the one to take (-1 none)."""
        now = self._now(active, left[active])
        gain, add = self._best_add(active, left[active], now)
        drop = np.full(len(active), -1)
        for e in range(kept.shape[1]):
            has = np.nonzero(kept[active, e])[0]
            if not len(has):
                continue
            which = active[has]
            freed = left[which] + self.batch.multi_use[which, e]
            then = self._now(which, freed)
            more, other = self._best_add(which, freed, then)
            offer = then.sum(axis=1) - now[has].sum(axis=1) - values[which, e] + more
            better = offer > gain[has]
            gain[has[better]] = offer[better]
            drop[has[better]] = e
            add[has[better]] = other[better]
        return gain, drop, add

    def _use(self, placement: int) -> IntArray:
        """Return (nodes, rows): steps of a placement over several nodes."""
        part = self.stock.grid.part_of[placement]
        out = np.zeros(self.batch.levels.shape[1:], dtype=np.int64)
        for node in np.nonzero(part >= 0)[0].tolist():
            out[node] = self.stock.steps(node)[part[node]]
        return out

    def _read(self, s: int, left: IntArray, kept: BoolArray, added: dict[int, int]) -> Pattern:
        state = self.batch.states[s]
        taken = dict(added)
        for placement in self.batch.multi[s][kept].tolist():
            taken[placement] = taken.get(placement, 0) + 1
        self.cheap.read_singles(state, self.stock, left, taken)
        return fitted(self.cheap.model, state, pattern_of(taken), self.stock.worth)
