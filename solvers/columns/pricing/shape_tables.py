"""The tables of one shape under one set of prices: what new VMs are worth on each node, and what VMs there add on
top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from solvers.columns.pricing.grid import ShapeGrid
from solvers.columns.pricing.knapsack import Item, Table, table_of, undominated
from solvers.problem import BoolArray, IntArray

Levels = tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class Stock:
    """Tables for the hosts of a shape on which the same VMs may arrive; all values are times `scale`.

    Attributes
    ----------
    top : the largest levels of each node. worth : (P,) what one more VM so placed is worth. may : (P,) may be new
    there.
    movable : (P,) a VM present on the host may go there (no irregular placement). most : (F,) VMs that there are.
    up : uses are rounded up (what fits, fits), else down (a bound).
    """

    grid: ShapeGrid
    top: tuple[Levels, ...]
    worth: IntArray
    may: BoolArray
    movable: BoolArray
    most: IntArray
    up: bool
    scale: int
    _arrivals: dict[tuple[int, bool], Table] = field(default_factory=dict)
    _tables: dict[object, Table] = field(default_factory=dict)
    _best: dict[tuple[int, bool], IntArray] = field(default_factory=dict)
    _pairs: tuple[list[Item], bool] | None = None

    def steps(self, node: int) -> IntArray:
        """Return (groups, rows): steps of each part on a node."""
        grid = self.grid.nodes[node]
        return grid.group_up if self.up else grid.group_down

    def groups(self, node: int) -> int:
        """Return how many kinds of parts a node can hold: tags of VMs that stay elsewhere are shifted by it."""
        return len(self.grid.nodes[node].group_flavor)

    def share(self, placements: IntArray, parts: IntArray, bonus: int = 0) -> IntArray:
        """Return what one of `parts` equal parts is worth, rounded up, times `scale`."""
        return -(-(self.worth[placements] + bonus) * self.scale // parts)

    def arrivals(self, node: int, *, parts: bool) -> Table:
        """Return the table of new VMs on a node at its largest: whole VMs only, or parts of VMs too."""
        if (node, parts) not in self._arrivals:
            grid = self.grid.nodes[node]
            chosen = self.may[grid.on] & (self.worth[grid.on] > 0) & (parts | (grid.parts == 1))
            best = np.zeros(len(grid.group_flavor), dtype=np.int64)
            np.maximum.at(best, grid.group[chosen], self.share(grid.on[chosen], grid.parts[chosen]))
            items = undominated(
                [
                    self._item(node, int(g), int(best[g]), int(self.most[grid.group_flavor[g]]), 0)
                    for g in np.nonzero(best)[0]
                ],
                self.top[node],
            )
            key = (self.top[node], tuple(items))
            if key not in self._tables:
                self._tables[key] = table_of(items, self.top[node])
            self._arrivals[node, parts] = self._tables[key]
        return self._arrivals[node, parts]

    def _item(self, node: int, group: int, value: int, bound: int, shift: int) -> Item:
        return Item(tuple(int(u) for u in self.steps(node)[group]), value, bound, group + shift)

    def extras(self, node: int, *, parts: bool, bonus: Sequence[tuple[int, int, int]]) -> list[Item]:
        """Return items for VMs that stay on the host elsewhere: (flavor, bonus, VMs) each; tags shifted by the
        groups.
        """
        grid = self.grid.nodes[node]
        out = []
        for flavor, extra, count in bonus:
            chosen = self.movable[grid.on] & (grid.group_flavor[grid.group] == flavor) & (parts | (grid.parts == 1))
            best = np.zeros(len(grid.group_flavor), dtype=np.int64)
            np.maximum.at(best, grid.group[chosen], self.share(grid.on[chosen], grid.parts[chosen], extra))
            shift = len(grid.group_flavor)
            out += [self._item(node, int(g), int(best[g]), count, shift) for g in np.nonzero(best > 0)[0]]
        return out

    def kept(self, node: int, placement: int, parts: int, value: int, count: int) -> Item:
        """Return the item of VMs that stay in place: `value` whole; its tag is negative."""
        group = int(self.grid.part_of[placement, node])
        return Item(
            tuple(int(u) for u in self.steps(node)[group]), -(-value * self.scale // parts), count, -1 - placement
        )

    def on_top(self, node: int, levels: Levels, items: tuple[Item, ...], *, parts: bool) -> Table:
        """Return the node's table for a host with `levels` there, and `items` beside new VMs."""
        base = self.arrivals(node, parts=parts)
        if not items:
            return base
        key = (id(base), levels, items)
        if key not in self._tables:
            self._tables[key] = table_of(items, levels, base)
        return self._tables[key]

    def pairs(self) -> tuple[list[Item], bool]:
        """Return items of new VMs that take alike of both nodes of a two-node host, and whether these are all over
        two.
        """
        if self._pairs is None and len(self.top[0]) != len(self.top[1]):
            # Nodes of different rows hold nothing alike.
            self._pairs = [], False
        if self._pairs is None:
            multi = self.grid.multi[self.may[self.grid.multi] & (self.worth[self.grid.multi] > 0)]
            first, second = self.grid.part_of[multi, 0], self.grid.part_of[multi, 1]
            alike = (self.steps(0)[first] == self.steps(1)[second]).all(axis=1)
            best = np.zeros(len(self.grid.nodes[0].group_flavor), dtype=np.int64)
            np.maximum.at(best, first[alike], self.worth[multi[alike]] * self.scale)
            most = self.most[self.grid.nodes[0].group_flavor]
            items = [self._item(0, int(g), int(best[g]), int(most[g]), 0) for g in np.nonzero(best)[0]]
            room = tuple(min(a, b) for a, b in zip(self.top[0], self.top[1], strict=True))
            self._pairs = undominated(items, room), bool(alike.all())
        return self._pairs

    def pair_extras(self, bonus: Sequence[tuple[int, int, int]]) -> list[Item] | None:
        """Return items for VMs over both nodes of a two-node host that stay on it in another place; None where such a
        place would take unlike of the two.
        """
        grid = self.grid.nodes[0]
        out = []
        for flavor, extra, count in bonus:
            multi = self.grid.multi[self.movable[self.grid.multi]]
            multi = multi[grid.group_flavor[self.grid.part_of[multi, 0]] == flavor]
            multi = multi[self.worth[multi] + extra > 0]
            first, second = self.grid.part_of[multi, 0], self.grid.part_of[multi, 1]
            if (self.steps(0)[first] != self.steps(1)[second]).any():
                return None
            for g in np.unique(first):
                worth = int(self.worth[multi[first == g]].max()) + extra
                out.append(self._item(0, int(g), worth * self.scale, count, len(grid.group_flavor)))
        return out

    def pair_table(self, levels: Levels, items: tuple[Item, ...]) -> Table:
        """Return the table of what lies on both nodes of a two-node host, `items` beside new VMs."""
        key = ("pair", levels, items)
        if key not in self._tables:
            top = tuple(min(a, b) for a, b in zip(self.top[0], self.top[1], strict=True))
            base_key = ("pair", top)
            if base_key not in self._tables:
                self._tables[base_key] = table_of(self.pairs()[0], top)
            base = self._tables[base_key]
            self._tables[key] = table_of(items, levels, base) if items or levels != top else base
        return self._tables[key]

    def placement(self, node: int, tag: int, *, multi: bool = False) -> int:
        """Return the placement that a tag read from a table of whole VMs stands for."""
        if tag < 0:
            return -1 - tag
        grid = self.grid.nodes[node]
        if (node, multi) not in self._best:
            fit = self.movable[grid.on] & ((grid.parts > 1) == multi)
            worth = np.where(fit, self.worth[grid.on], np.iinfo(np.int64).min)
            order = np.lexsort((grid.on, -worth, grid.group))
            first = np.ones(len(order), dtype=np.bool_)
            first[1:] = grid.group[order][1:] != grid.group[order][:-1]
            best = np.zeros(len(grid.group_flavor), dtype=np.int64)
            best[grid.group[order[first]]] = grid.on[order[first]]
            self._best[node, multi] = best
        return int(self._best[node, multi][tag % len(grid.group_flavor)])
