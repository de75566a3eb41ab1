"""The one door: choose an engine by size, and always hand back the best answer that there is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from solvers.choice import EXACT_LIMIT, Engine, choose, columns_cannot, counts_of
from solvers.claims import Claims, with_claims
from solvers.clock import Clock
from solvers.evaluate import evaluate
from solvers.problem import Problem
from solvers.proofs.first_claims import nowhere, proven_first
from solvers.result import Interrupt, Limits, ObjectiveResult, OnProgress, Progress, Result

if TYPE_CHECKING:
    from solvers.improve.stage import Stage

PATIENCE, LONG_PATIENCE = 4, 12
"""Rounds of one kind that may bring nothing before the engines and after them."""
CROWD = 100
"""More VMs than that are put in by an integer program before they are by exchanges."""
BRIMS = 4
"""Times that some hosts are filled anew for what is left out."""
FEW_COUNTS = 4_096
"""Up to so many counts engines take their turn even where the first answer is proven: they break ties as well."""
BRIEF_SWEEPS = 1
"""The exact engine's short turn on small problems."""
BRIEF_ROUNDS = 16
"""The columns engine's short turn after that."""


def solve(
    problem: Problem,
    *,
    engine: Engine = "auto",
    limits: Limits,
    seed: int = 0,
    warm_start: Result | None = None,
    on_progress: OnProgress | None = None,
    interrupt: Interrupt | None = None,
    workers: int = 1,
    executor: Executor | None = None,
) -> Result:
    """Solve a problem with the engine that suits it, from the greedy answer or a given one.

    Parameters
    ----------
    engine : ``auto`` takes ``exact`` for small problems and ``columns`` for large ones.
    limits : seconds, or rounds; the greedy answer is always found.
    workers, executor : for the columns engine, whose work is many tasks; the answer does not depend on them.

    Raises
    ------
    UnsupportedError
        If an engine was asked for by name and cannot do what the problem asks.
    """
    from solvers.reductions.named_first import solve_first
    from solvers.starts.evacuate import evacuated
    from solvers.starts.family import best_of_family
    from solvers.starts.host_by_host import fewer_hosts
    from solvers.starts.mend import mended
    from solvers.starts.mend_rules import rules_mended

    if not problem.classes:
        return nowhere(problem)
    run = _Ladder(
        problem=problem,
        limits=limits,
        seed=seed,
        on_progress=on_progress,
        interrupt=interrupt or Interrupt(),
        workers=workers,
        executor=executor,
    )
    run.interrupt.work.begin("first answers")
    run.best = solve_first(problem, seed=seed, clock=Clock(limits, run.interrupt), warm_start=warm_start)
    if run.best.status == "unknown" and warm_start is not None:
        run.best = warm_start
    if warm_start is None and engine != "greedy":
        run.best = best_of_family(problem, fewer_hosts(problem, run.best, seed=seed), run.is_over)
        run.best = evacuated(problem, mended(problem, run.best, run.is_over))
        run.best = rules_mended(problem, run.best, run.is_over)
    run.interrupt.preparing = False
    run.tell("greedy", "first answer")
    if engine == "auto" and run.has_no_time:
        return run.result()
    chosen = choose(problem, engine)
    if chosen == "greedy":
        return run.best
    if engine == "auto":
        large = counts_of(problem) > FEW_COUNTS or (problem.rules and chosen == "columns")
        if large and run.best.is_answer and (first := proven_first(problem, run.best)).status == "optimal":
            return first
        run.climb(chosen)
    elif chosen == "exact":
        run.exact()
    else:
        run.columns()
    return run.result()


@dataclass(slots=True, kw_only=True)
class _Ladder:
    """Engines one after the other, each from the best answer so far and with what is left of time and rounds.

    Where one stops and the next begins depends on rounds alone, never on the clock: so all rounds together replay it.
    """

    problem: Problem
    limits: Limits
    seed: int
    on_progress: OnProgress | None
    interrupt: Interrupt
    workers: int
    executor: Executor | None
    best: Result = field(init=False)
    began: float = field(default_factory=time.monotonic)
    rounds: int = 0
    climbed: bool = False
    """Whether an engine has had its turn, so that `best` has bounds."""

    def climb(self, chosen: Engine) -> None:
        """Take the steps that suit the problem until all is proven or the limits are met."""
        able = not columns_cannot(self.problem)
        if chosen == "exact":
            if able and not self.problem.rules:
                # Each of the two proves in a second what the other one does not in an hour: both get a short turn.
                self.exact((0, BRIEF_SWEEPS))
                self.fill_in()
                self.to_the_brim(wide=True)
                self.brim_by_brim()
                self.improve(PATIENCE)
                if self.goes_on:
                    self.columns(BRIEF_ROUNDS)
            if self.goes_on or not self.climbed:
                self.exact((BRIEF_SWEEPS if self.climbed else 0, None))
            return
        self.full_hosts()
        self.brim_by_brim()
        # Exchanges place one VM after the other: they come last where a crowd is left out.
        if crowd := sum(self.best.unplaced) > CROWD:
            self.fill_in()
        self.improve(PATIENCE)
        self.to_the_brim(wide=True)
        self.to_the_brim(wide=False)
        if not crowd:
            self.fill_in()
        if self.has_no_time:
            return
        self.columns()
        if self.problem.rules:
            self.best = proven_first(self.problem, self.best)
        if not any(objective.tolerance for objective in self.problem.objectives):
            # Tolerance is used up for later goals: to win it back would undo them.
            self.improve(LONG_PATIENCE)
        # What the columns engine leaves open, the exact engine may still close where its model is small enough.
        if self.goes_on and counts_of(self.problem) <= EXACT_LIMIT:
            self.exact()

    @property
    def has_no_time(self) -> bool:
        """Whether the time is over, there is an answer, and first bounds of an engine would take seconds."""
        return self.is_over() and self.best.is_answer and counts_of(self.problem) > FEW_COUNTS

    @property
    def left(self) -> Limits:
        """What is left of time and rounds."""
        rounds = None if self.limits.rounds is None else max(0, self.limits.rounds - self.rounds)
        return Limits(time_limit_s=max(0.0, self.limits.time_limit_s - (time.monotonic() - self.began)), rounds=rounds)

    def is_over(self) -> bool:
        """Tell whether the time is up, or somebody does not want to wait any longer."""
        return not self.interrupt.work.look(not self.interrupt.requested and self.left.time_limit_s > 0)

    @property
    def goes_on(self) -> bool:
        """Whether anything is left to prove, and time and rounds to try it."""
        left = self.left
        return not self.is_over() and left.rounds != 0 and self.best.status not in ("optimal", "infeasible")

    def fill_in(self) -> None:
        """Look for a first answer that leaves fewer VMs out: a round."""
        from solvers.starts.fill_in import fill_in

        if self.best.patterns and self.goes_on:
            before = self.interrupt.work.begin("fill in")
            found, searched = fill_in(self.problem, self.best, time_limit_s=self.left.guard_s, interrupt=self.interrupt)
            self.rounds += self.interrupt.work.searched(searched, before)
            self.take(found, "linear", "fuller first answer")

    def take(self, found: Result, engine: str, words: str) -> None:
        """Go on from an answer that is another one than the best, with what was proven till then."""
        if found is not self.best:
            values = evaluate(self.problem, found.patterns, found.unplaced)
            self.best = with_claims(replace(found, objectives=self.best.objectives), values, Claims.of(self.best))
            self.tell(engine, words)

    def full_hosts(self) -> None:
        """Look for a first answer on as few hosts as there must be, where they have to be full: a round."""
        from solvers.starts.full_hosts import full_hosts

        if self.best.patterns and self.goes_on:
            before = self.interrupt.work.begin("full hosts")
            self.best, searched = full_hosts(
                self.problem,
                self.best,
                seed=self.seed,
                time_limit_s=self.left.guard_s,
                interrupt=self.interrupt,
            )
            self.rounds += self.interrupt.work.searched(searched, before)

    def brim_by_brim(self) -> None:
        """Look for a place for all VMs where they fill all hosts next to fully, host after host: a round."""
        from solvers.starts.brim_by_brim import brim_by_brim

        if self.goes_on:
            before = self.interrupt.work.begin("hosts to the brim")
            found, searched = brim_by_brim(
                self.problem,
                self.best,
                seed=self.seed,
                clock=Clock(limits=self.left, interrupt=self.interrupt),
            )
            self.rounds += self.interrupt.work.searched(searched, before)
            self.take(found, "fillings", "a place for all")

    def to_the_brim(self, *, wide: bool) -> None:
        """Look for a place for all VMs where they fill all of a few hosts next to fully (`wide`), or the hosts with
        most room of any fleet: rounds.
        """
        from solvers.starts.to_the_brim import NARROW, WIDE, to_the_brim

        if wide and self.problem.host_count > WIDE:
            return
        for number in range(1 if wide else BRIMS):
            if not self.goes_on:
                return
            before = self.interrupt.work.begin("hosts to the brim")
            found, searched = to_the_brim(
                self.problem,
                self.best,
                hosts=WIDE if wide else NARROW,
                seed=number and self.seed + number,
                clock=Clock(limits=self.left, interrupt=self.interrupt),
            )
            self.rounds += self.interrupt.work.searched(searched, before)
            self.take(found, "fillings", "a place for all")

    def improve(self, patience: int, *, late: bool = False) -> None:
        """Improve the best answer in small rounds, until as many as `patience` says bring nothing; where it is `late`
        one round, and more till a round would be cut off.
        """
        from solvers.improve.stage import stage_of
        from solvers.starts.mend import firm

        if not self.goes_on and not late:
            return
        stage = stage_of(firm(self.problem, self.best), self.best, seed=self.seed, patience=patience)
        if stage is None:
            return
        self.interrupt.work.begin("improvement")
        told = False
        while (self.goes_on or late) and stage.round():
            self.rounds += 1
            if stage.is_at_best and not told:
                # Whoever waits sees the first improvement when it is there, not when the last one is.
                told = self._improved(stage)
            late = late and self.interrupt.work.look(
                not self.interrupt.requested and time.monotonic() - self.began < self.limits.guard_s
            )
        self._improved(stage)

    def _improved(self, stage: Stage) -> bool:
        """Keep what an improvement stage found, and tell it; return whether it is better than what was there."""
        from solvers.starts.best_fit import rows_of

        found = stage.answer()
        values = evaluate(self.problem, found.patterns, found.unplaced)
        if values >= evaluate(self.problem, self.best.patterns, self.best.unplaced):
            return False
        found = replace(found, objectives=rows_of(self.problem, values), engine=self.best.engine)
        self.best = _better(self.best, found) if self.climbed else found
        self.tell("improve", "better answer")
        return True

    def exact(self, sweeps: tuple[int, int | None] = (0, None)) -> None:
        """Let the exact engine work on the best answer."""
        from solvers.exact.search import solve_exact

        self.interrupt.work.begin("exact")
        found = solve_exact(
            self.problem,
            limits=self.left,
            seed=self.seed,
            warm_start=self.best,
            on_progress=self.on_progress,
            interrupt=self.interrupt,
            proven=self.best.objectives if self.climbed else (),
            sweeps=sweeps,
        )
        self._take(found)

    def columns(self, rounds: int | None = None) -> None:
        """Let the columns engine work on the best answer, for some rounds at most."""
        self.interrupt.work.begin("columns")
        limits = self.left
        if rounds is not None:
            limits = replace(limits, rounds=rounds if limits.rounds is None else min(rounds, limits.rounds))
        self._take(self._by_columns(limits))

    def _by_columns(self, limits: Limits) -> Result:
        from solvers.columns.engine import solve_columns
        from solvers.reductions.telling import Telling

        telling = Telling(problem=self.problem, on_progress=self.on_progress) if self.problem.rules else None

        def run(
            part: Problem, part_limits: Limits, start: Result | None = None, proven: Sequence[ObjectiveResult] = ()
        ) -> Result:
            from solvers.starts.best_fit import solve_greedy

            # The best answer to the whole problem has other placements than a part of it: each starts from its own.
            return solve_columns(
                part,
                limits=part_limits,
                seed=self.seed,
                warm_start=start or solve_greedy(part, seed=self.seed),
                proven=proven,
                on_progress=self.on_progress if telling is None else telling,
                interrupt=self.interrupt,
                workers=self.workers,
                executor=self.executor,
            )

        if not self.problem.rules:
            return run(self.problem, limits, self.best, self.best.objectives if self.climbed else ())
        from solvers.reductions.without_rules import solve_ruled

        found = solve_ruled(self.problem, run, limits, self.interrupt, first=self.best, seed=self.seed, telling=telling)
        return found if found.patterns or found.status == "infeasible" else replace(self.best, rounds=found.rounds)

    def _take(self, found: Result) -> None:
        """Keep an engine's answer, which started from the best one, with the strongest bounds so far."""
        self.rounds += found.rounds
        if not self.climbed:
            self.best = found if found.patterns or found.status == "infeasible" else replace(found, rounds=0)
        elif found.patterns:
            self.best = _better(self.best, found)
        self.climbed = True

    def result(self) -> Result:
        """Return the best answer, with all the rounds that led to it; of VMs that run the first moves in any case."""
        if not (self.rounds or self.interrupt.requested) and self.best.status not in ("optimal", "infeasible"):
            self.improve(PATIENCE, late=any(not one.is_empty for one in self.problem.classes))
        partial = not self.problem.is_complete
        if self.best.is_answer and (partial or self.problem.rules or not self.climbed or self.best.status != "optimal"):
            # Engines claim nothing where places are missing, and of rules over hosts nothing.
            self.best = proven_first(self.problem, self.best)
        rows = self.best.objectives
        if not self.climbed:  # the time was over before any engine began
            why = "interrupted" if self.interrupt.requested else "time limit"
            rows = tuple(row if row.status == "optimal" else replace(row, stopped=why) for row in rows)
        return replace(self.best, objectives=rows, rounds=self.rounds)

    def tell(self, engine: str, note: str) -> None:
        """Report an answer that no engine stands behind yet, one line a goal."""
        if self.on_progress is None or not self.best.patterns:
            return
        values = evaluate(self.problem, self.best.patterns, self.best.unplaced)
        for objective, value in zip(self.problem.objectives, values, strict=True):
            self.on_progress(
                Progress(
                    goal=objective.goal,
                    part=objective.part,
                    value=value,
                    bound=None,
                    seconds=time.monotonic() - self.began,
                    engine=engine,
                    unit=objective.unit,
                    sign=objective.sign,
                    note=note,
                )
            )


def _better(known: Result, found: Result) -> Result:
    """Return the later answer with the strongest claims of both that hold for it.

    It counts as the earlier engine's where it neither changed a value nor proved anything new.
    """
    values = [row.value for row in found.objectives if row.value is not None]
    out = with_claims(found, values, Claims.of(known, found), base=known)
    was = [(row.value, row.bound) for row in known.objectives]
    news = was != [(row.value, row.bound) for row in out.objectives]
    return out if news else replace(out, engine=known.engine, certificate=known.certificate)
