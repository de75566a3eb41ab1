"""A failure means the same in a scenario, in a sweep and in a plan's summary: what enumeration says."""

from __future__ import annotations

import dataclasses
import itertools
import random
import time
from collections import Counter
from typing import Any

import pytest

from placer.errors import NothingFoundError
from placer.failures.spares import fewest_spares
from placer.failures.sweep import OVER, fail_hosts, standing, sweep_failures
from placer.model.fleet import Fleet
from placer.model.vm import CpuPolicy, Vm
from placer.options import SweepOptions
from placer.planner import solve_fleet
from placer.sweeps.tasks import Variant

NODE_GIB = 8


def small_fleet(build: Any, seed: int) -> Fleet:
    """Return 3 hosts of 2 nodes of 8 GiB with up to 3 VMs each, some of which float, as far as memory goes."""
    rng = random.Random(seed)
    hosts = [build.host(name, build.topology(2, 8, memory_gib=NODE_GIB)) for name in "abc"]
    vms: list[Vm] = []
    for host in hosts:
        for _ in range(3):
            size, node = rng.randint(2, 10), rng.choice((0, 1, None))
            now = build.now(host.name, None if node is None else (node,))
            spec = build.spec(rng.randint(1, 4), size, cpu_policy=CpuPolicy.SHARED)
            vm = build.vm(f"v{len(vms)}", spec, current=now)
            if fits([*(_taken(one) for one in vms), _taken(vm)]):
                vms.append(vm)
    fleet: Fleet = build.fleet(hosts, vms)
    return fleet


def _taken(vm: Vm) -> tuple[str, int | None, int]:
    assert vm.current is not None
    node = None if vm.current.nodes is None else vm.current.nodes[0]
    return vm.current.host, node, vm.spec.memory_kib // 1024**2


def fits(taken: list[tuple[str, int | None, int]]) -> bool:
    """Tell whether memory (host, node or None, GiB) has a place: on each node, and on each host in all."""
    load: Counter[tuple[str, int | None]] = Counter()
    for host, node, size in taken:
        load[host, None] += size
        if node is not None:
            load[host, node] += size
    return all(size <= NODE_GIB * (2 if node is None else 1) for (_, node), size in load.items())


def least_lost(fleet: Fleet, failed: str) -> int:
    """Return the fewest vCPUs without a place where a host fails and nothing else moves, by enumeration."""
    stays = [_taken(vm) for vm in fleet.vms if vm.current is not None and vm.current.host != failed]
    away = [vm for vm in fleet.vms if vm.current is not None and vm.current.host == failed]
    others = [host.name for host in fleet.hosts if host.name != failed]
    best = sum(vm.spec.vcpus for vm in away)
    for chosen in itertools.product([None, *itertools.product(others, (0, 1))], repeat=len(away)):
        taken = list(stays)
        lost = 0
        for vm, place in zip(away, chosen, strict=True):
            _, node, size = _taken(vm)
            if place is None:
                lost += vm.spec.vcpus
            else:
                taken.append((place[0], None if node is None else place[1], size))
        if lost < best and fits(taken):
            best = lost
    return best


@pytest.mark.parametrize("seed", range(4))
def test_a_sweep_a_scenario_and_the_summary_agree(build: Any, seed: int) -> None:
    """Each host's failure loses the same by all of them, proven: VMs that float find their places floating."""
    fleet = small_fleet(build, seed)
    options = SweepOptions(time_limit_s=20)
    sweep = sweep_failures(Variant(name="base", fleet=fleet), None, "host", options)
    lost = {one["domains"][0]: one["vcpus_lost"] for one in sweep.harmful}
    right = {host.name: least_lost(fleet, host.name) for host in fleet.hosts}
    assert not sweep.unknown and all(one["proven"] for one in sweep.harmful)
    assert {host: lost.get(host, 0) for host in right} == right
    for name, least in right.items():
        hosts = tuple(dataclasses.replace(host, failed=host.name == name) for host in fleet.hosts)
        scenario = solve_fleet(dataclasses.replace(fleet, hosts=hosts), goals="placed", time_limit_s=20)
        assert scenario.goal("placed").value == scenario.goal("placed").bound == least
    worst = solve_fleet(fleet, time_limit_s=20).summary["worst_host_failure"]
    known = worst["vcpus_without_place"]
    assert known == max(right.values()) if worst["proven"] else known >= max(right.values())


def test_a_sweep_without_a_plan_is_of_what_runs(build: Any) -> None:
    """VMs that are still to be placed, and those of hosts that failed already, are not in it."""
    hosts = [build.host("a"), build.host("b", failed=True)]
    vms = [build.vm("runs", current=build.now("a")), build.vm("lost", current=build.now("b")), build.vm("new")]
    assert [vm.name for vm in standing(build.fleet(hosts, vms)).vms] == ["runs"]


def test_spares_are_bounded_by_what_they_carry_and_halved(build: Any) -> None:
    """Of 16 hosts that fail 11 are needed: fewer than 10 cannot carry what is lost, and few fleets are looked at."""
    hosts = [build.host(f"h{n:02}", build.topology(1, 4)) for n in range(16)]
    spec = build.spec(4, 1)
    fleet = build.fleet(hosts, [build.vm(f"v{n:02}", spec, current=build.now(f"h{n:02}")) for n in range(16)])
    worst = {"lost": [vm.name for vm in fleet.vms[:10]], "vcpus_lost": 40, "proven": True}
    asked: list[int] = []

    def loses(bought: Fleet) -> tuple[bool, bool]:
        asked.append(len(bought.hosts) - 16)
        return asked[-1] < 11, True

    found = fewest_spares(fleet, [host.name for host in hosts], worst, loses, stays=True)
    assert found["hosts"] == 11 and found["proven"] and sum(found["like"].values()) == 11
    assert min(asked) >= 10 and len(asked) <= 4


def test_a_sweep_whose_time_is_over_says_so(build: Any) -> None:
    """What was not looked at is unknown, and one by one a failure is refused."""
    fleet = small_fleet(build, 1)
    options = SweepOptions(total_time_s=0)
    sweep = sweep_failures(Variant(name="base", fleet=fleet), None, "host", options)
    assert all(one["why"] == OVER for one in sweep.unknown) and not sweep.harmful
    with pytest.raises(NothingFoundError, match="total time"):
        fail_hosts((standing(fleet), options, None, time.time() - 1), (["a"], False))
