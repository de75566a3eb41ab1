"""An engine's counts as a whole plan: names, pins, measures, reasons, summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from placer.errors import PlacerError
from placer.measure.score import PlanValues
from placer.model.fleet import Fleet
from placer.model.goals import Goal
from placer.model.plan import Change, Plan, PlanVm, Unplaced
from placer.model.sets import PinMode, known_nodes
from placer.model.units import count
from placer.model.usage_levels import usage_known
from placer.planning.compile.compile import Compiled
from placer.planning.decode.kept_pins import kept_twice
from solvers.result import Result


def plan_from_result(
    compiled: Compiled,
    result: Result,
    *,
    seed: int,
    max_repins: int | None = None,
    pin: PinMode | None = "none",
    proven_on: Compiled | None = None,
) -> Plan:
    """Give an engine's answer names, pins, measures and reasons.

    `pin` is what the fleet was compiled with. Where pinning needs more than `max_repins` VMs to get other CPUs, all
    that stay keep those that they have. `proven_on` is the fleet on the rows that its bounds are proven on, where these
    are others.
    """
    from placer.measure.summary import capacity_summary
    from placer.planning.decode.addresses import with_addresses
    from placer.planning.decode.build_plan import PlanBuilder
    from placer.planning.decode.certificate import certificate_of, uncovered, uncovered_warning
    from placer.planning.decode.even_out import even_out
    from placer.planning.decode.keep_memory import keep_memory
    from placer.planning.decode.like_sets import with_like_sets
    from placer.planning.decode.names import assign_names
    from placer.planning.decode.pins import Pinner
    from placer.planning.decode.reasons import unplaced_reasons
    from placer.planning.decode.results import MEASURED, goal_results, with_bindings, with_moves

    fleet, problem = compiled.fleet, compiled.problem
    assignment = assign_names(compiled, result)
    even_out(compiled, assignment)
    keep_memory(compiled, assignment)
    kinds = {goal.kind for goal in compiled.goals}

    def built(*, hold: bool, yields: bool = False) -> tuple[PlanVm, ...]:
        fewest, sparing = "l3" in kinds, "headroom" in kinds
        pinner = Pinner(compiled=compiled, minimise_l3=fewest, save_cpus=sparing, hold=hold, yields=yields)
        return with_like_sets(fleet, compiled.goals, PlanBuilder(compiled=compiled, pinner=pinner).build(assignment))

    vms = built(hold=max_repins == 0)
    if max_repins and sum(vm.change is Change.REPIN for vm in vms) > max_repins:
        vms = built(hold=True, yields=True)
        if sum(vm.change is Change.REPIN for vm in vms) > max_repins:
            vms = built(hold=True)
    unplaced = unplaced_reasons(compiled, result, assignment.unplaced)
    pinned = kinds & set(MEASURED)
    if any(rule.scope == "l3" for rule in fleet.rules):
        pinned |= kinds & {"rules"}
    values = _values(compiled, vms, unplaced, pin)
    if "repins" in kinds and values.repinned:
        values = _least(
            compiled, values, lambda: _values(compiled, built(hold=True, yields=True), unplaced, pin), pinned
        )
        vms = values.plan.vms
    measured = {goal.name: values.value(goal.name) for goal in compiled.goals if goal.kind in pinned}
    excess = values.tiers("excess") if "excess" in kinds else ()
    complete = all(problem.shapes[one.shape].complete for one in problem.classes)
    limits = (problem.budget.moves, problem.budget.migrations)
    goals = goal_results(
        compiled.goals,
        problem.objectives,
        result.objectives,
        compiled.constants,
        measured,
        excess,
        complete=complete,
        kept_twice=kept_twice(fleet, may_leave=0 not in limits) if excess else 0,
    )
    if "moves" in kinds and fleet.is_live:
        settled = any(vm.current is not None and (vm.spec.devices or known_nodes(vm) is None) for vm in fleet.vms)
        moved = dict(values.tiers("moves"))
        goals = tuple(with_moves(one, moved, settled=settled) if one.name == "moves" else one for one in goals)
    shall = 0 if pin is None else sum(group.present for group in compiled.flavors.groups if group.binds == "shall")
    goals = with_bindings(goals, shall)
    status = "optimal" if all(goal.status == "optimal" for goal in goals) else "feasible"
    summary = capacity_summary(values)
    plan = Plan(
        fleet_path=fleet.path,
        fleet_digest=fleet.digest,
        seed=seed,
        rounds=result.rounds,
        status=status,
        goals=goals,
        vms=with_addresses(fleet, vms),
        unplaced=unplaced,
        versions=versions(),
        options=_options(compiled, max_repins, pin),
        summary=summary,
        warnings=_warnings(fleet, compiled.goals),
        certificate=certificate_of((proven_on or compiled).problem, result),
    )
    open_ = uncovered(compiled, plan)
    return replace(plan, warnings=(*plan.warnings, uncovered_warning(open_))) if open_ else plan


def versions() -> dict[str, str]:
    """Return the versions that a plan depends on."""
    found = {}
    for name, package in (("placer", "numa-placer"), ("ortools", "ortools")):
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def _values(
    compiled: Compiled, vms: tuple[PlanVm, ...], unplaced: tuple[Unplaced, ...], pin: PinMode | None
) -> PlanValues:
    """Return the measure of a plan in the making."""
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
        options={"pin": pin or "none"},
    )
    return PlanValues(fleet, draft)


def _least(compiled: Compiled, found: PlanValues, held: Callable[[], PlanValues], pinned: Set[str]) -> PlanValues:
    """Return the pins that are better in the goals that pins decide, in their order: those found, or those where all
    VMs that stay keep the CPUs that they have; these only if no more lacks a place, which new VMs may not bring about.
    """
    try:
        other = held()
    except PlacerError:
        return found
    names = [goal.name for goal in compiled.goals if goal.kind in pinned]

    def parts(values: PlanValues) -> list[float]:
        return [figure for name in names for _, figure in values.tiers(name) or (("", values.value(name) or 0.0),)]

    def lacking(values: PlanValues) -> list[float]:
        return [figure for _, figure in values.tiers("excess")]

    more = any(theirs > ours for theirs, ours in zip(lacking(other), lacking(found), strict=True))
    return other if not more and parts(other) < parts(found) else found


def _options(compiled: Compiled, max_repins: int | None, pin: PinMode | None) -> dict[str, object]:
    budget = compiled.problem.budget
    named = [goal.name if not goal.tolerance else f"{goal.name}~{goal.tolerance:g}" for goal in compiled.goals]
    options: dict[str, object] = {
        "goals": named,
        "max_moves": budget.moves,
        "max_migrations": budget.migrations,
    }
    if compiled.fleet.only_drained:
        options["only_drained"] = True
    if pin is None:
        options["binds"] = False
    elif pin != "none":
        options["pin"] = pin
    if max_repins is not None:
        options["max_repins"] = max_repins
    return options


def _warnings(fleet: Fleet, goals: Sequence[Goal]) -> tuple[str, ...]:
    out = _bare_hosts(fleet)
    unknown = len(fleet.vms) - usage_known(fleet.vms)
    if unknown and (by_usage := [goal.name for goal in goals if goal.by_usage]):
        out += (f"{by_usage[0]}: the CPU use of {unknown} of {len(fleet.vms)} VMs is not known; their requests count",)
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
    keep = count(len(bare), "host reserves nothing for itself", "hosts reserve nothing for themselves")
    return (f"{keep} ({some}); say reserve: {{cpus: …, memory: …}}",)
