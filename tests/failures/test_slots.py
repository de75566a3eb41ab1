"""Slots that stay free: beside what is planned, all at once, counted where they do not fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from placer.check.check import check
from placer.cli.plans.requirements import parse_requirements, unmet
from placer.errors import ImpossibleError, InputError
from placer.model.fleet import Fleet
from placer.planner import solve_fleet
from placer.read.inventory.inventory import parse_fleet
from placer.read.inventory.write_vms import rule_text
from placer.show.reserve_words import reserve_sentences
from placer.whatif.minfleet import smallest_fleet

HOSTS = """\
schema: placer.inventory/v1
hosts:
  - {name: a, count: 2, nodes: [{id: 0, cpus: "0-7", memory: 64GiB}], labels: {rack: r1}}
  - {name: b, count: 2, nodes: [{id: 0, cpus: "0-7", memory: 64GiB}], labels: {rack: r2}}
"""


def made(vms: str, rules: str) -> Fleet:
    """Return two racks of two hosts of eight CPUs, with VMs under rules."""
    text = f"{HOSTS}vms: [{vms}]\nrules: [{rules}]\n"
    return parse_fleet(text.encode(), "fleet.yaml", Path())


VM = "{name: v, count: 4, vcpus: 4, memory: 1GiB, cells: none}"


def test_slots_are_free_in_each_domain_beside_the_vms() -> None:
    """Each rack keeps a slot of a whole host: all VMs go to one host a rack, where fewest hosts would take any two."""
    fleet = made(VM, "{hold: {flavor: 8x1GiB, count: 1, scope: rack}}")
    plan = solve_fleet(fleet, goals="placed,rules,hosts", rounds=2)
    (row,) = plan.summary["reserve"]
    assert (row["slots"], row["free"], row["value"], row["bound"], row["proven"]) == (2, 2, 0, 0, True)
    used = {vm.host for vm in plan.vms}
    assert len(plan.vms) == 4 and len(used) == 2 and {host[0] for host in used} == {"a", "b"}
    assert not used & set(row["hosts"])
    assert unmet(parse_requirements("placed,rules"), plan) is None
    assert "2 of 2 slots free" in next(reserve_sentences(plan.summary["reserve"]))


def test_slots_of_several_rules_are_free_at_once() -> None:
    """Room for five of four CPUs is left: four and two slots do not both fit, and each alone does."""
    vms = "{name: v, count: 3, vcpus: 4, memory: 1GiB, cells: none}"
    both = made(vms, "{hold: {flavor: 4x1GiB, count: 4}}, {hold: {flavor: 4x1GiB, count: 2}}")
    plan = solve_fleet(both, goals="placed,rules", rounds=2)
    assert sum(row["value"] for row in plan.summary["reserve"]) == 1 and not plan.unplaced
    assert any("slots is free" in text or "slots are free" in text for text in plan.warnings)
    assert check(both, plan).ok


def test_slots_that_no_plan_has_are_proven_to_lack() -> None:
    """Four VMs and five slots of half a host need nine halves of eight: one lacks in any plan, and it says so."""
    fleet = made(VM, "{hold: {flavor: 4x1GiB, count: 5}}")
    plan = solve_fleet(fleet, goals="placed,rules", rounds=2)
    (row,) = plan.summary["reserve"]
    assert (row["free"], row["value"], row["bound"]) == (4, 1, 1) and not plan.unplaced
    missed = unmet(parse_requirements("rules"), plan)
    assert isinstance(missed, ImpossibleError) and "1 slot too few" in str(missed)


def test_a_slot_for_each_vm_is_in_another_domain() -> None:
    """VMs of one rack have their slots in the other, which has room for one of them: no plan without moves has more."""
    vms = (
        "{name: v, vcpus: 8, memory: 1GiB, cells: none, labels: {app: db}, host: a-1, nodes: [0]}, "
        "{name: w, vcpus: 4, memory: 1GiB, cells: none, host: b-1, nodes: [0]}, "
        "{name: u, vcpus: 8, memory: 1GiB, cells: none, labels: {app: db}, host: a-2, nodes: [0]}"
    )
    fleet = made(vms, "{failover_for: {app: db}, scope: rack}")
    still = solve_fleet(fleet, goals="placed,rules", rounds=2)
    (row,) = still.summary["reserve"]
    assert (row["slots"], row["free"], row["hosts"], row["bound"]) == (2, 1, {"b-2": 1}, 1)


def test_the_fewest_hosts_hold_the_slots_too() -> None:
    """Four VMs of half a host take two hosts, and five slots beside them five in all."""
    fleet = made(VM, "{hold: {flavor: 4x1GiB, count: 5}}")
    found = smallest_fleet(fleet, ["a-1"], time_limit_s=20)
    assert (found.hosts, found.cost, found.bound, found.status) == ({"a-1": 5}, 5, 5, "optimal")
    assert len(found.plan.vms) == 4


def test_a_claim_of_slots_is_summed_up() -> None:
    """Slots said to be on hosts that are full, or fewer than are wanted, are faults of the plan."""
    fleet = made(VM, "{hold: {flavor: 8x1GiB, count: 1, scope: rack}}")
    plan = solve_fleet(fleet, goals="placed,rules,hosts", rounds=2)
    (row,) = plan.summary["reserve"]
    full = plan.vms[0].host

    def said(**other: object) -> list[str]:
        changed = dataclasses.replace(plan, summary={**plan.summary, "reserve": [{**row, **other}]})
        return [fault.message for fault in check(fleet, changed).faults]

    assert not said()
    assert any("no room" in text for text in said(hosts={full: 2}))
    assert any("says otherwise" in text for text in said(hosts={}))
    assert any("hosts that work" in text for text in said(hosts={"nowhere": 2}))


@pytest.mark.parametrize(
    "rule",
    [
        "{hold: {flavor: 4x1GiB, count: 5}}",
        "{hold: {flavor: 4x1GiB/2, count: 5, scope: rack}}",
        "{failover_for: {name: v-1}}",
    ],
)
def test_rules_of_slots_are_written_as_they_are_read(rule: str) -> None:
    """A rule of slots comes back from its text."""
    fleet = made(VM, rule)
    again = made(VM, rule_text(fleet.rules[0]))
    assert [dataclasses.replace(one, line=None) for one in again.rules] == [
        dataclasses.replace(one, line=None) for one in fleet.rules
    ]


def test_faults_of_slots_are_named() -> None:
    """A flavor that is none, and a scope that no host has, are faults with their place."""
    with pytest.raises(InputError) as flavor:
        made(VM, "{hold: {flavor: huge, count: 5, scope: row}}")
    texts = [str(fault) for fault in flavor.value.faults]
    assert any("is not a flavor" in text for text in texts) and any("no host has a label" in text for text in texts)
