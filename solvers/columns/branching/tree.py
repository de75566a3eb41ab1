"""The search over branches: nodes are bounded by column generation, the one with the least bound is split next."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from solvers.columns.branching.rows import Choice, Node, Row, banned, branched, complement
from solvers.columns.certificate import certificate
from solvers.columns.columns import Evaluator
from solvers.columns.duals import prices_of
from solvers.columns.generate import Bound, Generator
from solvers.columns.lattice import Lattice, lattice_of
from solvers.columns.model import Pattern, StateModel, least_cost
from solvers.columns.pool import Pool
from solvers.columns.pricing.by_tables import TablePricing
from solvers.columns.pricing.exact import ExactPricer
from solvers.columns.pricing.layouts import Layouts
from solvers.columns.pricing.many_hosts import LiveBatches
from solvers.columns.pricing.packed import Packer
from solvers.columns.run import Kit
from solvers.problem import IntArray


@dataclass(slots=True, kw_only=True)
class Tree:
    """The branches of one objective with the earlier ones at `held`; `soft` as in a phase, `scale` the duals' grid.

    `start` is the bound to be raised, `root` what has been grown of it.
    """

    kit: Kit
    objective: int
    held: tuple[int, ...]
    soft: IntArray
    scale: int
    start: Bound
    root: Node | None = None
    found: dict[tuple[int, Pattern], None] = field(default_factory=dict)
    _choice: Choice = field(init=False)

    def __post_init__(self) -> None:
        """Tell what placements cost above the least of their flavor."""
        model = self.kit.model
        excess = model.cost[:, self.objective] - least_cost(model, self.objective)[model.flavor]
        self._choice = Choice(
            problem=model.problem,
            excess=tuple(excess[first:last] for first, last in zip(model.offset[:-1], model.offset[1:], strict=True)),
            vcpus=np.array([flavor.vcpus for flavor in model.problem.flavors], dtype=np.int64),
        )

    @property
    def value(self) -> int:
        """What is to be proven: the incumbent's value."""
        return self.kit.incumbent.values[self.objective]

    @property
    def bound(self) -> int | None:
        """The bound that the tree gives: the least of its leaves."""
        return None if self.root is None else min(leaf.bound for leaf in self.root.leaves())

    def grow(self) -> bool:
        """Split the leaf of the least bound, of equal ones the deepest; return whether there was one, and the time."""
        if self.root is None:
            self.root = self._bounded((), _alone(self.start, self.objective))
            return self.root is not None
        leaves = list(self.root.leaves())
        low = min(leaf.bound for leaf in leaves)
        # A leaf of the least bound that cannot be split holds the bound where it is.
        if low >= self.value or any(leaf.bound == low and leaf.split is None for leaf in leaves):
            return False
        leaf = max((leaf for leaf in leaves if leaf.bound == low), key=lambda leaf: len(leaf.rows))
        assert leaf.split is not None
        children = []
        for row in (leaf.split, complement(self.kit.model.problem, leaf.split)):
            child = self._bounded((*leaf.rows, row), _with_row(leaf.proof))
            if child is None:
                return False
            children.append(child)
        leaf.children = (children[0], children[1])
        return True

    def proof(self) -> dict[str, Any]:
        """Return as plain data what proves the bound."""
        assert self.root is not None
        return {"objective": self.objective, "bound": self.bound, "tree": self.root.plain()}

    def _bounded(self, rows: tuple[Row, ...], proof: Bound) -> Node | None:
        """Return the node of some rows, from what proves the bound of the one above; None if the clock stopped it."""
        kit = self.kit
        model = StateModel(problem=branched(kit.model.problem, self.objective, rows), active=kit.model.active)
        layouts = kit.layouts.on(model)
        pool = Pool(Evaluator(model))
        columns = kit.pool.all()
        pool.add([*zip(columns.state.tolist(), columns.patterns, strict=True), *self.found])
        known = pool.size
        held = (*self.held, *(row.most for row in rows))
        soft = np.zeros(model.objectives)
        soft[: self.objective] = self.soft[: self.objective] / model.problem.objectives[-1].unit
        generator = Generator(
            pool=pool,
            layouts=layouts,
            exact=ExactPricer(model, kit.executor, kit.clock),
            objective=model.objectives - 1,
            held=held,
            penalty=soft,
            scale=self.scale,
            step_size=1,
            packer=Packer(model, kit.seed),
            enumerator=kit.enumerator.on(model),
            batches=LiveBatches(layouts),
            clock=kit.clock,
            seed=kit.seed,
        )
        generator.resume(proof)
        lattice = lattice_of(kit.model, self.objective, self.held, self.value, banned(kit.model.problem, rows))

        def bound() -> int:
            assert generator.best is not None
            return generator.best.value if lattice is None else lattice.firm(generator.best.value)

        generator.run(lambda: bound() >= self.value, reserve=0.0)
        if kit.clock.stopped or generator.best is None:
            return None
        new = pool.all()
        self.found.update(dict.fromkeys(zip(new.state[known:].tolist(), new.patterns[known:], strict=True)))
        split = None
        if bound() < self.value:
            split = None if rows or lattice is None else self._coarser(layouts, generator.best, lattice)
            split = split or self._choice.best(_counts(generator))
        entry = certificate(held, generator.best, lattice)
        return Node(rows=rows, bound=bound(), entry=entry, proof=generator.best, split=split)

    def _coarser(self, layouts: Layouts, proof: Bound, lattice: Lattice) -> Row | None:
        """Return the row that bans places which an answer to be found can hardly afford, if that makes steps coarser.

        What a place loses under the duals tells which these are; whether it is so, the branch without the row proves.
        """
        model = layouts.model
        tables = TablePricing(layouts, prices_of(model, proof.duals))
        room = (self.value - proof.value) * proof.duals.scale
        dear = [np.ones(shape.placements, dtype=np.bool_) for shape in model.problem.shapes]
        for state in model.states:
            losses = tables.losses(state)
            if losses is None:
                return None
            dear[state.shape] &= losses >= room
        known = [model.real[a:b] & (model.demand[model.flavor[a:b]] > 0) for a, b in pairwise(model.offset.tolist())]
        excess = self._choice.excess
        fine = [e[k & ~d] for e, k, d in zip(excess, known, dear, strict=True)]
        step = math.gcd(*np.unique(np.concatenate(fine)).tolist())
        coarse = replace(lattice, step=step)
        if step <= lattice.step or coarse.firm(proof.value) <= lattice.firm(proof.value):
            return None
        chosen = [k & (e % step != 0) for e, k in zip(excess, known, strict=True)]
        return Row(flavor=-1, placements=tuple(tuple(np.flatnonzero(part).tolist()) for part in chosen), most=0)


def _alone(bound: Bound, objective: int) -> Bound:
    """Return a bound with duals for the objectives up to its own, and no later ones."""
    hold = np.append(bound.duals.hold[:objective], 0)
    return replace(bound, duals=replace(bound.duals, hold=hold))


def _with_row(bound: Bound) -> Bound:
    """Return a bound with one row more before its objective, of a dual of zero."""
    duals = bound.duals
    return replace(bound, duals=replace(duals, objective=duals.objective + 1, hold=np.append(duals.hold, 0)))


def _counts(generator: Generator) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Return of each shape (P,) how many VMs the master has in each placement."""
    model = generator.pool.evaluator.model
    out = [np.zeros(shape.placements) for shape in model.problem.shapes]
    if generator.answer is None:
        return out
    columns = generator.pool.all()
    for n in np.flatnonzero(generator.answer.use > 0).tolist():
        shape = int(model.shape_of[columns.state[n]])
        for placement, count in columns.patterns[n]:
            out[shape][placement] += count * float(generator.answer.use[n])
    return out
