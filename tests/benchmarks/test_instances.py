"""Made fleets are what they claim: exactly full, repeatable, and valid for the checker."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from benchmarks.instances import NODE_CPUS, NODE_GIB, Kind, exact_fit_fleet, greenfield_fleet
from benchmarks.live_fleets import many_node_fleet, two_node_fleet
from benchmarks.rules import ruled_fleet
from placer.model.fleet import Fleet
from placer.model.rules import RuleKind
from placer.model.vm import ThreadPolicy
from placer.planning.check import check

KIB_PER_GIB = 1 << 20
KINDS: tuple[Kind, ...] = get_args(Kind)


@pytest.mark.parametrize("kind", KINDS)
def test_exact_fit_is_exactly_full(kind: Kind) -> None:
    """At load 1.0 the VMs take every CPU, and where memory counts every GiB, of all hosts."""
    fleet = exact_fit_fleet(seed=1, hosts=3, kind=kind)
    taken = sum(vm.spec.vcpus * (2 if vm.spec.thread_policy is ThreadPolicy.ISOLATE else 1) for vm in fleet.vms)
    assert taken == 3 * 4 * NODE_CPUS
    if kind in ("memory", "hugepages"):
        assert sum(vm.spec.memory_kib for vm in fleet.vms) == 3 * 4 * NODE_GIB * KIB_PER_GIB
    assert any(len(vm.spec.cells) == 2 for vm in fleet.vms)
    assert check(fleet).ok
    assert fleet == exact_fit_fleet(seed=1, hosts=3, kind=kind)


@pytest.mark.parametrize("load", [0.9, 0.95])
def test_load_is_met_from_below(load: float) -> None:
    """A lower load leaves VMs out until it is met, and no more than that."""
    fleet = exact_fit_fleet(seed=0, hosts=3, kind="cpu", load=load)
    share = sum(vm.spec.vcpus for vm in fleet.vms) / (3 * 4 * NODE_CPUS)
    assert load - 16 / (3 * 4 * NODE_CPUS) < share <= load


def test_greenfield_has_three_shapes() -> None:
    """Hosts come in shares 4:3:3, with the CPUs that they keep for themselves."""
    fleet = greenfield_fleet(30, 303)
    free = {host.name.split("-")[0]: len(host.dedicated_pool) // len(host.topology.nodes) for host in fleet.hosts}
    assert free == {"two": 62, "four": 31, "eight": 15}
    assert len(fleet.hosts) == 30 and abs(len(fleet.vms) - 303) < 14
    assert check(fleet).ok


@pytest.mark.parametrize("make", [two_node_fleet, many_node_fleet])
def test_live_fleets_fit_as_they_are(make: Callable[..., Fleet]) -> None:
    """Every VM has a place, and together they are within what the hosts have."""
    fleet = make(seed=0, hosts=6)
    assert all(vm.current is not None for vm in fleet.vms) and check(fleet).ok
    for host in fleet.hosts:
        for node in host.topology.nodes:
            cells = [
                cell
                for vm in fleet.vms
                if vm.current.host == host.name
                for cell, where in zip(vm.spec.cells, vm.current.nodes, strict=True)
                if where == node.id
            ]
            assert sum(len(cell.vcpus) for cell in cells) <= len(node.cpus)
            assert sum(cell.memory_kib for cell in cells) <= node.memory_kib


def test_ruled_fleet_has_every_kind_of_rule() -> None:
    """Groups of six stand under five kinds of rule by turns, and every member is found by its rule."""
    fleet = ruled_fleet(seed=0, hosts=30, vms=270, racks=6, share=0.3)
    assert {rule.kind for rule in fleet.rules} == {
        RuleKind.ANTI_AFFINITY,
        RuleKind.AFFINITY,
        RuleKind.OUTSIDE,
        RuleKind.WITHIN,
    }
    apps = [vm.spec.labels["app"] for vm in fleet.vms if "app" in vm.spec.labels]
    assert {apps.count(rule.members["app"]) for rule in fleet.rules if rule.members} == {6}
    assert check(fleet).ok
