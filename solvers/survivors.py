"""What the worst of some failures leaves without a place in any plan: all failures beside each other in one model.

A plan y[host, placement] that places every VM, and for each failure, beside what stays, places z[host, placement] for
the VMs of the hosts that fail: what has none counts, and the worst failure is made as small as can be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from solvers.backends.cpsat import run_model
from solvers.backends.cpsat_rows import Sum
from solvers.counts.host_block import HostBlock
from solvers.exact.model import ExactModel
from solvers.problem import BoolArray, Problem
from solvers.result import HostPattern

MOST_COUNTS = 20_000
"""Variables of all failures together: larger models are not asked."""


@dataclass(frozen=True, slots=True)
class Survivors:
    """The worst failure of any plan that places all VMs loses `at_least` vCPUs; `patterns` are the best plan found."""

    at_least: int
    patterns: tuple[HostPattern, ...]


def survivors(
    problem: Problem, failures: Sequence[Set[int]], counted: BoolArray, *, budget: float, seconds: float = math.inf
) -> Survivors | None:
    """Return what the worst failure loses in any plan, and a plan; None where not known.

    Parameters
    ----------
    failures : of each the hosts that fail together, as classes name their `members`.
    counted : (F,) flavors whose VMs need a place after a failure.
    budget, seconds : limits of the search, deterministic and of the clock; its bound holds wherever it ends.

    Notes
    -----
    All that is left out makes the loss smaller: rules and permissions after a failure, and VMs that never move.
    """
    if not all(problem.shapes[one.shape].complete for one in problem.classes):
        return None
    model = _Survivors(problem, counted)
    if len(failures) * sum(len(places) for places in model.places.values()) > MOST_COUNTS:
        return None
    for failed in failures:
        model.fail(failed)
    answer = run_model(model.worst_least(), budget=budget, seed=0, seconds=seconds)
    if answer.values is None or answer.bound is None:
        return None
    return Survivors(answer.bound, model.patterns_of(np.array(answer.values, dtype=np.int64))[0])


class _Survivors(ExactModel):
    """Plans that place all VMs, and what each failure loses of them."""

    def __init__(self, problem: Problem, counted: BoolArray) -> None:
        super().__init__(problem, symmetry=False)
        self.fix(variable for variable in self.unplaced if variable >= 0)
        self.counted = counted
        self.vcpus = np.array([flavor.vcpus for flavor in problem.flavors], dtype=np.int64)
        self.worst = self.variable(0, int((self.vcpus * self.demand)[counted].sum()))
        members = [iter(one.members) for one in problem.classes]
        self.member = [next(members[number]) for number in self.hosts]
        self.places = {
            number: np.flatnonzero(counted[block.view.shape.flavor] & ~block.view.shape.stay_only)
            for number, block in enumerate(self.blocks)
        }

    def fail(self, failed: Set[int]) -> None:
        """Let hosts fail: what of their VMs finds no place beside those that stay is no more than the worst loss."""
        gone = [Sum() for _ in self.vcpus]
        for number, block in enumerate(self.blocks):
            if self.member[number] in failed:
                for flavor in np.unique(block.view.flavor).tolist():
                    gone[flavor].plus(block.amount(flavor))
            else:
                self._arrive(number, block, gone)
        lost = Sum().add(self.worst, -1)
        for flavor in np.flatnonzero(self.counted).tolist():
            if self.demand[flavor]:
                left = self.variable(0, int(self.demand[flavor]))
                self.row(Sum().plus(gone[flavor]).add(left, -1), None, 0)
                lost.add(left, int(self.vcpus[flavor]))
        self.row(lost, None, 0)

    def _arrive(self, number: int, block: HostBlock, gone: Sequence[Sum]) -> None:
        """Let VMs come to a host that stays, beside what it holds."""
        view, places = block.view, self.places[number]
        shape, capacity = view.shape, view.host_class.capacity
        flavor, use = shape.flavor[places], shape.use[places]
        upper = self.demand[flavor].copy()
        for row, room in enumerate(capacity.tolist()):
            taking = use[:, row] > 0
            upper[taking] = np.minimum(upper[taking], room // use[taking, row])
        first = self.block(upper)
        z = np.arange(first, first + len(places), dtype=np.int64)
        for row, room in enumerate(capacity.tolist()):
            if use[:, row].any():
                self.row(Sum().add(block.y, view.use[:, row]).add(z, use[:, row]), None, room)
        for one in np.unique(flavor).tolist():
            gone[one].add(z[flavor == one], -1)

    def worst_least(self) -> cp_model.CpModel:
        """Return the model that makes the worst failure as small as can be."""
        self.proto.objective.vars.append(self.worst)
        self.proto.objective.coeffs.append(1)
        return self.model
