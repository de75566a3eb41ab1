"""Price the columns engine's certificates again: the same duals, every state by HiGHS, the bound summed anew.

A certificate holds integer duals of a Lagrangian relaxation (`solvers.columns.duals`), which make a valid bound
whatever they are, or a tree of branches (`solvers.columns.branching.rows`) with such duals at each leaf. What has to
be trusted is the least cost over a state's patterns; here it comes from another solver and another model of the
state: one host of it beside a place without limits that takes whatever leaves. The model gets only placements that
can be of use (`useful`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ortools.math_opt.python import mathopt

from solvers.backends.cpsat_rows import Sum
from solvers.backends.highs import expression, mathopt_model, run_highs
from solvers.columns.branching.rows import Row, banned, branched, read_leaves
from solvers.columns.duals import Duals, bound_of, prices_of
from solvers.columns.lattice import lattice_of
from solvers.columns.model import State, StateModel
from solvers.exact.model import ExactModel
from solvers.objective import Changes, Objective, PlacementCosts, RuleExcess, Unplaced
from solvers.problem import BoolArray, HostClass, IntArray, MoveBudget, Problem, Shape
from solvers.rule_rows.limited import Limited
from solvers.rule_rows.rows import RuleRow, RuleRows

PRICE = "price"
"""The goal of the pricing problem that holds what the duals pay for a VM."""
STATE_LIMIT_S = 20.0
MOST = 2**62
"""Prices above this would not be whole numbers of 64 bits any more."""
SLACK = 1e-9
"""HiGHS works in floating point: its bound is taken lower by so much of itself, and never above the claim for that."""


def recheck(problem: Problem, certificate: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return faults and remarks: which bounds of a certificate another solver confirms.

    A bound that the duals with HiGHS's prices do not reach is a fault where HiGHS priced every state to the end, and
    only a remark where it ran out of time.
    """
    rules = RuleRows(problem=problem)
    problem = replace(problem, rules=())
    faults: list[str] = []
    remarks: list[str] = []
    for number, entry in enumerate(certificate["objectives"]):
        if entry is None:
            continue
        objective = problem.objectives[number]
        name = f"goal {objective.goal!r}" + (f" ({objective.part})" if objective.part else "")
        claimed = int(entry["bound"])
        try:
            bound, finished, leaves = _proven(problem, rules, number, entry, claimed)
        except ValueError as reason:
            faults.append(f"{name}: the certificate is not of the form that proves a bound: {reason}")
            continue
        if bound is not None and bound >= _nearly(claimed):
            branches = f", on each of {leaves} branches" if leaves > 1 else ""
            remarks.append(f"{name}: bound confirmed by HiGHS on every host state{branches}")
        elif finished:
            faults.append(f"{name}: HiGHS prices the host states to the bound {bound}, not to {claimed}")
        else:
            remarks.append(
                f"{name}: HiGHS proves {'nothing' if bound is None else bound} of the bound {claimed} in its time"
            )
    return faults, remarks


def _nearly(claimed: int) -> int:
    """Return the bound from which on a claim is confirmed: HiGHS's own lies a little lower."""
    return claimed - max(1, round(1e-6 * abs(claimed)))


def _proven(
    problem: Problem, rules: RuleRows, number: int, entry: Mapping[str, Any], claimed: int
) -> tuple[int | None, bool, int]:
    """Return the bound that HiGHS's prices give an entry, whether HiGHS finished, and how many branches there are.

    Of a tree it is the least over the leaves: between them they miss no answer, which `read_leaves` sees to.
    """
    if "rows" in entry:
        held = [int(value) for value in entry["held"][:number]]
        limits = [rules.limit(RuleRow.read(row), number, held) for row in entry["rows"]]
        made = Limited.of(problem, number, limits)
        choice = [int(entry["choice"])] if made.choices else []
        return *_proven_by(made.problem, number, made.most, {**entry, "flavor": [*entry["flavor"], *choice]}, None), 1
    if "tree" not in entry:
        return *_proven_leaf(problem, number, (), entry), 1
    leaves = read_leaves(problem, entry["tree"])
    least: int | None = None
    for rows, leaf in leaves:
        bound, finished = _proven_leaf(problem, number, rows, leaf)
        if bound is None or bound < _nearly(claimed):
            return bound, finished, len(leaves)
        least = bound if least is None else min(least, bound)
    return least, True, len(leaves)


def _proven_leaf(
    problem: Problem, number: int, rows: Sequence[Row], leaf: Mapping[str, Any]
) -> tuple[int | None, bool]:
    most = [row.most for row in rows]
    return _proven_by(branched(problem, number, rows), number, most, leaf, banned(problem, rows))


def _proven_by(
    problem: Problem, number: int, most: Sequence[int], leaf: Mapping[str, Any], out: BoolArray | None
) -> tuple[int | None, bool]:
    """Return what duals prove of the last objective of a problem, the ones from `number` on held at `most`, and whether
    HiGHS finished; `out` are placements that these rule out.
    """
    model = StateModel(problem=problem)
    if len(leaf["flavor"]) != len(problem.flavors) or min(len(leaf["hold"]), len(leaf["held"])) < number:
        raise ValueError("duals of another number of flavors or goals")
    duals = Duals(
        objective=int(leaf["objective"]),
        scale=int(leaf["scale"]),
        flavor=np.array(leaf["flavor"], dtype=np.int64),
        hold=np.array([*leaf["hold"], *[0] * model.objectives][: model.objectives], dtype=np.int64),
        moves=int(leaf["moves"]),
        migrations=int(leaf["migrations"]),
    )
    held = [*(int(value) for value in leaf["held"][:number]), *most]
    signs = (duals.flavor < 0).any() or (duals.hold < 0).any() or duals.moves < 0 or duals.migrations < 0
    if duals.objective != number + len(most) or len(held) != duals.objective or duals.scale <= 0 or signs:
        raise ValueError("duals of another goal, or of the wrong sign")
    if _largest(model, duals) >= MOST:
        raise ValueError("duals too large to be reckoned with exactly")
    least, finished = least_costs(model, duals)
    bound = bound_of(model, duals, held, least)
    if bound is not None and leaf.get("below") is not None:
        lattice = lattice_of(model, duals.objective, held, int(leaf["below"]), out)
        bound = bound if lattice is None else lattice.rounded(bound)
    return bound, finished


def _largest(model: StateModel, duals: Duals) -> int:
    """Return a number that no price of a VM in a placement, nor any part of it, is above."""
    dearest: list[int] = np.abs(model.cost).max(axis=0, initial=0).tolist()
    costs = sum(int(weight) * (1 + many) for weight, many in zip(duals.weight, dearest, strict=True))
    return costs + int(duals.flavor.max(initial=0)) + duals.moves + duals.migrations


def least_costs(model: StateModel, duals: Duals) -> tuple[list[int | None], bool]:
    """Return a lower bound of the least cost of a pattern a state (None: none), and whether HiGHS finished them all."""
    out: list[int | None] = []
    finished = True
    for state in model.states:
        priced, weights = pricing_problem(model, state, duals)
        source = ExactModel(priced, symmetry=False)
        # Limits on who comes to a host or leaves it are the host's alone: not of the place that its VMs leave for.
        source.blocks[0].write_limits(model.problem.budget, model.arriving)
        total = Sum()
        for weight, part in zip(weights, source.objectives, strict=True):
            total.plus(part, weight)
        program, variables = mathopt_model(source)
        program.minimize(expression(total, variables))
        found = run_highs(program, STATE_LIMIT_S)
        if found is None:
            out.append(None)
            finished = False
            continue
        low = found.termination.objective_bounds.dual_bound
        finished = finished and found.termination.reason is mathopt.TerminationReason.OPTIMAL
        out.append(math.floor(low - SLACK * abs(low)) + total.constant if math.isfinite(low) else None)
    return out, finished


def pricing_problem(model: StateModel, state: State, duals: Duals) -> tuple[Problem, list[int]]:
    """Return one host of a state beside a place without limits, and the weight of each of its objectives.

    What leaves the host goes to that place at no cost but that of the move; what arrives comes from nowhere, as many of
    each flavor as there are beside those that the host has already.
    """
    problem = model.problem
    flavors = len(problem.flavors)
    shape = problem.shapes[state.shape]
    pay = np.where(model.phantom, 0, duals.flavor)[shape.flavor]
    chosen = useful(model, state, duals)
    priced = replace(shape, cost={**shape.cost, PRICE: -pay}).of_placements(chosen, shape.flavor[chosen])
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
    number = {int(placement): position for position, placement in enumerate(chosen)}
    content = tuple((number[placement], count) for placement, count in state.lead.content)
    at_most = {number[placement]: most for placement, most in state.lead.at_most.items() if placement in number}
    here = replace(
        state.lead, shape=0, count=1, content=content, at_most=at_most, members=(), chains=(), fixed_members={}
    )
    elsewhere = HostClass(
        shape=1,
        count=1,
        capacity=nothing,
        fixed=nothing,
        allowed=~model.phantom,
        stay_penalty=np.zeros(flavors, dtype=np.int64),
        cost=0,
    )
    parts = [objective.without(Unplaced, RuleExcess) for objective in problem.objectives]
    extra = [
        Objective(goal=PRICE, terms=(PlacementCosts(PRICE),)),
        Objective(goal="moves", terms=(Changes(moves=1),)),
        Objective(goal="migrations", terms=(Changes(migrations=1),)),
    ]
    single = Problem(
        flavors=tuple(
            replace(flavor, arriving=0 if flavor.phantom else max(0, int(model.demand[f] - state.present[f])))
            for f, flavor in enumerate(problem.flavors)
        ),
        shapes=(priced, away),
        classes=(here, elsewhere),
        objectives=(*parts, *extra),
        budget=MoveBudget(),
    )
    return single, [*(int(w) for w in duals.weight), 1, duals.moves, duals.migrations]


def useful(model: StateModel, state: State, duals: Duals) -> IntArray:
    """Return the placements of a state that a cheapest pattern may need.

    Of flavors that are not there now: what costs more than the duals pay is never worth its room, and what another
    placement pays at least as much for, taking no more of any row, can be changed for that one, if there are VMs enough
    of its flavor to fill the host.
    """
    problem, shape = model.problem, model.problem.shapes[state.shape]
    if any(hinge.slope < 0 or hinge.scale < 0 for hinge in shape.hinges):
        return np.arange(shape.placements)
    prices = prices_of(model, duals)
    worth = prices.value[model.offset[state.shape] : model.offset[state.shape + 1]]
    worth = worth - prices.penalty * np.where(model.phantom, 0, state.lead.stay_penalty)[shape.flavor]
    kept = (state.present > 0)[shape.flavor] | model.phantom[shape.flavor]
    may = ~kept & (worth > 0) & state.lead.allowed[shape.flavor] & ~shape.stay_only
    may &= (shape.use <= state.lead.capacity).all(axis=1)
    plenty = _most_on_host(problem, state, shape) <= model.demand
    chosen: list[int] = []
    for placement in np.flatnonzero(may)[np.lexsort((np.flatnonzero(may), -worth[may]))].tolist():
        rivals = np.array([one for one in chosen if plenty[shape.flavor[one]]], dtype=np.int64)
        if not (shape.use[rivals] <= shape.use[placement]).all(axis=1).any():
            chosen.append(placement)
    return np.union1d(np.flatnonzero(kept), np.array(chosen, dtype=np.int64))


def _most_on_host(problem: Problem, state: State, shape: Shape) -> IntArray:
    """Return (F,): no more VMs of a flavor fit on a host than what they take of all rows of one name allows."""
    many = np.iinfo(np.int64).max
    most = np.full(len(problem.flavors), many)
    for name in sorted({name for _, name in shape.row_names}):
        rows = [row for row, (_, other) in enumerate(shape.row_names) if other == name]
        least = np.full(len(problem.flavors), many)
        np.minimum.at(least, shape.flavor, shape.use[:, rows].sum(axis=1))
        room = int(state.lead.capacity[rows].sum())
        most = np.minimum(most, np.where(least > 0, room // np.maximum(least, 1), many))
    return most
