"""What the reference takes rules over groups to say, on fleets whose answer is plain."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.truth.reference import solve

HOSTS = [
    {"name": f"h{n}", "nodes": [{"id": 0, "cpus": "0-7", "memory": "8GiB"}], "labels": {"rack": f"r{n}"}}
    for n in (0, 1)
]


def vm(name: str, app: str, **more: Any) -> dict[str, Any]:
    """Return a VM of one vCPU."""
    return {"name": name, "vcpus": 1, "memory": "256MiB", "cells": 1, "labels": {"app": app}, **more}


@pytest.mark.parametrize(
    ("rule", "hosts"),
    [
        ({"apart": [{"app": "a"}, {"app": "b"}], "scope": "host"}, 2),
        ({"apart": [{"app": "a"}, {"app": "b"}], "scope": "rack", "max_together": 1}, 1),
        ({"pairs": [["a", "a", 1]], "label": "app", "scope": "host"}, 2),
        ({"alone": {"app": "b"}, "scope": "rack"}, 2),
        ({"dedicated": {"app": "b"}, "hosts": "h1"}, 2),
        ({"spread": {"app": "a"}, "scope": "host", "at_least": 2}, 2),
        ({"spread": {"app": "b"}, "scope": "host", "at_least": 2}, 1),
        ({"even": {"app": ["a", "b"]}, "scope": "host", "max_skew": 1}, 2),
        ({"even": {"app": ["a", "b"]}, "scope": "host", "max_skew": 3}, 1),
        ({"share": {"app": ["a", "b"]}, "scope": "rack", "max_vcpus": 2}, 2),
        ({"share": {"app": ["a", "b"]}, "scope": "rack", "max_memory": "768MiB"}, 1),
        ({"share": {"app": "a"}, "scope": "rack", "max_hosts": 1}, 1),
    ],
)
def test_rules_over_groups(rule: dict[str, Any], hosts: int) -> None:
    """Two VMs of one application and one of another: some rules take a second host, and soft ones may be broken."""
    vms = [vm("a1", "a"), vm("a2", "a"), vm("b", "b")]
    fleet = {"hosts": HOSTS, "vms": vms, "rules": [rule]}
    hard = solve(fleet, "placed,rules,hosts")
    assert (hard.values["placed"], hard.values["rules"], hard.values["hosts"]) == ((0, 0), (0,), (hosts,))
    soft = solve({**fleet, "rules": [{**rule, "weight": 3, "priority": 2}]}, "placed,hosts,soft:2")
    cost = soft.values["soft:2"][0]
    assert soft.values["hosts"] == (1,) and cost % 3 == 0
    # All fit on one host, and VMs with a host of their own count there one by one.
    assert (cost > 0) is (hosts == 2)


def test_what_is_broken_may_stay_and_get_no_worse() -> None:
    """Both applications are on a host that they should not share: one more of them may not come, and goes elsewhere."""
    there = {"host": "h0", "nodes": [0]}
    vms = [vm("a1", "a", **there), vm("b1", "b", **there), vm("b2", "b")]
    rule = {"apart": [{"app": "a"}, {"app": "b"}], "scope": "host"}
    found = solve({"hosts": HOSTS, "vms": vms, "rules": [rule]}, "placed,rules", max_moves=0)
    assert found.values == {"placed": (0, 0), "rules": (1,)} and found.plan["b2"].host == "h1"


def test_generations_and_drains_bound_moves() -> None:
    """A VM moves live to no older host, and one that moves only in drains moves only in drains."""
    hosts = [{**HOSTS[0], "gen": 1}, HOSTS[1]]
    rule = {"within": {"app": "a"}, "hosts": "h1"}
    there = {"host": "h0", "nodes": [0]}
    fleet = {"hosts": hosts, "rules": [rule]}
    assert solve({**fleet, "vms": [vm("v", "a", **there)]}, "rules", max_moves=1).values["rules"] == (1,)
    assert solve({**fleet, "vms": [vm("v", "a", movable="cold", **there)]}, "rules", max_moves=1).values["rules"] == (
        0,
    )
    calm = {**fleet, "hosts": HOSTS, "vms": [vm("v", "a", movable="drain", **there)]}
    assert solve(calm, "rules", max_moves=1).values["rules"] == (1,)
    drained = {**calm, "rules": [rule, {"drain": "h0"}]}
    assert solve(drained, "rules", max_moves=1).values["rules"] == (0,)


def test_licences_and_power() -> None:
    """Cores of hosts with the label that hold a VM; idle watts, and of the rest the share of CPUs that VMs ask for."""
    hosts = [{**host, "idle_watts": 100, "busy_watts": 180} for host in HOSTS]
    fleet = {"hosts": hosts, "vms": [vm("v", "a"), vm("w", "b", cpu_policy="shared")]}
    found = solve(fleet, "placed,cores:rack=r1,cores:app=a,hosts:app=a,power")
    assert (found.value("cores:rack=r1"), found.value("cores:app=a"), found.value("hosts:app=a")) == (0, 8, 1)
    assert found.value("power") == 100 + 80 * 2 / 8
