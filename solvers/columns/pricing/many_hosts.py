"""Cheap pricing of many live hosts at once: the tables of all their nodes as one array, VMs over several nodes in step.

The same search as `solvers.columns.pricing.from_tables.greedy`, for all states of a shape together: per host it would
be numpy's overhead that counts. What a pattern holds on single nodes is read from tables made again for the few
states whose pattern pays.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from solvers.columns.model import Pattern, State, pattern_of
from solvers.columns.pricing.by_tables import TablePricing
from solvers.columns.pricing.from_tables import fitted
from solvers.columns.pricing.layouts import Layouts
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
class LiveBatches:
    """The live states that can be priced together: several nodes alike in their rows, none with floating VMs."""

    layouts: Layouts
    many: tuple[Batch, ...] = field(init=False)
    pairs: tuple[PairBatch, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Put states together."""
        groups: dict[int, list[State]] = defaultdict(list)
        for state in self.layouts.model.states:
            grid = self.layouts.grids[state.shape]
            if grid is None or len(grid.nodes) < 3 or not state.own:
                continue
            if state.unsettled.any() or state.lead.room is not None:
                continue
            if len({len(node.rows) for node in grid.nodes}) == 1:
                groups[self.layouts.permission[state.index]].append(state)
        self.many = tuple(Batch(self.layouts, tuple(states)) for states in groups.values() if len(states) >= FEWEST)
        self.pairs = pair_batches(self.layouts, FEWEST)


@dataclass(slots=True)
class LivePricing:
    """What one set of prices makes of the live states that are priced together; a value, as its tables are.

    A VM that stays on its host in another place earns what leaving the host would cost, and tables of single nodes do
    not see how many do. So bounds give that to every VM there and take it from no one who leaves (a Lagrangian
    multiplier on their number): little is lost where few leave.

    Attributes
    ----------
    tables : under these prices. most : state -> a bound on the value of any pattern.
    """

    batches: LiveBatches
    tables: TablePricing
    _bounding: TablePricing = field(init=False)
    most: dict[int, int] = field(init=False)
    _pairs: dict[int, int] = field(init=False)
    _parts: list[IntArray] = field(init=False)
    _at: dict[int, tuple[int, int]] = field(init=False)
    _searches: list[_Search] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Bound every state."""
        self.most, self._parts = {}, []
        self._bounding = self.tables.staying
        many = self.batches.many
        self._at = {state.index: (b, s) for b, batch in enumerate(many) for s, state in enumerate(batch.states)}
        for batch in many:
            stock = self._bounding.stock(batch.states[0], up=False)
            parts = node_tables(self._bounding, batch, stock, parts=True)
            self._parts.append(parts)
            total = best_kept(self._bounding, batch, stock, parts) // stock.scale
            for state, value in zip(batch.states, total.tolist(), strict=True):
                self.most[state.index] = value + self.tables.gift(state)
        self._pairs = self._most_of_pairs()
        self.most |= self._pairs

    def _most_of_pairs(self) -> dict[int, int]:
        """Return the value of the best pattern of each live host of two nodes, the cost of opening it taken off."""
        out: dict[int, int] = {}
        phantoms = self.tables.model.phantom.any()
        for batch in self.batches.pairs:
            most = batch.most(self._bounding)
            if most is None:
                continue
            for state, value in zip(batch.states, most.tolist(), strict=True):
                opening = 0 if phantoms else self.tables.prices.opening * state.lead.cost
                worth = value + self.tables.gift(state)
                out[state.index] = max(0, worth - opening) if opening else worth
        return out

    def patterns(self, worst: IntArray) -> dict[int, Pattern]:
        """Return patterns of states whose best one found is worth more than ``worst[state]``, of many the best."""
        out: dict[int, Pattern] = {}
        for search in self._searched():
            over = search.total - worst[[state.index for state in search.batch.states]]
            order = np.lexsort((np.arange(len(over)), -over))[: max(FEWEST, len(over) // SHARE)]
            out.update({search.batch.states[s].index: search.read(s) for s in order[over[order] > 0].tolist()})
        paying = sorted((worst[s] - value, s) for s, value in self._pairs.items() if value > worst[s])
        for _, s in paying[: max(FEWEST, len(self._pairs) // PAIR_SHARE)]:
            out.update((s, pattern) for pattern in self.tables.offer(self.tables.model.states[s]).patterns)
        return out

    def _searched(self) -> list[_Search]:
        if not self._searches:
            self._searches = [_Search(self.tables, batch) for batch in self.batches.many]
        return self._searches

    def best(self, state: State) -> Pattern | None:
        """Return the best pattern found of a state that can be narrowed; None for others."""
        at = self._at.get(state.index)
        return None if at is None else self._searched()[at[0]].read(at[1])

    def narrow(self, state: State, known: int) -> Narrow | None:
        """Return what a pattern of a state with a `best` one can hold that is worth more than `known`."""
        b, s = self._at[state.index]
        stock = self._bounding.stock(state, up=False)
        movers = self.tables.prices.leave_host > 0
        beaten = known - self.tables.gift(state)
        return narrowed(self._bounding, self.batches.many[b], s, stock, self._parts[b][s], beaten, movers=movers)


@dataclass(slots=True)
class _Search:
    """The search for good patterns of a batch; `total` (S,) is what the tables say that the one found is worth."""

    pricing: TablePricing
    batch: Batch
    stock: Stock = field(init=False)
    tables: IntArray = field(init=False)
    adds: IntArray = field(init=False)
    worth: IntArray = field(init=False)
    left: IntArray = field(init=False)
    kept: BoolArray = field(init=False)
    added: list[dict[int, int]] = field(init=False)
    total: IntArray = field(init=False)

    def __post_init__(self) -> None:
        """Make the tables of all nodes, and search."""
        self.stock = stock = self.pricing.stock(self.batch.states[0], up=True)
        self.tables = node_tables(self.pricing, self.batch, stock, parts=False)
        multi = stock.grid.multi[stock.may[stock.grid.multi] & (stock.worth[stock.grid.multi] > 0)]
        self.adds, self.worth = multi, stock.worth[multi] * stock.scale
        self._run()

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

    def _run(self) -> None:
        """Take and leave VMs over several nodes one by one on every host while it pays."""
        batch, stock = self.batch, self.stock
        count = len(batch.states)
        kept = batch.multi >= 0
        values = batch.kept_values(self.pricing, stock)
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
        self.left, self.kept, self.added = left, kept, added
        self.total = (total + self._now(np.arange(count), left).sum(axis=1)) // stock.scale

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

    def read(self, s: int) -> Pattern:
        """Return the pattern found of ``batch.states[s]``."""
        state = self.batch.states[s]
        taken = dict(self.added[s])
        for placement in self.batch.multi[s][self.kept[s]].tolist():
            taken[placement] = taken.get(placement, 0) + 1
        self.pricing.read_singles(state, self.stock, self.left[s], taken)
        return fitted(self.pricing.model, state, pattern_of(taken), self.stock.worth)
