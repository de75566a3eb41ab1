"""The columns engine: Dantzig-Wolfe over host states, for fleets of dozens to tens of thousands of hosts.

Objectives are taken in order, each with the earlier ones held at their incumbents. For one objective: columns are
generated until master and bound meet (`solvers.columns.generate`), recombined by an integer program over nodes and
hosts (`solvers.columns.integer.program`), and the answer is improved a few hosts at a time
(`solvers.columns.integer.neighbourhoods`). When all objectives have had their turn, those not proven get further
turns until the limit. The work is cut in rounds; wall clock and interrupt are looked at between them, and a round
that the clock has to cut off counts as never begun.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from solvers.claims import with_claims
from solvers.clock import Clock, CutOffError
from solvers.columns.branching.tree import Tree
from solvers.columns.incumbent import Hosts
from solvers.columns.lattice import lattice_of
from solvers.columns.model import StateModel, pattern_of
from solvers.columns.phase import Phase
from solvers.columns.pricing.exact import settled
from solvers.columns.run import ENGINE, Kit
from solvers.objective import ceiling
from solvers.problem import IntArray, Problem
from solvers.proofs.first_claims import leaving_claims, plain_floor
from solvers.proofs.floors import changes_floor
from solvers.result import Interrupt, Limits, ObjectiveResult, OnProgress, Result

FEW, MANY = 40, 1_000
"""Hosts that the integer program decides on at least, in a first and in a second try."""
PROGRAM_BUDGET = 2.0
LONGER = 24
"""Rounds on a few hosts that an objective gets in a further turn."""
BRANCHED = 64
"""Most states of a fleet whose bounds are raised by branching."""
NODES = 40
"""Nodes that are split in a turn."""


def solve_columns(
    problem: Problem,
    *,
    limits: Limits,
    seed: int = 0,
    warm_start: Result | None = None,
    proven: Sequence[ObjectiveResult] = (),
    on_progress: OnProgress | None = None,
    interrupt: Interrupt | None = None,
    workers: int = 1,
    executor: Executor | None = None,
) -> Result:
    """Solve by column generation over host states; a valid bound on every objective in any case.

    Parameters
    ----------
    warm_start : a result of the same problem to start from.
    proven : bounds that are known already, in the order of the objectives.
    workers, executor : tasks run on `executor`, or on a pool of `workers` threads; the answer is the same with any
    number.
    """
    clock = Clock(limits=limits, interrupt=interrupt or Interrupt())
    if executor is None and workers > 1:
        with ThreadPoolExecutor(max_workers=workers) as pool:
            return _Run.of(problem, clock, seed, pool, on_progress).solve(warm_start, proven)
    return _Run.of(problem, clock, seed, executor, on_progress).solve(warm_start, proven)


@dataclass(slots=True)
class _Run:
    """One run over all objectives."""

    kit: Kit
    phases: dict[int, Phase] = field(default_factory=dict)
    trees: dict[int, Tree] = field(default_factory=dict)

    @classmethod
    def of(
        cls, problem: Problem, clock: Clock, seed: int, executor: Executor | None, on_progress: OnProgress | None
    ) -> _Run:
        """Make the parts of a run."""
        return cls(Kit(StateModel(problem=problem), clock, seed, executor, on_progress))

    @property
    def _count(self) -> int:
        return self.kit.model.objectives

    def solve(self, warm_start: Result | None, proven: Sequence[ObjectiveResult]) -> Result:
        """Run."""
        kit = self.kit
        if not self._start(warm_start):
            return self._nothing()
        kit.pool_incumbent()
        self._floors()
        kit.claims.take(proven)
        try:
            self._together()
            for objective in range(self._count):
                if not self._closed(objective):
                    self._phase(objective)
            self._further()
        except CutOffError:
            kit.clock.cut_round()
        return self._result()

    # -- where it starts -----------------------------------------------------------------------------------------------

    def _start(self, warm_start: Result | None) -> bool:
        """Find a first answer: the given one, or all as it is and every new VM left out."""
        kit = self.kit
        found = None if warm_start is None else self._taken(warm_start)
        if found is None:
            hosts: Hosts = {}
            for state in kit.model.states:
                pattern = self._as_it_is(state.index)
                if not kit.model.fits(state, pattern):
                    # A host that holds more than it may is no answer: bounds would be above what it costs.
                    return False
                hosts[state.index, pattern] = state.count
            found_ = kit.settler.settle(hosts, fill=False)
            if found_ is None:
                return False
            kit.incumbent = found_
            return True
        hosts, out = found
        kit.incumbent = kit.ledger.incumbent(hosts, out)
        return True

    def _as_it_is(self, index: int) -> tuple[tuple[int, int], ...]:
        """Return a state's pattern as it is, floating VMs settled on it as well as the tables find."""
        kit = self.kit
        state = kit.model.states[index]
        if not state.floating.any():
            return state.null
        return settled(kit.model, state, seed=kit.seed)

    def _taken(self, result: Result) -> tuple[Hosts, IntArray] | None:
        """Return a result's hosts and VMs left out, if it is an answer to this problem."""
        kit = self.kit
        if result.status not in ("optimal", "feasible"):
            return None
        hosts: Hosts = {}
        covered = np.zeros(len(kit.model.problem.classes), dtype=np.int64)
        for pattern in result.patterns:
            index = int(kit.model.state_of_class[pattern.host_class])
            whole = pattern_of(dict((*pattern.placements, *pattern.phantoms)))
            if not kit.model.fits(kit.model.states[index], whole):
                return None
            hosts[index, whole] = hosts.get((index, whole), 0) + pattern.count
            covered[pattern.host_class] += pattern.count
        out = np.array(result.unplaced, dtype=np.int64)
        total = out + sum(count * kit.ledger.amounts(*key) for key, count in hosts.items())
        counts = [cls.count for cls in kit.model.problem.classes]
        if (total != kit.model.demand).any() or (covered != counts).any() or (out > kit.model.arriving).any():
            return None
        if not kit.ledger.within_budget(kit.ledger.incumbent(hosts, out)):
            return None
        return hosts, out

    def _floors(self) -> None:
        """Claim what costs that are never negative prove by themselves, and how little few moves can change."""
        kit = self.kit
        problem = kit.model.problem
        for number, objective in enumerate(problem.objectives):
            if (kit.model.cost[:, number] < 0).any():
                continue
            kit.claim(number, *plain_floor(problem, objective, known=kit.complete))

    def _least_moves(self, objective: int, held: tuple[int, ...]) -> None:
        """Claim how many moves it takes at least to reach what earlier objectives are held at."""
        kit = self.kit
        objectives = kit.model.problem.objectives
        for claim in leaving_claims(kit.model.problem, objective, held):
            if claim.value is not None:
                kit.claim(objective, claim.value, claim.source, held=claim.held)
        if not kit.complete:
            return
        known = [(objectives[g], held[g]) for g in range(objective) if not (kit.model.cost[:, g] < 0).any()]
        if floor := changes_floor(kit.model.problem, objectives[objective], known):
            kit.claim(objective, floor, "what each move can save at most", held=held)

    def _closed(self, objective: int) -> bool:
        bound = self.kit.bounds[objective].value
        return bound is not None and self.kit.incumbent.values[objective] <= bound

    # -- phases --------------------------------------------------------------------------------------------------------

    def _together(self) -> None:
        """Try to place every VM while the first other objective is minimised: mostly that settles both."""
        kit = self.kit
        objectives = kit.model.problem.objectives
        leaving = [o for o in range(self._count) if objectives[o].unplaced is not None and not self._closed(o)]
        others = [o for o in range(self._count) if objectives[o].unplaced is None and self._costs(o)]
        # Where that one is at its bound already there is nothing to be settled with: VMs left out come by themselves.
        if leaving and others and leaving[-1] < others[0] and not self._closed(others[0]):
            self._phase(others[0], targets={o: kit.bounds[o].value or 0 for o in leaving})

    def _costs(self, number: int) -> bool:
        """Tell whether placing VMs costs anything in an objective."""
        model, objective = self.kit.model, self.kit.model.problem.objectives[number]
        return bool(
            model.cost[:, number].any()
            or (objective.host_cost and any(state.lead.cost for state in model.states))
            or (objective.hinge is not None and any(shape.hinges for shape in model.problem.shapes))
            or objective.shortage is not None
        )

    def _phase(self, objective: int, targets: dict[int, int] | None = None) -> None:
        """Work on one objective; `targets` are values that earlier ones shall reach on the way."""
        kit = self.kit
        held = self._held(objective, targets or {})
        self._least_moves(objective, held)
        if self._reached(objective, held):
            kit.tell(objective)
            return
        phase = Phase(kit=kit, objective=objective, held=held, soft=kit.soft(objective, held))
        self.phases[objective] = phase
        late = bool(kit.clock.stopped)
        phase.generate()
        if late:
            # There was no time left for this objective: it gets its first bounds, and no more.
            phase.tell()
            return
        if targets and phase.leaves_out:
            # Not all find a place: how few stay out is a question by itself, for which the columns are there now.
            phase.tell()
            return
        if not self._done(phase) and phase.uneven and kit.clock.next_round():
            phase.cover()
        if not self._done(phase) and phase.unlike:
            phase.dive()
            phase.generate_on()
        if not self._done(phase):
            phase.program(residual=FEW, budget=PROGRAM_BUDGET, is_round=False)
        if not self._done(phase) and phase.whole_hosts and kit.clock.next_round():
            phase.program(residual=MANY, budget=4 * PROGRAM_BUDGET, is_round=True)
        if not self._done(phase) and phase.whole_hosts:
            phase.dive()
        if not self._done(phase):
            self._branch(phase)
        while not self._done(phase) and not phase.rests and kit.clock.next_round():
            phase.improve()
        phase.tell()

    def _held(self, objective: int, targets: dict[int, int]) -> tuple[int, ...]:
        """Return what the earlier objectives may cost: their incumbents, and their tolerance."""
        values, objectives = self.kit.incumbent.values, self.kit.model.problem.objectives
        return tuple(ceiling(targets.get(g, values[g]), objectives[g].tolerance) for g in range(objective))

    def _done(self, phase: Phase) -> bool:
        """Tell whether an objective is proven, and the earlier ones reached what they were held at."""
        return self._reached(phase.objective, phase.held)

    def _reached(self, objective: int, held: tuple[int, ...]) -> bool:
        now = self.kit.incumbent.values
        return all(value <= most for value, most in zip(now, held, strict=False)) and self._closed(objective)

    def _further(self) -> None:
        """Go on with what is not proven, objective by objective, while rounds bring something."""
        kit = self.kit
        worn: set[int] = set()
        while True:
            pending = [o for o in range(self._count) if not self._closed(o) and o not in worn]
            if not pending:
                return
            objective = pending[0]
            held = self._held(objective, {})
            phase = Phase(kit=kit, objective=objective, held=held, soft=kit.soft(objective, held))
            before = kit.incumbent.values, kit.bounds[objective].value
            phase.resume(self.phases.get(objective))
            self._branch(phase)
            for _ in range(LONGER):
                if self._done(phase) or not kit.clock.next_round():
                    break
                phase.improve()
            if kit.clock.stopped:
                return
            if (kit.incumbent.values, kit.bounds[objective].value) == before:
                worn.add(objective)

    def _branch(self, phase: Phase) -> None:
        """Raise a bound by branching, and make an answer of the columns that came of it."""
        kit, objective = self.kit, phase.objective
        lattice = lattice_of(kit.model, objective, phase.held, kit.incumbent.values[objective])
        if phase.bound is None or lattice is None or len(kit.model.states) > BRANCHED:
            return
        tree = self.trees.get(objective)
        if tree is None or tree.held != phase.held:
            tree = phase.tree(phase.bound)
            self.trees[objective] = tree
        known = len(tree.found)
        for _ in range(NODES):
            if self._done(phase) or not tree.grow():
                break
            phase.tell_tree(tree)
        if len(tree.found) > known and not self._done(phase) and kit.clock.next_round():
            kit.pool.add(list(tree.found))
            phase.generator.step()
            phase.program(residual=FEW, budget=PROGRAM_BUDGET, is_round=True)

    # -- what comes out ------------------------------------------------------------------------------------------------

    def _nothing(self) -> Result:
        objectives = tuple(
            ObjectiveResult(goal=o.goal, part=o.part, value=None, bound=None, source="", status="unknown")
            for o in self.kit.model.problem.objectives
        )
        return Result(status="unknown", objectives=objectives, rounds=self.kit.clock.rounds, engine=ENGINE)

    def _result(self) -> Result:
        kit = self.kit
        rows = tuple(replace(row, stopped=kit.clock.stopped) for row in self._nothing().objectives)
        found = Result(
            status="feasible",
            objectives=rows,
            patterns=kit.ledger.patterns(kit.incumbent),
            unplaced=tuple(int(n) for n in kit.incumbent.out),
            rounds=kit.clock.rounds,
            engine=ENGINE,
            certificate={"objectives": []},
        )
        return with_claims(found, kit.incumbent.values, kit.claims)
