"""From a fleet to a checked plan: compile, solve, decode, pin, measure, check."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

from placer.errors import ImpossibleError, InputError, NothingFoundError
from placer.model.fleet import Fleet
from placer.model.goals import BALANCE_USAGE, Goal, parse_goals
from placer.model.plan import Plan, PlanVm, Unplaced
from placer.model.rules import RuleKind
from placer.model.usage_levels import usage_known
from solvers.problem import MoveBudget, Problem
from solvers.result import Interrupt, Limits, OnProgress, Result

if TYPE_CHECKING:
    from placer.planning.compile.compile import Compiled

Engine = Literal["auto", "exact", "states", "greedy"]
DEFAULT_TIME_LIMIT_S = 60.0
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
        VMs keeps them on their nodes unless one of the two is given.
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
    budget = move_budget(fleet, max_moves, max_migrations)
    from placer.check.check import check
    from placer.planning.compile.compile import compile_fleet
    from solvers.solve import solve

    sound = check(fleet)
    if not sound.ok:
        raise InputError(sound.faults)
    compiled = compile_fleet(fleet, parsed, budget)
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

    result = run(compiled.problem, Limits(time_limit_s=time_limit_s, rounds=rounds))
    if not result.patterns:
        raise _nothing(result)
    plan = plan_from_result(compiled, result, seed=seed)
    if fleet.is_live and not (interrupt is not None and interrupt.requested):
        from placer.moves.resolve import without_cycles

        def run_again(problem: Problem) -> Result | None:
            left_s = time_limit_s - (time.monotonic() - began)
            left = None if rounds is None else rounds - result.rounds
            # A search that the clock ended is not replayed by rounds alone: what follows it must not count.
            timed_out = any("time limit" in one.stopped for one in result.objectives)
            if left_s <= 0 or timed_out or (left is not None and left < 1):
                return None
            return run(problem, Limits(time_limit_s=left_s, rounds=left))

        plan = without_cycles(
            compiled, result, plan, run_again, lambda found: plan_from_result(compiled, found, seed=seed)
        )
    if any(rule.kind is RuleKind.RESERVE for rule in fleet.rules) and not (
        interrupt is not None and interrupt.requested
    ):
        plan = _with_reserve(fleet, plan, time_limit_s, seed)
    from placer.planning.accepted import accepted
    from placer.planning.decode.mending import with_mending

    plan = with_mending(fleet, plan)
    return accepted(fleet, plan)


def _with_reserve(fleet: Fleet, plan: Plan, time_limit_s: float, seed: int) -> Plan:
    """Return a plan that survives the failures its reserve rules name, or the best found and a warning."""
    if len(fleet.hosts) > RESERVE_HOSTS:
        text = f"rules that reserve room were not verified on {len(fleet.hosts)} hosts: see placer whatif --fail-each"
        return replace(plan, warnings=(*plan.warnings, text))
    from placer.failures.reserve import plan_with_reserve
    from placer.whatif.compare import SweepOptions

    options = SweepOptions(
        goals=tuple(str(name) for name in plan.options["goals"]),
        time_limit_s=time_limit_s,
        seed=seed,
        max_moves=plan.options["max_moves"],
        max_migrations=plan.options["max_migrations"],
    )
    found = plan_with_reserve(fleet, options)
    summary = {**plan.summary, **found.plan.summary}
    warnings = plan.warnings
    if not found.clean:
        warnings = (
            *warnings,
            "no plan was proven to survive every failure that the reserve rules name; this one survives most",
        )
    return replace(found.plan, summary=summary, warnings=warnings)


def move_budget(fleet: Fleet, max_moves: int | None, max_migrations: int | None) -> MoveBudget:
    """Return the limits on change: none for an empty fleet, no moves for a live one unless a limit is given."""
    for name, number in (("max-moves", max_moves), ("max-migrations", max_migrations)):
        if number is not None and number < 0:
            raise InputError(f"{name} cannot be negative: {number}", field=name)
    if fleet.is_live and max_moves is None and max_migrations is None:
        max_moves = 0
    return MoveBudget(moves=max_moves, migrations=max_migrations)


def plan_from_result(compiled: Compiled, result: Result, *, seed: int) -> Plan:
    """Give an engine's answer names, pins, measures and reasons."""
    from placer.planning.decode.build_plan import PlanBuilder
    from placer.planning.decode.certificate import certificate_of
    from placer.planning.decode.names import assign_names
    from placer.planning.decode.pins import Pinner
    from placer.planning.decode.reasons import unplaced_reasons
    from placer.planning.decode.results import MEASURED, goal_results
    from placer.planning.decode.summary import capacity_summary
    from placer.planning.decode.worst_host import worst_failure

    fleet, problem = compiled.fleet, compiled.problem
    assignment = assign_names(compiled, result)
    kinds = {goal.kind for goal in compiled.goals}
    vms = PlanBuilder(compiled=compiled, pinner=Pinner(compiled=compiled, minimise_l3="l3" in kinds)).build(assignment)
    unplaced = unplaced_reasons(compiled, result, assignment.unplaced)
    pinned = kinds & set(MEASURED)
    if any(rule.scope == "l3" for rule in fleet.rules):
        pinned |= kinds & {"rules"}
    measured = _measured(compiled, vms, unplaced) if pinned else {}
    measured = {goal.name: measured[goal.name] for goal in compiled.goals if goal.kind in pinned}
    goals = goal_results(compiled.goals, problem.objectives, result.objectives, compiled.constants, measured)
    status = "optimal" if all(goal.status == "optimal" for goal in goals) else "feasible"
    summary = {**capacity_summary(fleet, vms), "worst_host_failure": worst_failure(compiled, result)}
    return Plan(
        fleet_path=fleet.path,
        fleet_digest=fleet.digest,
        seed=seed,
        rounds=result.rounds,
        status=status,
        goals=goals,
        vms=vms,
        unplaced=unplaced,
        versions=versions(),
        options=_options(compiled.goals, problem.budget),
        summary=summary,
        warnings=_warnings(fleet, compiled.goals),
        certificate=certificate_of(result),
    )


def versions() -> dict[str, str]:
    """Return the versions that a plan depends on."""
    found = {}
    for name, package in (("placer", "numa-placer"), ("ortools", "ortools")):
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def _measured(compiled: Compiled, vms: tuple[PlanVm, ...], unplaced: tuple[Unplaced, ...]) -> dict[str, float | None]:
    from placer.measure.score import goal_values

    fleet = compiled.fleet
    draft = Plan(
        fleet_path=fleet.path,
        fleet_digest=fleet.digest,
        seed=0,
        rounds=0,
        status="feasible",
        goals=(),
        vms=vms,
        unplaced=unplaced,
    )
    return dict(goal_values(fleet, draft, [goal.name for goal in compiled.goals]))


def _options(goals: Sequence[Goal], budget: MoveBudget) -> dict[str, object]:
    named = [goal.name if not goal.tolerance else f"{goal.name}~{goal.tolerance:g}" for goal in goals]
    return {"goals": named, "max_moves": budget.moves, "max_migrations": budget.migrations}


def _warnings(fleet: Fleet, goals: Sequence[Goal]) -> tuple[str, ...]:
    out = _bare_hosts(fleet)
    unknown = len(fleet.vms) - usage_known(fleet.vms)
    if unknown and any(goal.name == BALANCE_USAGE for goal in goals):
        out += (
            f"{BALANCE_USAGE}: the CPU use of {unknown} of {len(fleet.vms)} VMs is not known; their requests count",
        )
    return out


def _bare_hosts(fleet: Fleet) -> tuple[str, ...]:
    bare = [
        host.name
        for host in fleet.hosts
        if not host.reserve.cpus and not host.reserve.memory_kib and host.shared_cpus is None
    ]
    if not bare:
        return ()
    some = ", ".join(bare[:3]) + (f" and {len(bare) - 3} more" if len(bare) > 3 else "")
    return (f"{len(bare)} hosts reserve nothing for themselves ({some}); say reserve: {{cpus: …, memory: …}}",)


def _nothing(result: Result) -> ImpossibleError | NothingFoundError:
    if result.status == "infeasible":
        return ImpossibleError(
            "the VMs that are on hosts now cannot all stay within capacity, rules and the limits on moves",
            cure="placer check FLEET --conflicts names which, and what would help; or allow moves with --max-moves",
        )
    return NothingFoundError("no plan was found within the limit", cure="give more time with --time-limit")
