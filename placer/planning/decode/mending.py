"""What a plan mends of the rules that a live fleet breaks."""

from __future__ import annotations

from dataclasses import replace

from placer.measure.drains import drain_rows
from placer.measure.score import PlanValues
from placer.measure.shares import share_rows
from placer.measure.summary import idle_hosts, mended, soft_broken
from placer.model.fleet import Fleet
from placer.model.plan import Plan


def with_mending(fleet: Fleet, plan: Plan) -> Plan:
    """Return the plan, its summary telling each rule that is broken now, each soft rule that the plan breaks, and the
    hosts that can be switched off where a goal asks for power, what is left on hosts that are to be emptied, and the
    shares that goals of balance even out.

    Where there is none, there is no such entry.
    """
    said = {
        "rules_broken_before": mended(fleet, plan),
        "soft_rules_broken": soft_broken(fleet, plan),
        "idle_hosts": idle_hosts(fleet, plan),
        "drains": drain_rows(fleet, plan),
        "shares": share_rows(PlanValues(fleet, plan)),
    }
    return replace(plan, summary={**plan.summary, **{key: rows for key, rows in said.items() if rows}})
