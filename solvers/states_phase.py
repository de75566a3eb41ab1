"""One objective: generate columns, recombine them into an incumbent, improve that on a few hosts at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from solvers.problem import IntArray
from solvers.states_generate import Bound, Generator
from solvers.states_incumbent import Hosts
from solvers.states_kit import Kit
from solvers.states_program import ColumnProgram, Task
from solvers.states_search import HostSearch

RESIDUAL = 40
"""Hosts that the integer program is left with at least; the others keep what the master gives them whole."""
VARIATIONS = 60
"""Sets of varied prices under which the nodes' best configurations are added to the program."""
AMPLITUDE = 0.3
STALE = 6
"""Rounds on a few hosts without a better answer after which an objective rests."""


@dataclass(slots=True, kw_only=True)
class Phase:
    """The work on one objective with the earlier ones held at `held`.

    `soft` (objectives,) weights, in integer units of this objective, of earlier objectives minimised beside it: those
    of VMs left out, so that the master and the integer program always have an answer.
    """

    kit: Kit
    objective: int
    held: tuple[int, ...]
    soft: IntArray
    generator: Generator = field(init=False)
    search: HostSearch | None = None
    stale: int = 0
    _programmed: int = -1

    def __post_init__(self) -> None:
        """Set up column generation on all columns known."""
        kit = self.kit
        unit = kit.model.problem.objectives[self.objective].unit
        self.generator = Generator(
            pool=kit.pool,
            cheap=kit.cheap,
            exact=kit.exact,
            objective=self.objective,
            held=self.held,
            penalty=self.soft / unit,
            scale=self._scale(),
            seed=kit.seed,
        )

    def _scale(self) -> int:
        """Return the grid of the duals: fine enough for the objective, and for what a unit held costs in it."""
        objectives = self.kit.model.problem.objectives
        unit = objectives[self.objective].unit
        scale = max(1, (1 << 20) // unit)
        for g in range(self.objective):
            if not self.soft[g] and objectives[g].unplaced is None:
                scale = max(scale, (objectives[g].unit << 13) // unit)
        return scale

    @property
    def bound(self) -> Bound | None:
        """The best bound so far."""
        return self.generator.best

    @property
    def weight(self) -> IntArray:
        """(objectives,) what integer programs minimise."""
        out = self.soft.copy()
        out[self.objective] = 1
        return out

    def generate(self) -> None:
        """Generate columns until master and bound meet."""
        self.generator.start_bound()
        self.generator.run(self.kit.clock, self.tell)

    def tell(self) -> None:
        """Report where the objective stands."""
        bound = None if self.bound is None else self.bound.value
        self.kit.tell(self.objective, bound)

    def closed(self) -> bool:
        """Tell whether the incumbent is proven best."""
        bound = self.kit.bounds[self.objective].value
        return bound is not None and self.kit.incumbent.values[self.objective] <= bound

    # -- the integer program -------------------------------------------------------------------------------------------

    def program(self, *, budget: float) -> bool:
        """Recombine the columns into an answer for the fleet; return whether it is better."""
        kit = self.kit
        self._programmed = kit.pool.size
        if self.generator.answer is None:
            return False
        kit.learn_nodes()
        self._vary()
        fixed = self._fixed()
        columns = kit.pool.all()
        task = self._rest(fixed)
        chosen = self._open_columns(task)
        program = ColumnProgram(
            model=kit.model,
            book=kit.book,
            task=task,
            columns=columns,
            chosen=chosen,
            weight=self.weight,
        )
        found = program.solve(lambda model: kit.run(model, budget=budget))
        if found is None:
            return False
        hosts: Hosts = dict(found)
        for n in np.nonzero(fixed)[0]:
            key = (int(columns.state[n]), columns.patterns[n])
            hosts[key] = hosts.get(key, 0) + int(fixed[n])
        return kit.offer(kit.settler.settle(hosts), self.objective, self.held)

    @property
    def programmed(self) -> bool:
        """Whether the integer program has seen every column."""
        return self._programmed == self.kit.pool.size

    def _vary(self) -> None:
        """Add node configurations that are best under prices near the best ones."""
        kit = self.kit
        if self.bound is None or not kit.book.kinds:
            return
        duals = self.bound.duals
        rng = np.random.default_rng([kit.seed, self.objective])
        vcpus = np.array([flavor.vcpus for flavor in kit.model.problem.flavors], dtype=np.float64)
        per_vcpu = float((duals.flavor / np.maximum(vcpus, 1)).mean())
        for _ in range(VARIATIONS):
            factor = 1 + AMPLITUDE * (rng.random(len(vcpus)) - 0.5)
            varied = duals.flavor * factor + AMPLITUDE * per_vcpu * vcpus * rng.random(len(vcpus))
            kit.cheap.start(kit.prices(duals, np.rint(varied).astype(np.int64)))
            kit.book.vary()

    def _fixed(self) -> IntArray:
        """Return (columns,): hosts that keep what the master gives them whole, all but `RESIDUAL` or so."""
        kit = self.kit
        assert self.generator.answer is not None
        use = self.generator.answer.use
        fixed = np.zeros(kit.pool.size, dtype=np.int64)
        fixed[: len(use)] = np.floor(use + 1e-6)
        missing = RESIDUAL - (kit.model.problem.host_count - int(fixed.sum()))
        while missing > 0 and fixed.any():
            # One host of each column in turn, so that what is left is a small fleet of the same kind.
            give = np.nonzero(fixed)[0][:missing]
            fixed[give] -= 1
            missing -= len(give)
        return fixed

    def _rest(self, fixed: IntArray) -> Task:
        """Return what is left for the other hosts."""
        kit = self.kit
        columns, model, budget = kit.pool.all(), kit.model, kit.model.problem.budget
        hosts, demand = model.count_of.copy(), model.demand.copy()
        np.subtract.at(hosts, columns.state, fixed)
        np.subtract.at(demand, columns.amount_flavor, columns.amount * fixed[columns.column_of_amount])
        cost = fixed @ columns.cost
        return Task(
            hosts=hosts,
            demand=np.maximum(demand, 0),
            held=tuple(value - int(cost[g]) for g, value in enumerate(self.held)),
            moves=(budget.moves or 0) - int(fixed @ columns.moves),
            migrations=(budget.migrations or 0) - int(fixed @ columns.migrations),
        )

    def _open_columns(self, task: Task) -> IntArray:
        """Return the columns of states with hosts left."""
        out: IntArray = np.nonzero(task.hosts[self.kit.pool.all().state] > 0)[0]
        return out

    # -- a few hosts at a time -----------------------------------------------------------------------------------------

    def improve(self) -> bool:
        """Place a few hosts anew; return whether the answer got better."""
        if self.search is None:
            self.search = HostSearch(kit=self.kit, objective=self.objective, held=self.held, weight=self.weight)
        better = self.search.round(self.bound)
        self.stale = 0 if better else self.stale + 1
        self.tell()
        return better

    @property
    def rests(self) -> bool:
        """Whether enough rounds found nothing better."""
        return self.stale >= STALE


def step_of(costs: Sequence[int]) -> int:
    """Return the step in which an objective counts: every value of it is a multiple."""
    return max(1, math.gcd(*costs)) if costs else 1
