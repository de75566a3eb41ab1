"""Race one fleet: placer's engines against the reference, value by value, bound by bound, plan by plan."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import placer
from benchmarks.truth.cases import Case
from benchmarks.truth.goals import EXCESS, parse
from benchmarks.truth.reads.reading import read
from benchmarks.truth.reference import Answer, Placed, solve
from benchmarks.truth.witness import placed_of, plan_of
from placer.errors import ImpossibleError, NothingFoundError, PlacerError, RefusedPlanError
from placer.measure.reserve_excess import reserve_excess, reserve_excess_at_least
from placer.model.fleet import Fleet
from placer.model.goals import PART_WORDS
from placer.model.plan import GoalResult, Plan
from placer.options import Engine

Verdict = Literal["proven", "unproven", "failed", "gave up"]
TIME_LIMIT_S = 20.0
NEAR = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How placer fared: `failed` says what was wrong; `proven` that every goal was proven and held."""

    verdict: Verdict
    wrong: tuple[str, ...] = ()


def fleet_of(inventory: Mapping[str, Any]) -> Fleet:
    """Return an inventory as placer's own reader reads it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fleet.json"
        path.write_text(json.dumps(inventory))
        return placer.read_fleet(path)


def planned(case: Case, fleet: Fleet, engine: Engine = "auto") -> Plan:
    """Return placer's plan of a case."""
    return placer.solve(fleet, goals=case.goals, engine=engine, time_limit_s=TIME_LIMIT_S, **case.limits)


def reference(
    case: Case, *, held: Mapping[str, Sequence[float]] | None = None, fixed: Mapping[str, Placed] | None = None
) -> Answer:
    """Return what the reference finds for a case, `held` and `fixed` as its `solve` has them."""
    return solve(
        case.inventory,
        case.goals,
        **case.limits,
        held=held,
        fixed=fixed,
    )


def race(case: Case, engine: Engine, truth: Answer | None = None) -> Outcome:
    """Solve a case with one engine and compare all that its plan says with the reference.

    Parameters
    ----------
    truth : what `reference` found, where it is known already.
    """
    truth = reference(case) if truth is None else truth
    if truth.status == "gave up":
        return Outcome(verdict="gave up")
    fleet = fleet_of(case.inventory)
    try:
        plan = planned(case, fleet, engine)
    except RefusedPlanError as error:
        return Outcome(verdict="failed", wrong=(f"REFUSED {error}",))
    except (ImpossibleError, NothingFoundError) as error:
        if truth.status == "impossible":
            return Outcome(verdict="proven")
        if engine == "greedy" and isinstance(error, NothingFoundError):
            return Outcome(verdict="unproven")
        return Outcome(verdict="failed", wrong=(f"NO PLAN though there is one: {error}",))
    except PlacerError as error:
        return Outcome(verdict="failed", wrong=(f"{type(error).__name__} {error}",))
    except Exception as error:
        import traceback

        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return Outcome(verdict="failed", wrong=(f"CRASH {type(error).__name__} {error} at {place}",))
    if truth.status == "impossible":
        return Outcome(verdict="failed", wrong=("IMPOSSIBLE by the reference, and there is a plan",))
    plan = of_places(fleet, plan)
    wrong, proven, known = _compare(case, plan, truth)
    wrong += _verify(case, plan)
    wrong += [f"OWN FAULT {text}" for text in plan.warnings if "a fault of placer's own" in text]
    if wrong:
        return Outcome(verdict="failed", wrong=tuple(wrong))
    return Outcome(verdict="gave up" if not known else "proven" if proven else "unproven")


def of_places(fleet: Fleet, plan: Plan) -> Plan:
    """Return the plan with the goal ``rules`` less what rules that keep room count to it: see `reserves`."""
    lost, least = reserve_excess(fleet, plan), reserve_excess_at_least(fleet, plan)
    first = next((goal.name for goal in plan.goals), None)
    if lost is None or (lost and (first != "placed" or plan.unplaced)):
        least = 0
    goals = [
        replace(
            goal,
            value=None if goal.value is None or lost is None else goal.value - lost,
            bound=None if goal.bound is None else goal.bound - least,
        )
        if goal.name == "rules"
        else goal
        for goal in plan.goals
    ]
    return replace(plan, goals=tuple(goals))


def _compare(case: Case, plan: Plan, truth: Answer) -> tuple[list[str], bool, bool]:
    """Compare goal by goal; where the plan is worse, later goals are compared with this one held at its value."""
    wrong: list[str] = []
    held: dict[str, tuple[float, ...]] = {}
    proven = True
    for (name, slack), goal in zip(parse(case.goals), plan.goals, strict=True):
        best = truth.value(name)
        sign = -1.0 if name.startswith("headroom") else 1.0
        if goal.value is None:
            if name.startswith("headroom"):
                proven = False
                continue
            if name == "rules" and any("reserve" in rule for rule in case.inventory.get("rules", ())):
                return wrong, False, True
            wrong.append(f"NO VALUE of {name}")
            break
        room = NEAR + float(slack) * abs(best)
        if name in ("remote", "placed") and goal.tiers:
            # Of parts that come one after the other a better sum may be worse in an earlier one.
            wrong += _tiers(name, goal, truth.values[name])
        elif name == "excess":
            wrong += _tiers(name, goal, _by_part(goal, truth.values[name]))
            if not goal.tiers and goal.status == "optimal" and best > NEAR:
                wrong.append(f"BETTER {name}: nothing is told, the optimum is {best:g}")
        else:
            if sign * (best - goal.value) > NEAR:
                wrong.append(f"BETTER {name} {goal.value:g} than the optimum {best:g}")
            if goal.bound is not None and sign * (goal.bound - best) > NEAR:
                wrong.append(f"BOUND {name} bound {goal.bound:g} beyond the optimum {best:g} (value {goal.value:g})")
            wrong += _tiers(name, goal, truth.values[name])
        if goal.status == "optimal" and sign * (goal.value - best) > room:
            wrong.append(f"NOT OPTIMAL {name} {goal.value:g}, the optimum is {best:g}")
        proven = proven and goal.status == "optimal"
        if wrong:
            break
        parts, worse = _parts(name, goal), abs(goal.value - best) > NEAR
        # A plan that was made again for a reserve tells no parts: at its best it is taken to be as good in each.
        told = len(parts) == len(truth.values[name])
        if worse and not told:
            return wrong, False, True
        if told and (worse or parts != truth.values[name]):
            held[name] = parts
            later = reference(case, held=held)
            if later.status != "optimal":
                return wrong, proven, False
            truth = later
    return wrong, proven, True


def _by_part(goal: GoalResult, values: Sequence[float]) -> tuple[float, ...]:
    """Return the optimum of those parts of `excess` that the plan tells of: the others are nothing in it."""
    told = [tier["part"] for tier in goal.tiers]
    return tuple(value for part, value in zip(EXCESS, values, strict=True) if PART_WORDS[part] in told)


def _parts(name: str, goal: GoalResult) -> tuple[float, ...]:
    if name == "excess":
        told = {tier["part"]: float(tier["value"]) for tier in goal.tiers}
        return tuple(told.get(PART_WORDS[part], 0.0) for part in EXCESS)
    if goal.tiers:
        return tuple(float(tier["value"]) for tier in goal.tiers)
    return (float(goal.value),) if goal.value is not None else ()


def _tiers(name: str, goal: GoalResult, values: Sequence[float]) -> list[str]:
    """Compare the parts of a goal, as long as each is at its optimum."""
    if len(goal.tiers) != len(values):
        return []
    for tier, best in zip(goal.tiers, values, strict=True):
        value, bound = tier["value"], tier["bound"]
        if value is not None and best - value > NEAR:
            return [f"BETTER {name} {tier['part']} {value:g} than the optimum {best:g}"]
        if bound is not None and bound - best > NEAR:
            return [f"BOUND {name} {tier['part']} bound {bound:g} beyond the optimum {best:g}"]
        if tier["status"] == "optimal" and value - best > NEAR:
            return [f"NOT OPTIMAL {name} {tier['part']} {value:g}, the optimum is {best:g}"]
        if value - best > NEAR:
            break
    return []


def _verify(case: Case, plan: Plan) -> list[str]:
    """Put placer's plan before the reference: it keeps all that is written, and is worth what it says."""
    inventory = read(case.inventory)
    seen = reference(case, fixed=placed_of(inventory, plan))
    if seen.status == "impossible":
        return ["VERIFY the reference does not accept the plan"]
    if seen.status == "gave up":
        return []
    wrong = []
    for goal in plan.goals:
        if goal.value is None:
            continue
        value = seen.value(goal.name)
        if goal.name.startswith("headroom"):
            if goal.value > value + NEAR:
                wrong.append(f"VALUE {goal.name} {goal.value:g}, and {value:g} fit")
        elif abs(value - goal.value) > NEAR:
            wrong.append(f"VALUE {goal.name} {goal.value:g}, the reference measures {value:g}")
    return wrong


def check_witness(case: Case, truth: Answer) -> tuple[str, ...]:
    """Return what `placer.check` has against the reference's own plan: nothing, if both read the documents alike."""
    from placer.check.check import check

    fleet = fleet_of(case.inventory)
    report = check(fleet, plan_of(fleet, read(case.inventory), truth.plan, case.to_json()["options"]))
    return tuple(f"WITNESS {fault}" for fault in report.faults)
