"""The integer program over columns: every host has a pattern."""

from __future__ import annotations

import numpy as np
from small_problems import small_case

from solvers.backends.cpsat import run_model
from solvers.columns.columns import Evaluator
from solvers.columns.integer.node_configs import NodeBook
from solvers.columns.integer.program import ColumnProgram, Task
from solvers.columns.model import StateModel
from solvers.columns.pool import Pool
from solvers.columns.pricing.layouts import Layouts


def test_hosts_without_a_column_leave_no_answer() -> None:
    """Where the columns of one state are all too dear to be looked at, no answer goes without its hosts."""
    compared = 0
    for seed in range(8):
        problem, _ = small_case(seed)
        model = StateModel(problem=problem)
        pool = Pool(Evaluator(model))
        pool.add([(state.index, state.null) for state in model.states])
        columns = pool.all()
        task = Task(
            hosts=model.count_of,
            demand=np.zeros_like(model.demand),
            held=(10**9,) * model.objectives,
            moves=10**6,
            migrations=10**6,
        )
        for missing in range(-1, len(model.states)):
            found = ColumnProgram(
                model=model,
                book=NodeBook(model=model, layouts=Layouts(model), whole=True),
                task=task,
                columns=columns,
                chosen=np.flatnonzero(columns.state != missing),
                weight=np.ones(model.objectives, dtype=np.int64),
            ).solve(lambda one: run_model(one, budget=1.0, seed=0))
            assert (found is None) == (missing >= 0)
            compared += 1
    assert compared > 16
