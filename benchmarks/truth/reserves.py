"""What a plan says of its reserve rules, against forced solves: what is lost at worst, in it and in any plan."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.truth.cases import Case
from benchmarks.truth.reads.reading import read
from benchmarks.truth.reads.rules import selected
from benchmarks.truth.reference import Placed, solve
from benchmarks.truth.settle import settled, with_failed
from benchmarks.truth.witness import placed_of
from placer.model.fleet import Fleet
from placer.model.plan import Plan

OTHER_GOALS = ("placed,hosts", "placed,balance:cpus", "placed,remote")
"""By each of these the reference makes a plan of its own, which loses no less than what a bound says of all."""


def reserves(case: Case, fleet: Fleet, plan: Plan) -> tuple[list[str], int]:
    """Compare value, proof and bound of every reserve rule of failures that a plan tells of."""
    rules = [rule["reserve"] for rule in case.inventory.get("rules", ()) if "reserve" in rule]
    rows = plan.summary.get("reserve") or []
    if not rules:
        return [], 0
    if len(rules) != len(rows):
        return [f"RESERVE {len(rules)} rules, and {len(rows)} are told of"], 1
    wrong, compared = [], 0
    placed = placed_of(read(case.inventory), plan)
    for rule, row in zip(rules, rows, strict=True):
        lost = _lost(case, rule, placed)
        if lost is None:
            continue
        compared += 1
        said, bound = row["value"], row["bound"]
        if row["proven"] and lost:
            wrong.append(f"RESERVE {rule} kept and proven, the reference loses {lost} vCPUs")
        elif said is not None and said < lost:
            wrong.append(f"RESERVE {rule} loses {said} vCPUs, the reference {lost}")
        if bound is not None and said is not None and bound > said:
            wrong.append(f"RESERVE {rule} bound {bound} above the value {said}")
        for least in _of_other_plans(case, rule) if bound and not plan.unplaced else ():
            if bound > least:
                wrong.append(f"RESERVE {rule} bound {bound}, and a plan of the reference loses {least}")
    return wrong, compared


def _of_other_plans(case: Case, rule: Mapping[str, Any]) -> Iterator[int]:
    for goals in OTHER_GOALS:
        limits = replace(case, goals=goals).limits
        truth = solve(case.inventory, goals, **limits)
        if truth.status == "optimal" and not truth.value("placed"):
            least = _lost(case, rule, truth.plan)
            if least is not None:
                yield least


def _lost(case: Case, rule: Mapping[str, Any], placed: Mapping[str, Placed]) -> int | None:
    """Return the vCPUs without a place after the worst failure that a rule names; None where it is not known."""
    inventory = read(case.inventory)
    after = settled(case, placed)
    working = [host for host in inventory.hosts if not host.failed]
    scope = rule.get("scope", "host")
    domains: dict[str, list[str]] = {}
    for host in working:
        domain = host.name if scope == "host" else host.labels.get(scope)
        if domain is not None:
            domains.setdefault(domain, []).append(host.name)
    members = selected(rule["members"], inventory.vms) if "members" in rule else {vm.name for vm in inventory.vms}
    worst = 0
    for chosen in itertools.combinations(sorted(domains), min(rule["fail"], len(domains))):
        failed = [host for domain in chosen for host in domains[domain]]
        data = _failing(after, failed, members, placed)
        if len(failed) == len(working):
            return None
        truth = solve(data, "placed")
        if truth.status != "optimal":
            return None
        worst = max(worst, int(truth.value("placed")))
    return worst


def _failing(
    after: Mapping[str, Any], failed: Sequence[str], members: frozenset[str] | set[str], placed: Mapping[str, Placed]
) -> dict[str, Any]:
    """Return the fleet in which hosts failed; of VMs on them only members look for a place."""
    data = {**after, "rules": [rule for rule in after.get("rules", ()) if "reserve" not in rule]}
    for host in failed:
        data = with_failed(data, host)
    data["vms"] = [vm for vm in data["vms"] if placed[vm["name"]].host not in failed or vm["name"] in members]
    return data
