"""Fleets of empty hosts where every VM has one place a host, so that what fits is a matter of packing alone."""

from __future__ import annotations

import numpy as np

from solvers.improve.fleet import Fleet
from solvers.improve.tables import tables_of
from solvers.problem import IntArray, Problem
from solvers.result import Result

SPARE = 0.05
"""Share of a resource that may be free at most: where more is, other ways find a place for all."""


def plain_fleet(problem: Problem, first: Result) -> Fleet | None:
    """Return the fleet of an answer that leaves VMs out; None where hosts are not empty, or VMs have several places.

    Rows of all hosts have to be the same, and every VM has to take the same everywhere.
    """
    if (
        not any(first.unplaced)
        or problem.rules
        or not all(one.is_empty and one.allowed.all() for one in problem.classes)
    ):
        return None
    names = problem.shapes[0].row_names
    flavors = range(len(problem.flavors))
    use = None
    for shape in problem.shapes:
        order = np.argsort(shape.flavor, kind="stable")
        if shape.row_names != names or shape.flavor[order].tolist() != list(flavors) or shape.stay_only.any():
            return None
        use = shape.use[order] if use is None else use
        if (shape.use[order] != use).any():
            return None
    if any(flavor.phantom for flavor in problem.flavors):
        return None
    tables = tables_of(problem)
    return None if tables is None else Fleet.of(tables, first.patterns, first.unplaced)


def is_tight(spare: IntArray, capacity: IntArray) -> bool:
    """Tell whether all fits by sums, and next to nothing of some resource stays free: rows `spare`, `capacity` (K,)."""
    return bool((spare >= 0).all() and (spare <= SPARE * capacity)[capacity > 0].any())
