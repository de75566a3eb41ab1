"""Linear expressions over arrays, and a writer of CP-SAT models that works on the proto itself.

A *derived* variable stands for an expression clipped to the variable's bounds: in a full solution it has just that
value, so the values of a few free variables make a full solution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from ortools.sat.python import cp_model

from solvers.problem import IntArray


@dataclass(slots=True)
class Sum:
    """A linear expression: variables, integer coefficients and a constant."""

    constant: int = 0
    index: list[IntArray] = field(default_factory=list)
    factor: list[IntArray] = field(default_factory=list)

    def add(self, index: IntArray | Sequence[int] | int, factor: IntArray | int) -> Sum:
        """Add terms; zero coefficients are left out."""
        where = np.atleast_1d(np.asarray(index, dtype=np.int64))
        what = np.broadcast_to(np.asarray(factor, dtype=np.int64), where.shape)
        keep = what != 0
        self.index.append(where[keep])
        self.factor.append(what[keep])
        return self

    def plus(self, other: Sum, factor: int = 1) -> Sum:
        """Add another expression `factor` times."""
        self.constant += factor * other.constant
        self.index.extend(other.index)
        self.factor.extend(part * factor for part in other.factor)
        return self

    def value(self, solution: IntArray) -> int:
        """Return the value in a solution."""
        return self.constant + sum(int(solution[i] @ f) for i, f in zip(self.index, self.factor, strict=True))

    def arrays(self) -> tuple[IntArray, IntArray]:
        """Return variables and coefficients, each variable once, in order."""
        if not self.index:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        index, factor = np.concatenate(self.index), np.concatenate(self.factor)
        unique, place = np.unique(index, return_inverse=True)
        total = np.zeros(len(unique), dtype=np.int64)
        np.add.at(total, place, factor)
        keep = total != 0
        return unique[keep], total[keep]


def total_of(parts: Iterable[Sum]) -> Sum:
    """Return the sum of expressions."""
    total = Sum()
    for part in parts:
        total.plus(part)
    return total


class RowWriter:
    """A model in the making: variables with bounds, rows, and derived variables."""

    def __init__(self) -> None:
        self.model = cp_model.CpModel()
        self.proto = self.model.proto
        self.variables = 0
        self._bounds = np.zeros((2, 1024), dtype=np.int64)
        self._derived: list[tuple[int, Sum]] = []

    def copy(self) -> RowWriter:
        """Return a writer whose model starts as this one's."""
        twin = RowWriter()
        twin.proto.copy_from(self.proto)
        twin.variables, twin._bounds = self.variables, self._bounds.copy()
        return twin

    def fix(self, variables: Iterable[int], value: int = 0) -> None:
        """Let variables have one value only."""
        for variable in variables:
            domain = self.proto.variables[variable].domain
            domain.clear()
            domain.extend([value, value])
            self._bounds[:, variable] = value

    @property
    def lower(self) -> IntArray:
        """Return the variables' lower bounds."""
        return self._bounds[0, : self.variables]

    @property
    def upper(self) -> IntArray:
        """Return the variables' upper bounds."""
        return self._bounds[1, : self.variables]

    def block(self, upper: IntArray) -> int:
        """Add variables from 0 to `upper`; return the first."""
        first = self.variables
        for bound in upper.tolist():
            self.variable(0, bound)
        return first

    def variable(self, lower: int, upper: int) -> int:
        """Add a variable and return its index."""
        self.proto.variables.add().domain.extend([lower, upper])
        if self.variables == self._bounds.shape[1]:
            self._bounds = np.concatenate([self._bounds, np.zeros_like(self._bounds)], axis=1)
        self._bounds[:, self.variables] = lower, upper
        self.variables += 1
        return self.variables - 1

    def row(self, total: Sum, lower: int | None, upper: int | None) -> None:
        """Add ``lower <= total <= upper``; a row that the variables' bounds imply is left out."""
        index, factor = total.arrays()
        low, high = self.range_of(index, factor)
        lower = None if lower is None or lower - total.constant <= low else lower - total.constant
        upper = None if upper is None or upper - total.constant >= high else upper - total.constant
        if lower is None and upper is None:
            return
        written = self.proto.constraints.add().linear
        written.vars.extend(index)
        written.coeffs.extend(factor)
        written.domain.extend(
            [
                min(low, upper) if lower is None and upper is not None else lower,
                max(high, lower) if upper is None and lower is not None else upper,
            ]
        )

    def range_of(self, index: IntArray, factor: IntArray) -> tuple[int, int]:
        """Return the least and the most that an expression can be within its variables' bounds."""
        lower, upper = self.lower[index] * factor, self.upper[index] * factor
        return int(np.minimum(lower, upper).sum()), int(np.maximum(lower, upper).sum())

    def derive(self, total: Sum, lower: int, upper: int) -> int:
        """Return a new variable that in a full solution is `total` clipped to its bounds; the caller adds its rows."""
        variable = self.variable(lower, upper)
        self._derived.append((variable, total))
        return variable

    def _span(self, total: Sum) -> tuple[int, int]:
        """Return the least and the most that an expression can be, its constant included."""
        low, high = self.range_of(*total.arrays())
        return low + total.constant, high + total.constant

    def positive_part(self, total: Sum) -> Sum:
        """Return an expression that is at least max(0, total), and just that in a full solution."""
        low, high = self._span(total)
        if low >= 0:
            return total
        if high <= 0:
            return Sum()
        variable = self.derive(total, 0, high)
        self.row(Sum().add(variable, 1).plus(total, -1), 0, None)
        return Sum().add(variable, 1)

    def at_most_positive(self, total: Sum) -> Sum:
        """Return an expression that is at most max(0, total), and just that in a full solution."""
        low, high = self._span(total)
        if low >= 0:
            return total
        if high <= 0:
            return Sum()
        claimed = self.derive(total, 0, 1)
        variable = self.derive(total, 0, high)
        self.row(Sum().add(variable, 1).add(claimed, -high), None, 0)
        self.row(Sum().add(variable, 1).plus(total, -1).add(claimed, -low), None, -low)
        return Sum().add(variable, 1)

    def is_positive(self, total: Sum) -> Sum:
        """Return an expression that is 1 at least where `total`, a sum of counts, is positive."""
        index, factor = total.arrays()
        if total.constant:
            return Sum(constant=1)
        if not len(index):
            return Sum()
        used = self.derive(total, 0, 1)
        _, most = self.range_of(index, factor)
        self.row(Sum().add(used, most).plus(total, -1), 0, None)
        return Sum().add(used, 1)

    def complete(self, solution: IntArray) -> IntArray:
        """Return the full solution: every derived variable as the variables before it ask."""
        out = np.zeros(self.variables, dtype=np.int64)
        out[: len(solution)] = solution
        for variable, total in self._derived:
            out[variable] = min(max(total.value(out), int(self.lower[variable])), int(self.upper[variable]))
        return out
