"""From node configurations to hosts: blocks of nodes that share VMs are put on the hosts' nodes where these cost
least.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from solvers.columns.integer.node_configs import Config, NodeBook, Signature
from solvers.columns.model import Pattern, pattern_of
from solvers.problem import BoolArray, IntArray

MOST_POSITIONS = 1_024
"""Sets of nodes of a host that are looked at for a block: of more, those that its VMs cost least on."""


@dataclass(frozen=True, slots=True)
class Block:
    """Nodes of one kind whose parts make whole VMs: what each holds, `signature` the parts that all of them have."""

    kind: int
    signature: Signature
    configs: tuple[Config, ...]


@dataclass(frozen=True, slots=True)
class _Choices:
    """Placements of one group of VMs over several nodes, cheapest first: (C,) numbers, (C, N) nodes, (C,) cost."""

    numbers: IntArray
    on: BoolArray
    cost: IntArray


@dataclass(slots=True)
class _Builder:
    """Hosts of one state in the making."""

    book: NodeBook
    state: int
    costs: dict[tuple[int, Signature, tuple[int, ...]], tuple[int, tuple[tuple[int, int], ...]] | None]
    _choices: dict[int, _Choices] = field(default_factory=dict)

    def positions(self, room: tuple[int, ...], block: Block) -> Iterator[tuple[int, ...]]:
        """Yield sets of free nodes that a block may have: all, or where these are too many the cheapest of its widest
        VMs.
        """
        size = len(block.configs)
        if math.comb(len(room), size) <= MOST_POSITIONS:
            yield from itertools.combinations(room, size)
            return
        widest = max((self.choices(group) for group, _ in block.signature), key=lambda one: int(one.on[:1].sum()))
        taken = np.ones(widest.on.shape[1], dtype=np.bool_)
        taken[list(room)] = False
        for choice in np.flatnonzero(~widest.on[:, taken].any(axis=1))[:MOST_POSITIONS].tolist():
            own = np.flatnonzero(widest.on[choice]).tolist()
            rest = [position for position in room if not widest.on[choice, position]]
            if len(own) <= size:
                yield tuple(sorted([*own, *rest[: size - len(own)]]))

    def choices(self, group: int) -> _Choices:
        """Return the placements of a group's VMs. Its number is that of the kind's first node; alike nodes number
        theirs alike.
        """
        if group not in self._choices:
            model = self.book.model
            state = model.states[self.state]
            grid = self.book.layouts.grids[state.shape]
            assert grid is not None
            of = grid.part_of[grid.multi]
            own = ((of == group) | (of < 0)).all(axis=1) & ~model.problem.shapes[state.shape].stay_only[grid.multi]
            numbers = grid.multi[own]
            cost = model.cost[model.offset[state.shape] + numbers].sum(axis=1)
            order = np.lexsort((numbers, cost))
            self._choices[group] = _Choices(numbers[order], of[own][order] >= 0, cost[order])
        return self._choices[group]

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
        total, taken = 0, dict[int, int]()
        for group, count in signature:
            choices = self.choices(group)
            outside = np.ones(choices.on.shape[1], dtype=np.bool_)
            outside[list(positions)] = False
            left = np.where(outside, 0, count)
            for choice in np.flatnonzero(~choices.on[:, outside].any(axis=1)).tolist():
                on = choices.on[choice]
                many = int(left[on].min())
                if many:
                    left[on] -= many
                    taken[int(choices.numbers[choice])] = many
                    total += many * int(choices.cost[choice])
                    if not left.any():
                        break
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
            for positions in builder.positions(room, block):
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
