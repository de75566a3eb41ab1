"""Rows that break the symmetry of empty hosts: orders on nodes that are alike, as keys over a shape's placements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from placer.model.host import Host
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
            shape = self.finished[draft].shape
            colours = [
                tuple((name, int(room[k])) for k, (where, name) in enumerate(shape.row_names) if where == node)
                for node in range(shape.nodes)
            ]
            packages = [
                [i for i, node in enumerate(host.topology.nodes) if node.cpus & package]
                for package in host.topology.packages
            ]
            found = symmetric_chains(host.topology.distances, colours, packages)
            load = np.stack([self._load(shape, node) for node in range(shape.nodes)], axis=1)
            self._cache[key] = tuple(chain_keys(chain, load, self._largest(shape, room)) for chain in found)
        return self._cache[key]

    @staticmethod
    def _row(shape: Shape, node: int) -> int | None:
        """Return the row that is a node's load: the CPU row that most placements take, else memory; alike on like
        nodes.
        """
        rows = [k for k, (where, name) in enumerate(shape.row_names) if where == node and name not in ("load", "cores")]
        return max(
            rows,
            key=lambda k: (int((shape.use[:, k] > 0).sum()), shape.row_names[k][1] != "memory", shape.row_names[k][1]),
            default=None,
        )

    def _load(self, shape: Shape, node: int) -> IntArray:
        row = self._row(shape, node)
        return shape.use[:, row] if row is not None else np.zeros(shape.placements, dtype=np.int64)

    def _largest(self, shape: Shape, room: IntArray) -> int:
        rows = [self._row(shape, node) for node in range(shape.nodes)]
        return max((int(room[row]) for row in rows if row is not None), default=0)
