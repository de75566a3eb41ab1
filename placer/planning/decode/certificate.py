"""Prove a plan's bounds once more, with another solver than the one that found them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from placer.errors import Fault
from placer.measure.reserve_excess import reserve_excess, reserve_excess_at_least
from placer.model.fleet import Fleet
from placer.model.goals import UNBOUND, parse_goals
from placer.model.plan import GoalResult, Plan
from placer.model.sets import PinMode
from placer.planning.compile.compile import Compiled
from placer.planning.decode.results import KEPT_TWICE, MEASURED
from placer.planning.relaxed import provable
from solvers.objective import HostCosts, PlacementCosts
from solvers.problem import MoveBudget, Problem
from solvers.proofs.loads_by_prices import bound_by_prices
from solvers.proofs.price_lists import price_lists
from solvers.proofs.without_room import bound_without_room
from solvers.result import ObjectiveResult, Result

EXACT = "CP-SAT"
COUNTS = "counts"
"""The certificate of a bound that the exact engine proved: the problem itself, to be proven again by HiGHS."""
UNCOVERED = "no certificate holds the bounds of"
LARGEST = 1e15
"""Values above this are garbage."""


def pin_mode(options: Mapping[str, Any]) -> PinMode | None:
    """Return which VMs that float a plan's fleet was compiled to bind; None: none, whatever they say."""
    said: PinMode = options.get("pin", "none")
    return None if options.get("binds") is False else said


def certificate_of(problem: Problem, result: Result) -> Mapping[str, Any] | None:
    """Return what goes to the plan's side file: the duals behind the bounds, and what is to be proven on the counts.

    Duals are the columns engine's own certificate. What the exact engine proved, all or what the duals do not, has
    values and bounds; so has what a first answer proves without a search. Where places are missing HiGHS would look at
    those that are there alone, and confirm nothing: there stands what prices prove, of moves, which need no room, or
    of loads, which are written beside the bound.
    """
    duals = result.certificate
    if duals is None and not any(found.bound for found in result.objectives) and result.engine != "exact":
        return None
    entries = [None] * len(result.objectives) if duals is None else duals["objectives"]
    values = [found.value for found in result.objectives]
    counts = []
    for number, (found, entry) in enumerate(zip(result.objectives, entries, strict=True)):
        claimed = found.bound if duals is None or _beyond(found, entry) else None
        lists: list[dict[str, Any]] = []
        if claimed is not None and not _reaches(bound_without_room(problem, values, number), claimed):
            lists = price_lists(problem, values, number)
            if not _reaches(bound_by_prices(problem, values, number, lists), claimed):
                lists = []
                exact = problem.is_complete and (duals is None or found.source == EXACT)
                claimed = claimed if exact else None
        proof = {"prices": lists} if lists else {}
        counts.append({"goal": found.goal, "part": found.part, "value": found.value, "bound": claimed, **proof})
    if duals is None:
        return {"kind": COUNTS, "objectives": counts}
    if all(entry["bound"] is None for entry in counts):
        return duals
    return {**duals, COUNTS: counts}


def _reaches(bound: int | None, claimed: int) -> bool:
    return bound is not None and bound >= claimed


def _beyond(found: ObjectiveResult, entry: Mapping[str, Any] | None) -> bool:
    """Tell whether more was proven of an objective than its duals do."""
    return found.bound is not None and (entry is None or entry["bound"] is None or entry["bound"] < found.bound)


def uncovered(compiled: Compiled, plan: Plan) -> tuple[str, ...]:
    """Return the goals whose bound the plan's certificate does not hold: `check` cannot prove these again."""
    certificate = plan.certificate
    bounds = (
        [None] * len(compiled.problem.objectives) if certificate is None else _bounds(compiled.problem, certificate)
    )
    certified = _certified(compiled, bounds)
    signs = {objective.goal: objective.sign for objective in compiled.problem.objectives}
    out = []
    for found in plan.goals:
        if found.bound is None or found.name not in signs:
            continue
        sign = signs[found.name]
        # Failures are solved one by one, and no certificate is kept of these solves.
        bound = found.bound - (reserve_excess_at_least(compiled.fleet, plan) if found.name == "rules" else 0)
        bound -= _of_kept_pins(found)
        if sign > 0 and bound <= 0:
            continue  # no cost is negative
        claimed = certified.get(found.name)
        if claimed is None or sign * (bound - claimed) > 1e-6 * max(1.0, abs(bound)):
            out.append(found.name)
    return tuple(out)


def _of_kept_pins(goal: GoalResult) -> float:
    """Return what of a bound VMs account for that keep the same CPUs: the fleet alone tells it."""
    return math.fsum(tier["bound"] or 0.0 for tier in goal.tiers if tier["source"] == KEPT_TWICE)


def uncovered_warning(goals: Sequence[str]) -> str:
    """Return the sentence by which a plan says which of its bounds nobody can prove again."""
    return f"{UNCOVERED} {', '.join(goals)}: placer check --bound does not prove what is claimed there"


def check_certificate(fleet: Fleet, plan: Plan) -> tuple[list[Fault], list[str]]:
    """Recompute the bounds of a plan's certificate; return faults, and remarks on what could not be settled.

    A bound that the second solver refutes is a fault, as is a plan that claims more than its certificate does and does
    not say so.
    """
    goals = parse_goals(plan.options.get("goals"), fleet)
    asked = replace(fleet, only_drained=plan.options.get("only_drained") is True)
    compiled = provable(asked, goals, _budget(plan), pin_mode(plan.options))
    faults: list[Fault] = []
    remarks: list[str] = []
    if plan.certificate is not None:
        faults = _misfits(compiled, plan, plan.certificate)
        if faults:
            return faults, []
        if plan.certificate.get("kind") == COUNTS:
            faults, remarks = _counts(compiled.problem, plan.certificate["objectives"])
        else:
            faults, remarks = _duals(compiled.problem, plan.certificate)
            if COUNTS in plan.certificate:
                more, said = _counts(compiled.problem, plan.certificate[COUNTS])
                faults, remarks = [*faults, *more], [*remarks, *said]
    if least := reserve_excess_at_least(fleet, plan):
        remarks.append(f"of the bound of rules {least} are of room that rules keep: not proven again")
    if kept := math.fsum(map(_of_kept_pins, plan.goals)):
        remarks.append(f"of the bound of excess {kept:g} are of VMs that keep the same CPUs: not proven again")
    open_ = uncovered(compiled, plan)
    if open_ and set(open_) <= _said(plan):
        remarks.append(f"the bounds of {', '.join(open_)} have no certificate, as the plan says: not proven again")
    else:
        faults += [_claims_more(plan, name) for name in open_]
    return faults, remarks


def _said(plan: Plan) -> set[str]:
    """Return the goals of which the plan says that no certificate holds their bounds."""
    lists = [text[len(UNCOVERED) :].rpartition(": ")[0] for text in plan.warnings if text.startswith(UNCOVERED)]
    return {name.strip() for text in lists for name in text.split(",")}


def _claims_more(plan: Plan, name: str) -> Fault:
    bound = next(goal.bound for goal in plan.goals if goal.name == name)
    return Fault(
        message=f"goal {name!r}: the plan claims the bound {bound:g}, and no certificate holds it",
        field="goals",
        cure="solve again with -o, which writes one beside the plan" if plan.certificate is None else None,
    )


def _budget(plan: Plan) -> MoveBudget:
    return MoveBudget(moves=plan.options.get("max_moves"), migrations=plan.options.get("max_migrations"))


def _misfits(compiled: Compiled, plan: Plan, certificate: Mapping[str, Any]) -> list[Fault]:
    """Return where a certificate is of other objectives than the plan's, or holds them at better values than it has."""
    objectives = compiled.problem.objectives
    lists = [certificate["objectives"], *([certificate[COUNTS]] if COUNTS in certificate else [])]
    if any(len(entries) != len(objectives) for entries in lists):
        numbers = " and ".join(str(len(entries)) for entries in lists)
        message = f"the certificate is of {numbers} objectives, and the plan's goals are {len(objectives)}"
        return [Fault(message=message, field="certificate")]
    faults = []
    own = _own_values(compiled, plan)
    claims = {goal.name for goal in plan.goals if goal.bound is not None}
    for number, (objective, value) in enumerate(zip(objectives, own, strict=True)):
        name = f"goal {objective.goal!r}" + (f" ({objective.part})" if objective.part else "")
        # What is proven of later goals is proven with this one held, where the plan claims it.
        later = [n for n in range(number + 1, len(objectives)) if objectives[n].goal in claims]
        held = []
        for entries in lists:
            entry = entries[number]
            if entry is not None and "goal" in entry:
                if (entry["goal"], entry["part"]) != (objective.goal, objective.part):
                    message = f"the certificate has {entry['goal']!r} ({entry['part']}) where the plan has {name}"
                    faults.append(Fault(message=message[:300], field="certificate"))
                if any(entries[n]["bound"] is not None for n in later):
                    held.append(entry["value"])
            leaves = (leaf for n in later if entries[n] is not None for leaf in _leaves(entries[n]))
            held += [leaf["held"][number] for leaf in leaves if number < len(leaf["held"])]
        if value is not None and any(one is not None and one < value for one in held):
            message = (
                f"{name}: the certificate holds it at less than the plan's value, so it proves nothing of this plan"
            )
            faults.append(Fault(message=message, field="certificate"))
    return faults


def _leaves(entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the duals of an entry: of each leaf where it is a tree of branches."""
    open_ = [entry["tree"]] if "tree" in entry else [{"leaf": entry} if "held" in entry else {}]
    while open_:
        node = open_.pop()
        if "leaf" in node:
            yield node["leaf"]
        elif node:
            open_ += [node["many"], node["few"]]


def _own_values(compiled: Compiled, plan: Plan) -> list[int | None]:
    """Return the plan's value of each objective in its own unit, None where pins settle it or it is not known."""
    results = {goal.name: goal for goal in plan.goals}
    kinds = {goal.name: goal.kind for goal in compiled.goals}
    seen: set[str] = set()
    out: list[int | None] = []
    for objective in compiled.problem.objectives:
        found = results.get(objective.goal)
        value = None
        if found is not None and kinds.get(objective.goal) not in MEASURED and not _in_l3(compiled, objective.goal):
            kept_free = reserve_excess(compiled.fleet, plan) if objective.goal == "rules" else 0
            parts = {tier.get("part"): tier.get("value") for tier in found.tiers}
            whole = None if found.value is None or kept_free is None else found.value - kept_free
            value = parts.get(objective.part) if parts else whole
        # Of `remote` the first part has a constant of its own, and the second that of the goal.
        named = objective.part if objective.cost == UNBOUND or objective.goal in seen else objective.goal
        constant = compiled.constants.get("remote" if objective.cost == "remote" else named, 0)
        seen.add(objective.goal)
        known = isinstance(value, (int, float)) and abs(value) < LARGEST
        out.append(round(objective.sign * value * objective.unit) - constant if known and value is not None else None)
    return out


def _in_l3(compiled: Compiled, goal: str) -> bool:
    return goal == "rules" and any(rule.scope == "l3" for rule in compiled.fleet.rules)


def _bounds(problem: Problem, certificate: Mapping[str, Any]) -> list[int | None]:
    """Return the bound that a certificate holds of each objective: the better one of duals and counts."""
    lists = [certificate["objectives"], *([certificate[COUNTS]] if COUNTS in certificate else [])]
    if any(len(entries) != len(problem.objectives) for entries in lists):
        return [None] * len(problem.objectives)
    out: list[int | None] = [None] * len(problem.objectives)
    for entries in lists:
        out = [_larger(one, entry["bound"] if entry else None) for one, entry in zip(out, entries, strict=True)]
    return out


def _certified(compiled: Compiled, bounds: Sequence[int | None]) -> dict[str, float]:
    """Return goal -> the bound on its value that bounds on its objectives make."""
    certified: dict[str, float | None] = {}
    counted: dict[str, int] = {}
    for objective, bound in zip(compiled.problem.objectives, bounds, strict=True):
        goal, number = objective.goal, counted.get(objective.goal, 0)
        counted[goal] = number + 1
        if (goal != "placed" and number) or (goal == "placed" and number % 2):
            continue
        before = certified.get(goal, 0.0)
        if bound is None and objective.sign > 0:
            bound = 0  # no cost is negative
        if bound is None or before is None:
            certified[goal] = None
            continue
        grain = _grain(compiled.problem, goal)
        constant = compiled.constants.get(goal, 0) if not number else 0
        certified[goal] = before + objective.sign * (-(-bound // grain) * grain + constant) / objective.unit
    return {goal: bound for goal, bound in certified.items() if bound is not None}


def _larger(one: int | None, other: int | None) -> int | None:
    return max((bound for bound in (one, other) if bound is not None), default=None)


def _grain(problem: Problem, goal: str) -> int:
    """Return a number that every value of the goal is a multiple of, so that bounds may be rounded up to one."""
    objective = next(objective for objective in problem.objectives if objective.goal == goal)
    kinds = {type(term) for term in objective.terms}
    if kinds not in ({HostCosts}, {PlacementCosts}):
        return 1
    if objective.host_cost:
        return math.gcd(*(int(host_class.cost) for host_class in problem.classes)) or 1
    if objective.cost is None:
        return 1
    costs = [shape.cost[objective.cost] for shape in problem.shapes if objective.cost in shape.cost]
    return math.gcd(*(int(cost) for table in costs for cost in set(table.tolist()))) or 1


def _counts(problem: Problem, objectives: Sequence[Mapping[str, Any]]) -> tuple[list[Fault], list[str]]:
    from solvers.proofs.counts_by_highs import second_opinion

    values = [entry["value"] for entry in objectives]
    if None in values or all(entry["bound"] is None for entry in objectives):
        return [], ["a goal has no value or none a bound, so the certificate was not proven again"]
    faults, remarks = [], []
    lists = [entry.get("prices", ()) for entry in objectives]
    for opinion in second_opinion(problem, values, [entry["bound"] for entry in objectives], lists):
        name = f"goal {opinion.goal!r}" + (f" ({opinion.part})" if opinion.part else "")
        if opinion.verdict == "refuted":
            faults.append(
                Fault(message=f"{name}: HiGHS finds an answer below the bound {opinion.claimed}", field="certificate")
            )
        elif opinion.verdict == "open" and not problem.is_complete:
            message = f"{name}: {opinion.by} prove no bound of {opinion.claimed}, and nothing else proves it"
            faults.append(Fault(message=message, field="certificate"))
        elif opinion.verdict == "open":
            remarks.append(
                f"{name}: {opinion.by} proves {opinion.bound} of the bound {opinion.claimed}; "
                "neither confirmed nor refuted"
            )
        else:
            remarks.append(f"{name}: bound confirmed by {opinion.by}")
    return faults, remarks


def _duals(problem: Problem, certificate: Mapping[str, Any]) -> tuple[list[Fault], list[str]]:
    from solvers.proofs.duals_by_highs import recheck

    faults, remarks = recheck(problem, certificate)
    return [Fault(message=text, field="certificate") for text in faults], list(remarks)
