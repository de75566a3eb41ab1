"""One objective: generate columns, recombine them into an incumbent, improve that on a few hosts at a time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from ortools.sat.python import cp_model

from solvers.backends.cpsat import Answer
from solvers.backends.highs import minimised
from solvers.columns.branching.tree import Tree
from solvers.columns.certificate import certificate
from solvers.columns.duals import prices_of
from solvers.columns.generate import Bound, Generator
from solvers.columns.incumbent import Hosts
from solvers.columns.integer.dive import Diver
from solvers.columns.integer.neighbourhoods import HostSearch
from solvers.columns.integer.node_configs import NodeBook
from solvers.columns.integer.program import ColumnProgram, Run, Task
from solvers.columns.lattice import lattice_of
from solvers.columns.move_prices import MovePrices
from solvers.columns.pool import reduced_costs
from solvers.columns.pricing.by_tables import TablePricing
from solvers.columns.run import Kit
from solvers.problem import IntArray

VARIATIONS = 60
"""Sets of varied prices under which the nodes' best configurations are added to the program."""
DIVES = 4
COLUMNS = 12_000
"""Columns of whole hosts that the integer program gets."""
LISTED = 4_000
"""Listed patterns of a state that the integer program gets."""
AMPLITUDE = 300
"""How far prices vary, in thousandths."""
UNEVEN = 17
"""States from which on hosts are left whole and chosen by HiGHS: a program over nodes ends with no answer."""
COVER_NODES = 1
"""Nodes of HiGHS's tree: its heuristics at the root do the work."""
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

    def __post_init__(self) -> None:
        """Set up column generation on all columns known."""
        kit = self.kit
        unit = kit.model.problem.objectives[self.objective].unit
        self.generator = Generator(
            pool=kit.pool,
            layouts=kit.layouts,
            exact=kit.exact,
            objective=self.objective,
            held=self.held,
            penalty=self.soft / unit,
            scale=self._scale(),
            step_size=kit.steps[self.objective],
            packer=kit.packer,
            enumerator=kit.enumerator,
            batches=kit.batches,
            clock=kit.clock,
            seed=kit.seed,
            to_the_end=not self.unlike,
        )

    def _scale(self) -> int:
        """Return the grid of the duals: fine enough for the objective, and for what a unit held costs in it."""
        objectives = self.kit.model.problem.objectives
        unit = objectives[self.objective].unit
        scale = max(1, (1 << 28) // unit)
        for g in range(self.objective):
            if not self.soft[g] and objectives[g].unplaced is None:
                scale = max(scale, (objectives[g].unit << 16) // unit)
        return scale

    @property
    def bound(self) -> Bound | None:
        """The best bound so far."""
        return self.generator.best

    @property
    def leaves_out(self) -> bool:
        """Whether the master leaves a VM out, however much that costs."""
        answer = self.generator.answer
        return answer is not None and bool(answer.out.sum() >= 1)

    @property
    def weight(self) -> IntArray:
        """(objectives,) what integer programs minimise."""
        out = self.soft.copy()
        out[self.objective] = 1
        return out

    def generate(self) -> None:
        """Generate columns until master and bound meet."""
        self.kit.clock.end_round()
        self.generator.start_bound()
        if not self._bounded_by_moves():
            self.generator.run(self.tell)

    def _bounded_by_moves(self) -> bool:
        """Bound by what a move may be worth, and take what that makes better; return whether the answer is proven."""
        kit = self.kit
        if kit.clock.stopped:
            return False
        prices = MovePrices(kit=kit, generator=self.generator, objective=self.objective, held=self.held, soft=self.soft)
        for _ in prices.bounds():
            for hosts in prices.answers():
                kit.clock.check()
                kit.offer(kit.settler.settle(hosts), self.objective, self.held)
            if self.tell():
                return True
        return False

    def generate_on(self) -> None:
        """Generate what was left when the last rounds brought little, for the bound."""
        if not self.closed():
            self.generator.to_the_end = True
            self.generator.run(self.tell)

    def resume(self, earlier: Phase | None) -> None:
        """Take over the bound of an earlier phase of the objective, and with it its prices."""
        if earlier is not None and earlier.bound is not None:
            self.generator.best = earlier.bound

    def tell(self) -> bool:
        """Claim the bound where the incumbent has what is held; report; return whether the incumbent is proven best."""
        kit, bound = self.kit, self.bound
        reached = all(value <= most for value, most in zip(kit.incumbent.values, self.held, strict=False))
        if reached and bound is not None and kit.complete:
            lattice = lattice_of(kit.model, self.objective, self.held, kit.incumbent.values[self.objective])
            entry = certificate(self.held, bound, lattice)
            kit.claim(self.objective, entry["bound"], "Lagrangian bound over host states", entry, self.held)
        kit.tell(self.objective)
        return reached and self.closed()

    def tree(self, bound: Bound) -> Tree:
        """Return the branches that may raise a bound."""
        return Tree(
            kit=self.kit, objective=self.objective, held=self.held, soft=self.soft, scale=self._scale(), start=bound
        )

    def tell_tree(self, tree: Tree) -> None:
        """Claim a tree's bound, and report."""
        kit, bound = self.kit, tree.bound
        reached = all(value <= most for value, most in zip(kit.incumbent.values, self.held, strict=False))
        if reached and bound is not None and kit.complete:
            kit.claim(self.objective, bound, "Lagrangian bounds over the branches of a tree", tree.proof(), self.held)
        kit.tell(self.objective)

    def closed(self) -> bool:
        """Tell whether the incumbent is proven best."""
        bound = self.kit.bounds[self.objective].value
        return bound is not None and self.kit.incumbent.values[self.objective] <= bound

    # -- the integer program -------------------------------------------------------------------------------------------

    def program(self, *, residual: int, budget: float, is_round: bool) -> bool:
        """Recombine the columns into an answer for at least `residual` hosts; return whether it is better.

        What is found by the time that the wall clock cuts it off counts only where it is no round.
        """
        kit = self.kit

        def run(model: cp_model.CpModel) -> Answer:
            answer = kit.run(model, budget=budget)
            if answer.cut and not is_round:
                kit.clock.interrupt.work.reach(answer.values)
            if not (is_round and answer.cut):
                return answer
            kit.clock.cut_round()
            return replace(answer, values=None)

        if self.generator.answer is None:
            return False
        if not is_round:
            kit.clock.end_round()
        kit.learn_nodes()
        self._vary()
        self._enrich()
        return self._recombined(self._fixed(residual), kit.book, run)

    @property
    def uneven(self) -> bool:
        """Whether which hosts to use is the question, and there are many kinds of them."""
        return self.kit.model.problem.objectives[self.objective].host_cost and len(self.kit.model.states) >= UNEVEN

    @property
    def unlike(self) -> bool:
        """Whether hosts alike are filled with VMs that nearly all differ: what columns have to fit together most."""
        kit = self.kit
        return all(kit.packer.is_wide(state) for state in kit.model.states)

    def cover(self) -> bool:
        """Choose whole hosts from the columns by HiGHS, a round; return whether the answer is better."""
        kit = self.kit
        if self.generator.answer is None:
            return False

        def run(model: cp_model.CpModel) -> Answer:
            answer = minimised(model, nodes=COVER_NODES, seconds=kit.clock.left_s, interrupt=kit.clock.interrupt)
            if not answer.cut:
                return answer
            kit.clock.cut_round()
            return replace(answer, values=None)

        kit.pool.add([(state.index, state.null) for state in kit.model.states])
        book = NodeBook(model=kit.model, layouts=kit.layouts, whole=True)
        return self._recombined(np.zeros(kit.pool.size, dtype=np.int64), book, run)

    def _recombined(self, fixed: IntArray, book: NodeBook, run: Run) -> bool:
        """Fill the hosts that are not fixed from the columns and the book; return whether the answer is better."""
        kit = self.kit
        columns = kit.pool.all()
        task = self._rest(fixed)
        program = ColumnProgram(
            model=kit.model,
            book=book,
            task=task,
            columns=columns,
            chosen=self._open_columns(task),
            weight=self.weight,
        )
        found = program.solve(run)
        if found is None:
            return False
        hosts: Hosts = dict(found)
        for n in np.nonzero(fixed)[0].tolist():
            key = (int(columns.state[n]), columns.patterns[n])
            hosts[key] = hosts.get(key, 0) + int(fixed[n])
        better = kit.offer(kit.settler.settle(hosts), self.objective, self.held)
        self.tell()
        return better

    def _vary(self) -> None:
        """Add node configurations that are best under prices near the best ones."""
        kit = self.kit
        if self.bound is None or not kit.book.kinds:
            return
        duals = self.bound.duals
        rng = np.random.default_rng([kit.seed, self.objective])
        vcpus = np.array([flavor.vcpus for flavor in kit.model.problem.flavors], dtype=np.int64)
        per_vcpu = int((duals.flavor // np.maximum(vcpus, 1)).sum()) // len(vcpus)
        for _ in range(VARIATIONS):
            kit.clock.check()
            part = duals.flavor * rng.integers(-AMPLITUDE // 2, AMPLITUDE // 2, len(vcpus)) // 1000
            more = per_vcpu * vcpus * rng.integers(0, AMPLITUDE, len(vcpus)) // 1000
            kit.book.vary(TablePricing(kit.layouts, kit.prices(duals, duals.flavor + part + more)))

    def _enrich(self) -> None:
        """Add the best patterns of states whose patterns are all listed: with them the program may prove the
        optimum.
        """
        kit = self.kit
        if self.bound is None:
            return
        prices = prices_of(kit.model, self.bound.duals)
        found = []
        for state in kit.model.states:
            kit.clock.check()
            listed = kit.enumerator.price(state, prices, best=LISTED)
            found += [] if listed is None else [(state.index, pattern) for pattern in listed[1]]
        kit.pool.add(found)

    def _fixed(self, residual: int) -> IntArray:
        """Return (columns,): hosts that keep what the master gives them whole, all but `residual` or so."""
        kit = self.kit
        assert self.generator.answer is not None
        use = self.generator.answer.use
        fixed = np.zeros(kit.pool.size, dtype=np.int64)
        fixed[: len(use)] = np.floor(use + 1e-6)
        missing = residual - (kit.model.problem.host_count - int(fixed.sum()))
        while missing > 0 and fixed.any():
            # One host of each column in turn, the latest columns first: what is left is a small fleet of the same kind.
            give = np.nonzero(fixed)[0][-missing:]
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
        """Return the best `COLUMNS` columns of states with hosts left that can be part of a better answer."""
        columns = self.kit.pool.all()
        if self.bound is None:
            return np.nonzero(task.hosts[columns.state] > 0)[0][-COLUMNS:]
        duals = self.bound.duals
        excess = reduced_costs(columns, duals) - np.array(self.bound.least, dtype=np.int64)[columns.state]
        known = {(state, pattern) for state, pattern in self.kit.incumbent.hosts}
        mine = np.array([(int(s), p) in known for s, p in zip(columns.state, columns.patterns, strict=True)])
        open_ = np.nonzero((task.hosts[columns.state] > 0) & (mine | (excess <= self._to_win() * duals.scale)))[0]
        order = np.lexsort((open_, excess[open_], ~mine[open_]))
        out: IntArray = np.sort(open_[order][:COLUMNS])
        return out

    def _to_win(self) -> int:
        """Return how much better an answer can still be, in what integer programs minimise."""
        now = self.kit.incumbent.values
        bound = 0 if self.bound is None else self.bound.value
        weighted = sum(int(w) * now[o] for o, w in enumerate(self.weight) if o < self.objective)
        return weighted + now[self.objective] - bound

    # -- diving
    # ----------------------------------------------------------------------------------------------------------

    @property
    def whole_hosts(self) -> bool:
        """Whether some hosts cannot be taken apart into nodes, so that their columns have to fit together as they
        are.
        """
        return len({kind.state for kind in self.kit.book.kinds}) < len(self.kit.model.states)

    def dive(self) -> bool:
        """Dive a few times, each a little differently, then recombine what came; return whether the answer is
        better.
        """
        kit = self.kit
        if self.generator.answer is None:
            return False
        diver = Diver(self.generator, kit.model, brisk=self.unlike)
        better = False
        for number in range(DIVES):
            if not kit.clock.next_round():
                break
            fixed = np.zeros(kit.pool.size, dtype=np.int64)
            found = diver.dive(self._rest(fixed), np.random.default_rng([kit.seed, self.objective, 2, number]))
            if found is None:
                break
            better |= kit.offer(kit.settler.settle(found), self.objective, self.held)
            self.tell()
            if self.closed():
                break
        self.generator.set_whole()
        return better

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
