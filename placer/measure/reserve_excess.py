"""How far a plan breaks the rules that keep room, as its summary tells: what has no place, in VMs and slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind

Row = Mapping[str, Any]


def reserve_excess(fleet: Fleet, plan: Plan) -> int | None:
    """Return the VMs without a place after the worst failure that each reserve rule names, and the slots that are not
    free, over all such rules; None where it is not known of one.
    """
    found = 0
    for _, row in _rows(fleet, plan):
        excess = None if row is None else _excess(row)
        if excess is None:
            return None
        found += excess
    return found


def reserve_excess_at_least(fleet: Fleet, plan: Plan) -> int:
    """Return how much of that no plan that places all VMs is without: the fewest VMs that have the vCPUs of a bound."""
    return sum(_at_least(fleet, rule, row) for rule, row in _rows(fleet, plan) if row is not None)


def _rows(fleet: Fleet, plan: Plan) -> list[tuple[Rule, Row | None]]:
    """Return each reserve rule with what the plan tells of it; a plan file may hold anything."""
    rules = [rule for rule in fleet.rules if rule.kind is RuleKind.RESERVE]
    said = plan.summary.get("reserve")
    rows = said if isinstance(said, Sequence) and len(said) == len(rules) else [None] * len(rules)
    return [(rule, row if isinstance(row, Mapping) else None) for rule, row in zip(rules, rows, strict=True)]


def _excess(row: Row) -> int | None:
    value = _count(row.get("value"))
    if not value or "slots" in row:
        return value
    worst = row.get("worst")
    return _count(worst.get("vms_lost")) if isinstance(worst, Mapping) else None


def _at_least(fleet: Fleet, rule: Rule, row: Row) -> int:
    least = _count(row.get("bound")) or 0
    if "slots" in row or not least:
        return least
    sizes = sorted((vm.spec.vcpus for vm in fleet.vms if rule.covers(vm.name, vm.spec.labels)), reverse=True)
    return next((many for many, vcpus in enumerate(accumulate(sizes), start=1) if vcpus >= least), 0)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
