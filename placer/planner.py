"""From a fleet to a checked plan: compile, solve, decode, pin, measure, check."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

from placer.errors import ImpossibleError, InputError, NothingFoundError
from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.model.plan import Change, Plan
from placer.model.rules import RuleKind
from placer.model.sets import PinMode, binding_of
from placer.options import DEFAULT_TIME_LIMIT_S, Engine, SweepOptions
from solvers.problem import Problem
from solvers.result import Interrupt, Limits, OnProgress, Result

RESERVE_HOSTS = 64
"""Fleets of more hosts are not planned again for every failure that a reserve rule names; the plan then says so."""


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
    time_limit_s : seconds of wall time for the search, looked at between rounds.
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
        Our own checker refused what the plan does: a fault of ours; the plan is not returned. A bound or status that
        it refuses is left out, and a warning says so.
    """
    parsed = parse_goals(goals, fleet)
    from placer.check.check import check
    from placer.failures.reserve import without_reserve
    from placer.planning.compile.budget import drained_first, move_budget
    from placer.planning.compile.compile import compile_fleet
    from placer.planning.decode.plan import plan_from_result
    from solvers.solve import solve

    asked = drained_first(fleet, max_moves, max_migrations)
    budget = move_budget(asked, max_moves, max_migrations)
    sound = check(fleet)
    if not sound.ok:
        raise InputError(sound.faults)
    if pin != "none" and not any(goal.kind == "remote" for goal in parsed):
        raise InputError("VMs are bound for the goal remote", field="--pin", cure="add remote to --goals")
    began = time.monotonic()

    def run(problem: Problem, limits: Limits) -> Result:
        return solve(
            problem,
            engine=engine,
            limits=limits,
            seed=seed,
            on_progress=on_progress,
            interrupt=interrupt,
            workers=workers,
            executor=executor,
        )

    def planned(pin: PinMode | None) -> Plan:
        """Plan the fleet with the VMs bound that `pin` says; None: with none bound."""
        compiled = compile_fleet(without_reserve(asked), parsed, budget, pin)
        result = run(compiled.problem, Limits(time_limit_s=time_limit_s, rounds=rounds))
        if not result.is_answer:
            raise _nothing(result)

        def plan_of(found: Result) -> Plan:
            return plan_from_result(compiled, found, seed=seed, max_repins=max_repins, pin=pin)

        plan = plan_of(result)
        if not fleet.is_live or (interrupt is not None and interrupt.requested):
            return plan
        from placer.moves.resolve import without_cycles

        def run_again(problem: Problem) -> Result | None:
            left_s = time_limit_s - (time.monotonic() - began)
            left = None if rounds is None else rounds - result.rounds
            # A search that the clock ended is not replayed by rounds alone: what follows it must not count.
            timed_out = any("time limit" in one.stopped for one in result.objectives)
            if left_s <= 0 or timed_out or (left is not None and left < 1):
                return None
            return run(problem, Limits(time_limit_s=left_s, rounds=left))

        return without_cycles(compiled, result, plan, run_again, plan_of)

    binds = any(binding_of(vm, pin) is not None for vm in fleet.vms)
    plan = planned(None if binds and max_repins == 0 else pin)
    if binds and max_repins and sum(vm.change is Change.REPIN for vm in plan.vms) > max_repins:
        plan = planned(None)
        warning = f"to bind VMs takes more than {max_repins} re-pins: none is bound"
        plan = replace(plan, warnings=(*plan.warnings, warning))
    if any(rule.kind is RuleKind.RESERVE for rule in fleet.rules) and not (
        interrupt is not None and interrupt.requested
    ):
        plan = _with_reserve(fleet, plan, time_limit_s, seed)
    from placer.failures.worst_host import worst_failure
    from placer.planning.accepted import accepted
    from placer.planning.decode.mending import with_mending

    plan = with_mending(fleet, plan)
    # Of the plan that is written, whatever became of the answer that it began as; a reserve has swept all failures.
    if "worst_host_failure" not in plan.summary:
        plan = replace(plan, summary={**plan.summary, "worst_host_failure": worst_failure(fleet, plan)})
    return accepted(fleet, plan)


def _with_reserve(fleet: Fleet, plan: Plan, time_limit_s: float, seed: int) -> Plan:
    """Return a plan that survives the failures its reserve rules name, or the best found and a warning."""
    from placer.failures.reserve import LARGE_ROUNDS, ROUNDS, plan_with_reserve

    options = SweepOptions(
        goals=tuple(str(name) for name in plan.options["goals"]),
        time_limit_s=time_limit_s,
        seed=seed,
        max_moves=plan.options["max_moves"],
        max_migrations=plan.options["max_migrations"],
        max_repins=plan.options.get("max_repins"),
        pin=plan.options.get("pin", "none"),
    )
    rounds = ROUNDS if len(fleet.hosts) <= RESERVE_HOSTS else LARGE_ROUNDS
    found = plan_with_reserve(fleet, plan, options, solve_with, rounds=rounds)
    summary = {**plan.summary, **found.plan.summary}
    warnings = plan.warnings
    if not found.clean:
        warnings = (
            *warnings,
            "no plan was proven to survive every failure that the reserve rules name; this one survives most",
        )
    return replace(found.plan, summary=summary, warnings=warnings)


def solve_with(fleet: Fleet, options: SweepOptions) -> Plan:
    """Plan a fleet with one solver thread: a sweep has its parallelism in its tasks."""
    return solve_fleet(
        fleet,
        goals=options.goals,
        time_limit_s=options.time_limit_s,
        rounds=options.rounds,
        seed=options.seed,
        max_moves=options.max_moves,
        max_migrations=options.max_migrations,
        max_repins=options.max_repins,
        pin=options.pin,
    )


def _nothing(result: Result) -> ImpossibleError | NothingFoundError:
    if result.status == "infeasible":
        return ImpossibleError(
            "the VMs that are on hosts now cannot all stay within capacity, rules and the limits on moves",
            cure="placer check FLEET --conflicts names which, and what would help; or allow moves with --max-moves",
        )
    return NothingFoundError("no plan was found within the limit", cure="give more time with --time-limit")
