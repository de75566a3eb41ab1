"""What a plan mends of the rules that a live fleet breaks."""

from __future__ import annotations

from dataclasses import replace

from placer.measure.summary import mended
from placer.model.fleet import Fleet
from placer.model.plan import Plan


def with_mending(fleet: Fleet, plan: Plan) -> Plan:
    """Return the plan, its summary telling each rule that is broken now; fleets that break none have no such entry."""
    rows = mended(fleet, plan)
    return replace(plan, summary={**plan.summary, "rules_broken_before": rows}) if rows else plan
