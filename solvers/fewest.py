"""An answer on few hosts for an empty fleet: hosts are filled one after the other at prices that the resources make.

The linear program of `states_resources` says which hosts are worth using and what a VM is worth there. Hosts are filled
in the order of its answer, each with the VMs that are worth most together; then the program is solved again for what is
left. What still is left after that goes to the greedy engine.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np

from solvers.exact_rows import RowWriter, Sum
from solvers.greedy import solve_greedy
from solvers.problem import IntArray, Problem, Shape
from solvers.result import HostPattern, Result
from solvers.states_master import FloatArray
from solvers.states_model import Pattern, State, StateModel, pattern_of
from solvers.states_resources import ROUNDING, ResourcePrices, resource_prices

STAGES = 2
"""How often the linear program is solved again."""
WORTH = 0.95
"""What the VMs on a host have to be worth at least, as a share of its cost, in all stages but the last."""
LARGE = 0.3
"""How much more a VM counts that fills a row of the host, so that large ones come first."""
SMALLER = 0.8
"""How large a VM may be at most that makes room for another, as a share of that."""
BUDGET = 0.1
"""Deterministic seconds for filling one host."""


def solve_fewest(problem: Problem, *, seed: int = 0) -> Result | None:
    """Return an answer on few hosts; None where no goal counts hosts, VMs are on hosts already or rules tie hosts.

    Objectives before and after that goal are not looked at.
    """
    objective = next((n for n, o in enumerate(problem.objectives) if o.host_cost), None)
    if objective is None or problem.rules or any(not host_class.is_empty for host_class in problem.classes):
        return None
    model = StateModel(problem=problem)
    filler = _Filler(model)
    for stage in range(STAGES):
        if not filler.left.any():
            break
        prices = resource_prices(model, objective, (), demand=filler.left, hosts=filler.free)
        if prices is not None:
            filler.fill(prices, last=stage == STAGES - 1)
        elif not filler.squeeze(_left_out(problem, filler, seed)):
            break
    found = solve_greedy(problem, seed=seed, warm_start=filler.result())
    if found.patterns and any(found.unplaced) and filler.squeeze(np.array(found.unplaced, dtype=np.int64)):
        found = solve_greedy(problem, seed=seed, warm_start=filler.result())
    return found


def _left_out(problem: Problem, filler: _Filler, seed: int) -> IntArray:
    """Return (F,): VMs for which the greedy engine finds no place any more."""
    found = solve_greedy(problem, seed=seed, warm_start=filler.result())
    return np.array(found.unplaced, dtype=np.int64) if found.patterns else filler.left


class _Filler:
    """`left` (F,) VMs to place, `free` (states,) hosts not used yet, and the patterns of the others."""

    def __init__(self, model: StateModel) -> None:
        self.model = model
        self.left: IntArray = model.demand.copy()
        self.free: IntArray = model.count_of.copy()
        self.patterns: dict[int, Counter[Pattern]] = defaultdict(Counter)

    def fill(self, prices: ResourcePrices, *, last: bool) -> None:
        """Fill the hosts that the linear program uses with the VMs that it puts there."""
        order = np.lexsort((np.arange(len(prices.used)), -prices.used))
        for index in order.tolist():
            state = self.model.states[index]
            wanted = min(int(np.ceil(prices.used[index] - ROUNDING)), int(self.free[index]))
            meant = {placement: int(np.ceil(amount - ROUNDING)) for placement, amount in prices.held[index].items()}
            while wanted > 0:
                pattern, worth = self._best(state, prices, None if last else meant)
                if not pattern or (not last and worth < WORTH * state.lead.cost):
                    break
                amounts = self.model.amounts(state, pattern)
                taken = amounts > 0
                times = min(wanted, int((self.left[taken] // amounts[taken]).min()))
                if not last:
                    times = max(1, min(times, *(meant[placement] // count for placement, count in pattern)))
                    for placement, count in pattern:
                        meant[placement] -= times * count
                self.patterns[index][pattern] += times
                self.left -= times * amounts
                self.free[index] -= times
                wanted -= times

    def _best(self, state: State, prices: ResourcePrices, meant: Mapping[int, int] | None) -> tuple[Pattern, float]:
        """Return what of the VMs left, or of those meant for a state, is worth most on one host, and its worth."""
        from ortools.sat.python import cp_model

        model = self.model
        shape = model.problem.shapes[state.shape]
        flavor = shape.flavor
        capacity = state.lead.capacity
        worth = prices.flavor[flavor]
        fit = np.where(shape.use > 0, capacity // np.maximum(shape.use, 1), np.iinfo(np.int64).max).min(axis=1)
        most = np.minimum(fit, self.left[flavor])
        if meant is not None:
            most = np.minimum(most, [meant.get(placement, 0) for placement in range(len(flavor))])
        chosen = np.flatnonzero((worth > 0) & (most > 0) & state.lead.allowed[flavor] & ~shape.stay_only)
        if not len(chosen):
            return (), 0.0
        writer = RowWriter()
        first = writer.block(most[chosen])
        y = np.arange(first, first + len(chosen))
        use = shape.use[chosen]
        for row in np.flatnonzero(use.any(axis=0)):
            writer.row(Sum().add(y, use[:, row]), None, int(capacity[row]))
        for own in np.unique(flavor[chosen]):
            writer.row(Sum().add(y[flavor[chosen] == own], 1), None, int(self.left[own]))
        # Large VMs first: small ones find room later too. Hundred-thousandths of a host are fine enough to choose by.
        large = (use / np.maximum(capacity, 1)).max(axis=1)
        value = worth[chosen] * (1 + LARGE * large) * (100_000 / max(1, state.lead.cost))
        value = np.maximum(1, np.rint(value).astype(np.int64))
        writer.proto.objective.vars.extend(y.tolist())
        writer.proto.objective.coeffs.extend((-value).tolist())
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.max_deterministic_time = BUDGET
        solver.parameters.relative_gap_limit = 0.002
        if solver.solve(writer.model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return (), 0.0
        counts = np.array(list(solver.response_proto.solution), dtype=np.int64)[: len(chosen)]
        return pattern_of(dict(zip(chosen.tolist(), counts.tolist(), strict=True))), float(worth[chosen] @ counts)

    def squeeze(self, out: IntArray) -> bool:
        """Put VMs left out on hosts that are filled already, in place of smaller ones; tell whether any got there."""
        placed = False
        for flavor in np.flatnonzero(out).tolist():
            for _ in range(int(out[flavor])):
                best = self._cheapest_swap(flavor)
                if best is None:
                    break
                _, index, old, new = best
                state = self.model.states[index]
                self.patterns[index][old] -= 1
                self.patterns[index] += Counter()
                self.patterns[index][new] += 1
                self.left += self.model.amounts(state, old) - self.model.amounts(state, new)
                placed = True
        return placed

    def _cheapest_swap(self, flavor: int) -> tuple[float, int, Pattern, Pattern] | None:
        """Return (size pushed out, state, pattern before and after) of the host that takes one VM more most cheaply."""
        best: tuple[float, int, Pattern, Pattern] | None = None
        for index, patterns in self.patterns.items():
            state = self.model.states[index]
            shape = self.model.problem.shapes[state.shape]
            if not state.lead.allowed[flavor]:
                continue
            capacity = state.lead.capacity
            size = (shape.use / np.maximum(capacity, 1)).max(axis=1)
            for placement in np.flatnonzero((shape.flavor == flavor) & ~shape.stay_only).tolist():
                if (shape.use[placement] > capacity).any():
                    continue
                for pattern in patterns:
                    over = self.model.load(state, pattern) + shape.use[placement] - capacity
                    swap = _pushed(shape, size, pattern, over, size[placement] * SMALLER)
                    if swap is not None and (best is None or swap[0] < best[0]):
                        kept = Counter(dict(pattern)) - swap[1]
                        kept[placement] += 1
                        best = swap[0], index, pattern, pattern_of(kept)
        return best

    def result(self) -> Result:
        """Return what is filled as an answer to start from; the other hosts are empty."""
        patterns = []
        for state in self.model.states:
            rest = [(number, self.model.problem.classes[number].count) for number in state.classes]
            held = [*self.patterns[state.index].items(), ((), int(self.free[state.index]))]
            for pattern, times in held:
                while times:
                    number, count = rest.pop()
                    take = min(times, count)
                    patterns.append(HostPattern(host_class=number, count=take, placements=pattern))
                    times -= take
                    if count > take:
                        rest.append((number, count - take))
        return Result(status="feasible", objectives=(), patterns=tuple(patterns))


def _pushed(
    shape: Shape, size: FloatArray, pattern: Pattern, over: IntArray, largest: float
) -> tuple[float, Counter[int]] | None:
    """Return the size and placements of VMs, none above `largest`, whose leaving takes away what is over a host's rows.

    None where there are none such. The smallest that help go first.
    """
    over = over.copy()
    gone: Counter[int] = Counter()
    total = 0.0
    for placement, count in sorted(pattern, key=lambda held: (size[held[0]], held[0])):
        for _ in range(count):
            short = over > 0
            if not short.any():
                return total, gone
            if size[placement] > largest or not (shape.use[placement] * short).any():
                break
            over -= shape.use[placement]
            gone[placement] += 1
            total += float(size[placement])
    return None if (over > 0).any() else (total, gone)
