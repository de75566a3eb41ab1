"""A plan that breaks a rule is refused, whatever the kind: made where the rule is not, checked where it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import placer
from placer.model.fleet import Fleet
from placer.read.inventory.inventory import parse_fleet

FLEET = """
schema: placer.inventory/v1
hosts:
  - {{name: h0, nodes: [{{id: 0, cpus: 0-7, memory: 16GiB}}], labels: {{rack: r0}}}}
  - {{name: h1, nodes: [{{id: 0, cpus: 0-7, memory: 16GiB}}], labels: {{rack: r0}}}}
  - {{name: h2, nodes: [{{id: 0, cpus: 0-7, memory: 16GiB}}], labels: {{rack: r1}}}}
  - {{name: h3, nodes: [{{id: 0, cpus: 0-7, memory: 16GiB}}], labels: {{rack: r1}}}}
vms:
  - {{name: a0, vcpus: 1, memory: 1GiB, labels: {{app: a}}}}
  - {{name: a1, vcpus: 1, memory: 1GiB, labels: {{app: a}}}}
  - {{name: b0, vcpus: 1, memory: 1GiB, labels: {{app: b}}}}
  - {{name: b1, vcpus: 1, memory: 1GiB, labels: {{app: b}}}}
rules: [{}]
"""

CASES = {
    "anti_affinity host": ("{anti_affinity: {app: a}}", "0 0 1 2"),
    "anti_affinity node": ("{anti_affinity: {app: a}, scope: node}", "0 0 1 2"),
    "anti_affinity l3": ("{anti_affinity: {app: a}, scope: l3}", "0 0 1 2"),
    "anti_affinity label": ("{anti_affinity: {app: a}, scope: rack}", "0 1 2 3"),
    "anti_affinity unless": ("{anti_affinity: {app: a}, scope: rack, unless: {rack: r0}}", "2 3 0 1"),
    "affinity host": ("{affinity: {app: a}}", "0 1 2 3"),
    "affinity node": ("{affinity: {app: a}, scope: node}", "0 1 2 3"),
    "affinity l3": ("{affinity: {app: a}, scope: l3}", "0 1 2 3"),
    "affinity label": ("{affinity: {app: a}, scope: rack}", "0 2 1 1"),
    "within": ("{within: {app: a}, hosts: {rack: r0}}", "0 2 1 1"),
    "outside": ("{outside: {app: a}, hosts: {rack: r1}}", "0 2 1 1"),
    "drain": ("{drain: h3}", "0 1 2 3"),
    "apart host": ("{apart: [{app: a}, {app: b}]}", "0 1 1 2"),
    "apart node": ("{apart: [{app: a}, {app: b}], scope: node}", "0 1 1 2"),
    "apart label": ("{apart: [{app: a}, {app: b}], scope: rack, max_together: 1}", "0 0 1 1"),
    "pairs host": ("{pairs: [[a, b, 1]], label: app}", "0 1 1 1"),
    "pairs node": ("{pairs: [[a, b]], label: app, scope: node}", "0 1 1 2"),
    "pairs label": ("{pairs: [[b, b, 1]], label: app, scope: rack}", "2 3 0 1"),
    "alone host": ("{alone: {app: a}}", "0 1 1 2"),
    "alone node": ("{alone: {app: a}, scope: node}", "0 1 1 2"),
    "alone label": ("{alone: {app: a}, scope: rack}", "0 0 1 2"),
    "dedicated, members elsewhere": ("{dedicated: {app: a}, hosts: {rack: r0}}", "0 2 3 3"),
    "dedicated, others there": ("{dedicated: {app: a}, hosts: {rack: r0}}", "0 0 1 3"),
    "spread host": ("{spread: {app: a}}", "0 0 1 2"),
    "spread label": ("{spread: {app: a}, scope: rack}", "0 1 2 3"),
    "even host": ("{even: {app: a}, max_skew: 1}", "0 0 1 2"),
    "even label": ("{even: {app: a}, scope: rack, max_skew: 1}", "0 1 2 3"),
    "share of vCPUs": ("{share: {app: a}, scope: rack, max_vcpus: 1}", "0 1 2 3"),
    "share of memory": ("{share: {app: a}, scope: rack, max_memory: 1GiB}", "0 1 2 3"),
    "share of hosts": ("{share: {app: a}, scope: rack, max_hosts: 1}", "0 1 2 3"),
}


def fleet(*rules: str) -> Fleet:
    """Return four hosts in two racks with two VMs of each of two groups, under these rules."""
    return parse_fleet(FLEET.format(", ".join(rules)).encode(), "fleet.yaml", Path())


@pytest.mark.parametrize("case", CASES)
def test_a_plan_that_breaks_a_rule_is_refused(case: str) -> None:
    """The fault names the rule; without it the plan is right, and a plan made with it breaks nothing."""
    rule, places = CASES[case]
    pins = [f"{{within: {vm}, hosts: h{n}}}" for vm, n in zip(("a0", "a1", "b0", "b1"), places.split(), strict=True)]
    forced = fleet(*pins)
    plan = placer.solve(forced, goals="placed,rules", rounds=5)
    assert not plan.unplaced
    assert placer.check(forced, plan).ok
    ruled = fleet(rule[:-1] + ", name: damage}")
    # As if the plan had been written by a planner that does not know the rule.
    report = placer.check(replace(ruled, digest=forced.digest), plan)
    assert not report.ok
    assert any("rule 'damage" in fault.message for fault in report.faults), report.faults
    kept = placer.solve(ruled, goals="placed,rules", rounds=5)
    assert not kept.unplaced
    assert placer.check(ruled, kept).ok


@pytest.mark.parametrize("rule", ["soft: true", "weight: 3", "soft: true, priority: 2"])
def test_a_soft_rule_that_a_plan_says_it_keeps_is_measured(rule: str) -> None:
    """Two VMs on one host break a soft rule, which is allowed; saying that it costs nothing is not."""
    pins = [f"{{within: {vm}, hosts: h0}}" for vm in ("a0", "a1")]
    broken = fleet(f"{{anti_affinity: {{app: a}}, {rule}}}", *pins)
    goal = "soft:2" if "priority" in rule else "soft"
    plan = placer.solve(broken, goals=f"placed,rules,{goal}", rounds=5)
    assert placer.check(broken, plan).ok and plan.goal(goal).value == (3 if "weight" in rule else 1)
    told = tuple(replace(one, value=0, bound=0) if one.name == goal else one for one in plan.goals)
    report = placer.check(broken, replace(plan, goals=told))
    assert any(f"goal '{goal}'" in fault.message for fault in report.faults), report.faults
