"""The grid of a shape: which rows of a node bind, in which steps they count, and which placements lie on one node.

Knapsack tables (`solvers.columns.pricing.knapsack`) are arrays over what a node has left of its binding rows. Where
the rows count in steps coarse enough, a table is exact; else it is built twice, with uses rounded up (patterns that
fit) and down (bounds).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from solvers.problem import IntArray, Shape

CELLS = 16_384
"""The largest table. 63 CPUs x 126 steps of memory is about half of it."""


@dataclass(frozen=True, kw_only=True)
class NodeGrid:
    """The table of one node.

    Attributes
    ----------
    rows : the rows that bind, at most three. unit : (rows,) their steps.
    on : placements that take of this node. part : (on,) on how many nodes each lies. group : (on,) its part here.
    group_flavor, group_parts, group_up, group_down : of each group: flavor, nodes of the whole, steps taken here
    rounded
        up and down. What takes of no node lies on node 0.
    """

    rows: tuple[int, ...]
    unit: IntArray
    on: IntArray
    parts: IntArray
    group: IntArray
    group_flavor: IntArray
    group_parts: IntArray
    group_up: IntArray
    group_down: IntArray


@dataclass(frozen=True, kw_only=True)
class ShapeGrid:
    """The grids of a shape's nodes.

    Attributes
    ----------
    exact : whether rounding loses nothing on any node.
    node_of : (P,) the node of a placement that lies on one, -1 for the others (`multi`).
    part_of : (P, nodes) group of the placement's part on each node, -1 where it takes nothing.
    host_rows : rows of the whole host that a placement takes of; tables do not see them.
    """

    nodes: tuple[NodeGrid, ...]
    exact: bool
    node_of: IntArray
    multi: IntArray
    part_of: IntArray
    host_rows: tuple[int, ...]

    def levels(self, capacity: IntArray) -> tuple[tuple[int, ...], ...]:
        """Return a tuple a node: steps that a host of `capacity` (K,) has."""
        return tuple(tuple(int(c) for c in capacity[list(node.rows)] // node.unit) for node in self.nodes)


def shape_grid(shape: Shape, capacities: IntArray) -> ShapeGrid | None:
    """Return the grid of a shape whose hosts have `capacities` (states, K); None where a node binds in too many
    rows.
    """
    lies = np.zeros((shape.placements, shape.nodes), dtype=np.bool_)
    for row, (node, _) in enumerate(shape.row_names):
        if node is not None:
            lies[:, node] |= shape.use[:, row] > 0
    lies[~lies.any(axis=1), 0] = True
    parts = lies.sum(axis=1)
    part_of = np.full((shape.placements, shape.nodes), -1, dtype=np.int64)
    grids = []
    exact = True
    for node in range(shape.nodes):
        rows = _binding(shape, node, capacities)
        if not 1 <= len(rows) <= 3:
            return None
        unit, lossless = _steps(shape.use[:, rows], capacities[:, rows].max(axis=0))
        exact &= lossless
        on = np.nonzero(lies[:, node])[0]
        use = shape.use[on][:, rows]
        key = np.column_stack([shape.flavor[on], parts[on], -(-use // unit), use // unit])
        groups, group = np.unique(key, axis=0, return_inverse=True)
        part_of[on, node] = group
        grids.append(
            NodeGrid(
                rows=rows,
                unit=unit,
                on=on,
                parts=parts[on],
                group=group,
                group_flavor=groups[:, 0],
                group_parts=groups[:, 1],
                group_up=groups[:, 2 : 2 + len(rows)],
                group_down=groups[:, 2 + len(rows) :],
            )
        )
    host_rows = tuple(
        row for row, (node, _) in enumerate(shape.row_names) if node is None and bool((shape.use[:, row] > 0).any())
    )
    return ShapeGrid(
        nodes=tuple(grids),
        exact=exact,
        node_of=np.where(parts == 1, lies.argmax(axis=1), -1),
        multi=np.nonzero(parts > 1)[0],
        part_of=part_of,
        host_rows=host_rows,
    )


def _binding(shape: Shape, node: int, capacities: IntArray) -> tuple[int, ...]:
    """Return the rows of a node that no other row of it implies on every host."""
    rows = [row for row, (at, _) in enumerate(shape.row_names) if at == node and bool((shape.use[:, row] > 0).any())]
    kept = list(rows)
    for row in rows:
        if any(_implies(shape, capacities, other, row) for other in kept if other != row):
            kept.remove(row)
    return tuple(kept)


def _implies(shape: Shape, capacities: IntArray, row: int, implied: int) -> bool:
    """Tell whether whatever keeps `row` keeps `implied` too: it takes and has in proportion at least as much."""
    pairs = np.unique(shape.use[:, [row, implied]], axis=0)
    rooms = np.unique(capacities[:, [row, implied]], axis=0)
    # Python integers: capacities in KiB multiplied may leave 64 bits.
    return all(int(use[1]) * int(room[0]) <= int(use[0]) * int(room[1]) for use in pairs if use[1] for room in rooms)


def _steps(use: IntArray, largest: IntArray) -> tuple[IntArray, bool]:
    """Return the step of each row, and whether counting in steps loses nothing."""
    unit = np.array([max(1, math.gcd(*(int(u) for u in column))) for column in use.T], dtype=np.int64)
    exact = True
    while math.prod(int(levels) + 1 for levels in largest // unit) > CELLS:
        widest = int(np.argmax(largest // unit))
        others = math.prod(int(levels) + 1 for k, levels in enumerate(largest // unit) if k != widest)
        levels = max(8, CELLS // others - 1) if others <= CELLS // 8 else 8
        unit[widest] = max(int(unit[widest]) + 1, -(-int(largest[widest]) // levels))
        exact = False
    return unit, exact
