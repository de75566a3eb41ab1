"""The writer of CP-SAT models: what a row means, and full solutions from free values."""

from __future__ import annotations

import itertools

import numpy as np
from ortools.sat.python import cp_model

from solvers.backends.cpsat_rows import RowWriter, Sum, total_of


def solutions(writer: RowWriter, free: int) -> set[tuple[int, ...]]:
    """Return all values that the first `free` variables can have."""

    class Collect(cp_model.CpSolverSolutionCallback):
        def __init__(self) -> None:
            super().__init__()
            self.found: set[tuple[int, ...]] = set()

        def on_solution_callback(self) -> None:
            self.found.add(tuple(list(self.response_proto.solution)[:free]))

    collect = Collect()
    solver = cp_model.CpSolver()
    solver.parameters.enumerate_all_solutions = True
    solver.parameters.num_workers = 1
    solver.solve(writer.model, collect)
    return collect.found


def test_sums_add_up_alike_terms() -> None:
    """Terms of one variable are added, those that cancel vanish, the constant and factors are kept."""
    total = Sum(constant=2).add([0, 1], 3).plus(Sum(constant=1).add(1, 1), -3)
    index, factor = total.arrays()
    assert (index.tolist(), factor.tolist(), total.constant) == ([0], [3], -1)
    assert total_of([total, total]).value(np.array([5, 9])) == 28


def test_rows_cut_off_what_they_should() -> None:
    """A row holds between its ends, constant included; one that bounds imply already is not written."""
    writer = RowWriter()
    writer.block(np.array([3, 3]))
    total = Sum(constant=1).add([0, 1], np.array([2, -1]))
    writer.row(total, 0, 4)
    assert solutions(writer, 2) == {(a, b) for a, b in itertools.product(range(4), repeat=2) if 0 <= 2 * a - b + 1 <= 4}
    before = len(writer.proto.constraints)
    writer.row(total, -2, 7)
    writer.row(total, None, None)
    assert len(writer.proto.constraints) == before


def test_rows_without_variables_decide_by_their_constant() -> None:
    """A row of a constant alone is nothing where it holds, and makes the model impossible where it does not."""
    for constant, possible in ((3, True), (5, False)):
        writer = RowWriter()
        writer.block(np.array([1]))
        writer.row(Sum(constant=constant), None, 4)
        assert bool(solutions(writer, 1)) == possible


def test_positive_part_and_use_are_what_they_say() -> None:
    """Minimised, the positive part and the mark of use are exact, and full solutions have just these values."""
    writer = RowWriter()
    writer.block(np.array([4, 2]))
    over = writer.positive_part(Sum(constant=-3).add([0, 1], 1))
    used = writer.is_positive(Sum().add([0, 1], 1))
    for a, b in itertools.product(range(5), range(3)):
        full = writer.complete(np.array([a, b]))
        assert (over.value(full), used.value(full)) == (max(0, a + b - 3), int(a + b > 0))
        twin = writer.copy()
        twin.fix([0], a)
        twin.fix([1], b)
        index, factor = Sum().plus(over).plus(used).arrays()
        twin.proto.objective.vars.extend(index)
        twin.proto.objective.coeffs.extend(factor)
        solver = cp_model.CpSolver()
        assert solver.solve(twin.model) == cp_model.OPTIMAL
        assert round(solver.objective_value) == max(0, a + b - 3) + int(a + b > 0)
    assert solutions(writer, 2) == set(itertools.product(range(5), range(3)))


def test_positive_parts_that_are_plain_need_no_variable() -> None:
    """What cannot be negative is its own positive part; what cannot be positive has none."""
    writer = RowWriter()
    writer.block(np.array([2]))
    assert writer.positive_part(Sum(constant=1).add(0, 1)).value(np.array([2])) == 3
    assert writer.positive_part(Sum(constant=-2).add(0, 1)).arrays()[0].size == 0
    assert writer.is_positive(Sum(constant=1).add(0, 1)).constant == 1
    assert writer.variables == 1


def test_a_copy_leaves_the_original_alone() -> None:
    """Rows and fixed variables of a copy are not in what it was copied from."""
    writer = RowWriter()
    writer.block(np.full(2000, 1))
    twin = writer.copy()
    twin.fix(range(1999), 1)
    twin.row(Sum().add(1999, 1), 1, None)
    assert list(writer.proto.variables[0].domain) == [0, 1] and len(writer.proto.constraints) == 0
    assert twin.lower.tolist() == [1] * 1999 + [0]
