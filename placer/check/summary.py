"""Check what a plan's summary says: figures as they are measured, host and node of the fleet."""

from __future__ import annotations

import json
from typing import Any

from placer.check.findings import Findings
from placer.measure.drains import drain_rows
from placer.measure.score import PlanValues
from placer.measure.shares import share_rows
from placer.measure.summary import capacity_summary, idle_hosts, mended, soft_broken
from placer.model.fleet import Fleet
from placer.model.plan import Plan

SLOT = ("cpus", "memory_mib")
"""What is compared of the largest free slot: several nodes may have one as large."""


def check_summary(values: PlanValues, plan: Plan, found: Findings) -> None:
    """Note every figure of the summary that is not so; what it leaves out, it leaves out.

    The worst failure of one host takes a solver's code to be found again: `check` with ``bound`` does so. What a
    reserve or the search for cycles did is a note, and looked at by nobody.
    """
    said = plan.summary
    own: dict[str, Any] = {}
    if {"cpus", "memory_mib", "largest_free_slot"} & said.keys():
        own = capacity_summary(values)
        slot, largest = said.get("largest_free_slot"), own["largest_free_slot"]
        if isinstance(slot, dict) and isinstance(largest, dict) and _is_there(values.fleet, slot):
            own["largest_free_slot"] = {**slot, **{key: largest[key] for key in SLOT}}
    if "rules_broken_before" in said:
        own["rules_broken_before"] = mended(values.fleet, plan)
    if "soft_rules_broken" in said:
        own["soft_rules_broken"] = soft_broken(values.fleet, plan)
    if "drains" in said:
        own["drains"] = drain_rows(values.fleet, plan)
    if "shares" in said:
        own["shares"] = share_rows(values)
    if "idle_hosts" in said:
        own["idle_hosts"] = idle_hosts(values.fleet, plan)
    for key, value in own.items():
        if key in said and said[key] != value:
            message = f"the summary says {_short(said[key])}, and {_short(value)} is measured"
            found.fault(message, where=f"summary.{key}")


def check_worst_failure(said: Any, own: dict[str, Any], found: Findings) -> None:
    """Compare the worst failure of one host in a summary with the one that a greedy fit finds, which loses no less.

    A plan that keeps a reserve has had its failures solved, and may know better than greed: what then is not refuted is
    named as not found again. None: the plan says that it is not known.
    """
    if said is None or said == own:
        return
    worse: int = own["vcpus_without_place"]
    vcpus, vms, states = (_count(said, key) for key in ("vcpus_without_place", "vms_without_place", "states"))
    # At its time limit a plan has looked at fewer failures, and says so.
    fewer = states is not None and states < own["states"] and said.get("proven") is False
    hidden = vcpus is not None and vcpus < worse and own["proven"] and not fewer
    if vcpus is None or vms is None or vcpus > worse or hidden or vcpus < vms:
        found.fault(f"the summary says {_short(said)}, and {_short(own)} is found", where="summary.worst_host_failure")
    elif vcpus < worse or (said.get("proven") is not False and not own["proven"]):
        found.warn("the worst failure of one host takes solves to be found again: placer whatif FLEET --fail-each host")


def _count(said: Any, key: str) -> int | None:
    found = said.get(key) if isinstance(said, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def _is_there(fleet: Fleet, slot: dict[str, Any]) -> bool:
    host = fleet.host_by_name.get(slot["host"]) if isinstance(slot.get("host"), str) else None
    return host is not None and slot.get("node") in host.topology.node_ids


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 160 else text[:157] + "..."
