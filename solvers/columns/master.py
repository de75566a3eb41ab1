"""The master: how many hosts of each state take which column, as a linear program in GLOP.

Rows: VMs of each flavor held (>= demand), hosts of each state (=), budgets (<=), objectives held (<=). GLOP is driven
through MathOpt's protos: they take whole arrays, and the basis survives when columns are added.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.columns.model import StateModel
from solvers.columns.pool import Pool
from solvers.problem import IntArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MasterAnswer:
    """An optimum of the master: `value` and duals in the objective's own integer unit.

    `use` (columns,) hosts a column, `out` (F,) VMs left out, `state` (states,) dual of a host.
    """

    value: float
    use: FloatArray
    out: FloatArray
    flavor: FloatArray
    state: FloatArray
    hold: FloatArray
    moves: float
    migrations: float


@dataclass(slots=True, kw_only=True)
class Master:
    """The linear program of one objective; columns are added, right-hand sides changed, and it is solved again.

    `held` are the values of the earlier objectives; `penalty` (objectives,) weights, in units of this objective, of
    earlier objectives that are minimised beside it rather than held.
    """

    model: StateModel
    objective: int
    held: tuple[int, ...]
    penalty: FloatArray
    demand: IntArray
    hosts: IntArray
    columns: int = 0
    _solver: Any = None
    _proto: Any = None
    _columns: list[Any] = field(default_factory=list)
    _sides: tuple[Any, ...] = ()
    _rows: dict[str, int] = field(default_factory=dict)
    _flavors: IntArray = field(init=False)

    def __post_init__(self) -> None:
        """Make the rows, and a column a flavor for VMs left out."""
        from ortools.math_opt import model_pb2

        model, budget = self.model, self.model.problem.budget
        self._flavors = np.nonzero(~model.phantom)[0]
        lower, upper = list(self.demand[self._flavors].astype(float)), [np.inf] * len(self._flavors)
        lower += list(self.hosts.astype(float))
        upper += list(self.hosts.astype(float))
        for name, limit in (("moves", budget.moves), ("migrations", budget.migrations)):
            if limit is not None:
                self._rows[name] = len(lower)
                lower.append(-np.inf)
                upper.append(float(limit))
        for g, value in enumerate(self.held):
            if not self.penalty[g]:
                self._rows[f"hold {g}"] = len(lower)
                lower.append(-np.inf)
                upper.append(value / self._unit(g))
        proto = model_pb2.ModelProto()
        proto.linear_constraints.ids.extend(range(len(lower)))
        proto.linear_constraints.lower_bounds.extend(lower)
        proto.linear_constraints.upper_bounds.extend(upper)
        self._proto = proto
        self._begin()
        rows = [np.arange(len(self._flavors))]
        entries = [np.arange(len(self._flavors))]
        values = [np.ones(len(self._flavors))]
        for g in range(len(self.held)):
            if f"hold {g}" in self._rows:
                rows.append(np.full(len(self._flavors), self._rows[f"hold {g}"]))
                entries.append(np.arange(len(self._flavors)))
                values.append(model.unplaced[g, self._flavors] / self._unit(g))
        cost = self._cost(model.unplaced[:, self._flavors].T)
        self._add(cost, model.arriving[self._flavors].astype(float), rows, entries, values)

    def _begin(self) -> None:
        """Make a solver without a basis; it knows every column and side again."""
        from ortools.math_opt import parameters_pb2
        from ortools.math_opt.core.python import solver

        self._solver = solver.new(parameters_pb2.SOLVER_TYPE_GLOP, self._proto, parameters_pb2.SolverInitializerProto())
        for update in (*self._columns, *self._sides):
            self._update(update)

    def _update(self, update: Any) -> None:
        if not self._solver.update(update):
            raise RuntimeError("GLOP refused columns or right-hand sides")

    def _unit(self, objective: int) -> int:
        return self.model.problem.objectives[objective].unit

    def _cost(self, costs: IntArray) -> FloatArray:
        """Return (n,): what the columns with costs (n, objectives) cost in units of this objective."""
        out: FloatArray = costs[:, self.objective] / self._unit(self.objective)
        for g in np.nonzero(self.penalty)[0]:
            # Not a matrix product: its bits would differ from machine to machine.
            out = out + costs[:, g] * self.penalty[g]
        return out

    def add_since(self, pool: Pool) -> None:
        """Add the columns of a pool that are not here yet."""
        columns = pool.since(self.columns)
        if columns is None:
            return
        n = len(columns)
        position = np.full(len(self.model.phantom), -1, dtype=np.int64)
        position[self._flavors] = np.arange(len(self._flavors))
        entry = np.arange(n)
        rows = [position[columns.amount_flavor], len(self._flavors) + columns.state]
        entries = [columns.column_of_amount, entry]
        values = [columns.amount.astype(float), np.ones(n)]
        for name, amount in (("moves", columns.moves), ("migrations", columns.migrations)):
            if name in self._rows:
                rows.append(np.full(n, self._rows[name]))
                entries.append(entry)
                values.append(amount.astype(float))
        for g in range(len(self.held)):
            if f"hold {g}" in self._rows:
                rows.append(np.full(n, self._rows[f"hold {g}"]))
                entries.append(entry)
                values.append(columns.cost[:, g] / self._unit(g))
        self._add(self._cost(columns.cost), np.full(n, np.inf), rows, entries, values)
        self.columns += n

    def _add(
        self,
        cost: FloatArray,
        most: FloatArray,
        rows: list[IntArray],
        entries: list[IntArray],
        values: list[FloatArray],
    ) -> None:
        from ortools.math_opt import model_update_pb2

        first = 0 if self._rows.get("variables") is None else self._rows["variables"]
        n = len(cost)
        row, entry, value = np.concatenate(rows), np.concatenate(entries), np.concatenate(values)
        row, entry, value = row[value != 0], entry[value != 0], value[value != 0]
        order = np.lexsort((entry, row))
        update = model_update_pb2.ModelUpdateProto()
        ids = list(range(first, first + n))
        update.new_variables.ids.extend(ids)
        update.new_variables.lower_bounds.extend([0.0] * n)
        update.new_variables.upper_bounds.extend(most.tolist())
        update.new_variables.integers.extend([False] * n)
        matrix = update.linear_constraint_matrix_updates
        matrix.row_ids.extend(row[order].tolist())
        matrix.column_ids.extend((entry[order] + first).tolist())
        matrix.coefficients.extend(value[order].tolist())
        linear = update.objective_updates.linear_coefficients
        linear.ids.extend(ids)
        linear.values.extend(cost.tolist())
        self._rows["variables"] = first + n
        self._update(update)
        self._columns.append(update)

    def set_sides(self, demand: IntArray, hosts: IntArray, *, held: Sequence[int], moves: int, migrations: int) -> None:
        """Change the VMs to hold, the hosts to fill, and what the earlier objectives and the budgets leave."""
        from ortools.math_opt import model_update_pb2

        update = model_update_pb2.ModelUpdateProto()
        bounds = update.linear_constraint_updates
        wanted, filled = demand[self._flavors].astype(float).tolist(), hosts.astype(float).tolist()
        bounds.lower_bounds.ids.extend(range(len(wanted) + len(filled)))
        bounds.lower_bounds.values.extend(wanted + filled)
        upper = dict(zip(range(len(wanted), len(wanted) + len(filled)), filled, strict=True))
        for name, limit in (("moves", moves), ("migrations", migrations)):
            if name in self._rows:
                upper[self._rows[name]] = float(limit)
        for g, value in enumerate(held):
            if f"hold {g}" in self._rows:
                upper[self._rows[f"hold {g}"]] = value / self._unit(g)
        bounds.upper_bounds.ids.extend(sorted(upper))
        bounds.upper_bounds.values.extend(upper[row] for row in sorted(upper))
        self._update(update)
        self._sides = (update,)

    def solve(self, seconds: float) -> MasterAnswer | None:
        """Return an optimum, or None where GLOP finds none in that time.

        Where GLOP loses its way numerically it begins again without its basis, then by the other simplex: whatever
        duals come of it, the bound that they give is valid.
        """
        from ortools.math_opt import parameters_pb2

        ends = time.monotonic() + seconds
        answer = None
        for attempt, algorithm in enumerate(
            (
                parameters_pb2.LP_ALGORITHM_PRIMAL_SIMPLEX,
                parameters_pb2.LP_ALGORITHM_PRIMAL_SIMPLEX,
                parameters_pb2.LP_ALGORITHM_DUAL_SIMPLEX,
            )
        ):
            if attempt:
                self._begin()
            answer, lost = self._run(algorithm, ends - time.monotonic())
            if not lost:
                break
        return None if answer is None else self._read(answer)

    def _run(self, algorithm: int, seconds: float) -> tuple[Any | None, bool]:
        """Return GLOP's answer, None where it has no optimum, and whether it lost its way."""
        from ortools.math_opt import callback_pb2, model_parameters_pb2, parameters_pb2, result_pb2
        from pybind11_abseil.status import StatusNotOk  # type: ignore[import-untyped]

        parameters = parameters_pb2.SolveParametersProto()
        parameters.presolve = parameters_pb2.EMPHASIS_OFF
        parameters.lp_algorithm = algorithm
        parameters.time_limit.FromTimedelta(timedelta(seconds=max(0.0, seconds)))
        try:
            answer = self._solver.solve(
                parameters,
                model_parameters_pb2.ModelSolveParametersProto(),
                None,
                callback_pb2.CallbackRegistrationProto(),
                None,
                None,
            )
        except StatusNotOk:
            return None, True
        reason = answer.termination.reason
        if reason == result_pb2.TERMINATION_REASON_OPTIMAL:
            return answer, False
        lost = (result_pb2.TERMINATION_REASON_IMPRECISE, result_pb2.TERMINATION_REASON_NUMERICAL_ERROR)
        return None, reason in lost

    def _read(self, answer: Any) -> MasterAnswer:
        """Return what an optimum says."""
        solution = answer.solutions[0]
        dual = np.array(solution.dual_solution.dual_values.values)
        primal = np.array(solution.primal_solution.variable_values.values)
        real, states = len(self._flavors), len(self.model.states)
        flavor, out = np.zeros(len(self.model.phantom)), np.zeros(len(self.model.phantom))
        flavor[self._flavors] = dual[:real]
        out[self._flavors] = primal[:real]
        unit = self._unit(self.objective)
        hold = np.zeros(self.model.objectives)
        for g in range(len(self.held)):
            row = self._rows.get(f"hold {g}")
            hold[g] = (self.penalty[g] if row is None else -dual[row] / self._unit(g)) * unit
        return MasterAnswer(
            value=float(solution.primal_solution.objective_value) * unit,
            use=primal[real:],
            out=out,
            flavor=flavor * unit,
            state=dual[real : real + states] * unit,
            hold=hold,
            moves=-dual[self._rows["moves"]] * unit if "moves" in self._rows else 0.0,
            migrations=-dual[self._rows["migrations"]] * unit if "migrations" in self._rows else 0.0,
        )
