"""Exact pricing of many live hosts of two nodes at once: the tables of `by_tables` as arrays.

What a host holds of VMs over both nodes is read from a third table, over what these take alike of each node. VMs whose
CPUs and memory are on different nodes take of them unevenly: every choice of those to keep is an entry of its own.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from solvers.columns.model import State
from solvers.columns.pricing.by_tables import SUBSETS, TablePricing
from solvers.columns.pricing.layouts import Layouts
from solvers.columns.pricing.live_layout import NEVER, Batch, elsewhere, kind_tables, lay_on, node_tables
from solvers.columns.pricing.shape_tables import Stock
from solvers.problem import IntArray

CHUNK = 1 << 18
"""Splits of hosts' room that are looked at at a time."""


@dataclass(frozen=True, slots=True)
class Both:
    """VMs over both nodes alike: what each takes of a node, a placement of their kind, and for the first, second, ...
    copy of it the states (positions) that have one.
    """

    steps: tuple[int, ...]
    placement: int
    copies: tuple[IntArray, ...]


@dataclass(slots=True)
class PairBatch:
    """Live states of one two-node shape and permission, laid out once; their grid loses nothing.

    Attributes
    ----------
    both : VMs over both nodes alike, by kind.
    state : (entries,) position of the state. levels : (entries, 2, rows) room left by the uneven VMs kept.
    kept : placement -> the entries that keep one, as often as they do.
    reached : (cells, rows) what VMs over both nodes can take of each: no other split is looked at.
    """

    layouts: Layouts
    states: tuple[State, ...]
    base: Batch = field(init=False)
    both: tuple[Both, ...] = field(init=False)
    state: IntArray = field(init=False)
    levels: IntArray = field(init=False)
    kept: dict[int, IntArray] = field(init=False)
    reached: IntArray = field(init=False)

    def __post_init__(self) -> None:
        """Lay out what lies over both nodes."""
        self.base = Batch(self.layouts, self.states)
        grid = self.layouts.grid(self.states[0])
        both: dict[int, list[list[int]]] = defaultdict(list)
        kept: dict[int, list[int]] = defaultdict(list)
        entries: list[int] = []
        levels: list[IntArray] = []
        for s, state in enumerate(self.states):
            odd: list[tuple[int, int, IntArray]] = []
            for placement, count in self.layouts.layout(state).multi:
                use = np.stack([grid.nodes[node].group_up[grid.part_of[placement, node]] for node in (0, 1)])
                if (use[0] != use[1]).any():
                    odd.append((placement, count, use))
                    continue
                while len(both[placement]) < count:
                    both[placement].append([])
                for copy in range(count):
                    both[placement][copy].append(s)
            for choice in itertools.product(*(range(count, -1, -1) for _, count, _ in odd)):
                taken = sum((n * use for n, (_, _, use) in zip(choice, odd, strict=True)), np.zeros((), np.int64))
                left = self.base.levels[s] - taken
                if (left < 0).any():
                    continue
                for n, (placement, _, _) in zip(choice, odd, strict=True):
                    kept[placement] += [len(entries)] * n
                entries.append(s)
                levels.append(left)
        self.state, self.levels = np.array(entries, dtype=np.int64), np.array(levels, dtype=np.int64)
        self.kept = {placement: np.array(rows, dtype=np.int64) for placement, rows in sorted(kept.items())}
        self.both = tuple(
            Both(
                tuple(int(u) for u in grid.nodes[0].group_up[grid.part_of[placement, 0]]),
                placement,
                tuple(np.array(copy, dtype=np.int64) for copy in copies),
            )
            for placement, copies in sorted(both.items())
        )
        may = grid.multi[~self.layouts.model.problem.shapes[self.states[0].shape].stay_only[grid.multi]]
        new = grid.nodes[0].group_up[np.unique(grid.part_of[may, 0])]
        self.reached = _sums([kind.steps for kind in self.both] + [tuple(use) for use in new.tolist()], self.base.size)

    def most(self, pricing: TablePricing) -> IntArray | None:
        """Return (S,) the value of the best pattern of each state; None where new VMs over both nodes are uneven."""
        stock = pricing.stock(self.states[0], up=False)
        over = self._over_both(pricing, stock) if stock.pairs()[1] else None
        if over is None:
            return None
        rows = math.prod(self.base.size)
        out = np.full(len(self.states), NEVER, dtype=np.int64)
        kind = self.base.kind
        if elsewhere(self.base):
            tables = node_tables(pricing, self.base, stock, parts=False).reshape(-1, rows)
            kind = np.arange(len(tables)).reshape(-1, 2)
        else:
            tables = kind_tables(pricing, self.base, stock, parts=False).reshape(-1, rows)
        value = np.zeros(len(self.state), dtype=np.int64)
        for placement, entries in self.kept.items():
            worth = pricing.keep_value(self.states[0], placement, stock) * stock.scale
            value += worth * np.bincount(entries, minlength=len(value))
        step = max(1, CHUNK // len(self.reached))
        for first in range(0, len(self.state), step):
            part = slice(first, first + step)
            state = self.state[part]
            best = value[part] + self._split(over[state], kind[state], self.levels[part], tables)
            np.maximum.at(out, state, best)
        return out // stock.scale

    def _over_both(self, pricing: TablePricing, stock: Stock) -> IntArray | None:
        """Return (S, steps...): the table of what lies on both nodes, new VMs and those there; None where some that
        stay on the host elsewhere are uneven.
        """
        size = self.base.size
        moved = stock.pair_extras(elsewhere(self.base))
        if moved is None:
            return None
        new = stock.pair_table(tuple(most - 1 for most in self._least_top()), ()).values
        padded = np.pad(new, [(0, x - y) for x, y in zip(size, new.shape, strict=True)], mode="edge")
        out = np.repeat(padded[None], len(self.states), axis=0)
        for kind in self.both:
            value = pricing.keep_value(self.states[0], kind.placement, stock) * stock.scale
            lay_on(out, kind.copies, kind.steps, value)
        for item in moved:
            rows = self.base.present[int(stock.grid.nodes[0].group_flavor[item.tag % stock.groups(0)])]
            lay_on(out, [np.flatnonzero(rows > copy) for copy in range(item.bound)], item.use, item.value)
        return out.reshape(len(self.states), -1)

    def _least_top(self) -> tuple[int, ...]:
        first, second = self.layouts.tops[self.states[0].shape]
        return tuple(min(a, b) + 1 for a, b in zip(first, second, strict=True))

    def _split(self, over: IntArray, kind: IntArray, levels: IntArray, tables: IntArray) -> IntArray:
        """Return (entries,) the most over every split of the nodes' room between VMs over both and those on one.

        `over` (entries, cells) what lies over both is worth, `kind` (entries, 2) the nodes' tables.
        """
        size = self.base.size
        stride = np.cumprod([1, *size[:0:-1]])[::-1]
        shared = levels.min(axis=1)
        within = np.ones((len(levels), len(self.reached)), dtype=np.bool_)
        for row in range(len(size)):
            within &= self.reached[None, :, row] <= shared[:, row, None]
        flat = (self.reached * stride).sum(axis=1)
        total = over[:, flat]
        for node in (0, 1):
            # What lies over both is no longer there for the VMs on one node.
            at = np.maximum((levels[:, node] * stride).sum(axis=1)[:, None] - flat[None, :], 0)
            total += tables[kind[:, node][:, None], at]
        out: IntArray = np.where(within, total, NEVER).max(axis=1)
        return out


def _sums(steps: Sequence[tuple[int, ...]], size: tuple[int, ...]) -> IntArray:
    """Return the cells of a table of that size that sums of steps reach, each in any number, as (cells, rows)."""
    reached = np.zeros(size, dtype=np.bool_)
    reached[(0,) * len(size)] = True
    for use in sorted(set(steps)):
        if not any(use):
            continue
        while all(step < most for step, most in zip(use, size, strict=True)):
            source = tuple(slice(0, most - step) for step, most in zip(use, size, strict=True))
            target = tuple(slice(step, most) for step, most in zip(use, size, strict=True))
            more = reached.copy()
            more[target] |= reached[source]
            if (more == reached).all():
                break
            reached = more
    return np.argwhere(reached)


def pair_batches(layouts: Layouts, fewest: int) -> tuple[PairBatch, ...]:
    """Return the live states of two nodes that can be priced together, at least `fewest` of a kind."""
    groups: dict[int, list[State]] = defaultdict(list)
    for state in layouts.model.states:
        grid = layouts.grids[state.shape]
        if grid is None or not grid.exact or len(grid.nodes) != 2 or not state.own:
            continue
        if state.unsettled.any() or state.lead.room is not None:
            continue
        if len({len(node.rows) for node in grid.nodes}) == 1 and _choices(layouts, state) <= SUBSETS:
            groups[layouts.permission[state.index]].append(state)
    return tuple(PairBatch(layouts, tuple(states)) for states in groups.values() if len(states) >= fewest)


def _choices(layouts: Layouts, state: State) -> int:
    """Return how many choices of uneven VMs to keep there are."""
    grid = layouts.grid(state)
    counts = [
        count + 1
        for placement, count in layouts.layout(state).multi
        if (
            grid.nodes[0].group_up[grid.part_of[placement, 0]] != grid.nodes[1].group_up[grid.part_of[placement, 1]]
        ).any()
    ]
    return math.prod(counts)
