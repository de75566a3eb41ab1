"""Columns: patterns on states with every coefficient that the master needs, computed exactly and many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from solvers.columns.model import Pattern, StateModel
from solvers.problem import BoolArray, IntArray


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
        self._add_whole(cost, state, holds > 0, moves, migrations)
        self._add_penalties(cost, state, of, flavor, amount)
        self._add_hinges(cost, state, column, placement, count)
        self._add_shortages(cost, state, patterns)
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

    def _add_whole(
        self, cost: IntArray, state: IntArray, used: BoolArray, moves: IntArray, migrations: IntArray
    ) -> None:
        """Add what the pattern as a whole costs: the host if used, moves, migrations."""
        for o, objective in enumerate(self.model.problem.objectives):
            if objective.host_cost:
                opening = np.array([s.lead.cost for s in self.model.states], dtype=np.int64)
                cost[:, o] += np.where(used, opening[state], 0)
            cost[:, o] += objective.moves * moves + objective.migrations * migrations

    def _add_penalties(self, cost: IntArray, state: IntArray, of: IntArray, flavor: IntArray, amount: IntArray) -> None:
        """Add the rule excess of VMs on hosts where they should not be."""
        goals = [o for o, objective in enumerate(self.model.problem.objectives) if objective.stay_penalty]
        if not goals:
            return
        penalty = np.stack([s.lead.stay_penalty for s in self.model.states])
        excess = _sum_by(of, amount * penalty[state[of], flavor], len(state))
        for o in goals:
            cost[:, o] += excess

    def _add_hinges(
        self, cost: IntArray, state: IntArray, column: IntArray, placement: IntArray, count: IntArray
    ) -> None:
        problem = self.model.problem
        goals = {objective.hinge: o for o, objective in enumerate(problem.objectives) if objective.hinge is not None}
        for s, shape in enumerate(problem.shapes):
            hinges = [hinge for hinge in shape.hinges if hinge.goal in goals]
            if not hinges or not (self.model.shape_of == s).any():
                continue
            mine = self.model.shape_of[state] == s
            entries = mine[column]
            entries[entries] = ~self.model.phantom[shape.flavor[placement[entries]]]
            rows = sorted({hinge.row for hinge in hinges})
            load = _sum_by(column[entries], count[entries, None] * shape.use[placement[entries]][:, rows], len(state))
            fixed = np.stack([t.lead.fixed[rows] for t in self.model.states if t.shape == s])
            position = np.cumsum(self.model.shape_of == s) - 1
            load[mine] += fixed[position[state[mine]]]
            for hinge in hinges:
                over = hinge.slope * np.maximum(hinge.scale * load[:, rows.index(hinge.row)] - hinge.offset, 0)
                cost[:, goals[hinge.goal]] += np.where(mine, over, 0)

    def _add_shortages(self, cost: IntArray, state: IntArray, patterns: Sequence[Pattern]) -> None:
        """Add what has no place on hosts that hold more than they have room for: they are few, so one by one."""
        model = self.model
        parts = {goal.shortage: o for o, goal in enumerate(model.problem.objectives) if goal.shortage is not None}
        if not parts or not self._over.any():
            return
        for n in np.flatnonzero(self._over[state]).tolist():
            lead, shape = model.states[state[n]].lead, model.problem.shapes[model.shape_of[state[n]]]
            load = np.zeros(shape.use.shape[1], dtype=np.int64)
            for placement, count in patterns[n]:
                if not model.phantom[shape.flavor[placement]]:
                    load += count * shape.use[placement]
            over = np.maximum(load - lead.ceiling, 0)
            for shortage in shape.shortages:
                if shortage.part in parts:
                    cost[n, parts[shortage.part]] += shortage.most(over)


def _sum_by(index: IntArray, values: IntArray, length: int) -> IntArray:
    """Return exact integer sums of `values` by `index`."""
    out = np.zeros((length, *values.shape[1:]), dtype=np.int64)
    np.add.at(out, index, values)
    return out
