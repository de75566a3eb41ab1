"""Prove a plan's bounds once more, with another solver than the one that found them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from placer.errors import Fault
from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.model.plan import Plan
from placer.planning.compile.compile import Compiled, compile_fleet
from solvers.problem import MoveBudget, Problem
from solvers.result import ObjectiveResult, Result

NO_PROOF_NEEDED = "no cost is negative"
ENGINE_A = "CP-SAT"
COUNTS = "counts"
"""The certificate of a bound that the exact engine proved: the problem itself, to be proven again by HiGHS."""


def certificate_of(result: Result) -> Mapping[str, Any] | None:
    """Return what goes to the plan's side file: the duals behind the bounds, and what is to be proven on the counts.

    Duals are the columns engine's own certificate. What the exact engine proved, all or what the duals do not, has
    values and bounds.
    """
    duals = result.certificate
    if duals is None and result.engine != "exact":
        return None
    entries = [None] * len(result.objectives) if duals is None else duals["objectives"]
    counts = [
        {
            "goal": found.goal,
            "part": found.part,
            "value": found.value,
            "bound": None if duals is not None and not _beyond(found, entry) else found.bound,
        }
        for found, entry in zip(result.objectives, entries, strict=True)
    ]
    if duals is None:
        return {"kind": COUNTS, "objectives": counts}
    if all(entry["bound"] is None for entry in counts):
        return duals
    return {**duals, COUNTS: counts}


def _beyond(found: ObjectiveResult, entry: Mapping[str, Any] | None) -> bool:
    """Tell whether the exact engine proved more of an objective than the duals do."""
    return (
        found.source == ENGINE_A
        and found.bound is not None
        and (entry is None or entry["bound"] is None or entry["bound"] < found.bound)
    )


def check_certificate(fleet: Fleet, plan: Plan) -> tuple[list[Fault], list[str]]:
    """Recompute the bounds of a plan's certificate; return faults, and remarks on what could not be settled.

    A bound that the second solver refutes is a fault, as is a plan that claims more than its certificate does.
    """
    if plan.certificate is None:
        return [
            Fault(
                message="the plan has no certificate, so its bounds cannot be proven again",
                field="certificate",
                cure="solve again with -o, which writes one beside the plan",
            )
        ], []
    compiled = compile_fleet(fleet, parse_goals(plan.options.get("goals"), fleet), _budget(plan))
    objectives = plan.certificate["objectives"]
    if plan.certificate.get("kind") == COUNTS:
        more, remarks = _counts(compiled.problem, objectives)
    else:
        more, remarks = _duals(compiled.problem, plan.certificate)
        # Duals prove no bound that needs no proof: those are left out, and named by their goals here.
        objectives = [
            {"goal": objective.goal, "part": objective.part, "bound": None if entry is None else entry["bound"]}
            for objective, entry in zip(compiled.problem.objectives, objectives, strict=True)
        ]
        if COUNTS in plan.certificate:
            counts = plan.certificate[COUNTS]
            faults, said = _counts(compiled.problem, counts)
            more, remarks = [*more, *faults], [*remarks, *said]
            objectives = [
                {**entry, "bound": _larger(entry["bound"], count["bound"])}
                for entry, count in zip(objectives, counts, strict=True)
            ]
    return _claims(compiled, plan, objectives) + more, remarks


def _budget(plan: Plan) -> MoveBudget:
    return MoveBudget(moves=plan.options.get("max_moves"), migrations=plan.options.get("max_migrations"))


def _claims(compiled: Compiled, plan: Plan, objectives: Sequence[Mapping[str, Any]]) -> list[Fault]:
    """Compare the plan's bounds with the certificate's: the plan may not claim more."""
    faults = []
    certified: dict[str, float] = {}
    units = {objective.goal: (objective.unit, objective.sign) for objective in compiled.problem.objectives}
    counted: dict[str, int] = {}
    for entry in objectives:
        goal, number = entry["goal"], counted.get(entry["goal"], 0)
        counted[goal] = number + 1
        if entry["bound"] is None or (goal != "placed" and number) or (goal == "placed" and number % 2):
            continue
        unit, sign = units[goal]
        grain = _grain(compiled.problem, goal)
        bound = -(-entry["bound"] // grain) * grain
        constant = compiled.constants.get(goal, 0) if not number else 0
        certified[goal] = certified.get(goal, 0.0) + sign * (bound + constant) / unit
    for found in plan.goals:
        if found.bound is None or found.name not in counted:
            continue
        sign = units[found.name][1]
        if found.name not in certified and found.source == NO_PROOF_NEEDED:
            continue
        if found.name not in certified or sign * (found.bound - certified[found.name]) > 1e-6 * max(
            1.0, abs(found.bound)
        ):
            faults.append(
                Fault(
                    message=f"goal {found.name!r}: the plan claims the bound {found.bound:g}, its certificate does not",
                    field="goals",
                )
            )
    return faults


def _larger(one: int | None, other: int | None) -> int | None:
    return max((bound for bound in (one, other) if bound is not None), default=None)


def _grain(problem: Problem, goal: str) -> int:
    """Return a number that every value of the goal is a multiple of, so that bounds may be rounded up to one."""
    objective = next(objective for objective in problem.objectives if objective.goal == goal)
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
    for opinion in second_opinion(problem, values, [entry["bound"] for entry in objectives]):
        name = f"goal {opinion.goal!r}" + (f" ({opinion.part})" if opinion.part else "")
        if opinion.verdict == "refuted":
            faults.append(
                Fault(message=f"{name}: HiGHS finds an answer below the bound {opinion.claimed}", field="certificate")
            )
        elif opinion.verdict == "open":
            remarks.append(
                f"{name}: HiGHS proves {opinion.bound} of the bound {opinion.claimed} in its time; "
                "neither confirmed nor refuted"
            )
        else:
            remarks.append(f"{name}: bound confirmed by HiGHS")
    return faults, remarks


def _duals(problem: Problem, certificate: Mapping[str, Any]) -> tuple[list[Fault], list[str]]:
    from solvers.proofs.duals_by_highs import recheck

    faults, remarks = recheck(problem, certificate)
    return [Fault(message=text, field="certificate") for text in faults], list(remarks)
