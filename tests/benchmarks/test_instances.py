"""Made fleets are what they claim: exactly full, repeatable, and valid for the checker."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from benchmarks.instances import NODE_CPUS, NODE_GIB, Kind, exact_fit_fleet, greenfield_fleet
from benchmarks.live_fleets import many_node_fleet, two_node_fleet
from benchmarks.rules import ruled_fleet
from placer.check.check import check
from placer.model.fleet import Fleet
from placer.model.rules import RuleKind
from placer.model.vm import ThreadPolicy

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
            mine = [vm for vm in fleet.vms if vm.current.host == host.name]
            taken = [
                sum(
                    amount(cell)
                    for vm in mine
                    for cell, where in zip(vm.spec.cells, getattr(vm.current, part), strict=True)
                    if where == node.id
                )
                for part, amount in (("nodes", lambda c: len(c.vcpus)), ("memory_nodes", lambda c: c.memory_kib))
            ]
            assert taken[0] <= len(node.cpus) and taken[1] <= node.memory_kib


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


def test_live_fleets_of_many_nodes_are_as_full_and_as_badly_placed_as_asked() -> None:
    """CPUs are taken up to the load, but for the last VM; about the share asked for is badly placed, and no other."""
    fleet = many_node_fleet(seed=1, hosts=40, load=0.84, remote_share=0.05)
    for host in fleet.hosts:
        own = sum(vm.spec.vcpus for vm in fleet.vms if vm.current.host == host.name)
        assert 0.7 < own / len(host.dedicated_pool) < 0.84 + 48 / len(host.dedicated_pool)
    single = [vm for vm in fleet.vms if len(vm.spec.cells) == 1]
    apart = [vm for vm in single if vm.current.nodes != vm.current.memory_nodes]
    assert 0.02 < len(apart) / len(single) < 0.08
    assert {len(host.topology.nodes) for host in fleet.hosts} == {4, 8}
    assert all(vm.current.nodes == vm.current.memory_nodes for vm in fleet.vms if len(vm.spec.cells) > 1)


def test_live_fleets_of_two_nodes_are_badly_placed_only_where_asked() -> None:
    """Without a share no VM is apart from its memory; with one, about that share of those of one cell is."""
    for share, least, most in ((0.0, 0.0, 0.0), (0.05, 0.01, 0.09)):
        fleet = two_node_fleet(seed=2, hosts=40, remote_share=share)
        apart = [vm for vm in fleet.vms if vm.current.nodes != vm.current.memory_nodes]
        assert least <= len(apart) / len(fleet.vms) <= most
        assert check(fleet).ok
