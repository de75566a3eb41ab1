"""How many VMs of one flavor fit what hosts have free: by a formula where it is exact, else by CP-SAT.

A VM of k cells on distinct nodes, b_i cells that fit on node i, sorted down, B their sum: as many fit as
``min over 0 <= r < k of floor((B - b_1 - ... - b_r) / (k - r))`` (design section 6). Where cells are not alike, or
there are several numbers of cells to choose from, the formula bounds the answer from both sides; where the two differ,
a small integer program decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from solvers.problem import BoolArray, IntArray

PLENTY = 1 << 40
EXACT_BUDGET = 2.0
"""Deterministic seconds for one integer program; the programs are small and take thousandths of that."""

Required = Sequence[tuple[IntArray, int]]
"""VMs that must be placed too: the use (P, K) of a flavor's placements, and how many VMs there are of it."""


@dataclass(frozen=True, slots=True)
class Fill:
    """For each host (S,): VMs that fit for certain, and how many could at most; equal where it is proven."""

    least: IntArray
    most: IntArray


@dataclass(frozen=True, slots=True)
class _Family:
    """Placements over the same number of nodes, and the least and the most (K,) that any of them takes of a row.

    `covered`: every choice of so many of `nodes` is a placement, which takes of its own nodes and of the host alone.
    """

    parts: int
    nodes: tuple[int, ...]
    least: IntArray
    most: IntArray
    covered: bool


@dataclass(frozen=True, slots=True)
class Filler:
    """One flavor's placements on hosts of one shape.

    Attributes
    ----------
    use : (P, K) what each placement takes of those rows of the shape, `rows`, that any of them takes of.
    node, kind : (K,) the node of each row, -1 for the whole host; what is counted, a number for each row name.
    """

    use: IntArray
    rows: IntArray
    node: IntArray
    kind: IntArray
    families: tuple[_Family, ...]

    @classmethod
    def of(cls, use: IntArray, touches: BoolArray, names: Sequence[tuple[int | None, str]]) -> Filler:
        """Return the filler of placements (P, K), K named rows, on nodes (P, N)."""
        rows = np.flatnonzero((use > 0).any(axis=0))
        numbers: dict[str, int] = {}
        kind = np.array([numbers.setdefault(names[k][1], len(numbers)) for k in rows.tolist()], dtype=np.int64)
        node = np.array([-1 if (at := names[k][0]) is None else at for k in rows.tolist()], dtype=np.int64)
        own = use[:, rows]
        return cls(use=own, rows=rows, node=node, kind=kind, families=_families(own, node, touches))

    def only(self, kept: Sequence[int]) -> Filler:
        """Return a filler that has only these of the shape's rows for a limit."""
        at = np.flatnonzero(np.isin(self.rows, np.asarray(kept, dtype=np.int64)))
        families = tuple(replace(one, least=one.least[at], most=one.most[at]) for one in self.families)
        return Filler(
            use=self.use[:, at], rows=self.rows[at], node=self.node[at], kind=self.kind[at], families=families
        )

    def bounds(self, free: IntArray) -> Fill:
        """Return what the formula says of hosts that have `free` (S, all rows of the shape) left."""
        left = np.maximum(free[:, self.rows], 0)
        return Fill(least=self._least(left), most=self._most(left))

    def exact(self, free: IntArray, required: Required = ()) -> tuple[int, int]:
        """Return how many fit on one host beside VMs that must be placed, and how many could at most, by CP-SAT.

        Parameters
        ----------
        free, required : over all rows of the shape. Where the required VMs do not fit, nothing else does: (0, 0).
        """
        from ortools.sat.python import cp_model

        model = cp_model.CpModel()
        left = np.maximum(free, 0)
        terms: list[list[cp_model.LinearExprT]] = [[] for _ in range(len(left))]

        def counts(use: IntArray, rows: IntArray, many: int | None) -> list[cp_model.IntVar]:
            out = []
            for taken in use:
                at = np.flatnonzero(taken)
                room = int(min((left[rows[k]] // taken[k] for k in at), default=PLENTY))
                out.append(model.new_int_var(0, room if many is None else min(room, many), ""))
                for k in at:
                    terms[rows[k]].append(int(taken[k]) * out[-1])
            return out

        wanted = counts(self.use, self.rows, None)
        everything = np.arange(len(left))
        for use, many in required:
            model.add(sum(counts(use, everything, many)) == many)
        for k, parts in enumerate(terms):
            if parts:
                model.add(sum(parts) <= int(left[k]))
        model.maximize(sum(wanted))
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.catch_sigint_signal = False  # the caller's: CP-SAT's own handler ends the process
        solver.parameters.max_deterministic_time = EXACT_BUDGET
        status = solver.solve(model)
        if status == cp_model.OPTIMAL:
            return (found := round(solver.objective_value)), found
        if status == cp_model.INFEASIBLE:
            return 0, 0
        # A search that found nothing says nothing of a bound either.
        if status != cp_model.FEASIBLE:
            return 0, int(self._most(left[self.rows][None, :])[0])
        return round(solver.objective_value), math.floor(solver.best_objective_bound + 1e-6)

    def _least(self, left: IntArray) -> IntArray:
        """Fill with one family after the other, that on fewest nodes first; a cell takes the most that any does."""
        total = np.zeros(len(left), dtype=np.int64)
        for family in self.families:
            if not family.covered:
                continue
            cells = self._cells(left, family.most, family)
            fit = np.minimum(slots(cells, family.parts), self._of_host(left, family.most))
            total += fit
            if family is not self.families[-1]:
                taken = _spread(cells, fit, family.parts)
                left = left.copy()
                for k, node in enumerate(self.node.tolist()):
                    if family.most[k]:
                        many = fit if node < 0 else taken[:, family.nodes.index(node)]
                        left[:, k] -= many * family.most[k]
        return total

    def _most(self, left: IntArray) -> IntArray:
        """Bound by the cells of each node, by rows of the whole host, and by what a VM takes in all of one kind."""
        if not self.families:
            return np.zeros(len(left), dtype=np.int64)
        if len(self.families) == 1:
            (family,) = self.families
            best = slots(self._cells(left, family.least, family), family.parts)
        else:
            unit = math.lcm(*(family.parts for family in self.families))
            best = self._shares(left, unit).sum(axis=1) // unit
        for kind in np.unique(self.kind):
            rows = np.flatnonzero(self.kind == kind)
            price = int(self.use[:, rows].sum(axis=1).min())
            if price:
                best = np.minimum(best, left[:, rows].sum(axis=1) // price)
        return np.asarray(best, dtype=np.int64)

    def _shares(self, left: IntArray, unit: int) -> IntArray:
        """Return (S, nodes): how many 1/`unit` of a VM each node holds at most; a cell of k is a share of 1/k."""
        nodes = sorted({node for family in self.families for node in family.nodes})
        out = np.full((len(left), len(nodes)), PLENTY, dtype=np.int64)
        for slot, node in enumerate(nodes):
            families = [family for family in self.families if node in family.nodes]
            for k in np.flatnonzero(self.node == node):
                price = min(family.parts * int(family.least[k]) for family in families)
                if price:
                    out[:, slot] = np.minimum(out[:, slot], left[:, k] * unit // price)
        return out

    def _cells(self, left: IntArray, takes: IntArray, family: _Family) -> IntArray:
        """Return (S, nodes of the family): whole cells that each node holds."""
        out = np.full((len(left), len(family.nodes)), PLENTY, dtype=np.int64)
        for slot, node in enumerate(family.nodes):
            for k in np.flatnonzero((self.node == node) & (takes > 0)):
                out[:, slot] = np.minimum(out[:, slot], left[:, k] // takes[k])
        return out

    def _of_host(self, left: IntArray, takes: IntArray) -> IntArray:
        """Return (S,): VMs that the rows of the whole host allow."""
        out = np.full(len(left), PLENTY, dtype=np.int64)
        for k in np.flatnonzero((self.node < 0) & (takes > 0)):
            out = np.minimum(out, left[:, k] // takes[k])
        return out


def slots(cells: IntArray, parts: int) -> IntArray:
    """Return (H,): VMs of `parts` equal cells on distinct nodes, given (H, nodes) how many cells each node holds."""
    if cells.shape[1] < parts:
        return np.zeros(len(cells), dtype=np.int64)
    ordered = -np.sort(-cells, axis=1)
    left = ordered.sum(axis=1)
    best = left // parts
    for dropped in range(1, parts):
        left = left - ordered[:, dropped - 1]
        best = np.minimum(best, left // (parts - dropped))
    return np.asarray(best, dtype=np.int64)


def _families(use: IntArray, node: IntArray, touches: BoolArray) -> tuple[_Family, ...]:
    """Group placements by how many nodes they are on, fewest first."""
    out = []
    width = touches.sum(axis=1)
    for parts in np.unique(width[width > 0]).tolist():
        own = np.flatnonzero(width == parts)
        nodes = np.flatnonzero(touches[own].any(axis=0))
        least, most = np.zeros(use.shape[1], dtype=np.int64), np.zeros(use.shape[1], dtype=np.int64)
        # A cell whose memory is on another node takes of that node too: then the formula is no answer.
        covered = len(np.unique(touches[own], axis=0)) == math.comb(len(nodes), parts)
        for k, at in enumerate(node.tolist()):
            there = touches[own, at] if at >= 0 else np.ones(len(own), dtype=bool)
            covered = covered and not use[own, k][~there].any()
            if there.any():
                least[k], most[k] = use[own, k][there].min(), use[own, k][there].max()
        out.append(
            _Family(parts=int(parts), nodes=tuple(nodes.tolist()), least=least, most=most, covered=bool(covered))
        )
    return tuple(out)


def _spread(cells: IntArray, fit: IntArray, parts: int) -> IntArray:
    """Return (S, nodes): cells on each node when `fit` VMs of `parts` cells are there.

    Any counts of at most `fit` a node that add up can be made of VMs on distinct nodes; here nodes with room for few
    cells are spared first.
    """
    take = np.minimum(cells, fit[:, None])
    over = take.sum(axis=1) - parts * fit
    order = np.argsort(cells, axis=1, kind="stable")
    at = np.arange(len(take))
    for rank in range(take.shape[1]):
        slot = order[:, rank]
        spared = np.minimum(take[at, slot], over)
        take[at, slot] -= spared
        over = over - spared
    return take
