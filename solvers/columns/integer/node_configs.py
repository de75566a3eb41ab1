"""Nodes instead of hosts: the finest way to recombine what column generation found on empty hosts.

A host pattern is a whole; its nodes are not. On hosts with nothing on them the integer program over *node
configurations* (what one node holds, parts of VMs over several nodes among it) reaches every mixture of nodes, has
few rows, and CP-SAT solves it in seconds where the one over host patterns finds nothing. Nodes with the same parts
are asked for in multiples of the number that these parts need, so that they can be assembled into VMs and hosts
afterwards.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from solvers.columns.model import Pattern, StateModel
from solvers.columns.pricing.by_tables import TablePricing
from solvers.columns.pricing.grid import NodeGrid, ShapeGrid
from solvers.columns.pricing.layouts import Layouts
from solvers.problem import IntArray

Config = tuple[tuple[int, int], ...]
"""(group of the node's grid, parts or VMs of it) pairs, sorted."""
Signature = tuple[tuple[int, int], ...]
"""The pairs of a configuration that are parts of VMs over several nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKind:
    """Nodes of an empty state that are alike: `positions` on each host."""

    state: int
    positions: tuple[int, ...]


@dataclass(slots=True)
class NodeBook:
    """The node configurations known, by kind.

    `kinds` of the states that can be taken apart, none where `whole` says so; `configs` a kind's configurations in the
    order of their coming.
    """

    model: StateModel
    layouts: Layouts
    whole: bool = False
    kinds: tuple[NodeKind, ...] = field(init=False)
    configs: list[dict[Config, None]] = field(init=False)
    _kind_at: dict[tuple[int, int], int] = field(init=False)

    def __post_init__(self) -> None:
        """Find the states that can be taken apart, and their kinds of nodes."""
        kinds = []
        for state in () if self.whole else self.model.states:
            grid = self.layouts.grids[state.shape]
            if grid is None or grid.host_rows or state.present.any() or self.model.problem.shapes[state.shape].hinges:
                continue
            alike: dict[object, list[int]] = defaultdict(list)
            for position, (node, levels) in enumerate(zip(grid.nodes, grid.levels(state.lead.capacity), strict=True)):
                arrays = (node.group_flavor, node.group_parts, node.group_up)
                alike[levels, *(array.tobytes() for array in arrays)].append(position)
            kinds += [NodeKind(state=state.index, positions=tuple(positions)) for positions in alike.values()]
        self.kinds = tuple(kinds)
        self.configs = [{(): None} for _ in kinds]
        self._kind_at = {(kind.state, position): n for n, kind in enumerate(kinds) for position in kind.positions}

    def learn(self, state: int, pattern: Pattern) -> None:
        """Take a pattern apart."""
        if (state, 0) not in self._kind_at:
            return
        grid = self.layouts.grids[self.model.states[state].shape]
        assert grid is not None
        nodes: list[dict[int, int]] = [{} for _ in grid.nodes]
        for placement, count in pattern:
            for node in np.nonzero(grid.part_of[placement] >= 0)[0].tolist():
                group = int(grid.part_of[placement, node])
                nodes[node][group] = nodes[node].get(group, 0) + count
        for position, held in enumerate(nodes):
            self.configs[self._kind_at[state, position]].setdefault(tuple(sorted(held.items())))

    def vary(self, tables: TablePricing) -> None:
        """Add every kind's best configuration under the prices of some tables."""
        for kind, known in zip(self.kinds, self.configs, strict=True):
            state = self.model.states[kind.state]
            stock = tables.stock(state, up=True)
            node = kind.positions[0]
            read = stock.arrivals(node, parts=True).read(stock.grid.levels(state.lead.capacity)[node])
            known.setdefault(tuple(sorted(read.items())))

    def parts(self, kind: int, config: Config) -> Signature:
        """Return the pairs of a configuration that are parts of VMs over several nodes."""
        grid = self.grid_of(kind)
        return tuple((group, count) for group, count in config if grid.group_parts[group] > 1)

    def block(self, kind: int, signature: Signature) -> int:
        """Return how many nodes with a signature make whole VMs together."""
        grid = self.grid_of(kind)
        return math.lcm(*(int(grid.group_parts[group]) for group, _ in signature)) if signature else 1

    def groups_cost(self, kind: int, weight: IntArray) -> tuple[IntArray, IntArray]:
        """Return the cheapest placement (groups,) that has each part on the kind's first node, and its costs
        (groups, objectives).
        """
        own = self.kinds[kind]
        state = self.model.states[own.state]
        node = self._grid(kind).nodes[own.positions[0]]
        cost = self.model.cost[self.model.offset[state.shape] + node.on]
        stay_only = self.model.problem.shapes[state.shape].stay_only[node.on]
        order = np.lexsort((node.on, cost @ weight, stay_only, node.group))
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = node.group[order][1:] != node.group[order][:-1]
        chosen = order[first]
        return node.on[chosen], cost[chosen]

    def grid_of(self, kind: int) -> NodeGrid:
        """Return the grid of a kind's nodes."""
        return self._grid(kind).nodes[self.kinds[kind].positions[0]]

    def _grid(self, kind: int) -> ShapeGrid:
        grid = self.layouts.grids[self.model.states[self.kinds[kind].state].shape]
        assert grid is not None
        return grid
