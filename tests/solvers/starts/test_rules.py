"""Rules as the greedy engine keeps them: of many that name a VM each, every one is asked of the hosts that hold it."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.failures.reserve import without_reserve
from placer.failures.slots import slots_free
from placer.model.fleet import Fleet
from placer.options import SweepOptions
from placer.read.inventory.inventory import parse_fleet
from solvers.problem import Problem


def made(hosts: int) -> Fleet:
    """Return hosts with a VM of their own size each, which has a slot on another one."""
    vms = "\n".join(
        f"  - {{name: v{n}, vcpus: {1 + n % 3}, memory: 1GiB, cells: none, host: h-{n}, nodes: [0]}}"
        for n in range(1, hosts + 1)
    )
    text = f"""\
schema: placer.inventory/v1
hosts: [{{name: h, count: {hosts}, nodes: [{{id: 0, cpus: "0-7", memory: 64GiB}}]}}]
vms:
{vms}
rules: [{{failover_for: {{name: [{", ".join(f"v{n}" for n in range(1, hosts + 1))}]}}, scope: host}}]
"""
    return parse_fleet(text.encode(), "fleet.yaml", Path())


def test_as_many_rules_as_vms_are_not_asked_of_every_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on the hosts is looked at as often for a rule a VM as for one rule: it was rules times hosts."""
    seen = 0
    plain = Problem.content_of

    def counted(problem: Problem, number: int) -> object:
        nonlocal seen
        seen += 1
        return plain(problem, number)

    fleet = made(40)
    monkeypatch.setattr(Problem, "content_of", counted)
    (found,) = slots_free(without_reserve(fleet), fleet.rules, SweepOptions(time_limit_s=600)).values()
    assert (found.wanted, found.free, found.proven) == (40, 40, True)
    assert seen <= 10 * 40
