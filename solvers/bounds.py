"""Price engine B's certificates again: the same integer duals, every state by HiGHS, and the bound summed anew.

A certificate holds integer duals of a Lagrangian relaxation (`states_duals`), which make a valid bound whatever they
are. What has to be trusted is the least cost over a state's patterns; here it comes from another solver and another
model of the state: one host of it beside a place without limits that takes whatever leaves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from ortools.math_opt.python import mathopt

from solvers.exact_model import ExactModel
from solvers.exact_rows import Sum
from solvers.problem import HostClass, MoveBudget, Objective, Problem, Shape
from solvers.second_opinion import expression, mathopt_model, run_highs
from solvers.states_duals import Duals, bound_of
from solvers.states_model import State, StateModel

PRICE = "price"
"""The goal of the pricing problem that holds what the duals pay for a VM."""
STATE_LIMIT_S = 20.0
SLACK = 1e-9
"""HiGHS works in floating point: its bound is taken lower by so much of itself, and never above the claim for that."""


def recheck(problem: Problem, certificate: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return faults and remarks: which bounds of a certificate another solver confirms.

    A bound that the duals with HiGHS's prices do not reach is a fault where HiGHS priced every state to the end, and
    only a remark where it ran out of time.
    """
    model = StateModel(problem=replace(problem, rules=()))
    faults: list[str] = []
    remarks: list[str] = []
    for number, entry in enumerate(certificate["objectives"]):
        if entry is None:
            continue
        objective = problem.objectives[number]
        name = f"goal {objective.goal!r}" + (f" ({objective.part})" if objective.part else "")
        duals = Duals(
            objective=entry["objective"],
            scale=entry["scale"],
            flavor=np.array(entry["flavor"], dtype=np.int64),
            hold=np.array(entry["hold"], dtype=np.int64),
            moves=entry["moves"],
            migrations=entry["migrations"],
        )
        if duals.objective != number or (duals.flavor < 0).any() or (duals.hold < 0).any() or duals.scale <= 0:
            faults.append(f"{name}: the certificate's duals are not of the form that proves a bound")
            continue
        least, finished = least_costs(model, duals)
        bound = bound_of(model, duals, entry["held"], least)
        claimed = int(entry["bound"])
        if bound is not None and bound >= claimed - max(1, round(1e-6 * abs(claimed))):
            remarks.append(f"{name}: bound confirmed by HiGHS on every host state")
        elif finished:
            faults.append(f"{name}: HiGHS prices the host states to the bound {bound}, not to {claimed}")
        else:
            remarks.append(
                f"{name}: HiGHS proves {'nothing' if bound is None else bound} of the bound {claimed} in its time"
            )
    return faults, remarks


def least_costs(model: StateModel, duals: Duals) -> tuple[list[int | None], bool]:
    """Return a lower bound of the least cost of a pattern a state (None: none), and whether HiGHS finished them all."""
    out: list[int | None] = []
    finished = True
    for state in model.states:
        priced, weights = pricing_problem(model, state, duals)
        source = ExactModel(priced, symmetry=False)
        total = Sum()
        for weight, part in zip(weights, source.objectives, strict=True):
            total.plus(part, weight)
        program, variables = mathopt_model(source)
        program.minimize(expression(total, variables))
        found = run_highs(program, STATE_LIMIT_S)
        low = found.termination.objective_bounds.dual_bound
        finished = finished and found.termination.reason is mathopt.TerminationReason.OPTIMAL
        out.append(math.floor(low - SLACK * abs(low)) + total.constant if math.isfinite(low) else None)
    return out, finished


def pricing_problem(model: StateModel, state: State, duals: Duals) -> tuple[Problem, list[int]]:
    """Return one host of a state beside a place without limits, and the weight of each of its objectives.

    What leaves the host goes to that place at no cost but that of the move; what arrives comes from nowhere, as many of
    each flavor as there are.
    """
    problem = model.problem
    flavors = len(problem.flavors)
    shape = problem.shapes[state.shape]
    pay = np.where(model.phantom, 0, duals.flavor)[shape.flavor]
    priced = replace(shape, cost={**shape.cost, PRICE: -pay})
    real = np.flatnonzero(~model.phantom).astype(np.int64)
    away = Shape(
        name="away",
        nodes=1,
        row_names=(),
        flavor=real,
        use=np.zeros((len(real), 0), dtype=np.int64),
        cost={},
        touches=np.zeros((len(real), 1), dtype=np.bool_),
        stay_only=np.zeros(len(real), dtype=np.bool_),
    )
    nothing = np.zeros(0, dtype=np.int64)
    here = replace(state.lead, shape=0, count=1, members=(), chains=(), fixed_members={})
    elsewhere = HostClass(
        shape=1,
        count=1,
        capacity=nothing,
        fixed=nothing,
        allowed=~model.phantom,
        stay_penalty=np.zeros(flavors, dtype=np.int64),
        cost=0,
    )
    parts = [replace(objective, unplaced=None, cross_rules=False) for objective in problem.objectives]
    extra = [
        Objective(goal=PRICE, cost=PRICE),
        Objective(goal="moves", moves=1),
        Objective(goal="migrations", migrations=1),
    ]
    single = Problem(
        flavors=tuple(
            replace(flavor, arriving=0 if flavor.phantom else int(model.demand[f]))
            for f, flavor in enumerate(problem.flavors)
        ),
        shapes=(priced, away),
        classes=(here, elsewhere),
        objectives=(*parts, *extra),
        budget=MoveBudget(),
    )
    return single, [*(int(w) for w in duals.weight), 1, duals.moves, duals.migrations]
