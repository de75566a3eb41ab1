"""A fleet checked alone: contradictions are faults, what a planner should know are warnings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from placer.check.check import check
from placer.model.host import Reserve
from placer.model.rules import Rule, RuleKind
from placer.model.vm import CpuPolicy

APP = {"app": "x"}


def rule(kind: RuleKind = RuleKind.ANTI_AFFINITY, **more: Any) -> Rule:
    """Return a rule over app=x."""
    return Rule(kind=kind, **{"members": APP, **more})


FAULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "equal host names": (lambda b: b.fleet([b.host(), b.host()], []), "2 hosts are named 'a'"),
    "equal VM names": (lambda b: b.fleet([b.host()], [b.vm(), b.vm()]), "2 VMs are named 'v'"),
    "one UUID twice": (
        lambda b: b.fleet([b.host()], [b.vm("v", uuid="u"), b.vm("w", uuid="u")]),
        "'v', 'w' have one UUID, u",
    ),
    "reserve of unknown CPUs": (
        lambda b: b.fleet([b.host(reserve=Reserve(cpus=frozenset({99})))], []),
        "has no CPUs 99",
    ),
    "isolated CPUs unknown": (lambda b: b.fleet([b.host(isolated_cpus=frozenset({70}))], []), "has no CPUs 70"),
    "sets that overlap": (
        lambda b: b.fleet([b.host(dedicated_cpus=frozenset({0, 1}), shared_cpus=frozenset({1, 2}))], []),
        "CPUs 1 are both dedicated and shared",
    ),
    "ratio of 0": (lambda b: b.fleet([b.host(cpu_ratio=0.0)], []), "the overcommit ratio of cpu is 0.0"),
    "ratio that is no number": (lambda b: b.fleet([b.host(memory_ratio=float("nan"))], []), "ratio of memory is nan"),
    "reserve of an unknown node": (
        lambda b: b.fleet([b.host(reserve=Reserve(memory_kib={9: 1}))], []),
        "has no node 9",
    ),
    "reserve above the memory": (
        lambda b: b.fleet([b.host(reserve=Reserve(memory_kib={0: 17 * b.GIB}))], []),
        "a reserve of 17GiB and pools of 0KiB exceed its memory of 16GiB",
    ),
    "dedicated vCPUs unknown": (
        lambda b: b.fleet([b.host()], [b.vm(spec=b.spec(cpu_policy=CpuPolicy.MIXED, dedicated_vcpus=frozenset({5})))]),
        "has no vCPUs 5",
    ),
    "fixed pins nowhere": (lambda b: b.fleet([b.host()], [b.vm(pins_fixed=True)]), "has fixed pins and is nowhere"),
    "on an unknown node": (
        lambda b: b.fleet([b.host()], [b.vm(current=b.now(nodes=(5,)))]),
        "is on node 5 of host 'a'",
    ),
    "pinned to unknown CPUs": (
        lambda b: b.fleet([b.host()], [b.vm(current=b.now(pins={0: frozenset({50})}))]),
        "is pinned to CPUs 50",
    ),
    "a rule that names no VM": (lambda b: b.fleet([b.host()], [b.vm()], [rule()]), "names no VM of the fleet"),
    "a rule that names no host": (
        lambda b: b.fleet([b.host()], [b.vm(spec=b.spec(labels=APP))], [rule(RuleKind.WITHIN, hosts={"name": "z"})]),
        "names no host of the fleet",
    ),
    "a drain of no host": (
        lambda b: b.fleet([b.host()], [], [Rule(kind=RuleKind.DRAIN, hosts={"name": "z"})]),
        "names no host of the fleet",
    ),
    "a scope that no host has": (
        lambda b: b.fleet([b.host()], [b.vm(spec=b.spec(labels=APP))], [rule(scope="rack")]),
        "no host has a label 'rack'",
    ),
    "max_per of 0": (
        lambda b: b.fleet([b.host()], [b.vm(spec=b.spec(labels=APP))], [rule(max_per=0)]),
        "max_per is 0",
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_contradictions_are_faults(kind: str, build: Any) -> None:
    """Each contradiction is one fault in words that name it."""
    make, expected = FAULTS[kind]
    found = [str(fault) for fault in check(make(build)).faults]
    assert len(found) == 1, found
    assert expected in found[0]


WARNINGS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no reserve": (lambda b: b.fleet([b.host()], []), "1 host reserves neither CPUs nor memory for itself: 'a'"),
    "many without": (lambda b: b.fleet([b.host(n) for n in "abcde"], []), "5 hosts reserve neither CPUs nor memory"),
    "reader's words": (lambda b: b.fleet([b.host()], [], warnings=("a leftover definition",)), "a leftover definition"),
    "a VM's notes": (lambda b: b.fleet([b.host()], [b.vm(notes=("odd topology",))]), "VM 'v': odd topology"),
    "too large": (
        lambda b: b.fleet([b.host()], [b.vm(spec=b.spec(96))]),
        "needs 96 vCPUs on one node, the largest has 4",
    ),
    "on an unknown host": (lambda b: b.fleet([b.host()], [b.vm(current=b.now("z"))]), "'z', which the fleet has not"),
    "cells and nodes differ": (
        lambda b: b.fleet([b.host()], [b.vm(current=b.now(nodes=(0, 1)))]),
        "1 cells or parts, and 2",
    ),
    "memory overfull now": (
        lambda b: b.fleet([b.host()], [b.vm(spec=b.spec(1, 20), current=b.now())]),
        "node 0: memory has 16GiB, and VMs take 20GiB now",
    ),
    "hosts without the label": (
        lambda b: b.fleet(
            [b.host(labels={"rack": "r"}), b.host("b")], [b.vm(spec=b.spec(labels=APP))], [rule(scope="rack")]
        ),
        "does not hold on hosts without a label 'rack': 'b'",
    ),
    "reserve for failures": (
        lambda b: b.fleet([b.host()], [], [Rule(kind=RuleKind.RESERVE, fail=1)]),
        "is not checked here but in sums",
    ),
    "something assumed": (
        lambda b: b.fleet([b.host(topology=b.topology(assumptions=("one node",)))], []),
        "host file does not tell all, the rest is assumed",
    ),
}


@pytest.mark.parametrize("kind", WARNINGS)
def test_what_a_planner_should_know_is_a_warning(kind: str, build: Any) -> None:
    """Each of these warns and refuses nothing."""
    make, expected = WARNINGS[kind]
    report = check(make(build))
    assert report.ok, [str(fault) for fault in report.faults]
    assert any(expected in warning for warning in report.warnings), report.warnings


def test_a_note_of_many_vms_is_one_line(build: Any) -> None:
    """A note that more than three VMs have, on whatever line, names the first three and counts the others."""
    notes = [
        (f"line {number}: odd", "line 9: rare") if number == 1 else (f"line {number}: odd",) for number in range(5)
    ]
    vms = [build.vm(f"v{number}", notes=own) for number, own in enumerate(notes)]
    report = check(build.fleet([build.host()], vms))
    assert [warning for warning in report.warnings if warning.startswith("VM")] == [
        "VMs 'v0', 'v1', 'v2' and 2 more: odd",
        "VM 'v1': line 9: rare",
    ]


def test_a_fleet_in_order_has_nothing_to_say(build: Any) -> None:
    """A host with a reserve and a VM that fits: no fault, no warning, and the totals."""
    host = build.host(reserve=Reserve(cpus=frozenset({0}), memory_kib={None: build.GIB}))
    report = check(build.fleet([host], [build.vm()]))
    assert (report.faults, report.warnings) == ((), ())
    assert report.measured == {
        "hosts": 1,
        "vms": 1,
        "vcpus": 2,
        "usable_cpus": 7,
        "vm_memory_kib": 2 * build.GIB,
        "host_memory_kib": 31 * build.GIB,
    }
