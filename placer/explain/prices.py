"""What each rule of a plan costs: the goals of a plan made without it, with proofs where there are some."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

from placer.errors import ImpossibleError, InputError, NothingFoundError
from placer.measure.rule_excess import plan_domains, rule_index
from placer.model.fleet import Fleet
from placer.model.plan import GoalResult, Plan
from placer.model.rules import RuleKind
from placer.planner import solve_fleet

RULES_IN_ALL = 6
"""How many times the limit of one solve all of them may take together."""
_SAME = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePrice:
    """What one rule costs: how much smaller each goal gets by a solve without it (positive: the rule costs that much).

    `proven` goals are optimal in the plan and in the solve without the rule; for the others the price is what was
    found. `at_most` is the first goal that is not proven, and what no solve without the rule can save in it beyond;
    None where all are proven or no bound is known. `failed` says why there is no price.
    """

    rule: str
    costs: tuple[tuple[str, float], ...]
    proven: frozenset[str]
    at_most: tuple[str, float] | None = None
    failed: str | None = None


def rule_prices(fleet: Fleet, plan: Plan, *, time_limit_s: float) -> tuple[tuple[RulePrice, ...], tuple[str, ...]]:
    """Return the price of each rule in the fleet's order, and the labels of those for which there was no time.

    Rules that hold some domain full come first, since those are the ones that can cost something; a rule that does not
    seem to bind may cost too, so none is said to be free without a solve.

    Parameters
    ----------
    time_limit_s : seconds for the solve without one rule; `RULES_IN_ALL` times as much in all.
    """
    # A reserve for failures is no constraint of the solve: there is nothing to take away.
    numbers = [number for number, rule in enumerate(fleet.rules) if rule.kind is not RuleKind.RESERVE]
    full = _full(fleet, plan)
    end = time.monotonic() + RULES_IN_ALL * time_limit_s
    found: dict[int, RulePrice] = {}
    for number in sorted(numbers, key=lambda one: (one not in full, one)):
        if found and time.monotonic() > end:
            break
        found[number] = _price(fleet, plan, number, time_limit_s)
    left = tuple(fleet.rules[number].label for number in numbers if number not in found)
    return tuple(found[number] for number in sorted(found)), left


def _full(fleet: Fleet, plan: Plan) -> set[int]:
    """Return the rules that the plan obeys to the last place: a domain with as many members as it may hold."""
    held = plan_domains(fleet, plan, rule_index(fleet))
    return {
        number
        for number, domains in held.items()
        if fleet.rules[number].kind is not RuleKind.ANTI_AFFINITY
        or any(count >= fleet.rules[number].max_per for count in domains.values())
    }


def _price(fleet: Fleet, plan: Plan, number: int, time_limit_s: float) -> RulePrice:
    rule = fleet.rules[number]
    rest = dataclasses.replace(fleet, rules=tuple(one for n, one in enumerate(fleet.rules) if n != number))
    try:
        free = solve_fleet(
            rest,
            goals=plan.options.get("goals"),
            time_limit_s=time_limit_s,
            seed=plan.seed,
            max_moves=plan.options.get("max_moves"),
            max_migrations=plan.options.get("max_migrations"),
        )
    except (ImpossibleError, NothingFoundError, InputError) as error:
        return RulePrice(rule=rule.label, costs=(), proven=frozenset(), failed=str(error))
    pairs = [(with_rule, free.goal(with_rule.name)) for with_rule in plan.goals]
    return RulePrice(
        rule=rule.label,
        costs=_costs(pairs),
        proven=frozenset(one.name for one, other in pairs if _is_proven(one) and _is_proven(other)),
        at_most=_at_most(pairs),
    )


def _costs(pairs: list[tuple[GoalResult, GoalResult]]) -> tuple[tuple[str, float], ...]:
    """Return what was saved, goal by goal; nothing where the solve without the rule found only worse.

    The plan is a plan without the rule too, so a worse one says nothing of the rule.
    """
    costs = [
        (one.name, one.value - other.value)
        for one, other in pairs
        if one.value is not None and other.value is not None and abs(one.value - other.value) > _SAME
    ]
    if costs and costs[0][1] * _sign(costs[0][0]) < 0:
        return ()
    return tuple(costs)


def _at_most(pairs: list[tuple[GoalResult, GoalResult]]) -> tuple[str, float] | None:
    """Return the first goal without a proof and the largest price it can have, if the goals before it stay the same."""
    for one, other in pairs:
        if _is_proven(one) and _is_proven(other):
            if one.value != other.value:
                return None
            continue
        if one.value is None or other.bound is None:
            return None
        return one.name, _sign(one.name) * max(0.0, _sign(one.name) * (one.value - other.bound))
    return None


def _sign(goal: str) -> int:
    return -1 if goal.startswith("headroom") else 1


def _is_proven(goal: GoalResult) -> bool:
    return goal.status == "optimal"
