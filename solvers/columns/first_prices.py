"""Prices of VMs from the resources alone: a linear program over whole states, for the goal that counts hosts.

Of each state a number of hosts is used, whole or in part; the VMs on them take rows of all of these together, and of a
placement there are at most as many on each used host as fit there alone. That relaxes every pattern, so it is far
smaller than the master; its duals are good prices to start from, where the master's first ones are poor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from solvers.columns.master import FloatArray
from solvers.columns.model import State, StateModel
from solvers.problem import IntArray

if TYPE_CHECKING:
    from ortools.math_opt import model_pb2

LARGEST = 300_000
"""Entries of the linear program above which it is not tried."""
TIME_LIMIT_S = 20.0


def resource_prices(
    model: StateModel, objective: int, held: Sequence[int], *, time_limit_s: float = TIME_LIMIT_S
) -> FloatArray | None:
    """Return (F,): what a VM of each flavor costs in hosts, in the objective's integer unit; None if not found in time.

    Only the goal that counts hosts has such prices; VMs that are left out are held at what earlier objectives allow.
    """
    from datetime import timedelta

    from ortools.math_opt.python import mathopt

    program = _Program(model)
    for state in model.states:
        program.add_state(state)
    if program.entries > LARGEST:
        return None
    unit = model.problem.objectives[objective].unit
    wanted = np.maximum(0.0, model.demand - _may_stay_out(model, held))
    made = mathopt.Model.from_model_proto(program.proto(unit, wanted))
    parameters = mathopt.SolveParameters(time_limit=timedelta(seconds=time_limit_s), threads=1)
    try:
        found = mathopt.solve(made, mathopt.SolverType.GLOP, params=parameters)
    except RuntimeError:
        # GLOP can lose its way numerically; then there are no such prices.
        return None
    if found.termination.reason is not mathopt.TerminationReason.OPTIMAL or not found.has_dual_feasible_solution():
        return None
    dual = found.dual_values()
    rows = list(made.linear_constraints())[: len(model.demand)]
    prices = np.array([max(0.0, dual[row]) for row in rows])
    priced: FloatArray = np.where(model.phantom, 0.0, prices) * unit
    return priced


def _may_stay_out(model: StateModel, held: Sequence[int]) -> FloatArray:
    """Return (F,): how many VMs of each flavor at most are left out where earlier objectives have these values."""
    out = model.arriving.astype(float)
    for g, value in enumerate(held):
        cost = model.unplaced[g]
        some = cost > 0
        out[some] = np.minimum(out[some], max(0, value) // cost[some])
    return out


def volume_prices(model: StateModel) -> Iterator[FloatArray]:
    """Yield (F,) for each kind of row: what a VM takes of it, as a share of what a host has, times that host's cost."""
    for name in sorted({name for shape in model.problem.shapes for _, name in shape.row_names}):
        worth = np.full(len(model.phantom), np.inf)
        for state in model.states:
            if not state.lead.cost or not state.lead.allowed.any():
                continue
            shape = model.problem.shapes[state.shape]
            rows = [row for row, (_, other) in enumerate(shape.row_names) if other == name]
            room = int(state.lead.capacity[rows].sum())
            share = shape.use[:, rows].sum(axis=1) * (state.lead.cost / max(room, 1))
            least = np.full(len(model.phantom), np.inf)
            np.minimum.at(least, shape.flavor, share)
            worth = np.minimum(worth, least)
        yield np.where(np.isfinite(worth) & ~model.phantom, worth, 0.0)


class _Program:
    """The linear program in the making: rows are flavors first, then rows of states."""

    def __init__(self, model: StateModel) -> None:
        self.model = model
        self.rows = len(model.demand)
        self.columns = 0
        self.cost: list[float] = []
        self.most: list[float] = []
        # Of VMs that fit nowhere there is nothing more to put here.
        self.row: list[IntArray] = [np.zeros(0, dtype=np.int64)]
        self.column: list[IntArray] = [np.zeros(0, dtype=np.int64)]
        self.value: list[FloatArray] = [np.zeros(0)]
        self.entries = 0

    def _put(self, row: IntArray, column: IntArray, value: FloatArray) -> None:
        self.row.append(row)
        self.column.append(column)
        self.value.append(value)
        self.entries += len(row)

    def add_state(self, state: State) -> None:
        """Add how many hosts of a state are used, and how many VMs so placed are on all of them."""
        model = self.model
        shape = model.problem.shapes[state.shape]
        capacity = state.lead.capacity
        with np.errstate(divide="ignore"):
            each = np.where(shape.use > 0, capacity // np.maximum(shape.use, 1), np.iinfo(np.int64).max)
        fit = each.min(axis=1, initial=np.iinfo(np.int64).max)
        flavor = shape.flavor
        may = model.real[model.offset[state.shape] : model.offset[state.shape + 1]] & (fit > 0)
        may &= state.lead.allowed[flavor] | (state.present[flavor] > 0)
        placements = np.flatnonzero(may)
        hosts = self.columns
        self.cost.append(float(state.lead.cost))
        self.most.append(float(state.count))
        self.columns += 1 + len(placements)
        self.cost.extend([0.0] * len(placements))
        self.most.extend([np.inf] * len(placements))
        if not len(placements):
            return
        own = hosts + 1 + np.arange(len(placements))
        self._put(flavor[placements], own, np.ones(len(placements)))
        use = shape.use[placements]
        for row in np.flatnonzero(use.any(axis=0)).tolist():
            room = int(capacity[row])
            self._limit(own, use[:, row] / max(1, room), hosts, room / max(1, room))

    def _limit(self, columns: IntArray, factors: FloatArray, hosts: int, each: float) -> None:
        """Add a row: what VMs take in all is at most `each` a host in use."""
        chosen = np.flatnonzero(factors)
        number = np.full(len(chosen), self.rows)
        self._put(number, columns[chosen], factors[chosen])
        self._put(np.array([self.rows]), np.array([hosts]), np.array([-each]))
        self.rows += 1

    def proto(self, unit: int, wanted: FloatArray) -> model_pb2.ModelProto:
        """Return the program; `wanted` (F,) VMs of each flavor have to be somewhere."""
        from ortools.math_opt import model_pb2

        flavors = len(self.model.demand)
        proto = model_pb2.ModelProto()
        proto.variables.ids.extend(range(self.columns))
        proto.variables.lower_bounds.extend([0.0] * self.columns)
        proto.variables.upper_bounds.extend(self.most)
        proto.variables.integers.extend([False] * self.columns)
        proto.linear_constraints.ids.extend(range(self.rows))
        rows = self.rows - flavors
        proto.linear_constraints.lower_bounds.extend(wanted.tolist())
        proto.linear_constraints.lower_bounds.extend([-np.inf] * rows)
        proto.linear_constraints.upper_bounds.extend([np.inf] * flavors + [0.0] * rows)
        row, column, value = (np.concatenate(part) for part in (self.row, self.column, self.value))
        order = np.lexsort((column, row))
        proto.linear_constraint_matrix.row_ids.extend(row[order].tolist())
        proto.linear_constraint_matrix.column_ids.extend(column[order].tolist())
        proto.linear_constraint_matrix.coefficients.extend(value[order].tolist())
        cost = np.array(self.cost) / unit
        chosen = np.flatnonzero(cost)
        proto.objective.linear_coefficients.ids.extend(chosen.tolist())
        proto.objective.linear_coefficients.values.extend(cost[chosen].tolist())
        return proto
