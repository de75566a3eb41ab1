"""The exact engine's model: goals over what hosts hold, the stage of one goal, patterns and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from ortools.sat.python import cp_model

from solvers.backends.cpsat_rows import Sum, total_of
from solvers.counts.host_block import HOST_TERMS
from solvers.counts.hosts import HostModel
from solvers.objective import RuleExcess, Term, Unplaced
from solvers.problem import IntArray, Problem
from solvers.result import HostPattern


class ExactModel(HostModel):
    """The CP-SAT model of a problem."""

    def __init__(self, problem: Problem, *, symmetry: bool = True, chains: bool = True) -> None:
        super().__init__(problem, symmetry=symmetry, chains=chains)
        self.objectives = [self._objective(number) for number in range(len(problem.objectives))]
        self._phantoms = self._phantom_variables()

    # -- goals ---------------------------------------------------------------------------------------------------------

    def _objective(self, number: int) -> Sum:
        objective = self.problem.objectives[number]
        total = Sum()
        for block in self.blocks:
            total.plus(block.objective(objective))
        for term in objective.terms:
            over_hosts = _OVER_HOSTS.get(type(term))
            if over_hosts is not None:
                total.plus(over_hosts(self, term))
        return total

    def _left_out(self, term: Unplaced) -> Sum:
        total = Sum()
        for flavor, cost in enumerate(term.cost.tolist()):
            if self.unplaced[flavor] >= 0:
                total.add(self.unplaced[flavor], cost)
        return total

    def _excess(self, term: RuleExcess) -> Sum:
        return self.rule_excess[term.goal]

    def tie_break(self, incumbent: IntArray) -> tuple[Sum, int]:
        """Return what decides between answers alike in every goal, and what it is at best if the same VMs are placed.

        Nodes touched come first, then VMs that change host or node.
        """
        nodes, moves = Sum(), total_of(block.moved() for block in self.blocks)
        fewest = np.full(len(self.problem.flavors), np.iinfo(np.int64).max, dtype=np.int64)
        for host in range(len(self.hosts)):
            view, y = self.here(host)
            touched = np.where(view.phantom, 0, view.shape.touches[view.placements].sum(axis=1))
            np.minimum.at(fewest, view.flavor, touched)
            nodes.add(y, touched)
        weight = self.range_of(*moves.arrays())[1] + moves.constant + 1
        least = 0
        for flavor, demand in enumerate(self.demand.tolist()):
            placed = demand - (int(incumbent[self.unplaced[flavor]]) if self.unplaced[flavor] >= 0 else 0)
            if placed and not self._phantom[flavor]:
                least += placed * int(fewest[flavor])
        return Sum().plus(nodes, weight).plus(moves), weight * least

    def dear(self, incumbent: IntArray | None) -> list[int]:
        """Return the counts of placements that are not the cheapest of their flavor on their host.

        The cost is that of the first objective that has one. Those that hold VMs now or in the incumbent are not named.
        """
        keys = [objective.cost for objective in self.problem.objectives if objective.cost is not None]
        found: list[int] = []
        for view in self.views:
            cost = next((view.shape.cost[key] for key in keys if key in view.shape.cost), None)
            if cost is None or not len(view.placements):
                continue
            mine = cost[view.placements]
            cheapest = np.full(len(self.problem.flavors), np.iinfo(np.int64).max, dtype=np.int64)
            np.minimum.at(cheapest, view.flavor, mine)
            spare = (mine > cheapest[view.flavor]) & (view.content == 0)
            blocks = [block.y for block in self.blocks if block.view is view]
            if incumbent is not None:
                spare &= ~np.any([incumbent[y] > 0 for y in blocks], axis=0)
            for y in blocks:
                found.extend(y[spare].tolist())
        return found

    def question(
        self, number: int, held: Sequence[tuple[Sum, int | None, int | None]], without: Sequence[int]
    ) -> cp_model.CpModel:
        """Return a model without objective: whether earlier objectives can be held without some variables."""
        stage = self.copy()
        for part, lower, upper in held:
            stage.row(part, lower, upper)
        stage.fix(without)
        for first, variables in self._phantoms:
            if first > number:
                stage.fix(variables)
        return stage.model

    def one_host_less(self, incumbent: IntArray) -> list[int]:
        """Return the counts of the hosts that cost and hold nothing, and of the one with the fewest VMs of the others.

        None if no host that costs holds anything.
        """
        empty: list[int] = []
        fewest: tuple[int, IntArray] | None = None
        for host in range(len(self.hosts)):
            view, y = self.here(host)
            if not view.host_class.cost:
                continue
            vms = int(incumbent[y[~view.phantom]].sum())
            if not vms:
                empty.extend(y[~view.phantom].tolist())
            elif fewest is None or vms < fewest[0]:
                fewest = vms, y[~view.phantom]
        return [] if fewest is None else [*empty, *fewest[1].tolist()]

    def host_costs(self, total: Sum, solution: IntArray) -> list[int]:
        """Return what each host's counts add to an expression."""
        index, factor = total.arrays()
        weight = np.zeros(self.variables, dtype=np.int64)
        weight[index] = factor
        return [int(weight[y] @ solution[y]) for _, y in map(self.here, range(len(self.hosts)))]

    def least(self, total: Sum) -> int:
        """Return the least that an expression can be within its variables' bounds."""
        return self.range_of(*total.arrays())[0] + total.constant

    # -- stages --------------------------------------------------------------------------------------------------------

    def _phantom_variables(self) -> list[tuple[int, list[int]]]:
        """Return each phantom flavor's variables, and the first objective that counts them (none: past the last)."""
        out = []
        for flavor in np.flatnonzero(self._phantom).tolist():
            variables: list[int] = []
            first = len(self.problem.objectives)
            for host in range(len(self.hosts)):
                view, y = self.here(host)
                mine = view.flavor == flavor
                variables.extend(y[mine].tolist())
                for number, objective in enumerate(self.problem.objectives[:first]):
                    cost = view.shape.cost.get(objective.cost or "")
                    if cost is not None and cost[view.placements][mine].any():
                        first = number
                        break
            out.append((first, variables))
        return out

    def has_idle_phantoms(self, number: int) -> bool:
        """Tell whether there are phantoms that an objective after `number` is the first to count."""
        return any(number < first < len(self.problem.objectives) for first, _ in self._phantoms)

    def stage(
        self,
        number: int,
        total: Sum,
        held: Sequence[tuple[Sum, int | None, int | None]],
        *,
        floor: int | None = None,
        below: int | None = None,
        hint: IntArray | None = None,
        without: Sequence[int] = (),
        still: Sequence[int] = (),
    ) -> cp_model.CpModel:
        """Return a model that minimises `total` with earlier objectives held between a bound and a ceiling each.

        Phantoms that no objective up to `number` counts are left out: they only take room.

        Parameters
        ----------
        floor, below : `total` is at least the one (a known bound) and less than the other (to be improved on).
        hint : a full solution to start from.
        without : variables to leave out, and `still` : hosts to leave as they are in `hint`, for a search of less than
            all answers.
        """
        stage = self.copy()
        for part, lower, upper in held:
            stage.row(part, lower, upper)
        index, factor = total.arrays()
        stage.row(total, floor, None if below is None else below - 1)
        stage.proto.objective.vars.extend(index)
        stage.proto.objective.coeffs.extend(factor)
        stage.fix(without)
        for first, variables in self._phantoms:
            if first > number:
                stage.fix(variables)
        if hint is not None:
            for host in still:
                _, y = self.here(host)
                for value in np.unique(hint[y]).tolist():
                    stage.fix(y[hint[y] == value].tolist(), value)
            hint = np.minimum(hint, stage.upper)
            stage.proto.solution_hint.vars.extend(np.arange(self.variables, dtype=np.int64))
            stage.proto.solution_hint.values.extend(hint)
        return stage.model

    # -- solutions -----------------------------------------------------------------------------------------------------

    def solution_of(self, patterns: Sequence[HostPattern], unplaced: Sequence[int]) -> IntArray | None:
        """Return the full solution of patterns, hosts of a class in order; None if a placement is not admissible."""
        out = np.zeros(self.variables, dtype=np.int64)
        queues: dict[int, list[IntArray]] = defaultdict(list)
        for pattern in patterns:
            view = self.views[pattern.host_class]
            y = np.zeros(view.shape.placements, dtype=np.int64)
            for placement, many in (*pattern.placements, *pattern.phantoms):
                y[placement] += many
            if y[view.placements].sum() != y.sum():
                return None
            queues[pattern.host_class].extend([y[view.placements]] * pattern.count)
        for number, found in queues.items():
            weight = self.order_key(self.views[number])
            found.sort(key=lambda y: (-int(weight @ y), *(-y).tolist()))
        for number, block in zip(reversed(self.hosts), reversed(self.blocks), strict=True):
            if not queues[number]:
                return None
            out[block.y] = queues[number].pop()
        for flavor, variable in enumerate(self.unplaced):
            if variable >= 0:
                out[variable] = unplaced[flavor]
        return self.complete(out)

    def patterns_of(self, solution: IntArray) -> tuple[tuple[HostPattern, ...], tuple[int, ...]]:
        """Return the patterns and unplaced counts of a solution; hosts alike in class and content are one pattern."""
        counts: dict[tuple[int, bytes], tuple[IntArray, int]] = {}
        for number, block in zip(self.hosts, self.blocks, strict=True):
            y = solution[block.y]
            key = (number, y.tobytes())
            counts[key] = (y, counts[key][1] + 1 if key in counts else 1)
        patterns = []
        for (number, _), (y, many) in counts.items():
            view = self.views[number]
            real, phantom = (np.flatnonzero((y > 0) & mask) for mask in (~view.phantom, view.phantom))
            patterns.append(
                HostPattern(
                    host_class=number,
                    count=many,
                    placements=tuple((int(view.placements[place]), int(y[place])) for place in real),
                    phantoms=tuple((int(view.placements[place]), int(y[place])) for place in phantom),
                )
            )
        return tuple(patterns), tuple(int(solution[v]) if v >= 0 else 0 for v in self.unplaced)


_OVER_HOSTS: dict[type[Term], Callable[..., Sum]] = {
    Unplaced: ExactModel._left_out,
    RuleExcess: ExactModel._excess,
}
"""What all hosts together add to each term that one host does not decide."""
TERMS = HOST_TERMS | frozenset(_OVER_HOSTS)
