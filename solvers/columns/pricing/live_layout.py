"""Many live hosts of one shape as arrays: their VMs by kind, the tables of all their nodes, bounds over what they
keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.columns.model import State
from solvers.columns.pricing.by_tables import TablePricing
from solvers.columns.pricing.layouts import Layout, Layouts
from solvers.columns.pricing.shape_tables import Stock
from solvers.problem import BoolArray, IntArray

CHOICES = 10
"""Most VMs over several nodes of a host of which every choice to keep is bounded by itself."""
NEVER = -(1 << 58)
Kind = tuple[tuple[int, ...], tuple[int, ...], int, bytes]


@dataclass(frozen=True, slots=True)
class Layer:
    """VMs present on one node that are alike: what each takes of it, and a placement of their kind.

    `copies` : for the first, second, ... VM of the kind on a node, the kinds of nodes (`Batch.kind`) that have it.
    """

    up: tuple[int, ...]
    down: tuple[int, ...]
    placement: int
    copies: tuple[IntArray, ...]


@dataclass(slots=True)
class Batch:
    """States of one shape with the same VMs allowed, laid out once.

    Attributes
    ----------
    levels : (S, nodes, rows). layers : VMs present on one node, by kind.
    kind : (S, nodes) number of each node among those at different positions or with different VMs on them alone.
    position : (kinds,) of those the position on the host.
    multi : (S, E) placement of each VM over several nodes, -1 where there are fewer.
    multi_use, multi_use_down : (S, E, nodes, rows) steps that they take, rounded up and down.
    present : flavor -> (S,) VMs of it on each host, of the flavors that are on any.
    """

    layouts: Layouts
    states: tuple[State, ...]
    levels: IntArray = field(init=False)
    layers: tuple[Layer, ...] = field(init=False)
    kind: IntArray = field(init=False)
    position: IntArray = field(init=False)
    multi: IntArray = field(init=False)
    multi_use: IntArray = field(init=False)
    multi_use_down: IntArray = field(init=False)
    present: dict[int, IntArray] = field(init=False)
    _rooms: dict[bool, tuple[NDArray[np.int32], BoolArray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Lay the states out."""
        layouts = [self.layouts.layout(state) for state in self.states]
        self.levels = np.array([layout.levels for layout in layouts], dtype=np.int64)
        there = np.stack([state.present for state in self.states])
        self.present = {f: there[:, f] for f in np.flatnonzero(there.any(axis=0)).tolist()}
        self._lay_multi(layouts)
        self._lay_layers(layouts)

    def _lay_multi(self, layouts: list[Layout]) -> None:
        model, grid, shape = self.layouts.model, self.layouts.grid(self.states[0]), self.states[0].shape
        cost = model.cost[model.offset[shape] : model.offset[shape + 1]]
        most = max((sum(count for _, count in layout.multi) for layout in layouts), default=0)
        self.multi = np.full((len(self.states), most), -1, dtype=np.int64)
        self.multi_use = np.zeros((len(self.states), most, *self.levels.shape[1:]), dtype=np.int64)
        self.multi_use_down = self.multi_use.copy()
        for s, layout in enumerate(layouts):
            held = [placement for placement, count in layout.multi for _ in range(count)]
            # The costliest first: of very many VMs these are the ones to look at one by one.
            held.sort(key=lambda placement: (-int(np.abs(cost[placement]).max(initial=0)), placement))
            for e, placement in enumerate(held):
                self.multi[s, e] = placement
                for node in np.nonzero(grid.part_of[placement] >= 0)[0].tolist():
                    group = grid.part_of[placement, node]
                    self.multi_use[s, e, node] = grid.nodes[node].group_up[group]
                    self.multi_use_down[s, e, node] = grid.nodes[node].group_down[group]

    @property
    def size(self) -> tuple[int, ...]:
        """The size of the nodes' tables."""
        tops = self.layouts.tops[self.states[0].shape]
        return tuple(max(levels[k] for levels in tops) + 1 for k in range(self.levels.shape[2]))

    def rooms(self, *, up: bool) -> tuple[NDArray[np.int32], BoolArray]:
        """Return (S, choices, nodes) where in a node's flat table the room left by a choice of VMs to keep is, and
        (S, choices) whether the choice fits.
        """
        if up not in self._rooms:
            use = self.multi_use if up else self.multi_use_down
            subsets = _subsets(min(use.shape[1], CHOICES))
            at = np.zeros((len(use), len(subsets), self.levels.shape[1]), dtype=np.int32)
            fits = np.ones(at.shape[:2], dtype=np.bool_)
            for s in range(len(use)):
                left = self.levels[s][None] - np.tensordot(subsets, use[s, : subsets.shape[1]], axes=1)
                fits[s] = (left >= 0).all(axis=(1, 2))
                parts = tuple(np.maximum(left[:, :, k], 0) for k in range(left.shape[2]))
                at[s] = np.ravel_multi_index(parts, self.size)
            self._rooms[up] = at, fits
        return self._rooms[up]

    def kept_values(self, pricing: TablePricing, stock: Stock, s: int | None = None) -> IntArray:
        """Return (S, E): what each VM over several nodes is worth where it is, times the stock's scale; (E,) of one
        state.
        """
        multi = self.multi if s is None else self.multi[s]
        kinds, which = np.unique(multi, return_inverse=True)
        worth = [
            0 if placement < 0 else pricing.keep_value(self.states[0], placement, stock) * stock.scale
            for placement in kinds.tolist()
        ]
        return np.array(worth, dtype=np.int64)[which].reshape(multi.shape)

    def _lay_layers(self, layouts: list[Layout]) -> None:
        model, grid, shape = self.layouts.model, self.layouts.grid(self.states[0]), self.states[0].shape
        flavor = model.problem.shapes[shape].flavor
        cost = model.cost[model.offset[shape] : model.offset[shape + 1]]
        number: dict[Kind, int] = {}
        placements: list[int] = []
        held: list[tuple[int, int, int]] = []
        for s, layout in enumerate(layouts):
            for node, there in enumerate(layout.single):
                for placement, count in there:
                    group, on = int(grid.part_of[placement, node]), grid.nodes[node]
                    up, down = (tuple(int(u) for u in steps[group]) for steps in (on.group_up, on.group_down))
                    key = (up, down, int(flavor[placement]), cost[placement].tobytes())
                    if key not in number:
                        number[key] = len(placements)
                        placements.append(placement)
                    held.append((s * len(grid.nodes) + node, number[key], count))
        counts = np.zeros((len(layouts) * len(grid.nodes), 1 + len(number)), dtype=np.int64)
        counts[:, 0] = np.arange(len(counts)) % len(grid.nodes)
        for row, layer, count in held:
            counts[row, 1 + layer] += count
        kinds, kind = np.unique(counts, axis=0, return_inverse=True)
        self.kind, self.position = kind.reshape(len(layouts), len(grid.nodes)), kinds[:, 0]
        layers = []
        for key in sorted(number):
            many = kinds[:, 1 + number[key]]
            copies = tuple(np.nonzero(many > copy)[0] for copy in range(int(many.max())))
            layers.append(Layer(key[0], key[1], placements[number[key]], copies))
        self.layers = tuple(layers)


def kind_tables(pricing: TablePricing, batch: Batch, stock: Stock, *, parts: bool) -> IntArray:
    """Return (kinds, steps...): the table of every kind of node, of new VMs (their parts too if asked) and those on it
    alone.
    """
    base = [stock.arrivals(node, parts=parts).values for node in range(len(stock.grid.nodes))]
    size = batch.size
    padded = [np.pad(t, [(0, x - y) for x, y in zip(size, t.shape, strict=True)], mode="edge") for t in base]
    out: IntArray = np.stack(padded)[batch.position]
    for layer in batch.layers:
        value = pricing.keep_value(batch.states[0], layer.placement, stock) * stock.scale
        lay_on(out, layer.copies, layer.up if stock.up else layer.down, value)
    return out


def lay_on(tables: IntArray, copies: Sequence[IntArray], steps: Sequence[int], value: int) -> None:
    """Put VMs worth `value` each, which take `steps`, into tables (n, steps...); `copies` are rows with a first, a
    second, ...
    """
    size = tables.shape[1:]
    if value <= 0 or any(step >= most for step, most in zip(steps, size, strict=True)):
        return
    source = (slice(None), *(slice(0, most - step) for step, most in zip(steps, size, strict=True)))
    target = (slice(None), *(slice(step, most) for step, most in zip(steps, size, strict=True)))
    for rows in copies:
        part = tables[rows]
        better = part[source] + value
        np.maximum(part[target], better, out=part[target])
        tables[rows] = part


def node_tables(pricing: TablePricing, batch: Batch, stock: Stock, *, parts: bool) -> IntArray:
    """Return (S, nodes, steps...): the same for every node of every state; VMs that may only change places too."""
    out: IntArray = kind_tables(pricing, batch, stock, parts=parts)[batch.kind]
    bound = elsewhere(batch)
    for node in range(out.shape[1] if bound else 0):
        there = out[:, node]
        for item in stock.extras(node, parts=parts, bonus=bound):
            rows = batch.present[int(stock.grid.nodes[node].group_flavor[item.tag % stock.groups(node)])]
            lay_on(there, [np.flatnonzero(rows > copy) for copy in range(item.bound)], item.use, item.value)
        out[:, node] = there
    return out


def elsewhere(batch: Batch) -> list[tuple[int, int, int]]:
    """Return (flavor, 0, most VMs of a host) of flavors of which no new VM may come: those there may change places."""
    allowed = batch.states[0].lead.allowed
    return [(f, 0, int(many.max())) for f, many in batch.present.items() if not allowed[f]]


def best_kept(pricing: TablePricing, batch: Batch, stock: Stock, tables: IntArray) -> IntArray:
    """Return (S,): the most over all choices of VMs over several nodes to keep, each with the nodes' best beside it.

    Only new VMs are cut into parts then. Of more than `CHOICES` VMs the rest counts as kept without taking room.
    """
    value = batch.kept_values(pricing, stock)
    at, fits = batch.rooms(up=stock.up)
    count = min(value.shape[1], CHOICES)
    total = value[:, :count] @ _subsets(count).T
    for node in range(batch.levels.shape[1]):
        total += np.take_along_axis(tables[:, node].reshape(len(tables), -1), at[:, :, node], axis=1)
    out: IntArray = np.where(fits, total, NEVER).max(axis=1) + np.maximum(value[:, CHOICES:], 0).sum(axis=1)
    return out


def subset_bounds(
    pricing: TablePricing, batch: Batch, s: int, stock: Stock, tables: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Return the same for one state by choice: (choices, VMs) kept or not, (choices,) bounds, (choices, nodes, rows)
    left.
    """
    value = batch.kept_values(pricing, stock, s)
    use = batch.multi_use[s] if stock.up else batch.multi_use_down[s]
    subsets = _subsets(min(int((batch.multi[s] >= 0).sum()), CHOICES))
    count = subsets.shape[1]
    left = batch.levels[s][None, :, :] - np.einsum("ke,enr->knr", subsets, use[:count])
    fits = (left >= 0).all(axis=(1, 2))
    safe = np.maximum(left, 0)
    nodes = np.arange(left.shape[1])[None, :]
    found = tables[(nodes, *(safe[:, :, k] for k in range(left.shape[2])))].sum(axis=1)
    total = subsets @ value[:count] + found + int(np.maximum(value[CHOICES:], 0).sum())
    return subsets[fits], total[fits], left[fits]


def _subsets(count: int) -> IntArray:
    out: IntArray = (np.arange(1 << count)[:, None] >> np.arange(count)[None, :]) & 1
    return out
