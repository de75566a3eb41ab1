"""From a fleet to a checked plan: compile, solve, decode, pin, measure, check."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from placer.errors import ImpossibleError, InputError, NothingFoundError, PlacerError, RefusedPlanError
from placer.model.fleet import Fleet
from placer.model.goals import Goal, parse_goals
from placer.model.plan import Change, Plan
from placer.model.rules import RuleKind
from placer.model.sets import PinMode, binding_of
from placer.model.units import count
from placer.options import DEFAULT_TIME_LIMIT_S, Engine, SolveOptions, SweepOptions
from solvers.problem import Problem
from solvers.result import Interrupt, Limits, OnProgress, Result
from solvers.work import Work

if TYPE_CHECKING:
    from placer.check.check import CheckedFleet
    from placer.planning.compile.compile import Compiled

FIRST_SHARE = 0.4
"""Of the limit, where a reserve is kept: the rest is for the failures that it names and the plans that keep room."""
RELAXED_SHARE = 0.6
"""Of a search, what is tried on rows that more keeps than can be pinned, where no rows say just what can be."""
RESERVE_HOSTS = 64
"""Fleets of more hosts are not planned again for every failure that a reserve rule names; the plan then says so."""

PAST_S = 1.0
"""A plan may be there so much later than a round that is cut off would end."""
FOLLOWS, FOLLOWS_A_VM_S, FOLLOWS_A_NEW_VM_S = 2.0, 0.0002, 0.00004
"""To name, pin, measure and check what was found takes so many times as long as to put the fleet in numbers, or so many
seconds of CPU a VM that runs and a new one, which are alike: the longer of the two.
"""

LEFT_ALONE_SHARE = 0.1
"""A plan that leaves hosts at fault alone may take that part of the limit past it."""

MENDED_HOSTS, MENDING_ROUNDS, MENDING_LIMIT_S = 20, 64, 10.0
"""Of fleets of up to so many hosts it is told, in so many rounds and seconds, how many moves would mend their rules."""


def solve_fleet(
    fleet: Fleet,
    *,
    goals: str | Sequence[str] | None = None,
    time_limit_s: float = DEFAULT_TIME_LIMIT_S,
    seed: int = 0,
    max_moves: int | None = None,
    max_migrations: int | None = None,
    max_repins: int | None = None,
    pin: PinMode = "none",
    engine: Engine = "auto",
    workers: int = 1,
    executor: Executor | None = None,
    rounds: int | None = None,
    on_progress: OnProgress | None = None,
    interrupt: Interrupt | None = None,
) -> Plan:
    """Plan a fleet and prove how good the plan is.

    Parameters
    ----------
    goals : ordered goals, ``"placed,rules,remote~1%,hosts"``; None for the default (design section 5).
    time_limit_s : seconds of wall time to put the fleet in numbers and search, looked at between rounds. A search ends
        earlier where what follows it would else end later than a tenth and two seconds past the limit.
    max_moves : most VMs that change host or node together; max_migrations : most that change host. A fleet with placed
        VMs keeps them on their nodes unless one of the two is given, but for those on hosts that are to be emptied.
    max_repins : most VMs that stay on their nodes and get other CPUs or sets; None: no limit.
    pin : which VMs that float are bound to nodes, beside those that must: ``none``, those for which it is ``worth`` it,
        ``all``.
    rounds : replay that many deterministic rounds, as a plan records them.
    on_progress, interrupt : see `solvers.result`.

    Raises
    ------
    InputError
        Unknown goals, a negative limit, or a fleet that is not valid: all its faults.
    ImpossibleError
        Proven: the VMs that are there cannot all stay within capacity and limits.
    NothingFoundError
        No plan was found within the limit.
    RefusedPlanError
        Our own checker refused what every plan does: a fault of ours. Where it refuses a bound or a status, that is
        left out; where it refuses what a plan does, the hosts at fault stay as they are. A warning says so.
    """
    options = SolveOptions(
        goals=None if goals is None else tuple(goals.split(",") if isinstance(goals, str) else goals),
        time_limit_s=time_limit_s,
        rounds=rounds,
        seed=seed,
        engine=engine,
        max_moves=max_moves,
        max_migrations=max_migrations,
        max_repins=max_repins,
        pin=pin,
    )
    return _Planning(fleet, options, workers, executor, on_progress, interrupt or Interrupt()).plan()


def solve_with(fleet: Fleet, options: SolveOptions, *, foresees: bool = False) -> Plan:
    """Plan a fleet with one solver thread: a sweep has its parallelism in its tasks.

    Unless it `foresees`, the plan does not say what the failure of a host would do to it: a quarter of the work on
    hundreds of hosts, which no sweep tells.
    """
    return _Planning(fleet, options, foresees=foresees).plan()


@dataclass(slots=True)
class _Planning:
    """The way of one fleet to its plan."""

    fleet: Fleet
    options: SolveOptions
    workers: int = 1
    executor: Executor | None = None
    on_progress: OnProgress | None = None
    interrupt: Interrupt = field(default_factory=Interrupt)
    foresees: bool = True
    work: Work = field(default_factory=Work)
    goals: tuple[Goal, ...] = field(init=False)
    began: float = field(init=False)
    numbers_s: float = 0.0
    """What it took to put the fleet in numbers."""
    sound: CheckedFleet | None = None
    """The fleet as it was checked before anything was planned."""

    def __post_init__(self) -> None:
        """Read the goals: they are refused before anything is done."""
        self.goals = tuple(parse_goals(self.options.goals, self.fleet))
        self.began = time.monotonic()
        self.interrupt.work = self.work

    @property
    def stopped(self) -> bool:
        """Whether whoever waits has asked for the best plan so far."""
        return self.interrupt.requested

    @property
    def left_s(self) -> float:
        """What is left of the limit; below 0 where it is past."""
        return self.options.time_limit_s - (time.monotonic() - self.began)

    @property
    def search_s(self) -> float:
        """What is left of the limit for a search, so that what follows it ends no later than the limit lets it."""
        run = sum(vm.current is not None for vm in self.fleet.vms)
        named_s = FOLLOWS_A_VM_S * run + FOLLOWS_A_NEW_VM_S * (len(self.fleet.vms) - run)
        follows_s = max(FOLLOWS * self.numbers_s, named_s)
        ends_s = Limits(time_limit_s=self.options.time_limit_s).guard_s + PAST_S - follows_s
        return max(0.0, min(self.left_s, Limits.guarded_by(ends_s - (time.monotonic() - self.began))))

    @property
    def reserves(self) -> bool:
        """Whether rules keep room for failures."""
        return any(rule.kind is RuleKind.RESERVE for rule in self.fleet.rules)

    def plan(self) -> Plan:
        """Return the plan, as the checker accepts it; where it refuses one, a plan that leaves its hosts alone."""
        from placer.planning.accepted import accepted, faults_are_errors

        self._refuse()
        try:
            return accepted(self.fleet, self._told(self._made()), self.sound)
        except RefusedPlanError as error:
            if faults_are_errors():
                raise
            return self._instead(error)
        except NothingFoundError as error:
            if not any(fault.host for fault in error.faults):
                raise
            return self._instead(error)

    def _instead(self, error: PlacerError) -> Plan:
        """Return a plan that leaves the hosts at fault alone; the error itself where there is none."""
        from placer.planning.accepted import accepted
        from placer.planning.still import STEPS, left_alone, narrower

        last, fleet = error, self.fleet
        for _ in range(STEPS):
            asked = narrower(fleet, last)
            if asked is None:
                break
            fleet = asked
            limit_s = max(self.left_s, LEFT_ALONE_SHARE * self.options.time_limit_s)
            options = replace(self.options, time_limit_s=limit_s)
            other = replace(self, fleet=fleet, options=options)
            try:
                return accepted(self.fleet, self._told(left_alone(fleet, other._made(), error)), self.sound)
            except (RefusedPlanError, NothingFoundError, ImpossibleError) as again:
                last = again
        raise error

    def _made(self) -> Plan:
        """Return the plan with the room that rules keep free."""
        from placer.failures.reserve import without_failures

        plan = self._bound()
        if self.reserves:
            return without_failures(plan) if self.stopped else self._with_reserve(plan)
        return plan

    def _told(self, plan: Plan) -> Plan:
        """Return the plan with all that its summary tells."""
        from placer.failures.worst_host import worst_failure
        from placer.planning.decode.mending import with_mending
        from placer.planning.work_done import done_in

        fleet = self.fleet
        plan = self._with_moves_told(with_mending(fleet, plan))
        # Of the plan that is written, whatever became of the answer that it began as; a reserve has swept all failures.
        # Whoever asked for the best plan so far waits for no more to be told of it.
        if self.foresees and not self.stopped and "worst_host_failure" not in plan.summary:
            worst = None if self._is_too_late() else worst_failure(fleet, plan, is_late=self._is_late)
            plan = replace(plan, summary={**plan.summary, "worst_host_failure": worst})
        return replace(plan, work=done_in(self.work))

    def _is_late(self) -> bool:
        """Tell whether the limit is past: what only tells more of the plan ends then."""
        return not self.work.look(self.left_s >= 0)

    def _is_too_late(self) -> bool:
        """Tell whether to put the fleet in numbers once more would end later than a round may that is cut off."""
        ends_s = time.monotonic() - self.began + self.numbers_s
        return not self.work.look(ends_s <= Limits(time_limit_s=self.options.time_limit_s).guard_s)

    def _with_moves_told(self, plan: Plan) -> Plan:
        """Return the plan with how many moves would mend the rules that it breaks, and what is over, where none was
        allowed.
        """
        self.work.begin("what is told of the plan")
        open_ = {goal.name for goal in plan.goals if goal.name in ("excess", "rules") and goal.value}
        few = self.foresees and len(self.fleet.hosts) <= MENDED_HOSTS
        if not (open_ and few and plan.options.get("max_moves") == 0) or self._is_late() or self.stopped:
            return plan
        goals = ("placed", *(("excess",) if "excess" in open_ else ()), "rules", "moves")
        # What keeps room is not asked for by the engines: of few moves allowed fewer are taken.
        for most in (1, len(self.fleet.vms)) if self.reserves else (len(self.fleet.vms),):
            asked = SolveOptions(
                goals=goals,
                time_limit_s=min(self.left_s, MENDING_LIMIT_S),
                rounds=MENDING_ROUNDS,
                seed=self.options.seed,
                max_moves=most,
            )
            try:
                found = _Planning(self.fleet, asked, foresees=False).plan()
            except (ImpossibleError, NothingFoundError):
                return plan
            # What the clock cut is not the same on another machine.
            if not self.work.look(self.left_s > 0 and all("time limit" not in goal.stopped for goal in found.goals)):
                return plan
            if not any(found.goal(name).value for name in open_):
                break
        many = sum(vm.change.moves for vm in found.vms)
        over = {"over": found.goal("excess").value} if "excess" in open_ else {}
        # That none would do is known where rules are proven to be broken without a move.
        one = many == 1 and any(goal.name == "rules" and goal.bound for goal in plan.goals)
        fewest = found.status == "optimal" or (one and found.goal("rules").value == 0)
        told = {"moves": many, "excess": found.goal("rules").value, **over, "proven": fewest}
        return replace(plan, summary={**plan.summary, "mended_by_moves": told})

    def _refuse(self) -> None:
        from placer.check.check import checked_fleet

        self.sound = checked_fleet(self.fleet)
        if self.sound.faults:
            raise InputError(self.sound.faults)
        if self.options.pin != "none" and not any(goal.kind == "remote" for goal in self.goals):
            raise InputError("VMs are bound for the goal remote", field="--pin", cure="add remote to --goals")

    def _bound(self) -> Plan:
        """Return the plan with the VMs bound that shall be, as far as the limit on re-pins lets."""
        pin, most = self.options.pin, self.options.max_repins
        binds = any(binding_of(vm, pin) is not None for vm in self.fleet.vms)
        plan = self._planned(None if binds and most == 0 else pin)
        if binds and most and sum(vm.change is Change.REPIN for vm in plan.vms) > most:
            plan = self._planned(None)
            warning = f"to bind VMs takes more than {count(most, 're-pin')}: none is bound"
            plan = replace(plan, warnings=(*plan.warnings, warning))
        return plan

    def _planned(self, pin: PinMode | None) -> Plan:
        """Return the plan with the VMs bound that `pin` says; None: with none bound."""
        from placer.failures.reserve import without_reserve
        from placer.planning.compile.budget import drained_first, move_budget
        from placer.planning.compile.compile import compile_fleet
        from placer.planning.relaxed import bounded, left_of, relaxed

        options = self.options
        asked = drained_first(self.fleet, options.max_moves, options.max_migrations)
        budget = move_budget(asked, options.max_moves, options.max_migrations)
        begun_s = time.monotonic()
        asked = without_reserve(asked)
        compiled = compile_fleet(asked, self.goals, budget, pin)
        self.numbers_s = time.monotonic() - begun_s
        # To put the fleet in numbers is part of the limit, and so are what follows and the failures of a reserve.
        later_s = (1.0 - FIRST_SHARE) * options.time_limit_s if self.reserves else 0.0
        limits = Limits(time_limit_s=max(0.0, self.search_s - later_s), rounds=options.rounds)
        wide = relaxed(asked, compiled, self.goals, budget, pin)
        first = None
        if wide is not None:
            first = self._solved(wide.problem, replace(limits, time_limit_s=RELAXED_SHARE * limits.time_limit_s))
            if first.status == "infeasible":
                raise _nothing(first)
            if (plan := self._if_pinned(wide, first, pin)) is not None:
                return plan
            limits = Limits(time_limit_s=max(0.0, self.search_s - later_s), rounds=left_of(options.rounds, first))
        result = self._solved(compiled.problem, limits)
        if wide is not None and first is not None:
            result = bounded(compiled, result, wide, first)
        return self._decoded(compiled, result, pin, wide)

    def _if_pinned(self, wide: Compiled, found: Result, pin: PinMode | None) -> Plan | None:
        """Return the plan of an answer on rows that more keeps than can be pinned; None where it cannot be, or breaks
        anything.
        """
        from placer.check.check import check

        try:
            plan = self._decoded(wide, found, pin)
        except (RefusedPlanError, NothingFoundError):
            return None
        return plan if check(self.fleet, plan, known=self.sound).ok else None

    def _decoded(self, compiled: Compiled, result: Result, pin: PinMode | None, wide: Compiled | None = None) -> Plan:
        """Return the plan of an answer, without circles of moves; `wide` is what its bounds are proven on."""
        from placer.moves.resolve import without_cycles
        from placer.planning.decode.plan import plan_from_result

        if not result.is_answer:
            raise _nothing(result)
        seed, most = self.options.seed, self.options.max_repins

        def plan_of(found: Result) -> Plan:
            return plan_from_result(compiled, found, seed=seed, max_repins=most, pin=pin, proven_on=wide)

        plan = plan_of(result)
        if not self.fleet.is_live or self.stopped:
            return plan
        return without_cycles(compiled, result, plan, lambda problem: self._solved_again(problem, result), plan_of)

    def _solved(self, problem: Problem, limits: Limits) -> Result:
        from solvers.solve import solve

        return solve(
            problem,
            engine=self.options.engine,
            limits=limits,
            seed=self.options.seed,
            on_progress=self.on_progress,
            interrupt=self.interrupt,
            workers=self.workers,
            executor=self.executor,
        )

    def _solved_again(self, problem: Problem, first: Result) -> Result | None:
        """Return what the time and the rounds that the first search left give; None where nothing is left."""
        options, left_s = self.options, self.search_s
        left = None if options.rounds is None else options.rounds - first.rounds
        # A search that the clock ended is not replayed by rounds alone: what follows it must not count.
        timed_out = any("time limit" in one.stopped for one in first.objectives)
        if not self.work.look(left_s > 0 and not timed_out) or (left is not None and left < 1):
            return None
        return self._solved(problem, Limits(time_limit_s=left_s, rounds=left))

    def _with_reserve(self, plan: Plan) -> Plan:
        """Return a plan that survives the failures its reserve rules name, or the best found and a warning."""
        from placer.failures.kept import in_words
        from placer.failures.reserve import LARGE_ROUNDS, ROUNDS, plan_with_reserve

        # The engine is the planner's choice again, and rounds are not shared out: every failure is a solve of its own.
        said = {one.name: getattr(self.options, one.name) for one in fields(self.options)}
        options = SweepOptions(**{**said, "rounds": None, "engine": "auto", "total_time_s": max(0.0, self.left_s)})
        rounds = ROUNDS if len(self.fleet.hosts) <= RESERVE_HOSTS else LARGE_ROUNDS
        self.work.begin("failures")
        found = plan_with_reserve(
            self.fleet, plan, options, solve_with, rounds=rounds, tells_now=self.foresees, work=self.work
        )
        rows = found.plan.summary["reserve"]
        return replace(
            found.plan,
            summary={**plan.summary, **found.plan.summary},
            warnings=(*plan.warnings, *(in_words(row) for row in rows if not row["proven"])),
        )


def _nothing(result: Result) -> ImpossibleError | NothingFoundError:
    if result.status == "infeasible":
        return ImpossibleError(
            "the VMs that are on hosts now cannot all stay within capacity, rules and the limits on moves",
            cure="placer check FLEET --conflicts names which, and what would help; or allow moves with --max-moves",
        )
    return NothingFoundError("no plan was found within the limit", cure="give more time with --time-limit")
