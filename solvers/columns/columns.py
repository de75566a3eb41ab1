"""Columns: patterns on states with every coefficient that the master needs, computed exactly and many at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from solvers.columns.model import Pattern, StateModel
from solvers.objective import (
    Changes,
    Hinges,
    HostCosts,
    PlacementCosts,
    RuleExcess,
    Shortages,
    StayPenalties,
    Term,
    Unplaced,
    lacking,
)  # fmt: skip
from solvers.problem import BoolArray, IntArray, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Columns as arrays; `amount*` are compressed rows, `ptr` of n + 1.

    Attributes
    ----------
    state : (n,) index of the state. cost : (n, objectives). moves, migrations : (n,) VMs.
    ptr, amount_flavor, amount : VMs of each real flavor that the pattern holds.
    """

    state: IntArray
    patterns: tuple[Pattern, ...]
    cost: IntArray
    moves: IntArray
    migrations: IntArray
    ptr: IntArray
    amount_flavor: IntArray
    amount: IntArray

    def __len__(self) -> int:
        """Return how many columns there are."""
        return len(self.state)

    @property
    def column_of_amount(self) -> IntArray:
        """(entries,) the column of each amount."""
        return np.repeat(np.arange(len(self)), np.diff(self.ptr))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Patterns in arrays: (n,) of each, the entries (`column`, `placement`, `count`), and what each holds of real
    flavors (`of`, `flavor`, `amount`).
    """

    state: IntArray
    patterns: Sequence[Pattern]
    column: IntArray
    placement: IntArray
    count: IntArray
    of: IntArray
    flavor: IntArray
    amount: IntArray
    moves: IntArray
    migrations: IntArray
    holds: BoolArray


@dataclass(slots=True)
class Evaluator:
    """Computes columns from patterns."""

    model: StateModel
    _own_key: IntArray = field(init=False)
    _own_count: IntArray = field(init=False)
    _stride: int = field(init=False)
    _present: IntArray = field(init=False)
    _over: BoolArray = field(init=False)

    def __post_init__(self) -> None:
        """Sort what is where now, for look-up by (state, placement)."""
        model = self.model
        self._stride = int(np.diff(model.offset).max(initial=0)) + 1
        pairs = [
            (state.index * self._stride + placement, count)
            for state in model.states
            for placement, count in sorted(state.own.items())
        ]
        self._own_key = np.array([key for key, _ in pairs], dtype=np.int64)
        self._own_count = np.array([count for _, count in pairs], dtype=np.int64)
        self._present = model.present.sum(axis=1)
        self._over = np.array([state.lead.room is not None for state in model.states], dtype=np.bool_)

    def evaluate(self, states: Sequence[int], patterns: Sequence[Pattern]) -> Columns:
        """Return the columns of patterns on states."""
        model, n = self.model, len(patterns)
        state = np.array(states, dtype=np.int64)
        lengths = np.array([len(pattern) for pattern in patterns], dtype=np.int64)
        pairs = np.array(list(chain.from_iterable(chain.from_iterable(patterns))), dtype=np.int64).reshape(-1, 2)
        placement, count = pairs[:, 0], pairs[:, 1]
        column = np.repeat(np.arange(n), lengths)
        flat = model.offset[model.shape_of[state[column]]] + placement
        cost = _sum_by(column, count[:, None] * model.cost[flat], n)
        kept = np.minimum(self._own(state[column], placement), count)
        key, inverse = np.unique(column * len(model.phantom) + model.flavor[flat], return_inverse=True)
        amount, stayed = _sum_by(inverse, count, len(key)), _sum_by(inverse, kept, len(key))
        of, flavor = key // len(model.phantom), key % len(model.phantom)
        real = ~model.phantom[flavor]
        of, flavor, amount, stayed = of[real], flavor[real], amount[real], stayed[real]
        stayed = stayed + np.minimum(model.floating[state[of], flavor], amount - stayed)
        stayed = np.where(model.settles[flavor], np.minimum(model.present[state[of], flavor], amount), stayed)
        moves = self._present[state] - _sum_by(of, stayed, n)
        migrations = self._present[state] - _sum_by(of, np.minimum(amount, model.present[state[of], flavor]), n)
        holds = np.bincount(of, minlength=n)
        batch = _Batch(
            state=state, patterns=patterns, column=column, placement=placement, count=count, of=of, flavor=flavor,
            amount=amount, moves=moves, migrations=migrations, holds=holds > 0,
        )  # fmt: skip
        for o, objective in enumerate(model.problem.objectives):
            for term in objective.terms:
                share = _SHARES.get(type(term))
                if share is not None:
                    cost[:, o] += share(self, batch, term)
        return Columns(
            state=state,
            patterns=tuple(patterns),
            cost=cost,
            moves=moves,
            migrations=migrations,
            ptr=np.cumsum(np.concatenate([[0], holds]), dtype=np.int64),
            amount_flavor=flavor,
            amount=amount,
        )

    def _own(self, state: IntArray, placement: IntArray) -> IntArray:
        if not len(self._own_key):
            return np.zeros(len(state), dtype=np.int64)
        key = state * self._stride + placement
        at = np.minimum(np.searchsorted(self._own_key, key), len(self._own_key) - 1)
        return np.where(self._own_key[at] == key, self._own_count[at], 0)

    def _host_costs(self, batch: _Batch, term: HostCosts) -> IntArray:
        opening = np.array([state.lead.cost for state in self.model.states], dtype=np.int64)
        return np.where(batch.holds, opening[batch.state], 0)

    def _changes(self, batch: _Batch, term: Changes) -> IntArray:
        return term.moves * batch.moves + term.migrations * batch.migrations

    def _stay_penalties(self, batch: _Batch, term: StayPenalties) -> IntArray:
        penalty = np.stack([state.lead.stay_penalty for state in self.model.states])
        return _sum_by(batch.of, batch.amount * penalty[batch.state[batch.of], batch.flavor], len(batch.state))

    def _hinges(self, batch: _Batch, term: Hinges) -> IntArray:
        model, state = self.model, batch.state
        cost = np.zeros(len(state), dtype=np.int64)
        for s, shape in enumerate(model.problem.shapes):
            hinges = [hinge for hinge in shape.hinges if hinge.goal == term.goal]
            if not hinges or not (model.shape_of == s).any():
                continue
            mine = model.shape_of[state] == s
            entries = mine[batch.column]
            entries[entries] = ~model.phantom[shape.flavor[batch.placement[entries]]]
            rows = sorted({hinge.row for hinge in hinges})
            use = batch.count[entries, None] * shape.use[batch.placement[entries]][:, rows]
            load = _sum_by(batch.column[entries], use, len(state))
            fixed = np.stack([t.lead.fixed[rows] for t in model.states if t.shape == s])
            position = np.cumsum(model.shape_of == s) - 1
            load[mine] += fixed[position[state[mine]]]
            for hinge in hinges:
                over = hinge.slope * np.maximum(hinge.scale * load[:, rows.index(hinge.row)] - hinge.offset, 0)
                cost += np.where(mine, over, 0)
        return cost

    def _shortages(self, batch: _Batch, term: Shortages) -> IntArray:
        """Return what has no place on hosts that hold more than they have room for: they are few, so one by one."""
        model = self.model
        cost = np.zeros(len(batch.state), dtype=np.int64)
        for n in np.flatnonzero(self._over[batch.state]).tolist():
            lead, shape = model.states[batch.state[n]].lead, model.problem.shapes[model.shape_of[batch.state[n]]]
            load = np.zeros(shape.use.shape[1], dtype=np.int64)
            for placement, count in batch.patterns[n]:
                if not model.phantom[shape.flavor[placement]]:
                    load += count * shape.use[placement]
            over = np.maximum(load - lead.ceiling, 0)
            cost[n] = sum(shortage.most(over) for shortage in shape.shortages if shortage.part == term.part)
        return cost


_SHARES: dict[type[Term], Callable[..., IntArray]] = {
    HostCosts: Evaluator._host_costs,
    Changes: Evaluator._changes,
    StayPenalties: Evaluator._stay_penalties,
    Hinges: Evaluator._hinges,
    Shortages: Evaluator._shortages,
}
"""(n,) what each pattern adds to a term; costs of placements and of VMs left out are the model's arrays."""
TERMS = frozenset(_SHARES) | {PlacementCosts, Unplaced, RuleExcess}
"""What the columns engine knows. Rules over several hosts are taken apart before it: their excess is 0 here."""


def unsupported(problem: Problem) -> list[str]:
    """Return what of a problem the columns engine cannot do, in words."""
    return [*(["rules over several hosts"] if problem.rules else []), *lacking(problem.objectives, TERMS)]


def _sum_by(index: IntArray, values: IntArray, length: int) -> IntArray:
    """Return exact integer sums of `values` by `index`."""
    out = np.zeros((length, *values.shape[1:]), dtype=np.int64)
    np.add.at(out, index, values)
    return out
