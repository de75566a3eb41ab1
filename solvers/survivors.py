"""What the worst of some failures leaves without a place in any plan: all failures beside each other in one model.

A plan y[host, placement] that places every VM, and for each failure, beside what stays, places z[host, placement] for
the VMs of the hosts that fail: what has none counts, and the worst failure is made as small as can be. Or no failure
leaves anything without a place, and as many VMs as can be arrive.
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
from solvers.problem import BoolArray, IntArray, Problem
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
    model = _Survivors(problem)
    model.fix(variable for variable in model.unplaced if variable >= 0)
    if not model.fail([(failed, counted) for failed in failures]):
        return None
    answer = run_model(model.least_of([model.worst]), budget=budget, seed=0, seconds=seconds)
    if answer.values is None or answer.bound is None:
        return None
    return Survivors(answer.bound, model.patterns_of(np.array(answer.values, dtype=np.int64))[0])


@dataclass(frozen=True, slots=True)
class Arrivals:
    """No more than `at_most` of the VMs that arrive survive every failure with all others; `patterns` are a plan with
    the most found.
    """

    at_most: int
    patterns: tuple[HostPattern, ...]


def most_arrivals(
    problem: Problem, failures: Sequence[tuple[Set[int], BoolArray]], *, budget: float, seconds: float = math.inf
) -> Arrivals | None:
    """Return how many arriving VMs can be placed so that no failure leaves a VM without a place; None: not known.

    Parameters
    ----------
    failures : of each the hosts that fail together, and (F,) the flavors whose VMs need a place then.
    budget, seconds : as of `survivors`. Where no number survives, not even none, it is not known either.

    Notes
    -----
    All that is left out makes the number larger: rules and permissions after a failure, and VMs that never move.
    """
    if not all(problem.shapes[one.shape].complete for one in problem.classes):
        return None
    model = _Survivors(problem)
    if not model.fail(failures):
        return None
    model.fix([model.worst])
    arriving = sum(flavor.arriving for flavor in problem.flavors)
    left = [variable for variable in model.unplaced if variable >= 0]
    answer = run_model(model.least_of(left), budget=budget, seed=0, seconds=seconds)
    if answer.values is None or answer.bound is None:
        return None
    return Arrivals(arriving - answer.bound, model.patterns_of(np.array(answer.values, dtype=np.int64))[0])


class _Survivors(ExactModel):
    """Plans, and what each failure loses of them."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem, symmetry=False)
        self.vcpus = np.array([flavor.vcpus for flavor in problem.flavors], dtype=np.int64)
        self.worst = self.variable(0, int((self.vcpus * self.demand).sum()))
        members = [iter(one.members) for one in problem.classes]
        self.member = [next(members[number]) for number in self.hosts]

    def fail(self, failures: Sequence[tuple[Set[int], BoolArray]]) -> bool:
        """Let hosts fail: what of their VMs finds no place beside those that stay is no more than the worst loss.

        Returns
        -------
        bool
            False, and nothing is done, where that were too many counts.
        """
        places = [
            {
                number: np.flatnonzero(counted[block.view.shape.flavor] & ~block.view.shape.stay_only)
                for number, block in enumerate(self.blocks)
            }
            for _, counted in failures
        ]
        if sum(len(own) for of_failure in places for own in of_failure.values()) > MOST_COUNTS:
            return False
        for (failed, counted), where in zip(failures, places, strict=True):
            gone = [Sum() for _ in self.vcpus]
            for number, block in enumerate(self.blocks):
                if self.member[number] in failed:
                    for flavor in np.unique(block.view.flavor).tolist():
                        gone[flavor].plus(block.amount(flavor))
                else:
                    self._arrive(block, where[number], gone)
            lost = Sum().add(self.worst, -1)
            for flavor in np.flatnonzero(counted).tolist():
                if self.demand[flavor]:
                    left = self.variable(0, int(self.demand[flavor]))
                    self.row(Sum().plus(gone[flavor]).add(left, -1), None, 0)
                    lost.add(left, int(self.vcpus[flavor]))
            self.row(lost, None, 0)
        return True

    def _arrive(self, block: HostBlock, places: IntArray, gone: Sequence[Sum]) -> None:
        """Let VMs come to a host that stays, beside what it holds."""
        view = block.view
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

    def least_of(self, variables: Sequence[int]) -> cp_model.CpModel:
        """Return the model that makes the sum of these as small as can be."""
        self.proto.objective.vars.extend(variables)
        self.proto.objective.coeffs.extend([1] * len(variables))
        return self.model
