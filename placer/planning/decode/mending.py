"""What a plan mends of the rules that a live fleet breaks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from placer.measure.rule_excess import plan_excess, rule_index, start_excess
from placer.model.fleet import Fleet
from placer.model.plan import Plan


def with_mending(fleet: Fleet, plan: Plan) -> Plan:
    """Return the plan, its summary telling each rule that is broken now: by how much, and by how much it then is.

    Excess is counted as for the goal ``rules``. Fleets that break no rule have no such entry.
    """
    if not fleet.is_live or not fleet.rules:
        return plan
    index = rule_index(fleet)
    before: Counter[int] = Counter()
    for (number, _), many in start_excess(fleet, index).items():
        before[number] += many
    if not before:
        return plan
    after: Counter[int] = Counter()
    for (number, _), many in plan_excess(fleet, plan, index).items():
        after[number] += many
    rows: list[dict[str, Any]] = [
        {"rule": fleet.rules[number].label, "excess_before": many, "excess": after[number]}
        for number, many in sorted(before.items())
    ]
    return replace(plan, summary={**plan.summary, "rules_broken_before": rows})
