"""Linear programs whose duals are wanted, by GLOP."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Linear:
    """A linear program to minimise: rows low ≤ … ≤ high, columns with bounds, a cost and (row, factor) entries."""

    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    columns: list[tuple[float, float, float, list[tuple[int, float]]]] = field(default_factory=list)

    def row(self, low: float, high: float) -> int:
        """Add a row, return its number."""
        self.low.append(low)
        self.high.append(high)
        return len(self.low) - 1

    def column(self, low: float, high: float, cost: float, entries: list[tuple[int, float]]) -> None:
        """Add a column."""
        self.columns.append((low, high, cost, entries))


def row_duals(linear: Linear, *, iterations: int) -> list[float] | None:
    """Return what a unit more of each row costs at the optimum; None where so many steps do not reach it.

    Steps are counted rather than seconds, so that the same program has the same duals on every machine.
    """
    # Loaded where duals are wanted: most fleets have no goal that asks for them.
    from ortools.math_opt.python import mathopt

    model = mathopt.Model()
    sums: list[list[tuple[float, mathopt.Variable]]] = [[] for _ in linear.low]
    costs = []
    for low, high, cost, entries in linear.columns:
        variable = model.add_variable(lb=low, ub=high)
        costs.append((cost, variable))
        for row, factor in entries:
            sums[row].append((factor, variable))
    rows = [
        model.add_linear_constraint(lb=low, ub=high, expr=mathopt.LinearSum(f * v for f, v in entries))
        for low, high, entries in zip(linear.low, linear.high, sums, strict=True)
    ]
    model.minimize(mathopt.LinearSum(cost * variable for cost, variable in costs if cost))
    parameters = mathopt.SolveParameters(iteration_limit=iterations, threads=1)
    try:
        found = mathopt.solve(model, mathopt.SolverType.GLOP, params=parameters)
    except RuntimeError:
        # GLOP can lose its way numerically; then there are no duals.
        return None
    return list(found.dual_values(rows)) if found.has_dual_feasible_solution() else None
