"""Integer duals, what they make a VM worth, and the Lagrangian bound that they give.

For objective o with earlier objectives held at V (all minimised), duals π >= 0 on demand, η >= 0 on what is held, μ
>= 0 on budgets, all integers over `scale`:

    scale · o  >=  Σ_f π_f D_f + Σ_f U_f min(0, q_f − π_f) − Σ_g η_g V_g − Σ_b μ_b B_b + Σ_s n_s LB_s

with q_f what a VM left out costs, U_f how many may stay out, and LB_s at most the least of
``weight · cost(y) + μ · moves(y) − π · amounts(y)`` over every pattern y of state s. It holds for any such duals
(Lagrangian relaxation: Geoffrion 1974), so no accuracy is asked of the linear solver, and integers lose none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solvers.columns.model import StateModel, least_cost
from solvers.objective import Changes, Hinges, HostCosts, StayPenalties
from solvers.problem import IntArray


@dataclass(frozen=True, kw_only=True)
class Duals:
    """Integer duals over `scale` for one objective; `hold` (objectives,) is zero from that objective on."""

    objective: int
    scale: int
    flavor: IntArray
    hold: IntArray
    moves: int = 0
    migrations: int = 0

    @property
    def weight(self) -> IntArray:
        """(objectives,) what a unit of each objective costs."""
        out = self.hold.copy()
        out[self.objective] = self.scale
        return out


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What duals make of a host's parts.

    Attributes
    ----------
    value : flat (placements): what one more VM so placed is worth, phantoms too.
    leave_place, leave_host : cost of a VM present that changes host or node, and of one that changes host.
    opening, penalty : weight of a host's cost and of a rule excess. hinge : weight a hinge goal.
    """

    value: IntArray
    leave_place: int
    leave_host: int
    opening: int
    penalty: int
    hinge: dict[str, int]


def prices_of(model: StateModel, duals: Duals) -> Prices:
    """Return what the duals make of the parts of a pattern."""
    weight = duals.weight
    value = np.where(model.real, duals.flavor[model.flavor], 0) - model.cost @ weight
    leave_place, leave_host, opening, penalty = duals.moves, duals.migrations, 0, 0
    hinge: dict[str, int] = {}
    for o, objective in enumerate(model.problem.objectives):
        w = int(weight[o])
        for term in objective.terms:
            match term:
                case Changes(of_moves, of_migrations):
                    leave_place += w * of_moves
                    leave_host += w * of_migrations
                case HostCosts():
                    opening += w
                case StayPenalties():
                    penalty += w
                case Hinges(goal) if w:
                    hinge[goal] = hinge.get(goal, 0) + w
                case _:
                    pass  # In the values of placements, or priced with the host that is over.
    return Prices(
        value=value, leave_place=leave_place, leave_host=leave_host, opening=opening, penalty=penalty, hinge=hinge
    )


def fixed_part(model: StateModel, duals: Duals, held: Sequence[int]) -> int:
    """Return the bound's part that no state has a share in, times `scale`; `held` are the earlier objectives'
    values.
    """
    weight = duals.weight
    budget = model.problem.budget
    total = 0
    for f, demand in enumerate(model.demand):
        if model.phantom[f]:
            continue
        price = int(duals.flavor[f])
        out = int(model.arriving[f])
        for g, value in enumerate(held):
            if model.unplaced[g, f] > 0:
                out = min(out, max(0, value) // int(model.unplaced[g, f]))
        left_out = sum(int(w) * int(u) for w, u in zip(weight, model.unplaced[:, f], strict=True))
        total += price * int(demand) + out * min(0, left_out - price)
    total -= sum(int(eta) * value for eta, value in zip(duals.hold, held, strict=False))
    for mu, limit in ((duals.moves, budget.moves), (duals.migrations, budget.migrations)):
        if mu and limit is None:
            raise ValueError("a dual on a budget that is not there")
        total -= mu * (limit or 0)
    return total


def bound_of(model: StateModel, duals: Duals, held: Sequence[int], least: Sequence[int | None]) -> int | None:
    """Return the bound on the objective, rounded up to an integer; None where a state's least cost is unknown."""
    total = fixed_part(model, duals, held)
    for state, value in zip(model.states, least, strict=True):
        if value is None:
            return None
        total += state.count * value
    return -(-total // duals.scale)


def rounded_duals(
    model: StateModel,
    objective: int,
    scale: int,
    *,
    flavor: np.ndarray[tuple[int], np.dtype[np.float64]],
    hold: np.ndarray[tuple[int], np.dtype[np.float64]],
    moves: float,
    migrations: float,
) -> Duals:
    """Round duals in units of the objective per VM (per unit held, per move) to the grid, and project them to their
    signs.

    Those on what is held are rounded up, and what that adds to the least cost of a VM is paid for it: else a host with
    a VM that costs much wherever it is would look better than it is, times all hosts of its state.
    """
    held = np.zeros(model.objectives, dtype=np.int64)
    exact = np.maximum(hold[:objective], 0.0) * scale
    held[:objective] = np.ceil(exact).astype(np.int64)
    paid = np.maximum(flavor, 0.0) * scale
    for g in np.flatnonzero(held[:objective] > exact):
        paid = paid + np.maximum(least_cost(model, int(g)), 0) * (held[g] - exact[g])
    return Duals(
        objective=objective,
        scale=scale,
        flavor=np.rint(paid).astype(np.int64),
        hold=held,
        moves=round(max(moves, 0.0) * scale),
        migrations=round(max(migrations, 0.0) * scale),
    )
