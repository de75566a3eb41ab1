"""VMs that have CPUs of their own and whose memory nothing binds keep that when they change host."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from placer.check.check import check
from placer.emit.domain.domain_xml import patch_domain
from placer.emit.moves.script import schedule_script
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Bound, CpuPolicy, ThreadPolicy
from placer.moves.schedule import schedule_moves
from placer.planner import solve_fleet

HOST = Bound()
DRAIN = Rule(kind=RuleKind.DRAIN, hosts={"name": "a"})


def pinned(build: Any, name: str, pins: dict[int, int], host: str = "a", memory: int = 2, **more: Any) -> Any:
    """Return a flat VM that runs on a host with a CPU for each vCPU and its memory unbound."""
    spec = build.spec(len(pins), memory, **more)
    cpus = {vcpu: frozenset((cpu,)) for vcpu, cpu in pins.items()}
    now = replace(build.now(host, None), bound=(HOST,), pins=cpus)
    return build.vm(name, spec, current=now)


def fleet_of(build: Any, vms: Any, threads: int = 1) -> Any:
    """Return two hosts of two nodes with four CPUs each, of which the first is drained."""
    topology = build.topology(2, 4, threads=threads)
    return build.fleet([build.host("a", topology), build.host("b", topology)], vms, [DRAIN])


def nodes_of(planned: Any) -> list[int]:
    """Return how many vCPUs of a VM each node of four CPUs has."""
    return sorted(Counter(min(pin) // 4 for pin in planned.pins.values()).values())


def test_pins_come_along_and_memory_stays_unbound(build: Any) -> None:
    """Each vCPU has a CPU of its own on the new host, those of one node on one; the XML binds no memory, nor does the
    script.
    """
    fleet = fleet_of(build, [pinned(build, "v", {0: 4, 1: 6}), pinned(build, "w", {0: 0, 1: 1, 2: 2}, "b")])
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    planned = plan.vm_by_name["v"]
    assert (planned.host, planned.change.value, planned.bound) == ("b", "migrate", (HOST,))
    assert all(len(pin) == 1 for pin in planned.pins.values()) and nodes_of(planned) == [2]
    assert not {0, 1, 2} & frozenset().union(*planned.pins.values())
    xml = patch_domain(None, planned, fleet.vm_by_name["v"].spec, fleet.host_by_name["b"])
    assert b"numatune" not in xml and xml.count(b"<vcpupin ") == 2
    script = schedule_script(schedule_moves(fleet, plan), fleet)
    assert "'  <numatune/>'" in script and "nodeset=''" not in script


def test_threads_and_siblings_count_where_it_comes(build: Any) -> None:
    """With thread policy isolate no other VM is on its cores there."""
    vms = [
        pinned(build, "v", {0: 0, 1: 4}, thread_policy=ThreadPolicy.ISOLATE),
        pinned(build, "w", {0: 1, 1: 2}),
    ]
    plan = solve_fleet(fleet_of(build, vms, threads=2), max_moves=2, time_limit_s=20)
    topology = build.topology(2, 4, threads=2)
    cores = {name: {topology.core_of_cpu[min(pin)] for pin in plan.vm_by_name[name].pins.values()} for name in "vw"}
    assert {vm.host for vm in plan.vms} == {"b"} and len(cores["v"]) == 2 and not cores["v"] & cores["w"]


def test_check_refuses_a_plan_that_lets_them_float(build: Any) -> None:
    """A dedicated vCPU with a CPU of its own has one where it comes, one that is there for it."""
    fleet = fleet_of(build, [pinned(build, "v", {0: 4, 1: 6})])
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    planned = plan.vm_by_name["v"]
    for pins, said in (
        (dict.fromkeys((0, 1), frozenset(range(8))), "has a CPU of its own now, and floats"),
        (dict.fromkeys((0, 1), frozenset((5,))), "shares CPU 5 with another vCPU"),
    ):
        wrong = replace(plan, vms=(replace(planned, pins=pins),))
        assert any(said in str(fault) for fault in check(fleet, wrong).faults)


@pytest.mark.parametrize("seed", range(10))
def test_placed_is_that_of_all_places(build: Any, seed: int) -> None:
    """VMs of a host that failed: as many vCPUs find CPUs as all choices of host and nodes allow, proven."""
    rng = random.Random(seed)
    topology = build.topology(2, 4)
    hosts = [build.host("a", topology, failed=True), build.host("b", topology), build.host("c", topology)]
    free = {(host, node): 4 for host in "bc" for node in (0, 1)}
    vms = []
    for number in range(rng.randint(4, 6)):
        cpus = rng.sample(range(8), rng.randint(1, 5))
        vms.append(pinned(build, f"v{number}", dict(enumerate(cpus)), memory=1))
    stays = pinned(build, "w", dict(enumerate(rng.sample(range(8), 3))), "b")
    for pin in stays.current.pins.values():
        free["b", min(pin) // 4] -= 1
    plan = solve_fleet(build.fleet(hosts, [*vms, stays]), time_limit_s=20)
    groups = [list(Counter(min(pin) // 4 for pin in vm.current.pins.values()).values()) for vm in vms]
    goal = plan.goal("placed")
    assert (goal.value, goal.bound) == (_fewest_left(groups, free), goal.value)
    assert all(len(pin) == 1 for vm in plan.vms for pin in vm.pins.values())


def _fewest_left(groups: list[list[int]], free: dict[tuple[str, int], int]) -> int:
    """Return how few vCPUs find no CPU over all choices: VMs one after the other, each somewhere or nowhere."""
    states = {tuple(sorted(free.items())): 0}
    for counts in groups:
        after: dict[Any, int] = {}
        for state, left in states.items():
            after[state] = min(after.get(state, 99), left + sum(counts))
            for host, way in itertools.product("bc", itertools.product((0, 1), repeat=len(counts))):
                now = dict(state)
                for node, count in zip(way, counts, strict=True):
                    now[host, node] -= count
                if min(now.values()) >= 0:
                    key = tuple(sorted(now.items()))
                    after[key] = min(after.get(key, 99), left)
        states = after
    return min(states.values())


def test_a_shared_vcpu_beside_them_floats(build: Any) -> None:
    """Of a mixed VM the vCPUs with CPUs of their own have such there, the others float over the host."""
    vm = pinned(build, "v", {0: 4, 1: 6}, cpu_policy=CpuPolicy.MIXED, dedicated_vcpus=frozenset((0,)))
    now = replace(vm.current, pins={0: frozenset((4,))})
    plan = solve_fleet(fleet_of(build, [replace(vm, current=now)]), max_moves=1, time_limit_s=20)
    pins = plan.vm_by_name["v"].pins
    assert len(pins[0]) == 1 and len(pins[1]) > 1


def test_vms_that_float_come_as_they_are_whatever_their_thread_policy(build: Any) -> None:
    """Two cells that may be on the same cores while they float fill no core, on the host that they come to either."""
    spec = build.spec(4, 2, cells=2, thread_policy=ThreadPolicy.REQUIRE)
    fleet = fleet_of(build, [build.vm("v", spec, current=build.now("a", None))], threads=2)
    plan = solve_fleet(fleet, goals="placed,rules,moves", max_moves=1, time_limit_s=20)
    (planned,) = plan.vms
    assert planned.host == "b" and planned.bound and all(len(pin) > 1 for pin in planned.pins.values())
    assert check(fleet, plan).ok
