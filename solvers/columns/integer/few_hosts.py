"""The exact engine on a few hosts of a fleet: all the VMs on them, and those left out, placed anew."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from solvers.backends.cpsat import Answer, values_of
from solvers.backends.cpsat_rows import RowWriter, Sum, total_of
from solvers.columns.model import Pattern, State, StateModel
from solvers.counts.host_block import HostBlock
from solvers.problem import IntArray


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Hosts to place anew.

    Attributes
    ----------
    states, patterns : a host each: its state, and what it holds now.
    demand : (F,) VMs that they hold, and those left out, which may be placed on them. `out` : (F,) VMs left out now.
    weight : objective -> weight in what is minimised. limit : objective -> at most what they may cost in it.
    empty : whether of equal answers the one with the fewest VMs on the last host is looked for.
    moves, migrations : at most so many on them, None where nothing limits.
    candidates : state -> placements that new VMs may take beside those that its hosts hold or held; all where not
    given.
    """

    states: tuple[State, ...]
    patterns: tuple[Pattern, ...]
    demand: IntArray
    out: IntArray
    weight: dict[int, int]
    limit: dict[int, int]
    empty: bool = False
    moves: int | None = None
    migrations: int | None = None
    candidates: dict[int, IntArray] = field(default_factory=dict)


@dataclass(slots=True)
class SubsetModel:
    """The CP-SAT model of a subset: every host a block, the flavors' totals over them, limits, the weighted
    objectives.
    """

    model: StateModel
    subset: Subset
    writer: RowWriter = field(default_factory=RowWriter)
    blocks: list[HostBlock] = field(init=False)
    _out: dict[int, int] = field(default_factory=dict)
    _goals: dict[int, Sum] = field(default_factory=dict)
    _total: Sum = field(init=False)

    def __post_init__(self) -> None:
        """Write the model."""
        subset, writer = self.subset, self.writer
        held: dict[int, set[int]] = {}
        for state, pattern in zip(subset.states, subset.patterns, strict=True):
            held.setdefault(state.index, set()).update(placement for placement, _ in pattern)
        self.blocks = [self._block(state, held[state.index]) for state in subset.states]
        self._demand_rows()
        for objective, most in sorted(subset.limit.items()):
            writer.row(self._goal(objective), None, most)
        if subset.moves is not None:
            writer.row(total_of(block.moved() for block in self.blocks), None, subset.moves)
        if subset.migrations is not None:
            writer.row(total_of(block.left() for block in self.blocks), None, subset.migrations)
        self._order_rows()
        self._total = Sum()
        for objective, weight in sorted(subset.weight.items()):
            self._total.plus(self._goal(objective), weight)
        if subset.empty:
            last = self.blocks[-1]
            whole = Sum().plus(self._total, int(subset.demand.sum()) + 1)
            self._total = whole.add(last.y, (~last.view.phantom).astype(np.int64))
        index, factor = self._total.arrays()
        writer.proto.objective.vars.extend(index.tolist())
        writer.proto.objective.coeffs.extend(factor.tolist())
        self._hint()

    def _block(self, state: State, held: set[int]) -> HostBlock:
        chosen = self.subset.candidates.get(state.index)
        if chosen is not None:
            chosen = np.union1d(chosen, np.array(sorted(held), dtype=np.int64))
        view = self.model.view(state, chosen)
        most = np.where(view.phantom, view.upper, np.minimum(view.upper, self.subset.demand[view.flavor]))
        block = HostBlock(self.writer, view.limited(most))
        # Chains would refuse patterns that are not in their order: the hint has to be an answer.
        block.write_alone(self.model.problem.budget, self.model.arriving, chains=False)
        return block

    def _demand_rows(self) -> None:
        """Every VM is on one of the hosts, or left out where it may."""
        for f in np.nonzero(np.where(self.model.phantom, 0, self.subset.demand))[0]:
            total = Sum()
            for block in self.blocks:
                total.plus(block.amount(int(f)))
            if self.subset.out.any() and self.model.arriving[f]:
                # While any VM is left out it may be better to leave out another one.
                self._out[int(f)] = self.writer.variable(0, int(min(self.model.arriving[f], self.subset.demand[f])))
                total.add(self._out[int(f)], 1)
            index, factor = total.arrays()
            row = self.writer.proto.constraints.add().linear
            row.vars.extend(index.tolist())
            row.coeffs.extend(factor.tolist())
            row.domain.extend([int(self.subset.demand[f])] * 2)

    def _goal(self, objective: int) -> Sum:
        if objective not in self._goals:
            total = Sum()
            for block in self.blocks:
                total.plus(block.objective(self.model.problem.objectives[objective]))
            for f, variable in self._out.items():
                total.add(variable, int(self.model.unplaced[objective, f]))
            self._goals[objective] = total
        return self._goals[objective]

    def _order_rows(self) -> None:
        """Hosts of one state are interchangeable: their vCPUs never increase from one to the next."""
        vcpus = np.array([flavor.vcpus for flavor in self.model.problem.flavors], dtype=np.int64)
        last: dict[int, HostBlock] = {}
        for state, block in zip(self.subset.states, self.blocks, strict=True):
            before = last.get(state.index)
            last[state.index] = block
            if before is not None:
                order = Sum().add(before.y, vcpus[before.view.flavor]).add(block.y, -vcpus[block.view.flavor])
                self.writer.row(order, 0, None)

    def _hint(self) -> None:
        """Give the hosts' patterns as the hint, in the order that the rows ask for."""
        vcpus = np.array([flavor.vcpus for flavor in self.model.problem.flavors], dtype=np.int64)
        solution = np.zeros(self.writer.variables, dtype=np.int64)
        waiting: dict[int, list[Pattern]] = {}
        for state, pattern in zip(self.subset.states, self.subset.patterns, strict=True):
            waiting.setdefault(state.index, []).append(pattern)
        for index, patterns in waiting.items():
            state = self.model.states[index]
            keyed = [(int(self.model.amounts(state, pattern) @ vcpus), pattern) for pattern in patterns]
            waiting[index] = [pattern for _, pattern in sorted(keyed)]
        for state, block in zip(self.subset.states, self.blocks, strict=True):
            block.hint(waiting[state.index].pop(), solution)
        for f, variable in self._out.items():
            solution[variable] = self.subset.out[f]
        solution = self.writer.complete(solution)
        hint = self.writer.proto.solution_hint
        hint.vars.extend(range(self.writer.variables))
        hint.values.extend(solution.tolist())

    def read(self, answer: Answer) -> tuple[tuple[Pattern, ...], IntArray]:
        """Return the hosts' new patterns, and (F,) VMs left out, of an answer that has values."""
        values = values_of(answer)
        out = self.subset.out * 0
        for f, variable in self._out.items():
            out[f] = values[variable]
        return tuple(block.pattern(values) for block in self.blocks), out
