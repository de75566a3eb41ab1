"""Cheap pricing by knapsack tables: for every state a bound on its best pattern, and good patterns.

*Bound.* A VM over k nodes is cut into k parts that are worth a k-th of it each, and every node takes parts as it
likes: a relaxation, so the nodes' tables sum to a bound. On empty hosts with alike nodes it is mostly exact (the best
node repeated is a host). On hosts of two nodes a third table, over what lies on both, makes it exact. Rows of the
whole host, hinges above what is fixed and limits a host are left out, which keeps it valid.

*Patterns.* The best nodes' parts put together into VMs; or VMs over several nodes taken and left one by one while it
pays, at the price of what the tables say that their room is worth.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace

import numpy as np

from solvers.columns.duals import Prices
from solvers.columns.model import Pattern, State, StateModel, pattern_of
from solvers.columns.pricing.from_tables import assembled, fitted, greedy, read_single
from solvers.columns.pricing.knapsack import Item, Table
from solvers.columns.pricing.layouts import Layout, Layouts
from solvers.columns.pricing.shape_tables import Stock
from solvers.problem import IntArray

NEVER = -(1 << 61)
SUBSETS = 64
"""Most choices of irregular VMs to keep that are gone through on a two-node host."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What pricing says of a state: `most`, a bound on the value of any pattern (None unknown), and patterns that
    fit.
    """

    state: int
    most: int | None
    patterns: tuple[Pattern, ...]


@dataclass(slots=True)
class TablePricing:
    """What tables make of every state under one set of prices; they are built as states ask for them.

    A value: it belongs to its prices for good, and no other pricing changes what it says.
    """

    layouts: Layouts
    prices: Prices
    _stocks: dict[tuple[int, bool], Stock] = field(default_factory=dict)

    @property
    def staying(self) -> TablePricing:
        """The same with nothing to pay for leaving a host: with `gift` beside it, bounds hold for these prices."""
        if not self.prices.leave_host:
            return self
        return TablePricing(self.layouts, replace(self.prices, leave_host=0))

    def gift(self, state: State) -> int:
        """Return what all VMs present on a host of the state earn by staying on it, wherever there."""
        return self.prices.leave_host * int(state.present.sum())

    @property
    def model(self) -> StateModel:
        """The model of the layouts."""
        return self.layouts.model

    def losses(self, state: State) -> IntArray | None:
        """Return (P,): how much less than the bound on its value any pattern is worth that holds one VM newly so
        placed.

        None for shapes without a grid.
        """
        layout = self.layouts.layouts[state.index]
        if layout is None:
            return None
        stock = self.stock(state, up=False)
        total = stock.worth * stock.scale
        for node, levels in enumerate(layout.levels):
            values = self._table(state, layout, stock, node, parts=True).values
            rest = np.array(levels) - stock.steps(node)
            fits = (rest >= 0).all(axis=1)
            change = np.where(fits, values[tuple(np.maximum(rest, 0).T)] - values[levels], NEVER // 16)
            total = total + np.append(change, 0)[stock.grid.part_of[:, node]]
        out: IntArray = np.maximum(-total, 0) // stock.scale
        return out

    def stock(self, state: State, *, up: bool) -> Stock:
        """Return the tables of a state's shape and permission."""
        grid = self.layouts.grids[state.shape]
        assert grid is not None
        up = up or grid.exact
        key = (self.layouts.permission[state.index], up)
        if key not in self._stocks:
            model, shape = self.model, self.model.problem.shapes[state.shape]
            worth = self.prices.value[model.offset[state.shape] : model.offset[state.shape + 1]]
            if self.prices.penalty:
                worth = worth - self.prices.penalty * state.lead.stay_penalty[shape.flavor]
            most = np.where(model.phantom, 1 << 20, model.demand)
            self._stocks[key] = Stock(
                grid=grid,
                top=self.layouts.tops[state.shape],
                worth=worth,
                may=state.lead.allowed[shape.flavor] & ~shape.stay_only,
                movable=~shape.stay_only,
                most=most,
                up=up,
                scale=self.layouts.scale[state.shape],
            )
        return self._stocks[key]

    def offer(self, state: State) -> Offer:
        """Return a bound on the value of any pattern of the state, and patterns."""
        layout, grid = self.layouts.layouts[state.index], self.layouts.grids[state.shape]
        if layout is None or grid is None:
            return Offer(state.index, None, ())
        found: list[Pattern] = []
        low = self.stock(state, up=False)
        pair = self._pair(state, layout, low) if len(grid.nodes) == 2 else None
        most = self._parts_bound(state, layout, low) if pair is None else pair[0]
        if pair is not None:
            high = self.stock(state, up=True)
            best = pair if high is low else self._pair(state, layout, high)
            found = [best[1]] if best is not None else []
        if not found:
            found = self._built(state, layout)
        fit = dict.fromkeys(fitted(self.model, state, pattern, self.stock(state, up=True).worth) for pattern in found)
        return Offer(state.index, self._opened(state, most // low.scale), tuple(fit))

    def _opened(self, state: State, most: int) -> int:
        """Take the cost of opening the host off a bound; phantoms alone do not open it."""
        opening = self.prices.opening * state.lead.cost
        if not opening or (self.model.phantom.any()):
            return most
        return max(0, most - opening)

    def read_singles(self, state: State, stock: Stock, left: IntArray, into: dict[int, int]) -> None:
        """Add the best choice of VMs on single nodes with (nodes, rows) steps left, read from the tables."""
        layout = self.layouts.layout(state)
        for node in range(len(layout.levels)):
            table = self._table(state, layout, stock, node, parts=False)
            read_single(stock, node, table.read([int(x) for x in left[node]]), into)

    def keep_value(self, state: State, placement: int, stock: Stock) -> int:
        """Return what a VM that stays in place is worth, not times the scale."""
        return int(stock.worth[placement]) + self.prices.leave_place + self.prices.leave_host

    def _bonus(self, state: State) -> tuple[tuple[int, int, int], ...]:
        """Return (flavor, bonus, VMs) of VMs present that earn by staying on the host in another place, or may only
        so.
        """
        out = []
        for f in np.nonzero(state.present)[0]:
            floats = int(state.unsettled[f])
            if floats and self.prices.leave_place + self.prices.leave_host:
                out.append((int(f), self.prices.leave_place + self.prices.leave_host, floats))
            if self.prices.leave_host or not state.lead.allowed[f]:
                out.append((int(f), self.prices.leave_host, int(state.present[f])))
        return tuple(out)

    def _items(self, state: State, layout: Layout, stock: Stock, node: int, *, parts: bool) -> tuple[Item, ...]:
        items = [
            stock.kept(node, placement, 1, self.keep_value(state, placement, stock), count)
            for placement, count in layout.single[node]
        ]
        if parts:
            spread = (stock.grid.part_of >= 0).sum(axis=1)
            items += [
                stock.kept(node, placement, int(spread[placement]), self.keep_value(state, placement, stock), count)
                for placement, count in layout.multi
                if stock.grid.part_of[placement, node] >= 0
            ]
        return (*items, *stock.extras(node, parts=parts, bonus=self._bonus(state)))

    def _built(self, state: State, layout: Layout) -> list[Pattern]:
        """Return patterns for a host of any number of nodes."""
        stock = self.stock(state, up=True)
        whole = [self._table(state, layout, stock, node, parts=False) for node in range(len(layout.levels))]
        keep = [(placement, count, self.keep_value(state, placement, stock)) for placement, count in layout.multi]
        found = [greedy(stock, layout.levels, whole, keep)]
        if not state.own and len(layout.levels) > 1:
            parts = [self._table(state, layout, stock, node, parts=True) for node in range(len(layout.levels))]
            found.append(assembled(stock, layout.levels, parts, whole))
        return found

    def _table(self, state: State, layout: Layout, stock: Stock, node: int, *, parts: bool) -> Table:
        return stock.on_top(
            node, layout.levels[node], self._items(state, layout, stock, node, parts=parts), parts=parts
        )

    def _parts_bound(self, state: State, layout: Layout, stock: Stock) -> int:
        return sum(
            int(self._table(state, layout, stock, node, parts=True).values[levels])
            for node, levels in enumerate(layout.levels)
        )

    def _pair(self, state: State, layout: Layout, stock: Stock) -> tuple[int, Pattern] | None:
        """Return the exact best of a two-node host (up to rounding) times the scale, and its pattern; None if not
        to be had.
        """
        grid = stock.grid
        arrivals_alike = stock.pairs()[1]
        if not arrivals_alike or grid.nodes[0].unit.shape != grid.nodes[1].unit.shape:
            return None
        tables = [self._table(state, layout, stock, node, parts=False) for node in (0, 1)]
        alike: list[tuple[int, int, list[IntArray]]] = []
        odd: list[tuple[int, int, list[IntArray]]] = []
        for placement, count in layout.multi:
            parts = [stock.steps(node)[grid.part_of[placement, node]] for node in (0, 1)]
            (alike if (parts[0] == parts[1]).all() else odd).append((placement, count, parts))
        if math.prod(count + 1 for _, count, _ in odd) > SUBSETS:
            return None
        moved = stock.pair_extras(self._bonus(state))
        if moved is None:
            return None
        kept = (
            *(
                stock.kept(0, placement, 1, self.keep_value(state, placement, stock), count)
                for placement, count, _ in alike
            ),
            *moved,
        )
        best: tuple[int, Pattern] | None = None
        for choice in itertools.product(*(range(count, -1, -1) for _, count, _ in odd)):
            left = [np.array(levels, dtype=np.int64) for levels in layout.levels]
            value = 0
            for n, (placement, _, parts) in zip(choice, odd, strict=True):
                value += n * self.keep_value(state, placement, stock) * stock.scale
                left = [room - n * part for room, part in zip(left, parts, strict=True)]
            if any((room < 0).any() for room in left):
                continue
            levels = [tuple(int(x) for x in room) for room in left]
            shared = tuple(min(a, b) for a, b in zip(*levels, strict=True))
            both = stock.pair_table(shared, kept)
            total = both.values[tuple(slice(0, x + 1) for x in shared)]
            for node in (0, 1):
                # What both take, node by node, is no longer there for VMs of one node.
                back = tuple(
                    slice(x, x - y - 1 if x > y else None, -1) for x, y in zip(levels[node], shared, strict=True)
                )
                total = total + tables[node].values[back]
            at = np.unravel_index(int(total.argmax()), total.shape)
            if best is None or value + int(total[at]) > best[0]:
                taken = {placement: n for n, (placement, _, _) in zip(choice, odd, strict=True) if n}
                for tag, count in both.read([int(x) for x in at]).items():
                    placement = stock.placement(0, tag, multi=True)
                    taken[placement] = taken.get(placement, 0) + count
                for node in (0, 1):
                    rest = [int(x - a) for x, a in zip(levels[node], at, strict=True)]
                    read_single(stock, node, tables[node].read(rest), taken)
                best = value + int(total[at]), pattern_of(taken)
        return best
