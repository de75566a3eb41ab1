"""Column generation for one objective: master, cheap pricing, exact pricing when that finds nothing, bounds on the way.

Duals are smoothed towards those of the best bound (Wentges 1997): half the iterations, and every point gives a
valid bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from solvers.clock import Clock
from solvers.columns.duals import Duals, Prices, bound_of, prices_of, rounded_duals
from solvers.columns.first_prices import resource_prices, volume_prices
from solvers.columns.master import FloatArray, Master, MasterAnswer
from solvers.columns.model import Pattern, State
from solvers.columns.points import Offers, Point
from solvers.columns.pool import Pool, reduced_costs
from solvers.columns.pricing.by_tables import TablePricing
from solvers.columns.pricing.exact import ExactPricer, row_bound
from solvers.columns.pricing.layouts import Layouts
from solvers.columns.pricing.listed import Enumerator
from solvers.columns.pricing.many_hosts import LiveBatches, LivePricing
from solvers.columns.pricing.narrow import Narrow
from solvers.columns.pricing.packed import Packer
from solvers.problem import IntArray

SMOOTHING = 0.6
RESERVE, LONG_RESERVE = 0.2, 0.5
"""Share of the time that is kept for making an answer of the columns: more where generation ends before its end."""
PATIENCE, LITTLE = 30, 2e-3
"""Rounds in which the master has to win so much of its value, where generation ends before its end."""
CLOSE = 2e-7
"""Relative distance of master and bound at which column generation is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A bound on the objective with what proves it: the duals, and each state's least reduced cost."""

    value: int
    duals: Duals
    least: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class Generator:
    """Generates columns for one objective with the earlier ones held.

    `held` are the earlier objectives' values; `penalty` (objectives,) weights of earlier objectives that are
    minimised beside this one instead of held (0: held). `scale` is the grid of the duals. `to_the_end` says whether
    columns are generated until none pays, or until many rounds bring little.
    """

    pool: Pool
    layouts: Layouts
    exact: ExactPricer
    objective: int
    held: tuple[int, ...]
    penalty: FloatArray
    scale: int
    step_size: int
    seed: int
    packer: Packer
    enumerator: Enumerator
    batches: LiveBatches
    clock: Clock
    to_the_end: bool = True
    master: Master = field(init=False)
    answer: MasterAnswer | None = None
    best: Bound | None = None
    demand: IntArray = field(init=False)
    hosts: IntArray = field(init=False)
    _center: Point | None = None
    _exact_budget: float = 0.5

    def __post_init__(self) -> None:
        """Make the master with every column known."""
        model = self.pool.evaluator.model
        self.demand, self.hosts = model.demand, model.count_of
        self.master = Master(
            model=model,
            objective=self.objective,
            held=self.held,
            penalty=self.penalty,
            demand=self.demand,
            hosts=self.hosts,
        )

    def set_sides(self, demand: IntArray, hosts: IntArray, *, held: Sequence[int], moves: int, migrations: int) -> None:
        """Price for what is left of the fleet, and of what the earlier objectives and budgets allow: no bounds then."""
        self.demand, self.hosts = demand, hosts
        self.master.set_sides(demand, hosts, held=held, moves=moves, migrations=migrations)

    def set_whole(self) -> None:
        """Price for the whole fleet again."""
        model = self.pool.evaluator.model
        budget = model.problem.budget
        self.set_sides(
            model.demand,
            model.count_of,
            held=self.held,
            moves=budget.moves or 0,
            migrations=budget.migrations or 0,
        )

    @property
    def whole(self) -> bool:
        """Whether the master stands for the whole fleet."""
        model = self.pool.evaluator.model
        return self.demand is model.demand and self.hosts is model.count_of

    def start_bound(self) -> None:
        """Bound by duals of zero: what each state costs at least by itself."""
        model = self.pool.evaluator.model
        zero = Point(np.zeros(len(model.phantom)), np.zeros(model.objectives), 0.0, 0.0)
        duals = self._duals(zero)
        self._note(zero, duals, self._offers(duals).least)
        self._center = None
        if model.problem.objectives[self.objective].host_cost:
            # All rows together bound more than any kind of row by itself: most of these need not be priced after that.
            self._resource_bound()
            self._volume_bounds()

    def _resource_bound(self) -> None:
        """Bound the cost of hosts by all rows together, and keep what these prices make of each state."""
        model = self.pool.evaluator.model
        worth = resource_prices(model, self.objective, self.held)
        if worth is not None:
            point = Point(worth, np.zeros(model.objectives), 0.0, 0.0)
            duals = self._duals(point)
            offers = self._offers(duals)
            self._note(point, duals, offers.least)
            self._add(offers.found)

    def _volume_bounds(self) -> None:
        """Bound the cost of hosts by what the VMs take of each kind of row: duals in proportion to it."""
        model = self.pool.evaluator.model
        for worth in volume_prices(model):
            # Where hosts that hold nothing cost nothing, no bound of these duals is above what the VMs are worth.
            if self.best is None or model.present.any() or worth @ model.demand > self.best.value:
                point = Point(worth, np.zeros(model.objectives), 0.0, 0.0)
                duals = self._duals(point)
                self._note(point, duals, self._offers(duals).least)

    def bound_at(self, point: Point, sharpen: Callable[[Duals, list[int]], None]) -> None:
        """Bound by given duals; `sharpen` raises what is known of the least reduced costs of single states."""
        duals = self._duals(point)
        least = self._offers(duals).least
        sharpen(duals, least)
        self._note(point, duals, least)

    def resume(self, bound: Bound) -> None:
        """Go on from a bound known to hold here, and from its duals."""
        duals = bound.duals
        self.best = bound
        self._center = Point(
            duals.flavor / duals.scale,
            duals.hold / duals.scale,
            duals.moves / duals.scale,
            duals.migrations / duals.scale,
        )

    def run(self, tell: Callable[[], bool], *, reserve: float | None = None) -> None:
        """Generate until master and bound meet, nothing is found, `tell` says it is enough, or the clock stops it.

        `reserve` is the share of the time that is left for what has to follow (None: what is usual).
        """
        if reserve is None:
            reserve = RESERVE if self.to_the_end else LONG_RESERVE
        stale = 0
        smooth = False
        values: list[float] = []
        while self.clock.next_round(reserve=reserve):
            before = self.best
            found = self.step()
            if tell() or self.answer is None or self._closed() or self.clock.stopped:
                return
            values.append(self.answer.value)
            if not self.to_the_end and self._wins_little(values):
                return
            if found:
                stale = 0
                continue
            if not self.clock.next_round(reserve=reserve):
                return
            found = self.exact_step(smooth=smooth)
            if tell() or self.clock.stopped:
                return
            # Plain duals are the end of it; while they find much and prove little, duals nearer to the best ones do
            # better.
            improved = self.best is not before
            stale = 0 if found or improved else stale + 1
            smooth = not smooth and bool(found) and not improved
            if self._closed() or stale > 1:
                return

    def _wins_little(self, values: Sequence[float]) -> bool:
        """Tell whether the last rounds have brought little; the first ones bring nothing while columns are few."""
        if len(values) < 4 * PATIENCE:
            return False
        return values[-PATIENCE] - values[-1] < LITTLE * abs(values[-1])

    def _closed(self) -> bool:
        if self.answer is None or self.best is None:
            return False
        # Values count in steps: a bound that rounds up to the master's value can rise no more.
        reached = -(-self.best.value // self.step_size) * self.step_size
        return self.answer.value - reached <= max(0.5, CLOSE * abs(self.answer.value))

    def step(self) -> int:
        """Solve the master, price cheaply at smoothed and then at plain duals; return how many columns came."""
        self.master.add_since(self.pool)
        answer = self.master.solve(self.clock.left_s)
        if answer is None and self.clock.left_s <= 0:
            self.clock.cut_round()
            return 0
        self.answer = answer
        if self.answer is None:
            return 0
        plain = Point(self.answer.flavor, self.answer.hold, self.answer.moves, self.answer.migrations)
        if self._center is not None and self.whole:
            found = self._price(plain.towards(self._center, SMOOTHING))
            if found:
                return found
        return self._price(plain)

    def _duals(self, point: Point) -> Duals:
        return rounded_duals(
            self.pool.evaluator.model,
            self.objective,
            self.scale,
            flavor=point.flavor,
            hold=point.hold,
            moves=point.moves,
            migrations=point.migrations,
        )

    def _price(self, point: Point) -> int:
        duals = self._duals(point)
        offers = self._offers(duals)
        if self.whole:
            self._note(point, duals, offers.least)
        return self._add(offers.found)

    def _offers(self, duals: Duals) -> Offers:
        """Return what pricing says of every state; 0 and no patterns for states already full."""
        model = self.pool.evaluator.model
        prices = prices_of(model, duals)
        self.clock.check()
        tables = TablePricing(self.layouts, prices)
        many = 4 * np.count_nonzero(self.hosts) > len(model.states)
        live = LivePricing(self.batches, tables) if many else None
        leaving = self._all_leave(prices)
        paying: dict[int, Pattern] = {}
        if live is not None and live.most and self.answer is not None:
            sigma = np.floor(self.answer.state * self.scale)
            paying = live.patterns(leaving - sigma.astype(np.int64))
        least: list[int] = []
        patterns: list[tuple[Pattern, ...]] = []
        for state in model.states:
            self.clock.check()
            bound: int = 0
            found: tuple[Pattern, ...] = ()
            if live is not None and state.index in live.most:
                bound = int(leaving[state.index]) - live.most[state.index]
                found = (paying[state.index],) if state.index in paying else ()
            elif self.hosts[state.index]:
                bound, found = self._offer(state, duals, tables, int(leaving[state.index]))
            least.append(bound)
            patterns.append(found)
        return Offers(least, patterns, live)

    def _all_leave(self, prices: Prices) -> IntArray:
        """Return (states,): what it costs when all VMs present leave."""
        present = self.pool.evaluator.model.present[:, ~self.pool.evaluator.model.phantom].sum(axis=1)
        out: IntArray = present * (prices.leave_place + prices.leave_host)
        return out

    def _offer(self, state: State, duals: Duals, tables: TablePricing, leaving: int) -> tuple[int, tuple[Pattern, ...]]:
        """Return a bound on a state's least reduced cost, and patterns: from a list of all, from tables, or by
        packing; `leaving` is what it costs when all VMs present leave.
        """
        listed = self.enumerator.price(state, tables.prices)
        if listed is not None:
            return -listed[0], listed[1]
        if self.packer.is_wide(state):
            return row_bound(self.pool.evaluator.model, state, duals), self.packer.wide(state, tables.prices)
        offer = tables.offer(state)
        least, patterns = None, offer.patterns
        if offer.most is not None:
            least = leaving - offer.most
        if not self.layouts.exact(state):
            patterns = (*patterns, *self.packer.patterns(state, tables.prices))
            bound = row_bound(self.pool.evaluator.model, state, duals)
            least = bound if least is None else max(least, bound)
        assert least is not None
        return least, patterns

    def _note(self, point: Point, duals: Duals, least: list[int]) -> None:
        """Keep a bound if it is the best, and smooth towards its duals."""
        value = bound_of(self.pool.evaluator.model, duals, self.held, least)
        if value is not None and (self.best is None or value > self.best.value):
            self.best = Bound(value=value, duals=duals, least=tuple(least))
            self._center = point

    def _add(self, found: list[tuple[int, Pattern]]) -> int:
        before = self.pool.size
        self.pool.add(found)
        return self.pool.size - before

    def exact_step(self, *, smooth: bool) -> int:
        """Price by CP-SAT the states that keep master and bound apart, a round; return how many columns came."""
        if self.answer is None:
            return 0
        model = self.pool.evaluator.model
        point = Point(self.answer.flavor, self.answer.hold, self.answer.moves, self.answer.migrations)
        if self._center is not None and self.whole and smooth:
            point = point.towards(self._center, SMOOTHING)
        duals = self._duals(point)
        offers = self._offers(duals)
        least = offers.least
        slack = [
            (float(self.answer.state[state.index]) * self.scale - least[state.index]) * int(self.hosts[state.index])
            for state in model.states
        ]
        tolerance = max(0.25, 0.25 * CLOSE * abs(self.answer.value)) * self.scale
        order = [index for index in np.argsort(-np.array(slack), kind="stable") if slack[index] > 0]
        rest = float(sum(slack[index] for index in order))
        chosen: list[State] = []
        for index in order:
            if rest <= tolerance:
                break
            chosen.append(model.states[index])
            rest -= slack[index]
        chosen, narrows, known = self._narrowed(chosen, duals, offers)
        answers = self.exact.price(
            chosen,
            duals,
            [next(iter(offers.patterns[state.index]), None) for state in chosen],
            narrows,
            budget=self._exact_budget,
            seed=self.seed,
        )
        if answers is None:
            self.clock.cut_round()
            return 0
        for index in known.keys() - {state.index for state in chosen}:
            least[index] = known[index]
        found = []
        for priced in answers:
            # Where narrowed, no pattern is better than the known one but those that were looked at.
            floor = known.get(priced.state)
            if priced.least is not None:
                found_least = priced.least if floor is None else min(floor, priced.least)
                least[priced.state] = max(least[priced.state], found_least)
            elif priced.none and floor is not None:
                least[priced.state] = floor
            found += [(priced.state, pattern) for pattern in priced.patterns]
        if self.whole:
            self._note(point, duals, least)
        if any(not priced.optimal for priced in answers):
            self._exact_budget *= 2
        return self._add(found)

    def _narrowed(
        self, chosen: list[State], duals: Duals, offers: Offers
    ) -> tuple[list[State], list[Narrow | None], dict[int, int]]:
        """Return which states CP-SAT still has to look at, what of each (None: all), and what is known of the narrowed
        ones: the least reduced cost of a pattern.
        """
        model, live = self.pool.evaluator.model, offers.live
        best = (
            {} if live is None or model.problem.budget.host_out is not None else {s.index: live.best(s) for s in chosen}
        )
        found = [(index, pattern) for index, pattern in best.items() if pattern is not None]
        columns = self.pool.evaluator.evaluate([index for index, _ in found], [pattern for _, pattern in found])
        costs = reduced_costs(columns, duals).tolist()
        known = {index: cost for (index, _), cost in zip(found, costs, strict=True)}
        leaving = self._all_leave(prices_of(model, duals))
        rest: list[State] = []
        narrows: list[Narrow | None] = []
        for state in chosen:
            narrow = None
            if live is not None and state.index in known:
                narrow = live.narrow(state, int(leaving[state.index]) - known[state.index])
                if narrow is None:
                    continue
            rest.append(state)
            narrows.append(narrow)
        return rest, narrows, known
