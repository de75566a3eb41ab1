"""Branching on how many VMs of a flavor have a kind of place: it closes what column generation alone leaves open.

A row says that at most so many VMs of one flavor are in some of its placements. It is written as one more objective
with costs of one, held at that number, so that pricing, bounds and certificates need nothing new. A node of the tree
has such rows; its children have one more each, which no answer escapes: at most k there, or at most all but k + 1
elsewhere. The least bound over the leaves holds for the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from solvers.columns.generate import Bound
from solvers.objective import Objective, PlacementCosts
from solvers.problem import BoolArray, IntArray, Problem

Counts = Sequence[np.ndarray[tuple[int], np.dtype[np.float64]]]
"""Of each shape, (P,) VMs in each placement."""
WHOLE = 1e-6
"""How far from a whole number a count may be and still be taken for it."""
Placements = tuple[tuple[int, ...], ...]
"""Of each shape, some of its placements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """At most `most` VMs of a flavor (-1: of any) are in `placements`; with a `sign` of -1, at least -`most`."""

    flavor: int
    placements: Placements
    most: int
    sign: int = 1


@dataclass(slots=True)
class Node:
    """A node of the tree: its rows, and either two children or what bounds it.

    `entry` is the certificate of a leaf as plain data, `bound` what it gives, rounded to values that there are; `proof`
    the duals behind it. `split` : the row that its child with few VMs there has, or would have; the other child has
    `complement` of it.
    """

    rows: tuple[Row, ...]
    bound: int
    entry: dict[str, Any]
    proof: Bound
    split: Row | None
    children: tuple[Node, Node] | None = None

    def leaves(self) -> Iterator[Node]:
        """Yield the leaves below, or the node itself."""
        open_ = [self]
        while open_:
            node = open_.pop()
            if node.children is None:
                yield node
            else:
                open_ += reversed(node.children)

    def plain(self) -> dict[str, Any]:
        """Return the tree as plain data."""
        if self.children is None or self.split is None:
            return {"leaf": self.entry}
        split = {
            "flavor": self.split.flavor,
            "most": self.split.most,
            "placements": [list(chosen) for chosen in self.split.placements],
        }
        return {"split": split, "few": self.children[0].plain(), "many": self.children[1].plain()}


def complement(problem: Problem, row: Row) -> Row:
    """Return the row of all answers that break a row: so many VMs are there that few of the flavor can be elsewhere."""
    if row.flavor < 0:
        return replace(row, most=-(row.most + 1), sign=-row.sign)
    elsewhere = tuple(
        tuple(np.setdiff1d(np.flatnonzero(shape.flavor == row.flavor), np.array(chosen, dtype=np.int64)).tolist())
        for shape, chosen in zip(problem.shapes, row.placements, strict=True)
    )
    left = int(problem.demand()[row.flavor]) - row.most - 1
    return Row(flavor=row.flavor, placements=elsewhere, most=left)


def banned(problem: Problem, rows: Sequence[Row]) -> BoolArray:
    """Return flat (placements of all shapes): where the rows allow no VM."""
    parts = [np.zeros(shape.placements, dtype=np.bool_) for shape in problem.shapes]
    for row in rows:
        if row.most <= 0 < row.sign:
            for part, chosen in zip(parts, row.placements, strict=True):
                part[list(chosen)] = True
    return np.concatenate(parts)


def branched(problem: Problem, objective: int, rows: Sequence[Row]) -> Problem:
    """Return the problem up to an objective, the rows before it as objectives to be held at what they allow."""
    names = [f"branch {number}" for number in range(len(rows))]
    shapes = []
    for s, shape in enumerate(problem.shapes):
        cost = dict(shape.cost)
        for name, row in zip(names, rows, strict=True):
            cost[name] = np.zeros(shape.placements, dtype=np.int64)
            cost[name][list(row.placements[s])] = row.sign
        shapes.append(replace(shape, cost=cost))
    objectives = (
        *problem.objectives[:objective],
        *(Objective(goal=name, terms=(PlacementCosts(name),)) for name in names),
        problem.objectives[objective],
    )
    return replace(problem, shapes=tuple(shapes), objectives=objectives)


def read_leaves(problem: Problem, tree: Mapping[str, Any]) -> list[tuple[tuple[Row, ...], Mapping[str, Any]]]:
    """Return the rows and the certificate of each leaf of a tree in plain data; between them they miss no answer.

    Raises
    ------
    ValueError
        If it is no tree of this problem.
    """
    out: list[tuple[tuple[Row, ...], Mapping[str, Any]]] = []
    open_: list[tuple[tuple[Row, ...], Mapping[str, Any]]] = [((), tree)]
    while open_:
        rows, node = open_.pop()
        if "leaf" in node:
            out.append((rows, node["leaf"]))
            continue
        split = node["split"]
        row = Row(
            flavor=int(split["flavor"]),
            placements=tuple(tuple(int(p) for p in chosen) for chosen in split["placements"]),
            most=int(split["most"]),
        )
        if len(row.placements) != len(problem.shapes) or not -1 <= row.flavor < len(problem.flavors):
            raise ValueError("a split of another problem")
        for shape, chosen in zip(problem.shapes, row.placements, strict=True):
            if any(not 0 <= p < shape.placements or row.flavor not in (-1, shape.flavor[p]) for p in chosen):
                raise ValueError("a split over placements of another flavor")
        open_ += [((*rows, complement(problem, row)), node["many"]), ((*rows, row), node["few"])]
    return out


@dataclass(slots=True)
class Choice:
    """What to branch on: of all counts that are not whole, the one that decides most about the cost.

    `excess` (shape,) of (P,): what a placement costs above the least of its flavor. `vcpus` : (F,).
    """

    problem: Problem
    excess: tuple[IntArray, ...]
    vcpus: IntArray
    _best: tuple[tuple[int, float], Row] | None = field(default=None)

    def best(self, counts: Counts) -> Row | None:
        """Return the row to split by, of (P,) VMs in each placement of each shape; None where all counts are whole.

        First whether VMs have a place that costs anything, then how dear a place on a shape, then on which shape.
        """
        self._best = None
        for f in range(len(self.vcpus)):
            mine = [shape.flavor == f for shape in self.problem.shapes]
            used = [count[here] > WHOLE for count, here in zip(counts, mine, strict=True)]
            if not any(part.any() for part in used):
                continue
            dear = [here & (excess > 0) for here, excess in zip(mine, self.excess, strict=True)]
            self._offer(f, dear, counts, 2, max(self._top(s, counts, dear[s]) for s in range(len(dear))))
            for s, here in enumerate(mine):
                levels = np.unique(self.excess[s][here][used[s]])
                for level in levels[levels > 0].tolist():
                    self._offer(f, self._only(s, here & (self.excess[s] >= level)), counts, 1, level)
                self._offer(f, self._only(s, here), counts, 0, int(self.vcpus[f]))
        return None if self._best is None else self._best[1]

    def _top(self, s: int, counts: Counts, here: BoolArray) -> int:
        taken = here & (counts[s] > WHOLE)
        return int(self.excess[s][taken].max(initial=0))

    def _only(self, s: int, here: BoolArray) -> list[BoolArray]:
        return [
            here if number == s else np.zeros(shape.placements, dtype=np.bool_)
            for number, shape in enumerate(self.problem.shapes)
        ]

    def _offer(
        self,
        flavor: int,
        there: Sequence[BoolArray],
        counts: Counts,
        rank: int,
        worth: int,
    ) -> None:
        total = float(sum(count[here].sum() for count, here in zip(counts, there, strict=True)))
        off = abs(total - round(total))
        score = (rank, off * worth)
        if off <= WHOLE or (self._best is not None and score <= self._best[0]):
            return
        row = Row(
            flavor=flavor,
            placements=tuple(tuple(np.flatnonzero(here).tolist()) for here in there),
            most=int(np.floor(total)),
        )
        self._best = score, row
