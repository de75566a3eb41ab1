"""From node configurations to hosts: blocks of nodes that share VMs are put on the hosts' nodes where these cost
least.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solvers.columns.integer.node_configs import Config, NodeBook, Signature
from solvers.columns.model import Pattern, pattern_of


@dataclass(frozen=True, slots=True)
class Block:
    """Nodes of one kind whose parts make whole VMs: what each holds, `signature` the parts that all of them have."""

    kind: int
    signature: Signature
    configs: tuple[Config, ...]


@dataclass(slots=True)
class _Builder:
    """Hosts of one state in the making."""

    book: NodeBook
    state: int
    costs: dict[tuple[int, Signature, tuple[int, ...]], tuple[int, tuple[tuple[int, int], ...]] | None]

    def spread(
        self, kind: int, signature: Signature, positions: tuple[int, ...]
    ) -> tuple[int, tuple[tuple[int, int], ...]] | None:
        """Return the cost and the placements of a block's VMs on some positions of a host; None where they do not
        go.
        """
        key = (kind, signature, positions)
        if key not in self.costs:
            self.costs[key] = self._spread(signature, positions)
        return self.costs[key]

    def _spread(
        self, signature: Signature, positions: tuple[int, ...]
    ) -> tuple[int, tuple[tuple[int, int], ...]] | None:
        model = self.book.model
        state = model.states[self.state]
        grid = self.book.layouts.grids[state.shape]
        assert grid is not None
        inside = np.zeros(len(grid.nodes), dtype=np.bool_)
        inside[list(positions)] = True
        total, taken = 0, dict[int, int]()
        for group, count in signature:
            # The group's number is that of the kind's first node; alike nodes number theirs alike.
            of = grid.part_of[grid.multi]
            fits = ((of >= 0) <= inside).all(axis=1) & ((of == group) | (of < 0)).all(axis=1)
            choices = grid.multi[fits & ~model.problem.shapes[state.shape].stay_only[grid.multi]]
            if not len(choices):
                return None
            cost = model.cost[model.offset[state.shape] + choices].sum(axis=1)
            left = np.where(inside, count, 0)
            for choice in np.lexsort((choices, cost)):
                on = grid.part_of[choices[choice]] >= 0
                many = int(left[on].min())
                if many:
                    left[on] -= many
                    taken[int(choices[choice])] = many
                    total += many * int(cost[choice])
            if left.any():
                return None
        return total, pattern_of(taken)


def assemble(book: NodeBook, state: int, hosts: int, blocks: Sequence[Block]) -> list[Pattern]:
    """Return the patterns of the hosts of an empty state that hold the blocks; a block that goes nowhere loses its
    VMs.
    """
    builder = _Builder(book, state, {})
    free: list[dict[int, set[int]]] = [
        {n: set(kind.positions) for n, kind in enumerate(book.kinds) if kind.state == state} for _ in range(hosts)
    ]
    taken: list[dict[int, int]] = [{} for _ in range(hosts)]
    order = sorted(range(len(blocks)), key=lambda n: (-len(blocks[n].configs), not blocks[n].signature, n))
    for n in order:
        block = blocks[n]
        best: tuple[int, int, int, tuple[int, ...]] | None = None
        seen: set[tuple[int, ...]] = set()
        for host in range(hosts):
            room = tuple(sorted(free[host][block.kind]))
            if len(room) < len(block.configs) or room in seen:
                continue
            seen.add(room)
            if not block.signature:
                best = (0, 0, host, room[: len(block.configs)])
                break
            for positions in itertools.combinations(room, len(block.configs)):
                found = builder.spread(block.kind, block.signature, positions)
                # Of equal cost, the host with the least room left: blocks to come may need a whole one.
                offer = None if found is None else (found[0], len(room), host, positions)
                if offer is not None and (best is None or offer < best):
                    best = offer
        if best is None:
            continue
        _, _, host, positions = best
        free[host][block.kind] -= set(positions)
        if block.signature:
            placed = builder.spread(block.kind, block.signature, positions)
            for placement, count in placed[1] if placed is not None else ():
                taken[host][placement] = taken[host].get(placement, 0) + count
        _add_whole(book, block, positions, taken[host])
    return [pattern_of(held) for held in taken]


def _add_whole(book: NodeBook, block: Block, positions: Sequence[int], into: dict[int, int]) -> None:
    """Add the VMs on single nodes of a block."""
    model = book.model
    state = model.states[book.kinds[block.kind].state]
    grid = book.layouts.grids[state.shape]
    assert grid is not None
    for config, position in zip(block.configs, positions, strict=True):
        node = grid.nodes[position]
        for group, count in config:
            if node.group_parts[group] == 1:
                choices = node.on[(node.group == group) & ~model.problem.shapes[state.shape].stay_only[node.on]]
                cost = model.cost[model.offset[state.shape] + choices].sum(axis=1)
                placement = int(choices[np.lexsort((choices, cost))[0]])
                into[placement] = into.get(placement, 0) + count
