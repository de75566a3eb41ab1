"""The master goes on where GLOP loses its way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pybind11_abseil.status import StatusNotOk, internal_error  # type: ignore[import-untyped]
from small_problems import small_case

from solvers.columns.columns import Evaluator
from solvers.columns.master import Master
from solvers.columns.model import StateModel
from solvers.columns.pool import Pool


class _Lost:
    """A solver that loses its way numerically."""

    def solve(self, *_: Any) -> None:
        """Fail as MathOpt does for GLOP's status ABNORMAL."""
        raise StatusNotOk(internal_error("Unexpected GLOP termination reason: ABNORMAL"))


def _master(seed: int) -> Master:
    problem, _ = small_case(seed)
    model = StateModel(problem=problem)
    pool = Pool(Evaluator(model))
    pool.add([(state.index, state.null) for state in model.states])
    master = Master(
        model=model,
        objective=0,
        held=(),
        penalty=np.zeros(model.objectives),
        demand=model.demand,
        hosts=model.count_of,
    )
    master.add_since(pool)
    return master


@pytest.mark.parametrize("sides", [False, True])
def test_a_lost_master_begins_again(sides: bool) -> None:
    """After a numerical failure the same optimum comes out, right-hand sides that were changed included."""
    compared = 0
    for seed in range(20):
        first, second = _master(seed), _master(seed)
        if sides:
            for master in (first, second):
                master.set_sides(master.demand // 2, master.hosts, held=(), moves=1, migrations=1)
        expected = first.solve(60.0)
        second._solver = _Lost()
        found = second.solve(60.0)
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            assert found.value == pytest.approx(expected.value)
            compared += 1
    assert compared > 5
