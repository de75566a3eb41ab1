"""Exact pricing: one small CP-SAT model a state finds its best pattern under given duals, or bounds it.

The objective of the model is the reduced cost itself, in integers. Where coefficients grow too large for comfort they
are divided and rounded down: variables are never negative, so the bound stays one.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from solvers.backends.cpsat import run_each, run_model, values_of
from solvers.backends.cpsat_rows import RowWriter, Sum
from solvers.clock import Clock
from solvers.columns.duals import Duals, prices_of
from solvers.columns.model import Pattern, State, StateModel
from solvers.columns.pricing.narrow import Narrow
from solvers.counts.host_block import HostBlock
from solvers.problem import IntArray

SETTLING = 1.0
"""Deterministic time to settle the floating VMs of one host."""
OTHERS = 8
"""Patterns of a state that one exact pricing brings at most."""
LARGEST = 1 << 36
"""Largest coefficient that is given to CP-SAT as it is."""


@dataclass(frozen=True, slots=True)
class Priced:
    """Of one state: `least`, a bound on the reduced cost of any pattern (None unknown), and patterns, best first.

    `none` says that there is no pattern at all of the kind looked for.
    """

    state: int
    least: int | None
    patterns: tuple[Pattern, ...]
    optimal: bool
    none: bool = False


@dataclass(slots=True)
class PricingModel:
    """The model of one host of a state under duals."""

    model: StateModel
    state: State
    duals: Duals
    block: HostBlock
    total: Sum
    divisor: int
    cp: cp_model.CpModel

    def least(self, bound: int) -> int:
        """Return the bound on the reduced cost that CP-SAT's bound gives."""
        return bound * self.divisor + self.total.constant


def pricing_model(
    model: StateModel, state: State, duals: Duals, hint: Pattern | None, narrow: Narrow | None = None
) -> PricingModel:
    """Build the model; placements that can only cost are left out, and what `narrow` rules out."""
    shape = model.problem.shapes[state.shape]
    prices = prices_of(model, duals)
    worth = prices.value[model.offset[state.shape] : model.offset[state.shape + 1]]
    worth = worth - prices.penalty * np.where(model.phantom, 0, state.lead.stay_penalty)[shape.flavor]
    stays = np.where(state.present > 0, prices.leave_host, 0) + np.where(state.unsettled > 0, prices.leave_place, 0)
    pays = worth + stays[shape.flavor] > 0
    if model.problem.budget.host_out is not None:
        # Where not all may leave, a VM present may have to take a place that only costs.
        pays |= state.present[shape.flavor] > 0
    chosen = np.nonzero(pays)[0] if narrow is None else narrow.candidates
    view = model.view(state, chosen)
    if narrow is not None:
        here = zip(view.placements.tolist(), view.content.tolist(), strict=True)
        most = np.array([narrow.most.get(placement, many) for placement, many in here], dtype=np.int64)
        view = view.limited(np.where(np.isin(view.placements, chosen), view.upper, np.minimum(view.upper, most)))
    writer = RowWriter()
    block = HostBlock(writer, view)
    block.write_alone(model.problem.budget, model.arriving)
    if narrow is not None:
        for variable, placement in zip(block.y.tolist(), view.placements.tolist(), strict=True):
            writer.row(Sum().add(variable, 1), narrow.least.get(placement, 0), None)
    total = Sum()
    for objective, weight in enumerate(duals.weight):
        if weight:
            total.plus(block.objective(model.problem.objectives[objective]), int(weight))
    if duals.moves and state.present.any():
        total.plus(block.moved(), duals.moves)
    if duals.migrations and state.present.any():
        total.plus(block.left(), duals.migrations)
    paid = np.where(model.phantom, 0, duals.flavor)
    total.add(block.y, -paid[view.flavor])
    index, factor = total.arrays()
    divisor = max(1, int(np.abs(factor).max(initial=0)) // LARGEST + 1) if len(factor) else 1
    objective_ = writer.proto.objective
    objective_.vars.extend(index.tolist())
    objective_.coeffs.extend((factor // divisor).tolist())
    if hint is not None:
        solution = np.zeros(writer.variables, dtype=np.int64)
        block.hint(hint, solution)
        solution = writer.complete(solution)
        writer.proto.solution_hint.vars.extend(range(writer.variables))
        writer.proto.solution_hint.values.extend(solution.tolist())
    return PricingModel(model, state, duals, block, total, divisor, writer.model)


@dataclass(slots=True)
class ExactPricer:
    """Prices states by CP-SAT, each with the same deterministic budget, on an executor where there is one."""

    model: StateModel
    executor: Executor | None
    clock: Clock

    def price(
        self,
        states: Sequence[State],
        duals: Duals,
        hints: Sequence[Pattern | None],
        narrows: Sequence[Narrow | None],
        *,
        budget: float,
        seed: int,
    ) -> list[Priced] | None:
        """Return what CP-SAT says of each state, in order; where narrowed, of patterns better than the known one.

        None where the wall clock cut it off.
        """
        built: dict[int, PricingModel] = {}

        def make(position: int) -> cp_model.CpModel:
            built[position] = pricing_model(self.model, states[position], duals, hints[position], narrows[position])
            return built[position].cp

        answers = run_each(
            [lambda position=position: make(position) for position in range(len(states))],  # type: ignore[misc]
            budget=budget,
            seeds=[seed] * len(states),
            others=OTHERS,
            executor=self.executor,
            seconds=self.clock.left_s,
            interrupt=self.clock.interrupt,
        )
        if any(answer.cut for answer in answers):
            return None
        out = []
        for position, answer in enumerate(answers):
            index = states[position].index
            if answer.values is None or answer.bound is None:
                out.append(Priced(index, None, (), answer.infeasible, answer.infeasible))
                continue
            priced = built[position]
            found = [values_of(answer), *(np.array(values, dtype=np.int64) for values in answer.others)]
            patterns = tuple(dict.fromkeys(priced.block.pattern(values) for values in found))
            out.append(Priced(index, priced.least(answer.bound), patterns, answer.optimal))
        return out


def settled(model: StateModel, state: State, *, seed: int) -> Pattern:
    """Return a pattern that leaves every VM of known placement in place and settles as many floating ones as CP-SAT
    can.
    """
    shape = model.problem.shapes[state.shape]
    view = model.view(state, np.nonzero(state.floating[shape.flavor] > 0)[0])
    writer = RowWriter()
    block = HostBlock(writer, view.limited(np.minimum(view.upper, view.content + state.floating[view.flavor])))
    block.write_alone(model.problem.budget, model.arriving, chains=False)
    for variable, count in zip(block.y.tolist(), block.view.content.tolist(), strict=True):
        writer.row(Sum().add(variable, 1), count, None)
    for f in np.nonzero(state.floating)[0].tolist():
        writer.row(block.amount(f), None, int(state.present[f]))
    writer.proto.objective.vars.extend(block.y.tolist())
    writer.proto.objective.coeffs.extend([-model.problem.flavors[f].vcpus - 1 for f in block.view.flavor.tolist()])
    answer = run_model(writer.model, budget=SETTLING, seed=seed)
    return state.null if answer.values is None else block.pattern(values_of(answer))


def row_bound(model: StateModel, state: State, duals: Duals) -> int:
    """Bound the reduced cost by the best single row: a knapsack that may be cut (a bound for hosts that no table
    fits).
    """
    shape = model.problem.shapes[state.shape]
    prices = prices_of(model, duals)
    base = model.offset[state.shape]
    worth = prices.value[base : base + shape.placements]
    worth = worth - prices.penalty * np.where(model.phantom, 0, state.lead.stay_penalty)[shape.flavor]
    stays = (prices.leave_host + prices.leave_place) * (state.present > 0)
    worth = worth + np.where(model.phantom, 0, stays)[shape.flavor]
    view = model.view(state, np.nonzero(worth > 0)[0])
    placements, upper = view.placements, view.upper
    value = np.maximum(worth[placements], 0)
    best = int((value * upper).sum())
    for row in np.nonzero(shape.use[placements].any(axis=0))[0]:
        best = min(best, _cut_knapsack(value, upper, shape.use[placements, row], int(state.lead.capacity[row])))
    if not model.phantom.any():
        best = max(0, best - prices.opening * state.lead.cost)
    present = int(np.where(model.phantom, 0, state.present).sum())
    staying: int = present * (prices.leave_host + prices.leave_place)
    return staying - best


def _cut_knapsack(value: IntArray, upper: IntArray, use: IntArray, room: int) -> int:
    """Return a bound on the value of at most `upper` copies each within `room`: the last one may be cut.

    Any price of the row makes one: what the room is worth at it, and what items are worth above. The best price is that
    of the item which is cut; floating point only decides which that is.
    """
    free = use == 0
    total = int((value[free] * upper[free]).sum())
    value, upper, use = value[~free], upper[~free], use[~free]
    order = np.argsort(-value / use, kind="stable")
    cut = int(np.searchsorted(np.cumsum((upper * use)[order].astype(np.float64)), room))
    items: list[tuple[int, int, int]] = list(zip(value.tolist(), upper.tolist(), use.tolist(), strict=True))
    if cut == len(order):
        return total + sum(v * n for v, n, _ in items)
    price, _, unit = items[int(order[cut])]
    above = sum(n * max(0, v * unit - price * u) for v, n, u in items)
    return total - (-(price * room + above) // unit)
