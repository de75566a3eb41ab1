"""What all phases of the columns engine share: the model and its pricers, the incumbent, the bounds, the clock and the
reports.
"""

from __future__ import annotations

import dataclasses
import math
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ortools.sat.python import cp_model

from solvers.backends.cpsat import Answer, run_model
from solvers.claims import Claim, Claims
from solvers.clock import Clock
from solvers.columns.columns import Evaluator
from solvers.columns.duals import Duals, Prices, prices_of
from solvers.columns.incumbent import Incumbent, Ledger, Settler
from solvers.columns.integer.node_configs import NodeBook
from solvers.columns.model import StateModel
from solvers.columns.pool import Pool
from solvers.columns.pricing.exact import ExactPricer
from solvers.columns.pricing.layouts import Layouts
from solvers.columns.pricing.listed import Enumerator
from solvers.columns.pricing.many_hosts import LiveBatches
from solvers.columns.pricing.packed import Packer
from solvers.evaluate import violations
from solvers.objective import Changes, Hinges, HostCosts, RuleExcess, Shortages, StayPenalties
from solvers.problem import IntArray
from solvers.result import OnProgress, Progress

ENGINE = "columns"
FIRM = 4
"""How much more a VM left out weighs than the worst that placing it can cost, at first."""


@dataclass(slots=True)
class Kit:
    """Shared parts; see the modules they come from."""

    model: StateModel
    clock: Clock
    seed: int
    executor: Executor | None
    on_progress: OnProgress | None
    evaluator: Evaluator = field(init=False)
    layouts: Layouts = field(init=False)
    batches: LiveBatches = field(init=False)
    exact: ExactPricer = field(init=False)
    packer: Packer = field(init=False)
    enumerator: Enumerator = field(init=False)
    pool: Pool = field(init=False)
    ledger: Ledger = field(init=False)
    settler: Settler = field(init=False)
    book: NodeBook = field(init=False)
    incumbent: Incumbent = field(init=False)
    claims: Claims = field(init=False)
    steps: tuple[int, ...] = field(init=False)
    _learned: int = 0

    def __post_init__(self) -> None:
        """Make the parts."""
        model = self.model
        self.evaluator = Evaluator(model)
        self.layouts = Layouts(model)
        self.batches = LiveBatches(self.layouts)
        self.exact = ExactPricer(model, self.executor, self.clock)
        self.packer = Packer(model, self.seed)
        self.enumerator = Enumerator(model)
        self.pool = Pool(self.evaluator)
        self.ledger = Ledger(self.evaluator)
        self.settler = Settler(self.ledger)
        self.book = NodeBook(model, self.layouts)
        self.claims = Claims(model.objectives)
        self.steps = tuple(self._step(objective) for objective in range(model.objectives))

    def _step(self, number: int) -> int:
        """Return the step in which an objective counts: every value of it is a multiple."""
        model, objective = self.model, self.model.problem.objectives[number]
        parts = [math.gcd(*model.cost[:, number].tolist()), math.gcd(*model.unplaced[number].tolist())]
        for term in objective.terms:
            match term:
                case Changes(of_moves, of_migrations):
                    parts += [of_moves, of_migrations]
                case HostCosts():
                    parts += [state.lead.cost for state in model.states]
                case StayPenalties():
                    parts += [math.gcd(*state.lead.stay_penalty.tolist()) for state in model.states]
                case Shortages():
                    families = [f for shape in model.problem.shapes for short in shape.shortages for f in short.apart]
                    parts += [each for family in families for _, each in family]
                case Hinges() | RuleExcess():
                    parts.append(1)
                case _:
                    pass  # In the costs of placements and of VMs left out.
        return max(1, math.gcd(*parts))

    def claim(
        self,
        number: int,
        value: int,
        source: str,
        certificate: dict[str, Any] | None = None,
        held: tuple[int, ...] = (),
    ) -> None:
        """Claim a bound with the earlier objectives at most at `held`; every value is a multiple of its step."""
        value = -(-value // self.steps[number]) * self.steps[number]
        self.claims.claim(number, Claim(value, source, certificate, held))

    @property
    def bounds(self) -> list[Claim]:
        """The best bound of each objective that holds now: an answer may be worse in some than what one held."""
        now = self.incumbent.values
        return [self.claims.best(number, now[:number]) for number in range(self.model.objectives)]

    def offer(self, found: Incumbent | None, objective: int, held: tuple[int, ...]) -> bool:
        """Take an answer that keeps what is held and is better from `objective` on, or better in what should be held.

        One that is as good is taken too: it may lead on. Return whether it is better.
        """
        if found is None or not self._fits(found):
            return False
        now = self.incumbent.values
        keeps = all(value <= max(most, mine) for value, most, mine in zip(found.values, held, now, strict=False))
        missed = tuple(max(0, mine - most) for mine, most in zip(now, held, strict=False))
        misses = tuple(max(0, value - most) for value, most in zip(found.values, held, strict=False))
        better = (misses, found.values[objective:]) < (missed, now[objective:])
        equal = found.values == now and self._leads_on(found, objective)
        if not (keeps or misses < missed) or not (better or equal):
            return False
        self.incumbent = found
        for state, pattern in found.hosts:
            self.book.learn(state, pattern)
        return better

    def _leads_on(self, found: Incumbent, objective: int) -> bool:
        """Tell whether an answer as good may replace the incumbent: for the goal hosts, if it leaves emptier hosts."""
        if not self.model.problem.objectives[objective].host_cost:
            return True
        full = [
            sum(count * int(self.ledger.amounts(*key).sum()) ** 2 for key, count in answer.hosts.items())
            for answer in (found, self.incumbent)
        ]
        return full[0] > full[1]

    def _fits(self, found: Incumbent) -> bool:
        """Tell whether migrants can be told from new VMs so that every host keeps its limit of them."""
        if self.model.problem.budget.host_in is None:
            return True
        out = tuple(int(n) for n in found.out)
        return not violations(self.model.problem, self.ledger.patterns(found), out)

    def learn_nodes(self) -> None:
        """Take the pool's new patterns apart into node configurations."""
        columns = self.pool.all()
        for n in range(self._learned, len(columns)):
            self.book.learn(int(columns.state[n]), columns.patterns[n])
        self._learned = len(columns)

    def pool_incumbent(self) -> None:
        """Make columns of the incumbent's patterns."""
        self.pool.add(sorted(self.incumbent.hosts))

    def soft(self, objective: int, held: tuple[int, ...]) -> IntArray:
        """Return (objectives,) the weights of VMs left out, in earlier objectives that are held at none, beside an
        objective.
        """
        model = self.model
        worst = np.zeros(len(model.phantom), dtype=np.int64)
        np.maximum.at(worst, model.flavor, np.abs(model.cost[:, objective]))
        goal = model.problem.objectives[objective]
        worst += goal.moves + goal.migrations
        if goal.host_cost:
            worst += max(state.lead.cost for state in model.states)
        out = np.zeros(model.objectives, dtype=np.int64)
        weight = 1
        for g in reversed(range(objective)):
            unplaced = model.unplaced[g]
            if model.problem.objectives[g].unplaced is None or not unplaced.any() or held[g]:
                continue
            some = unplaced > 0
            weight = max(weight, int((worst[some] // unplaced[some]).max()) + 1)
            out[g] = FIRM * weight
        return out

    def prices(self, duals: Duals, flavor: IntArray) -> Prices:
        """Return the prices of duals with other ones for the flavors."""
        return prices_of(self.model, dataclasses.replace(duals, flavor=np.maximum(flavor, 0)))

    def run(self, model: cp_model.CpModel, *, budget: float) -> Answer:
        """Run CP-SAT here."""
        return run_model(
            model, budget=budget, seed=self.seed, seconds=self.clock.left_s, interrupt=self.clock.interrupt
        )

    @property
    def complete(self) -> bool:
        """Whether every placement of every shape in use was enumerated: else duals prove nothing."""
        return all(self.model.problem.shapes[state.shape].complete for state in self.model.states)

    def tell(self, number: int) -> None:
        """Report where an objective stands."""
        if self.on_progress is None:
            return
        objective = self.model.problem.objectives[number]
        self.on_progress(
            Progress(
                goal=objective.goal,
                part=objective.part,
                value=self.incumbent.values[number],
                bound=self.bounds[number].value,
                seconds=self.clock.seconds,
                engine=ENGINE,
                unit=objective.unit,
                sign=objective.sign,
            )
        )
