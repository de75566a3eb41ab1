"""Prove a plan's bounds once more, with another solver than the one that found them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from placer.errors import Fault
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.planning.compile import Compiled, compile_fleet
from placer.planning.goals import parse_goals
from solvers.problem import MoveBudget, Problem
from solvers.result import Result

NO_PROOF_NEEDED = "no cost is negative"
COUNTS = "counts"
"""The certificate of a bound that engine A proved: the problem itself, to be proven again by HiGHS."""


def certificate_of(result: Result) -> Mapping[str, Any] | None:
    """Return what goes to the plan's side file: the engine's own certificate, or values and bounds for engine A."""
    if result.certificate is not None:
        return result.certificate
    if result.engine != "exact":
        return None
    return {
        "kind": COUNTS,
        "objectives": [
            {"goal": found.goal, "part": found.part, "value": found.value, "bound": found.bound}
            for found in result.objectives
        ],
    }


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
    from solvers.second_opinion import second_opinion

    known = [entry for entry in objectives if entry["value"] is not None and entry["bound"] is not None]
    if len(known) < len(objectives):
        return [], ["a goal has no value or no bound, so the certificate was not proven again"]
    faults, remarks = [], []
    for opinion in second_opinion(problem, [entry["value"] for entry in known], [entry["bound"] for entry in known]):
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
    from solvers.bounds import recheck

    faults, remarks = recheck(problem, certificate)
    return [Fault(message=text, field="certificate") for text in faults], list(remarks)
