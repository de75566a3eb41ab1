"""States: hosts that are alike for every goal; the flat arrays that every part of the engine reads.

A *pattern* is what one host becomes: sorted (placement, VMs) pairs, phantoms included. A *column* is a pattern on a
state.
Hosts of several classes that differ only in their domains are one state, unless a rule over domains is in force
(`active` scopes): then they are kept apart by those domains.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np

from solvers.counts.host_view import HostView, host_view
from solvers.problem import BoolArray, HostClass, IntArray, Problem

Pattern = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class State:
    """Hosts of `classes` (indices), `count` in all; `lead` carries what they share.

    `present` and `floating` are (F,) VMs there now, `unsettled` those for which no place here is a move, `own`
    placement -> VMs there now, `domain` scope in force -> index.
    """

    index: int
    shape: int
    count: int
    classes: tuple[int, ...]
    lead: HostClass
    present: IntArray
    floating: IntArray
    unsettled: IntArray
    own: dict[int, int]
    domain: dict[str, int]

    @property
    def null(self) -> Pattern:
        """The pattern that leaves every VM of known placement where it is; floating VMs are still to be placed."""
        return tuple(sorted(self.own.items()))


@dataclass(slots=True, kw_only=True)
class StateModel:
    """A problem seen as states, with everything that is computed once.

    Attributes
    ----------
    offset : (shapes + 1,) where a shape's placements start in the flat arrays.
    flavor, real, cost : flat (placements of all shapes): the flavor, whether it is no phantom, (objectives,) its cost.
    unplaced : (objectives, F) cost of a VM left out. demand : (F,) VMs to hold, phantoms 0.
    present, floating : (states, F).
    """

    problem: Problem
    active: frozenset[str] = frozenset()
    states: tuple[State, ...] = field(init=False)
    state_of_class: IntArray = field(init=False)
    phantom: BoolArray = field(init=False)
    settles: BoolArray = field(init=False)
    arriving: IntArray = field(init=False)
    demand: IntArray = field(init=False)
    offset: IntArray = field(init=False)
    flavor: IntArray = field(init=False)
    real: BoolArray = field(init=False)
    cost: IntArray = field(init=False)
    unplaced: IntArray = field(init=False)
    present: IntArray = field(init=False)
    floating: IntArray = field(init=False)
    shape_of: IntArray = field(init=False)
    count_of: IntArray = field(init=False)

    def __post_init__(self) -> None:
        """Group classes into states and flatten the shapes."""
        problem = self.problem
        self.phantom = np.array([flavor.phantom for flavor in problem.flavors], dtype=np.bool_)
        self.settles = np.array([flavor.settles for flavor in problem.flavors], dtype=np.bool_)
        self.arriving = np.array(
            [0 if flavor.phantom else flavor.arriving for flavor in problem.flavors], dtype=np.int64
        )
        self.demand = np.where(self.phantom, 0, problem.demand())
        self.offset = np.cumsum([0] + [shape.placements for shape in problem.shapes], dtype=np.int64)
        self.flavor = np.concatenate([shape.flavor for shape in problem.shapes])
        self.real = ~self.phantom[self.flavor]
        self.cost = np.zeros((len(self.flavor), len(problem.objectives)), dtype=np.int64)
        self.unplaced = np.zeros((len(problem.objectives), len(problem.flavors)), dtype=np.int64)
        for o, objective in enumerate(problem.objectives):
            if objective.unplaced is not None:
                self.unplaced[o] = np.where(self.phantom, 0, objective.unplaced)
            for s, shape in enumerate(problem.shapes):
                if objective.cost is not None and objective.cost in shape.cost:
                    self.cost[self.offset[s] : self.offset[s + 1], o] = shape.cost[objective.cost]
        self._group()

    def _group(self) -> None:
        problem = self.problem
        groups: dict[Hashable, list[int]] = {}
        for number, cls in enumerate(problem.classes):
            groups.setdefault(self._alike(cls), []).append(number)
        self.state_of_class = np.zeros(len(problem.classes), dtype=np.int64)
        states = []
        for index, numbers in enumerate(groups.values()):
            lead = problem.classes[numbers[0]]
            self.state_of_class[numbers] = index
            own: dict[int, int] = {}
            for placement, count in lead.content:
                own[placement] = own.get(placement, 0) + count
            present = problem.content_of(numbers[0])
            states.append(
                State(
                    index=index,
                    shape=lead.shape,
                    count=sum(problem.classes[number].count for number in numbers),
                    classes=tuple(numbers),
                    lead=lead,
                    present=present,
                    floating=lead.floating_of(len(problem.flavors)),
                    unsettled=lead.unsettled_of(present, self.settles),
                    own=own,
                    domain={scope: lead.domain.get(scope, -1) for scope in sorted(self.active)},
                )
            )
        self.states = tuple(states)
        self.present = np.stack([state.present for state in states])
        self.floating = np.stack([state.floating for state in states])
        self.shape_of = np.array([state.shape for state in states], dtype=np.int64)
        self.count_of = np.array([state.count for state in states], dtype=np.int64)

    def _alike(self, cls: HostClass) -> Hashable:
        domains = tuple(cls.domain.get(scope, -1) for scope in sorted(self.active))
        arrays = (cls.capacity, cls.fixed, cls.allowed, cls.stay_penalty)
        return (
            cls.shape,
            cls.silent,
            None if cls.room is None else cls.room.tobytes(),
            *(array.tobytes() for array in arrays),
            tuple(sorted(cls.content)),
            tuple(sorted(cls.at_most.items())),
            tuple(sorted(cls.floating)),
            cls.cost,
            domains,
        )

    @property
    def objectives(self) -> int:
        """How many objectives there are."""
        return len(self.problem.objectives)

    def view(self, state: State, chosen: IntArray | None = None) -> HostView:
        """Return what a host of a state can hold, of the placements `chosen` and its own (all where not given)."""
        shape = self.problem.shapes[state.shape]
        return host_view(
            state.lead,
            shape,
            state.present,
            demand=self.demand,
            phantom=self.phantom,
            settles=self.settles,
            chosen=chosen,
        )

    def amounts(self, state: State, pattern: Pattern) -> IntArray:
        """Return (F,): VMs of each flavor that a pattern holds, phantoms included."""
        out = np.zeros(len(self.problem.flavors), dtype=np.int64)
        flavor = self.problem.shapes[state.shape].flavor
        for placement, count in pattern:
            out[flavor[placement]] += count
        return out

    def load(self, state: State, pattern: Pattern) -> IntArray:
        """Return (K,): what a pattern takes of every row."""
        use = self.problem.shapes[state.shape].use
        out = np.zeros(use.shape[1], dtype=np.int64)
        for placement, count in pattern:
            out += count * use[placement]
        return out

    def fits(self, state: State, pattern: Pattern) -> bool:
        """Tell whether a pattern keeps every row and limit of its host, and holds only what may be there."""
        shape, lead, budget = self.problem.shapes[state.shape], state.lead, self.problem.budget
        load = self.load(state, pattern)
        if (load > lead.capacity).any() or (lead.room is not None and self._brings(state, pattern, load)):
            return False
        amounts = np.where(self.phantom, 0, self.amounts(state, pattern))
        if (~lead.allowed & (amounts > state.present)).any():
            return False
        if budget.host_in is not None:
            # Which VMs of a flavor that also arrives are new, one host cannot tell: only the others count here.
            came = np.maximum(amounts - state.present, 0)[self.arriving == 0]
            if came.sum() > budget.host_in:
                return False
        if budget.host_out is not None and np.maximum(state.present - amounts, 0).sum() > budget.host_out:
            return False
        most = {
            **lead.at_most,
            **{placement: state.own.get(placement, 0) for placement, _ in pattern if shape.stay_only[placement]},
        }
        return all(count <= most.get(placement, count) for placement, count in pattern)

    def _brings(self, state: State, pattern: Pattern, load: IntArray) -> bool:
        """Tell whether a pattern takes more of a row that is over its room, in any flavor, than the host holds now."""
        shape, room = self.problem.shapes[state.shape], state.lead.room
        for row in [] if room is None else shape.over(load, room):
            for amounts in shape.kept(row):
                more = np.zeros(len(self.problem.flavors), dtype=np.int64)
                for sign, held in ((1, pattern), (-1, state.null)):
                    for placement, count in held:
                        more[shape.flavor[placement]] += sign * count * amounts[placement]
                if (more > 0).any():
                    return True
        return False


def pattern_of(taken: dict[int, int]) -> Pattern:
    """Return the pattern of placement -> VMs."""
    return tuple(sorted((placement, count) for placement, count in taken.items() if count))


def least_cost(model: StateModel, objective: int) -> IntArray:
    """Return (F,): the least that a VM of each flavor costs in an objective wherever it is, 0 where it has no place."""
    least = np.full(len(model.phantom), np.iinfo(np.int64).max)
    np.minimum.at(least, model.flavor, model.cost[:, objective])
    return np.where(least == np.iinfo(np.int64).max, 0, least)
