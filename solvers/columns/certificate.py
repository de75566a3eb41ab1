"""Bounds as plain data, for a second solver to prove again: see `bounds`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from solvers.columns.generate import Bound
from solvers.columns.lattice import Lattice


def certificate(held: Sequence[int], bound: Bound, lattice: Lattice | None) -> dict[str, Any]:
    """Return what proves a bound: integer duals, what the earlier objectives are held at, and what it is rounded by.

    `least` is what each state's patterns cost at least under the duals: a second solver has no more to show than that.
    `below` is the value under which the answers' values come in steps that the bound is rounded up to.
    """
    duals = bound.duals
    entry: dict[str, Any] = {
        "objective": duals.objective,
        "scale": duals.scale,
        "flavor": [int(x) for x in duals.flavor],
        "hold": [int(x) for x in duals.hold],
        "moves": duals.moves,
        "migrations": duals.migrations,
        "held": [int(x) for x in held],
        "least": [int(x) for x in bound.least],
        "bound": bound.value,
    }
    if lattice is not None:
        entry |= {"below": lattice.below, "bound": lattice.firm(bound.value)}
    return entry
