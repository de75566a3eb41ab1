"""All columns found so far, as arrays; each only once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from solvers.columns.columns import Columns, Evaluator
from solvers.columns.duals import Duals
from solvers.columns.model import Pattern
from solvers.problem import IntArray


@dataclass(slots=True)
class Pool:
    """Columns in the order of their coming."""

    evaluator: Evaluator
    parts: list[Columns] = field(default_factory=list)
    size: int = 0
    _known: set[tuple[int, Pattern]] = field(default_factory=set)

    def add(self, found: Sequence[tuple[int, Pattern]]) -> None:
        """Add (state, pattern) pairs that are new."""
        new = [key for key in dict.fromkeys(found) if key not in self._known]
        if not new:
            return
        self._known.update(new)
        columns = self.evaluator.evaluate([state for state, _ in new], [pattern for _, pattern in new])
        self.parts.append(columns)
        self.size += len(columns)

    def since(self, first: int) -> Columns | None:
        """Return the columns from number `first` on, None where there are none."""
        if first >= self.size:
            return None
        parts, left = [], self.size - first
        for part in reversed(self.parts):
            parts.append(part)
            left -= len(part)
            if left <= 0:
                break
        return tail(joined(parts[::-1]), -left)

    def all(self) -> Columns:
        """Return all columns as one."""
        if len(self.parts) > 1:
            self.parts = [joined(self.parts)]
        return self.parts[0]


def tail(columns: Columns, first: int) -> Columns:
    """Return columns from number `first` on."""
    if not first:
        return columns
    entries = slice(int(columns.ptr[first]), None)
    return Columns(
        state=columns.state[first:],
        patterns=columns.patterns[first:],
        cost=columns.cost[first:],
        moves=columns.moves[first:],
        migrations=columns.migrations[first:],
        ptr=columns.ptr[first:] - columns.ptr[first],
        amount_flavor=columns.amount_flavor[entries],
        amount=columns.amount[entries],
    )


def joined(parts: Sequence[Columns]) -> Columns:
    """Return columns one after the other."""
    lengths = np.concatenate([np.diff(part.ptr) for part in parts])
    return Columns(
        state=np.concatenate([part.state for part in parts]),
        patterns=tuple(pattern for part in parts for pattern in part.patterns),
        cost=np.concatenate([part.cost for part in parts]),
        moves=np.concatenate([part.moves for part in parts]),
        migrations=np.concatenate([part.migrations for part in parts]),
        ptr=np.cumsum(np.concatenate([[0], lengths]), dtype=np.int64),
        amount_flavor=np.concatenate([part.amount_flavor for part in parts]),
        amount=np.concatenate([part.amount for part in parts]),
    )


def reduced_costs(columns: Columns, duals: Duals) -> IntArray:
    """Return (n,): cost less what the duals pay for the VMs, without the hosts' duals; exact integers."""
    paid = np.zeros(len(columns), dtype=np.int64)
    np.add.at(paid, columns.column_of_amount, columns.amount * duals.flavor[columns.amount_flavor])
    out: IntArray = (
        columns.cost @ duals.weight + duals.moves * columns.moves + duals.migrations * columns.migrations - paid
    )
    return out
