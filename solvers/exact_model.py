"""Engine A's model: the goals over what hosts hold, the stage of one goal, and the way from patterns and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from ortools.sat.python import cp_model

from solvers.exact_hosts import HostModel
from solvers.exact_rows import Sum, total_of
from solvers.problem import IntArray, Problem
from solvers.result import HostPattern


class ExactModel(HostModel):
    """The CP-SAT model of a problem."""

    def __init__(self, problem: Problem, *, symmetry: bool = True) -> None:
        super().__init__(problem, symmetry=symmetry)
        self.objectives = [self._objective(number) for number in range(len(problem.objectives))]
        self._phantoms = self._phantom_variables()

    # -- goals ---------------------------------------------------------------------------------------------------------

    def _objective(self, number: int) -> Sum:
        objective = self.problem.objectives[number]
        total = Sum()
        if objective.unplaced is not None:
            for flavor, cost in enumerate(objective.unplaced.tolist()):
                if self.unplaced[flavor] >= 0:
                    total.add(self.unplaced[flavor], cost)
        for host in range(len(self.hosts)):
            view, y = self.here(host)
            if objective.cost is not None and objective.cost in view.shape.cost:
                total.add(y, view.shape.cost[objective.cost][view.placements])
            if objective.stay_penalty:
                total.add(y, np.where(view.phantom, 0, view.host_class.stay_penalty[view.flavor]))
            if objective.hinge is not None:
                total.plus(self._hinges(host, objective.hinge))
            if objective.host_cost and view.host_class.cost:
                total.plus(self._host_used(host), view.host_class.cost)
        if objective.cross_rules:
            total.plus(self.rule_excess)
        if objective.migrations:
            total.plus(total_of(left for left, _ in self.changes()), objective.migrations)
        if objective.moves:
            total.plus(total_of(moved for _, moved in self.changes()), objective.moves)
        return total

    def _hinges(self, host: int, goal: str) -> Sum:
        """Convex costs of rows' loads."""
        view, y = self.here(host)
        total = Sum()
        for hinge in view.shape.hinges:
            if hinge.goal == goal:
                load = np.where(view.phantom, 0, view.use[:, hinge.row]) * hinge.scale
                start = hinge.scale * int(view.host_class.fixed[hinge.row]) - hinge.offset
                total.plus(self.positive_part(Sum(constant=start).add(y, load)), hinge.slope)
        return total

    def _host_used(self, host: int) -> Sum:
        """Whether the host holds any VM: linked by every row that can fill, and by the placements that take no row."""
        view, y = self.here(host)
        real = ~view.phantom
        if not real.any():
            return Sum()
        used = self.derive(Sum().add(y[real], 1), 0, 1)
        linked = np.zeros(len(y), dtype=np.bool_)
        for row, room in enumerate(view.host_class.capacity.tolist()):
            taking = real & (view.use[:, row] > 0)
            most = int((view.use[:, row] * view.upper)[taking].sum())
            if taking.any():
                self.row(Sum().add(used, min(room, most)).add(y[taking], -view.use[taking, row]), 0, None)
                linked |= taking
        for place in np.flatnonzero(real & ~linked).tolist():
            self.row(Sum().add(used, int(view.upper[place])).add(y[place], -1), 0, None)
        return Sum().add(used, 1)

    def tie_break(self) -> Sum:
        """Return what decides between answers alike in every goal: nodes touched, then VMs that change place."""
        nodes, moves = Sum(), total_of(moved for _, moved in self.changes())
        for host in range(len(self.hosts)):
            view, y = self.here(host)
            nodes.add(y, np.where(view.phantom, 0, view.shape.touches[view.placements].sum(axis=1)))
        index, factor = moves.arrays()
        most = self.range_of(index, factor)[1] + moves.constant
        return Sum().plus(nodes, most + 1).plus(moves)

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

    def stage(
        self, number: int, total: Sum, held: Sequence[tuple[Sum, int | None, int | None]], floor: int | None,
        hint: IntArray | None,
    ) -> cp_model.CpModel:
        """Return a model that minimises `total` with earlier objectives held between a bound and a ceiling each.

        Phantoms that no objective up to `number` counts are left out: they only take room. `floor` is a known bound on
        `total`, `hint` a full solution to start from.
        """
        stage = self.copy()
        for part, lower, upper in held:
            stage.row(part, lower, upper)
        index, factor = total.arrays()
        if len(index):
            stage.row(total, floor, None)
            stage.proto.objective.vars.extend(index)
            stage.proto.objective.coeffs.extend(factor)
        for first, variables in self._phantoms:
            if first > number:
                for variable in variables:
                    stage.fix_at_zero(variable)
        if hint is not None:
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
        for number, first in reversed(self.hosts):
            if not queues[number]:
                return None
            y = queues[number].pop()
            out[first : first + len(y)] = y
        for flavor, variable in enumerate(self.unplaced):
            if variable >= 0:
                out[variable] = unplaced[flavor]
        return self.complete(out)

    def patterns_of(self, solution: IntArray) -> tuple[tuple[HostPattern, ...], tuple[int, ...]]:
        """Return the patterns and unplaced counts of a solution; hosts alike in class and content are one pattern."""
        counts: dict[tuple[int, bytes], tuple[IntArray, int]] = {}
        for number, first in self.hosts:
            y = solution[first : first + len(self.views[number].placements)]
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
