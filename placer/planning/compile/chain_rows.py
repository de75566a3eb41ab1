"""Rows that break the symmetry of empty hosts: orders on nodes that are alike, as keys over a shape's placements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from placer.model.host import Host
from placer.planning.compile.rows import Row, RowKind
from placer.planning.compile.shapes import FinishedShape
from placer.topology.symmetry import chain_keys, symmetric_chains
from solvers.problem import IntArray, Shape


@dataclass(slots=True)
class ChainKeys:
    """Symmetry-breaking keys, computed once for each shape and capacity."""

    finished: Sequence[FinishedShape]
    _cache: dict[tuple[int, bytes], tuple[IntArray, ...]] = field(default_factory=dict)

    def of(self, draft: int, room: IntArray, host: Host) -> tuple[IntArray, ...]:
        """Return the keys of each chain of node blocks that are alike on an empty host."""
        key = (draft, room.tobytes())
        if key not in self._cache:
            shape, rows = self.finished[draft].shape, self.finished[draft].kept
            colours = [
                tuple((row.name, int(room[k])) for k, row in enumerate(rows) if row.node == node)
                for node in range(shape.nodes)
            ]
            packages = [
                [i for i, node in enumerate(host.topology.nodes) if node.cpus & package]
                for package in host.topology.packages
            ]
            found = symmetric_chains(host.topology.distances, colours, packages)
            loads = [_load(shape, rows, node) for node in range(shape.nodes)]
            load = np.stack([_taken(shape, row) for row in loads], axis=1)
            largest = max((int(room[row]) for row in loads if row is not None), default=0)
            self._cache[key] = tuple(chain_keys(chain, load, largest) for chain in found)
        return self._cache[key]


def _load(shape: Shape, rows: Sequence[Row], node: int) -> int | None:
    """Return the row that is a node's load: the CPU row that most placements take, else memory; alike on like nodes."""
    own = [k for k, row in enumerate(rows) if row.node == node and row.kind not in (RowKind.LOAD, RowKind.CORES)]
    taken = {k: int((shape.use[:, k] > 0).sum()) for k in own}
    return max(own, key=lambda k: (taken[k], rows[k].kind is not RowKind.MEMORY, rows[k].name), default=None)


def _taken(shape: Shape, row: int | None) -> IntArray:
    return shape.use[:, row] if row is not None else np.zeros(shape.placements, dtype=np.int64)
