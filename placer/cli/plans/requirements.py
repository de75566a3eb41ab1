"""``--require placed,gap=0.5%``: what a plan must have reached for the exit code 0."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from placer.errors import Fault, ImpossibleError, InputError, PlacerError, RequirementError
from placer.model.units import count
from placer.show.words import figure, percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placer.model.plan import GoalResult, Plan

ZERO_GOALS = ("placed", "rules")
"""Goals that can be required by name: nothing unplaced, no rule broken."""
_GAP = re.compile(r"gap\s*=\s*([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """Goals that must be at zero, and the largest gap that any goal may have (a share; None: any).

    With `strict` nothing may be proven to have no place: excess that is not proven passes.
    """

    goals: tuple[str, ...] = ()
    gap: float | None = None
    strict: bool = False


def parse_requirements(text: str | None) -> Requirements:
    """Read ``placed``, ``rules`` and ``gap=0.5%``, separated by commas.

    Raises
    ------
    InputError
        Anything else: every fault of the list.
    """
    goals: list[str] = []
    gap: float | None = None
    faults: list[Fault] = []
    for item in (text or "").split(",") if text is not None else []:
        word = item.strip()
        found = _GAP.fullmatch(word)
        if found is not None:
            gap = float(found[1]) / 100
        elif word in ZERO_GOALS:
            goals.append(word)
        else:
            cure = "use placed, rules or gap=0.5%, separated by commas"
            faults.append(Fault(message=f"{word[:40]!r} cannot be required", field="--require", cure=cure))
    if faults:
        raise InputError(faults)
    return Requirements(goals=tuple(goals), gap=gap)


def unmet(requirements: Requirements, plan: Plan) -> PlacerError | None:
    """Return what a plan falls short of, proven impossibility before all else; None where it meets everything."""
    impossible: list[Fault] = []
    missed: list[Fault] = []
    by_name = {goal.name: goal for goal in plan.goals}
    for name in requirements.goals:
        goal = by_name.get(name)
        if goal is None:
            cure = "add it to --goals"
            missed.append(Fault(message=f"goal {name} is required and was not solved for", field=name, cure=cure))
        elif name == "rules" and (lost := _reserves_not_kept(plan)):
            cure = "give more time, or see placer whatif --fail-each"
            for text, least in lost:
                if least:
                    impossible.append(
                        Fault(message=f"proven impossible: {text}; no plan has less than {least}", field=name)
                    )
                else:
                    missed.append(Fault(message=f"required and not proven: {text}", field=name, cure=cure))
            if least_possible(goal) > 0 and not any(least for _, least in lost):
                impossible.append(_impossible(goal))
        elif least_possible(goal) > 0:
            impossible.append(_impossible(goal))
        elif goal.value is None or worst_part(goal) > 0:
            text = f"required and not reached: {figure(goal.value)} remain, at least {figure(goal.bound)} is proven"
            missed.append(Fault(message=text, field=name, cure="give more time, or ease the goals before it"))
    excess = by_name.get("excess")
    if requirements.strict and excess is not None and least_possible(excess) > 0:
        parts = [tier for tier in excess.tiers if tier["bound"]]
        said = ", ".join(f"{figure(tier['bound'])} {tier['part']}" for tier in parts)
        cure = "allow moves with --max-moves, or leave --strict out: what runs stays as it is"
        impossible.append(Fault(message=f"proven to have no place: {said}", field="excess", cure=cure))
    if requirements.gap is not None:
        for goal in plan.goals:
            if goal.gap is None or goal.gap > requirements.gap:
                text = f"the gap is {percent(goal.gap)}, required is at most {percent(requirements.gap)}"
                missed.append(Fault(message=text, field=goal.name, cure="give more time with --time-limit"))
    if impossible:
        return ImpossibleError([*impossible, *missed])
    return RequirementError(missed) if missed else None


def _impossible(goal: GoalResult) -> Fault:
    text = f"proven impossible: at best {figure(goal.bound)} remain, by {goal.source}"
    return Fault(message=text, field=goal.name)


def _reserves_not_kept(plan: Plan) -> list[tuple[str, str]]:
    """Return a sentence for each reserve rule that the plan was not proven to keep, and what lacks in any plan."""
    out = []
    for one in plan.summary.get("reserve") or ():
        if not one.get("proven"):
            bound, short = one.get("bound"), "slot too few" if "slots" in one else "vCPU without a place"
            few = "slots too few" if "slots" in one else "vCPUs without a place"
            least = count(bound, short, few) if bound else ""
            out.append((f"{one.get('rule', 'reserve')}: {_lacking(one)}", least))
    return out


def _lacking(one: Mapping[str, Any]) -> str:
    worst = one.get("worst")
    if "slots" in one:
        return f"{one['free']} of {count(one['slots'], 'slot')} {'is' if one['free'] == 1 else 'are'} free"
    if worst is None:
        return f"{count(one['unknown'], 'failure is', 'failures are')} not known"
    return f"the failure of {' and '.join(worst['domains'])} leaves {count(worst['vms_lost'], 'VM')} without a place"


def least_possible(goal: GoalResult) -> float:
    """Return the largest proven bound of a goal and its parts: above 0, no plan brings it to zero."""
    bounds = [goal.bound, *(tier.get("bound") for tier in goal.tiers)]
    return max((bound for bound in bounds if isinstance(bound, (int, float))), default=0.0)


def worst_part(goal: GoalResult) -> float:
    """Return the largest value of a goal and its parts."""
    values = [goal.value, *(tier.get("value") for tier in goal.tiers)]
    return max((value for value in values if isinstance(value, (int, float))), default=0.0)
